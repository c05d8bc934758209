# SPDX-License-Identifier: Apache-2.0
"""Time and replay: the window, the fence after a restart, nonces that are good once, and the bound of their memory
(protocol, Signed requests)."""
import concurrent.futures
import re
import time
from email.utils import parsedate_to_datetime

import pytest

from wfltest import Client, Connection, Grant, Key, Server
from wfltest.session import open_session
from wfltest.signing import nonce, timestamp


def fresh(server, http=1, **more):
    return Client(server, [Grant()], http=http, **more)


# ---- the window

@pytest.mark.parametrize("off, code", [(-3600, "timestamp_skew"), (-62, "timestamp_skew"), (62, "timestamp_skew"), (3600, "timestamp_skew"),
                                       (50, ""), (0, "")])
def test_the_window_has_two_ends(client, off, code):
    assert client.request("GET", "/v1/", at=time.time() + off).code == code


def test_the_window_is_a_setting():
    with Server(clock_skew_seconds=600) as patient:
        with fresh(patient) as client:
            assert client.request("GET", "/v1/", at=time.time() + 500).status == 200
            assert client.request("GET", "/v1/", at=time.time() + 700).code == "timestamp_skew"


def test_a_skewed_client_can_correct_its_clock(client):
    refused = client.request("GET", "/v1/", at=time.time() - 5000)
    assert refused.code == "timestamp_skew"
    told = parsedate_to_datetime(refused.header("date")).timestamp()
    assert client.request("GET", "/v1/", at=told + 1).status == 200


def utc(form, at=None):
    return time.strftime(form, time.gmtime(at))


@pytest.mark.parametrize("make, code", [
    (lambda: timestamp(decimals=0, at=time.time() + 2), ""),
    (lambda: timestamp(decimals=1, at=time.time() + 1), ""),
    (lambda: timestamp(decimals=9), ""),
    (lambda: timestamp(decimals=9)[:-1] + "0Z", "timestamp_malformed"),
    (lambda: utc("%Y-%m-%dT%H:%M:%S.Z"), "timestamp_malformed"),
    (lambda: utc("%Y-%m-%dT%H:%M:%S"), "timestamp_malformed"),
    (lambda: utc("%Y-%m-%dT%H:%M:%S+00:00"), "timestamp_malformed"),
    (lambda: utc("%Y-%m-%dt%H:%M:%Sz"), "timestamp_malformed"),
    (lambda: utc("%Y-%m-%d %H:%M:%SZ"), "timestamp_malformed"),
    (lambda: utc("%Y%m%dT%H%M%SZ"), "timestamp_malformed"),
    (lambda: utc("%Y-%m-%dT%H:%MZ"), "timestamp_malformed"),
    (lambda: utc("%Y-%m-%dT24:00:00Z"), "timestamp_malformed"),
    (lambda: utc("%Y-%m-%dT%H:%M:60Z"), "timestamp_malformed"),
    (lambda: "2026-02-30T00:00:00Z", "timestamp_malformed"),
    (lambda: "2026-13-01T00:00:00Z", "timestamp_malformed"),
    (lambda: "+2026-11-24T10:00:00Z", "timestamp_malformed"),
    (lambda: str(int(time.time())), "timestamp_malformed"),
    (lambda: "0000-01-01T00:00:00Z", "timestamp_malformed"),
    (lambda: "1970-01-01T00:00:00Z", "timestamp_skew"),
    (lambda: "9999-12-31T23:59:59Z", "timestamp_skew"),
    (lambda: "99999-12-31T23:59:59Z", "timestamp_malformed"),
])
def test_a_timestamp_has_one_form(client1, make, code):
    assert client1.request("GET", "/v1/", stamp=make()).code == code


# ---- nonces

@pytest.mark.parametrize("text, code", [
    ("a" * 16, ""), ("a" * 64, ""), ("AZaz09-_.AZaz09-_.", ""), ("a" * 15, "nonce_malformed"), ("a" * 65, "nonce_malformed"),
    ("a" * 15 + " ", "nonce_malformed"), ("a" * 16 + "/", "nonce_malformed"), ("a" * 16 + "+", "nonce_malformed"),
    ("a" * 16 + "=", "nonce_malformed"), ("a" * 16 + "~", "nonce_malformed"), ("a" * 8 + " " + "a" * 8, "nonce_malformed"),
    ("a" * 16 + "\u00e4", "nonce_malformed"),
])
def test_a_nonce_has_one_form(server, client, text, code):
    with fresh(server, client.http) as one:
        try:
            answer = one.request("GET", "/v1/", nonce_text=text)
        except Exception as error:  # h2 itself may refuse to send it
            assert client.http == 2 and code, error
            return
        assert answer.code == code


