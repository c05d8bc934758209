# SPDX-License-Identifier: Apache-2.0
"""Sessions over both transports (protocol, Sessions): who may open one, what each request is bound to, which counters
are taken, and what ends them."""
import json
import re
import time

import pytest

from wfltest import Client, Connection, Grant, Key, Server, issue
from wfltest.changes import EVENTS, LINES, Stream
from wfltest.http2 import Connection2
from wfltest.keys import b64u, ulid
from wfltest.session import TARGET, Ephemeral, ask, open_session

POINT = b64u(bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"))  # of RFC 7748


def identity_of(server):
    with Connection(server.address) as connection:
        return connection.request("GET", "/v1/-/server").json["identity"]


@pytest.fixture
def session(server, client):
    with open_session(client, identity=identity_of(server)) as made:
        yield made


# ---- opening

def test_the_answer_is_signed_by_the_servers_identity(server, client):
    before = int(time.time())
    with open_session(client, ttl=100, identity=identity_of(server)) as made:
        assert before + 100 <= made.credential.expires <= time.time() + 100
        assert made.request("GET", "/v1/").status == 200


def test_an_answer_is_not_for_caches(client):
    response, _ = ask(client)
    assert response.status == 201 and response.header("cache-control") == "no-store"


@pytest.mark.parametrize("body, code", [
    ({"x25519": POINT}, "invalid_json"),
    ({"ttl": 60}, "invalid_json"),
    ({"x25519": POINT, "ttl": 60, "scope": "photos"}, "invalid_json"),
    ({"x25519": POINT, "ttl": "60"}, "invalid_json"),
    ({"x25519": POINT, "ttl": 0}, "invalid_request"),
    ({"x25519": POINT, "ttl": 86401}, "invalid_request"),
    ({"x25519": POINT[:-1], "ttl": 60}, "invalid_request"),
    ({"x25519": POINT + "=", "ttl": 60}, "invalid_request"),
    ({"x25519": b64u(bytes(32)), "ttl": 60}, "invalid_request"),
    ({"x25519": b64u(b"\1" + bytes(31)), "ttl": 60}, "invalid_request"),
    ([], "invalid_json"),
    (b"", "invalid_json"),
    (b'{"x25519":"' + POINT.encode() + b'","ttl":60,"ttl":61}', "invalid_json"),
    (b" " * 300, "invalid_json"),
])
def test_what_asks_for_a_session_is_read_strictly(client, body, code):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert client.request("POST", TARGET, body=text).code == code


def test_only_post_and_no_query(client):
    for method in ("GET", "PUT", "DELETE"):
        refused = client.request(method, TARGET)
        assert refused.code == "method_not_allowed" and refused.header("allow") == "POST"
    assert client.request("POST", TARGET + "?ttl=1", body=b"{}").code == "invalid_query"
    assert client.request("POST", TARGET + "/x", body=b"{}").code == "not_found"


def test_the_body_has_its_declared_hash(client):
    body = json.dumps({"x25519": POINT, "ttl": 60}).encode()
    headers = [("X-WflDB-Content-SHA256", "0" * 64)]
    assert client.request("POST", TARGET, headers, body, content=None).code == "content_mismatch"


def test_asking_is_a_signed_request_like_any(server, client):
    text = "0123456789abcdef-session"
    assert ask(client, nonce_text=text)[0].status == 201
    assert ask(client, nonce_text=text)[0].code == "replayed"
    assert ask(client, at=time.time() - 100)[0].code == "timestamp_skew"
    with Connection(server.address) as plain:
        assert plain.request("POST", TARGET, body=b"{}").code == "invalid_header"
        assert plain.request("POST", TARGET).code == "credential_missing"


def test_a_session_opens_no_session(session):
    """Else whoever was handed the key of one scope could have keys for all."""
    body = json.dumps({"x25519": POINT, "ttl": 60}).encode()
    assert session.request("POST", TARGET, body=body).code == "forbidden"


# ---- what a request is bound to

def test_every_kind_of_request_works(session):
    session.make_bucket("made-in-a-session-%d" % session.http)
    name = "made-in-a-session-%d" % session.http
    session.put(name, "a/b", b"content", [("X-WflDB-Tag-color", "blue")])
    assert session.get(name, "a/b").body == b"content"
    assert session.get(name, "a/b", status=206, headers=[("Range", "bytes=1-2")]).body == b"on"
    assert [item["key"] for item in session.scan(name)[0]] == ["a/b"]
    batch = json.dumps({"ops": [{"op": "put", "key": "c", "value": "d"}]}).encode()
    session.expect(200, "POST", f"/v1/{name}/batch", body=batch)
    batch = json.dumps({"ops": [{"op": "delete", "bucket": name, "key": "c"}]}).encode()
    session.expect(200, "POST", "/v1/-/batch", body=batch)
    assert name in [b["name"] for b in session.expect(200, "GET", "/v1/").json["buckets"]]
    assert session.stream("PUT", f"/v1/{name}/streamed", [b"x" * 70000, b"y" * 70000]).status == 201
    session.delete(name, "a/b")
    session.delete(name, "streamed")
    session.expect(204, "DELETE", f"/v1/{name}")


@pytest.fixture
def two_buckets(client):
    names = [f"scope-{client.http}-a", f"scope-{client.http}-b"]
    for name in names:
        if client.request("PUT", f"/v1/{name}", body=b"").status == 201:
            client.put(name, "k", b"v")
    return names


def test_a_scopes_key_signs_for_its_bucket_only(session, two_buckets):
    mine, other = two_buckets
    whole, session.credential = session.credential, session.credential.narrow(mine)
    assert session.get(mine, "k").body == b"v"
    assert session.request("GET", f"/v1/{mine}/scan").status == 200
    for target in (f"/v1/{other}/k", f"/v1/{other}/scan", f"/v1/{other}", "/v1/", "/v1/-/batch", "/v1/-/scrub",
                   f"/v1/{mine}x/k", f"/v1/{mine[:-1]}/k", f"/v1//{mine}/k"):
        assert session.request("GET", target).code == "signature_invalid", target
    session.credential = whole.narrow("-")
    assert session.request("GET", "/v1/").status == 200
    assert session.request("GET", f"/v1/{mine}/k").code == "signature_invalid"


def test_two_spellings_of_a_bucket_are_one_scope(session, two_buckets):
    session.credential = session.credential.narrow(two_buckets[0])
    assert session.request("GET", "/v1/%73cope" + two_buckets[0][5:] + "/k").body == b"v"


def signed(session, method="GET", target="/v1/", **options):
    return session.headers(method, target, **options)


@pytest.mark.parametrize("change", ["method", "target", "query", "authority", "header", "removed", "mac", "timestamp", "counter"])
def test_nothing_signed_can_be_changed(server, session, two_buckets, change):
    target = f"/v1/{two_buckets[0]}/k"
    headers, method, host = signed(session, target=target), "GET", None
    if change == "method":
        method = "DELETE"
    elif change == "target":
        target += "2"
    elif change == "query":
        target += "?versions"
    elif change == "authority":
        host = "other.example"
    elif change == "header":
        headers.append(("Range", "bytes=0-0"))
    elif change == "removed":
        headers = session.headers("GET", target, [("If-None-Match", "*")])
        headers = [h for h in headers if h[0] != "If-None-Match"]
    else:
        name = {"mac": "X-WflDB-Signature", "timestamp": "X-WflDB-Timestamp", "counter": "X-WflDB-Nonce"}[change]
        old = dict(headers)[name]
        new = {"mac": ("0" if old[0] != "0" else "1") + old[1:],
               "timestamp": old.replace("Z", "0Z"), "counter": old + "0"}[change]
        headers = [(n, new if n == name else v) for n, v in headers]
    response = session.connect().request(method, target, headers, host=host)
    assert (response.status, response.code) == (401, "signature_invalid")


def test_a_packets_signature_is_none_of_a_session(client, session):
    other = dict(client.headers("GET", "/v1/"))
    headers = [(n, other[n] if n == "X-WflDB-Signature" else v) for n, v in signed(session)]
    assert session.connect().request("GET", "/v1/", headers).code == "signature_malformed"


def test_another_clients_session_is_not_mine(server, session, client):
    with Client(server, http=client.http) as stranger, open_session(stranger) as theirs:
        headers = [(n, f"Session {session.credential.text}" if n == "Authorization" else v) for n, v in signed(theirs)]
        assert theirs.connect().request("GET", "/v1/", headers).code == "signature_invalid"


def test_the_timestamp_has_the_same_window(session):
    for off, code in ((-62, "timestamp_skew"), (62, "timestamp_skew"), (-50, ""), (50, "")):
        assert session.request("GET", "/v1/", at=time.time() + off).code == code
    assert session.request("GET", "/v1/", stamp="now").code == "timestamp_malformed"


@pytest.mark.parametrize("text", ["0", "00", "01", "-1", "+1", "1.0", "1e3", "0x10", "9007199254740993", "9" * 30, "a", "1 2",
                                  "0123456789abcdef"])
def test_a_counter_is_a_decimal_from_1(session, text):
    assert session.request("GET", "/v1/", nonce_text=text).code == "nonce_malformed"


# ---- counters

def use(session, counter):
    return session.request("GET", "/v1/", nonce_text=str(counter)).code


def test_counters_come_in_any_order_but_once(session):
    for counter in (5, 1, 4, 2, 3, 100, 50):
        assert use(session, counter) == ""
    for counter in (1, 5, 50, 100):
        assert use(session, counter) == "replayed"


def test_the_window_is_the_last_4096(session):
    assert use(session, 1) == ""
    assert use(session, 5000) == ""
    assert use(session, 5000 - 4096) == "replayed"
    assert use(session, 5000 - 4095) == ""
    assert use(session, 5000 - 4095) == "replayed"
    assert use(session, 2**53) == ""
    assert use(session, 5001) == "replayed"
    assert use(session, 2**53 - 4096) == "replayed"
    assert use(session, 2**53 - 4095) == ""
    assert use(session, 2**53) == "replayed"


def test_a_request_that_is_refused_before_takes_no_counter(session, two_buckets):
    wrong = session.credential.narrow("elsewhere")
    right, session.credential = session.credential, wrong
    assert use(session, 7000) == "signature_invalid"  # would have moved the window
    session.credential = right
    assert use(session, 1) == ""
    target = f"/v1/{two_buckets[0]}/k?no-such"
    assert session.request("GET", target, nonce_text="2").code == "invalid_query"
    assert use(session, 2) == ""


def test_byte_for_byte_again_is_replayed(session):
    headers = signed(session)
    connection = session.connect()
    assert connection.request("GET", "/v1/", headers).status == 200
    assert connection.request("GET", "/v1/", headers).code == "replayed"


def test_a_counter_is_not_shared_between_sessions(client, session):
    with open_session(client) as other:
        assert use(session, 1) == "" and use(other, 1) == ""


# ---- rights and ends

def test_a_session_has_its_packets_rights(server, bucket, client):
    with Client(server, [Grant(bucket, "mine/", ["get", "put"])], http=client.http) as narrow:
        with open_session(narrow) as session:
            session.put(bucket, "mine/a", b"1")
            assert session.get(bucket, "mine/a").body == b"1"
            for method, key in (("GET", "other"), ("DELETE", "mine/a"), ("PUT", "other")):
                assert session.request(method, f"/v1/{bucket}/{key}").code == "forbidden"
            assert session.request("GET", f"/v1/{bucket}/scan").code == "forbidden"


def test_a_narrowed_packet_opens_a_narrowed_session(server, bucket, client):
    holder = Key()
    parent = issue(server.root, holder, [Grant(bucket, ops=["get", "put"])], delegate=1)
    worker = Key()
    chain = issue(holder, worker, [Grant(bucket, "in/", ["put"])], parent=parent)
    with Client(server, key=worker, packet=chain, http=client.http) as narrow, open_session(narrow) as session:
        session.put(bucket, "in/a", b"1")
        assert session.request("GET", f"/v1/{bucket}/in/a").code == "forbidden"


def test_a_session_does_not_outlive_its_packet(server):
    with Client(server, ttl=3) as brief, open_session(brief) as session:
        assert session.credential.expires <= time.time() + 3
        assert session.request("GET", "/v1/").status == 200
        while time.time() < session.credential.expires:
            time.sleep(0.05)
        assert session.request("GET", "/v1/").code == "session_unknown"
        assert brief.request("GET", "/v1/").code == "packet_expired"


def test_a_session_ends_with_its_ttl(client1):
    with open_session(client1, ttl=1) as session:
        while time.time() < session.credential.expires:
            time.sleep(0.05)
        refused = session.request("GET", "/v1/")
        assert refused.code == "session_unknown" and refused.header("www-authenticate") == "Bearer"


@pytest.mark.parametrize("shape", [EVENTS, LINES])
def test_a_stream_ends_with_its_session(client, bucket, shape):
    with open_session(client, ttl=2) as session, Stream(session, bucket, shape, after="now") as stream:
        client.put(bucket, "k", b"v")
        assert stream.next()["key"] == "k"
        assert stream.next() is None  # in good order
        assert time.time() >= session.credential.expires


@pytest.mark.parametrize("text", ["01JDFJ7Z7Q2S4T6V8X0A2C4E6G", "", "x", "01JDFJ7Z7Q2S4T6V8X0A2C4E6G " * 400, "ü"])
def test_an_unknown_session(client1, session, text):
    headers = [(n, f"Session {text}" if n == "Authorization" else v) for n, v in signed(session)]
    connection = Connection(client1.server.address)
    assert connection.request("GET", "/v1/", headers).code == ("session_unknown" if text else "credential_missing")


@pytest.mark.parametrize("what", ["jti", "kid"])
def test_a_revocation_holds_in_open_sessions(server, client, what):
    holder, jti = Key(), ulid()
    with Client(server, key=holder, packet=issue(server.root, holder, [Grant()], jti=jti), http=client.http) as mine:
        with open_session(mine) as session:
            assert session.request("GET", "/v1/").status == 200
            with Client(server, [Grant(ops=["admin"])]) as admin:
                value = jti if what == "jti" else holder.thumb
                admin.expect(201, "POST", "/v1/-/revocations", body=json.dumps({what: value}).encode())
            assert session.request("GET", "/v1/").code == "packet_revoked"


def test_a_restart_ends_sessions():
    with Server() as server:
        with Client(server) as client, open_session(client) as session:
            identity = identity_of(server)
            assert session.request("GET", "/v1/").status == 200
            assert server.stop() == 0
            server.start()
            client.close()
            session.close()
            assert session.request("GET", "/v1/").code == "session_unknown"
            with open_session(client, identity=identity) as again:  # the identity stays
                assert again.request("GET", "/v1/").status == 200


def metric(server, name):
    with Connection(server.ops) as ops:
        return int(re.search(rf"^wfldb_{name} (\d+)$", ops.request("GET", "/metrics").body.decode(), re.M)[1])


def test_full_is_refused_and_nothing_is_forgotten():
    with Server(sessions_per_client_max=3, sessions_max=16) as server:
        with Client(server) as first, Client(server) as second:
            mine = [open_session(first) for _ in range(3)]
            refused, _ = ask(first)
            assert (refused.status, refused.code) == (429, "rate_limited") and int(refused.header("retry-after")) > 0
            with open_session(second, ttl=1) as brief:
                assert metric(server, "sessions") == 4
                with Connection(server.ops) as ops:
                    assert ops.request("GET", "/health/ready").json["sessions"] == {"open": 4, "max": 16}
                while time.time() < brief.credential.expires:
                    time.sleep(0.05)
            for session in mine:
                assert session.request("GET", "/v1/").status == 200
                session.close()
            others = [Client(server) for _ in range(5)]
            opened = sum(ask(client)[0].status == 201 for client in others for _ in range(3))
            assert opened == 13  # 16 in all, 3 of the first; the brief one has made room
            for client in others:
                client.close()


def test_one_client_has_a_thousand(server):
    with Client(server) as client:
        for _ in range(1000):
            assert ask(client)[0].status == 201
        assert ask(client)[0].code == "rate_limited"
        assert client.request("GET", "/v1/").status == 200


def test_no_session_and_no_key_reaches_the_log(server, session):
    session.request("GET", "/v1/")
    session.request("GET", "/v1/", nonce_text="1")
    assert not any(session.credential.text in line for line in server.log)


def test_a_session_belongs_to_no_connection(server, session):
    for connection in (Connection(server.address), Connection2(server.address)):
        with connection:
            assert connection.request("GET", "/v1/", signed(session)).status == 200