REQUESTS = {
    "a read": ("GET", "/v1/{}/k", None), "a head": ("HEAD", "/v1/{}/k", None), "a listing": ("GET", "/v1/{}/scan", None),
    "a bucket": ("GET", "/v1/{}", None), "the list of buckets": ("GET", "/v1/", None), "a write": ("PUT", "/v1/{}/k", b"again"),
    "a delete": ("DELETE", "/v1/{}/k", None),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_request_is_good_once(client, bucket, name):
    method, target, body = REQUESTS[name]
    target = target.format(bucket)
    client.put(bucket, "k", b"first")
    headers = client.headers(method, target, body=body)
    first = client.connect().request(method, target, headers, body)
    assert first.status < 300
    again = client.connect().request(method, target, headers, body)
    if method in ("PUT", "DELETE"):  # the first answer once more, and no second execution
        assert (again.status, again.header("x-wfldb-replayed")) == (first.status, "true")
        assert again.header("x-wfldb-version") == first.header("x-wfldb-version")
        return
    assert again.status == 401
    if method != "HEAD":
        assert again.code == "replayed"


@pytest.mark.parametrize("first, second", [("HTTP/1.1", "HTTP/2"), ("HTTP/2", "HTTP/1.1")])
def test_another_connection_and_another_protocol_are_no_way_around(server, bucket, first, second):
    http = {"HTTP/1.1": 1, "HTTP/2": 2}
    with fresh(server, http[first]) as one, Client(server, key=one.key, packet=one.packet, http=http[second]) as other:
        headers = one.headers("GET", f"/v1/{bucket}/scan")
        assert one.connect().request("GET", f"/v1/{bucket}/scan", headers).status == 200
        assert other.connect().request("GET", f"/v1/{bucket}/scan", headers).code == "replayed"


def test_a_nonce_is_spent_for_every_request_of_the_client(client, bucket):
    spent = nonce()
    assert client.request("GET", f"/v1/{bucket}/scan", nonce_text=spent).status == 200
    assert client.request("GET", "/v1/", nonce_text=spent).code == "replayed"
    assert client.request("PUT", f"/v1/{bucket}/k", body=b"", nonce_text=spent).code == "replayed"
    assert client.request("GET", f"/v1/{bucket}/scan", nonce_text=spent, at=time.time() + 5).code == "replayed"


def test_a_nonce_belongs_to_its_client(server, client):
    spent = nonce()
    assert client.request("GET", "/v1/", nonce_text=spent).status == 200
    with fresh(server, client.http) as other:
        assert other.request("GET", "/v1/", nonce_text=spent).status == 200


def test_a_client_is_its_key_and_not_its_packet(server, client):
    spent = nonce()
    assert client.request("GET", "/v1/", nonce_text=spent).status == 200
    with fresh(server, client.http, key=client.key) as renewed:
        assert renewed.packet != client.packet
        assert renewed.request("GET", "/v1/", nonce_text=spent).code == "replayed"


def test_what_was_refused_has_spent_nothing(server, bucket):
    spent = nonce()
    with Client(server, [Grant(bucket, ops=["put"])]) as client:
        assert client.request("GET", f"/v1/{bucket}/k", nonce_text=spent).code == "forbidden"
        assert client.request("PUT", f"/v1/{bucket}/A/../k", body=b"", nonce_text=spent).code == "invalid_key"
        assert client.request("PUT", f"/v1/{bucket}/k?x", body=b"", nonce_text=spent).code == "invalid_query"
        assert client.request("PUT", f"/v1/{bucket}/k", body=b"", nonce_text=spent).status == 201
        assert client.request("PUT", f"/v1/{bucket}/k", body=b"", nonce_text=spent).header("x-wfldb-replayed") == "true"


def test_of_racing_replays_one_is_executed(server, bucket):
    """The same bytes at once on many connections."""
    with fresh(server) as client:
        headers = client.headers("PUT", f"/v1/{bucket}/raced", body=b"x")
        connections = [Connection(server.address) for _ in range(16)]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda c: c.request("PUT", f"/v1/{bucket}/raced", headers, b"x"), connections))
        for connection in connections:
            connection.close()
        assert {a.status for a in answers} == {201}
        assert len({a.header("x-wfldb-version") for a in answers}) == 1
        assert sorted(a.header("x-wfldb-replayed") or "" for a in answers) == [""] + ["true"] * 15


# ---- the memory's bound

def test_a_client_that_outruns_the_memory_waits_and_nobody_else_does():
    with Server(nonces_per_client_max=32) as tight:
        with fresh(tight) as greedy, fresh(tight) as modest:
            first = greedy.headers("GET", "/v1/")
            assert greedy.connect().request("GET", "/v1/", first).status == 200
            for _ in range(31):
                assert greedy.request("GET", "/v1/").status == 200
            for _ in range(10):
                refused = greedy.request("GET", "/v1/")
                assert (refused.status, refused.code) == (429, "rate_limited")
                assert refused.header("retry-after")
            # Nothing was forgotten to make room, and a refusal is no way to replay.
            assert greedy.connect().request("GET", "/v1/", first).code == "replayed"
            assert modest.request("GET", "/v1/").status == 200


def until(client, wanted):
    end = time.monotonic() + 60
    while client.request("GET", "/v1/").code != wanted:
        assert time.monotonic() < end


def test_room_comes_back_when_the_window_has_passed():
    with Server(nonces_per_client_max=16, clock_skew_seconds=2) as tight:
        with fresh(tight) as client:
            until(client, "rate_limited")
            until(client, "")


def test_many_clients_do_not_pass_the_bound_of_all():
    with Server(nonces_max=1024) as tight:
        codes = []
        for _ in range(12):
            with fresh(tight) as client:
                codes.append(client.request("GET", "/v1/").code)
        assert codes[0] == "" and codes[-1] == "rate_limited"
        assert set(codes) == {"", "rate_limited"}


# ---- the fence

@pytest.mark.parametrize("how", ["stop", "kill"])
def test_nothing_dated_before_the_start_is_let_in(tmp_path, how):
    root = Key()
    server = Server(str(tmp_path), root=root)
    with server:
        with fresh(server) as client:
            client.make_bucket("fence")
            read = client.headers("GET", "/v1/fence/k", authority="wfl.invalid")
            write = client.headers("PUT", "/v1/fence/k", body=b"old", authority="wfl.invalid")
            assert client.connect().request("PUT", "/v1/fence/k", write, b"old", host="wfl.invalid").status == 201
            assert client.connect().request("GET", "/v1/fence/k", read, host="wfl.invalid").status == 200
            unused = client.headers("GET", "/v1/fence/k", authority="wfl.invalid")
            client.put("fence", "k", b"new")
        getattr(server, how)()
    with Server(str(tmp_path), root=root) as again:
        with Client(again, key=client.key, packet=client.packet) as after:
            for method, headers, body in (("GET", read, None), ("PUT", write, b"old"), ("GET", unused, None)):
                refused = after.connect().request(method, "/v1/fence/k", headers, body, host="wfl.invalid")
                assert refused.code == "timestamp_skew"
            assert after.get("fence", "k").body == b"new"


def test_the_refusal_says_what_helps(client):
    assert re.search("Date", client.request("GET", "/v1/", at=time.time() - 100).json["detail"])


# ---- another server

@pytest.fixture(scope="module")
def twin(server):
    """Of the same root; what one was asked is not asked of the other."""
    with Server(root=server.root) as running:
        yield running


def captured(client, server):
    """Requests that were meant for `server`, of every kind of credential."""
    with open_session(client) as session:
        yield "a read", "GET", client.headers("GET", "/v1/"), None
        yield "a write", "PUT", client.headers("PUT", "/v1/replayed/k", body=b"x"), b"x"
        yield "a session's read", "GET", session.headers("GET", "/v1/"), None
        yield "a request for a session", "POST", client.headers("POST", "/v1/-/session", body=b"{}"), b"{}"


@pytest.mark.parametrize("what", ["a read", "a write", "a session's read", "a request for a session"])
def test_another_server_of_the_same_root_takes_nothing_meant_for_this_one(server, twin, what):
    targets = {"a read": "/v1/", "a write": "/v1/replayed/k", "a session's read": "/v1/", "a request for a session": "/v1/-/session"}
    with Client(server) as client:
        method, headers, body = next((m, h, b) for name, m, h, b in captured(client, server) if name == what)
    with Connection(twin.address) as connection:
        answer = connection.request(method, targets[what], headers, body)
        assert answer.code == ("session_unknown" if "session's" in what else "signature_invalid"), answer
    with Client(server, key=client.key, packet=client.packet) as owner:  # and it is as good as before here
        if what == "a read":
            assert owner.connect().request(method, targets[what], headers, body).status == 200


def test_what_is_revoked_here_is_not_revoked_there(server, twin):
    """Each server keeps its own list; whoever runs several has to tell all of them."""
    with Client(server, [Grant("*", ops=["admin"])]) as admin, Client(server) as client:
        assert client.request("GET", "/v1/").status == 200
        admin.expect(201, "POST", "/v1/-/revocations", body=b'{"kid":"%s"}' % client.key.thumb.encode())
        assert client.request("GET", "/v1/").code == "packet_revoked"
    with Client(twin, key=client.key, packet=client.packet) as there:
        assert there.request("GET", "/v1/").status == 200
