# SPDX-License-Identifier: Apache-2.0
"""Things begun and never finished, and memory asked for without end: each has a bound, whoever reaches it is refused, and
nobody else is (protocol, Transport; Signed requests; Sessions)."""
import json
import os

import pytest
from hyperframe.frame import DataFrame

from wfltest import Client, Connection, Grant, Key, Server, issue, link, memory_bound, wait_until
from wfltest.client import path_of
from wfltest.frames import MIB, Raw, signed
from wfltest.keys import b64u
from wfltest.signing import signed_headers
from wfltest.witness import open_files

BUCKET = "exhausted"
PACKETS_MAX, CONNECTIONS_MAX = 16, 120


@pytest.fixture(scope="module")
def server():
    with Server(packet_cache_max=PACKETS_MAX, connections_max=CONNECTIONS_MAX, reactors=2) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def made(server, witness):
    with Client(server) as maker:
        maker.make_bucket(BUCKET)


@pytest.fixture
def bounded(server):
    """Memory and files after the case are what they were before it, but for what caches keep."""
    files, memory = open_files(server), server.anonymous_bytes()
    yield
    wait_until(lambda: server.metrics()["connections"] == 0, server.metrics)
    wait_until(lambda: open_files(server) <= files + 8, lambda: (files, open_files(server)))
    assert server.anonymous_bytes() - memory < memory_bound(128 << 20)


# ---- connections

HELD = {
    "that say nothing": lambda k, c: None, "in the middle of a head": lambda k, c: c.send(b"GET / HTTP/1.1\r\nHost:"),
    "in the middle of a body": lambda k, c: c.send(b"PUT /v1/exhausted/k HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"),
    "that wait behind an answer": lambda k, c: c.send(b"GET /v1/-/server HTTP/1.1\r\nHost: a\r\n\r\n"),
}


@pytest.mark.parametrize("begin", HELD.values(), ids=HELD)
def test_connections(server, client1, unchanged, bounded, begin):
    client1.get("witness", "k")  # whoever is in stays in
    crowd = []
    for _ in range(2 * CONNECTIONS_MAX):
        connection = Connection(server.address)
        crowd.append(connection)
        try:
            begin(client1, connection)
        except OSError:
            pass  # refused at once
    wait_until(lambda: server.metrics()["connections"] <= CONNECTIONS_MAX + 1, server.metrics)
    for _ in range(10):
        assert client1.get("witness", "k").status == 200
    for connection in crowd:
        connection.close()
    client1.close()
    wait_until(lambda: server.metrics()["connections"] == 0, server.metrics)


# ---- what is begun and not finished

def test_streams_that_wait_for_their_bodies(server, client1, unchanged, bounded):
    """20 connections of 256 uploads each, begun and left."""
    held = []
    for _ in range(20):
        c = Raw(server.address)
        held.append(c)
        c.round_trip()
        for i in range(256):
            s = c.stream()
            c.send(c.head(s, signed(client1, c, "PUT", path_of(BUCKET, f"{i}"), content="unsigned")), DataFrame(s, b"x"))
        c.round_trip()
    assert client1.get("witness", "k").status == 200
    client1.close()
    for c in held:
        c.socket.close()


def test_uploads_in_parts_that_are_never_completed(server, bounded):
    with Client(server) as client:
        client.make_bucket("parts")
        uploads = [client.expect(201, "POST", f"/v1/parts/k{i}?multipart=start").json["upload"] for i in range(300)]
        for upload in uploads[:20]:
            client.expect(200, "PUT", f"/v1/parts/k{uploads.index(upload)}?upload={upload}&part=1", body=b"x" * 100)
        listed = client.expect(200, "GET", "/v1/parts?uploads").json["uploads"]
        assert {u["upload"] for u in listed} == set(uploads)
        assert client.scan("parts") == ([], [])
        assert client.expect(200, "GET", "/v1/parts/changes").json["changes"] == []
        for i, upload in enumerate(uploads):
            client.expect(204, "DELETE", f"/v1/parts/k{i}?upload={upload}")
        client.expect(204, "DELETE", "/v1/parts")


def test_a_multitude_of_watchers(server, client1, bounded):
    """1000 long polls on 10 connections: a write is as quick as before, each hears of it, and they leave nothing."""
    client1.make_bucket("watched")
    held = []
    for _ in range(10):
        c = Raw(server.address)
        held.append(c)
        c.round_trip()
        for _ in range(100):
            s = c.stream()
            c.send(c.head(s, signed(client1, c, "GET", "/v1/watched/changes?wait=60"), "END_STREAM"))
        c.round_trip()
    client1.put("watched", "k", b"x")
    for c in held:
        answers = c.answers_of(range(1, 201, 2))
        assert all(a.status == 200 and len(a.json["changes"]) == 1 for a in answers.values())
        for _ in range(100):
            s = c.stream()
            c.send(c.head(s, signed(client1, c, "GET", "/v1/watched/changes?after=now&wait=60"), "END_STREAM"))
        c.socket.close()  # and so many leave without a word
    client1.close()


# ---- caches

def random_packets(server):
    key, other = Key(), Key()
    good = issue(server.root, key, [Grant()])
    yield "text", lambda: b64u(os.urandom(200))
    yield "three parts of nothing", lambda: ".".join(b64u(os.urandom(60)) for _ in range(3))
    yield "another signature each", lambda: good.rsplit(".", 1)[0] + "." + b64u(os.urandom(64))
    yield "another root each", lambda: issue(Key(), key, [Grant()])
    yield "expired", lambda: issue(server.root, key, [Grant()], iat=1000, exp=2000)
    yield "a bad second link each", lambda: link(server.root, other, [Grant()], delegate=1) + "~" + link(key, key, [Grant()], kid=other.thumb)


@pytest.mark.parametrize("what", ["text", "three parts of nothing", "another signature each", "another root each", "expired", "a bad second link each"])
def test_packets_that_do_not_hold_take_no_place(server, unchanged, bounded, what):
    """Whoever is known stays known: only packets that hold are kept, so no stranger can push one out."""
    make = dict(random_packets(server))[what]
    with Client(server) as known, Connection(server.address) as connection:
        known.request("GET", "/v1/")
        before = server.metrics()
        for _ in range(4 * PACKETS_MAX):
            packet = make()
            answer = connection.request("GET", "/v1/", [("Authorization", f"Bearer {packet}"), ("X-WflDB-Timestamp", "2026-11-24T10:00:00Z"),
                                                        ("X-WflDB-Nonce", "0123456789abcdef"), ("X-WflDB-Signature", b64u(bytes(64)))])
            assert answer.status == 401 and answer.code.startswith("packet_"), answer
        assert known.request("GET", "/v1/").status == 200
        after = server.metrics()
    assert after["packets_cached"] == before["packets_cached"] <= PACKETS_MAX
    assert after["packet_cache_hits_total"] > before["packet_cache_hits_total"]


def test_more_good_packets_than_places(server, unchanged, bounded):
    with Client(server) as known:
        for _ in range(8 * PACKETS_MAX):
            with Client(server) as other:
                assert other.request("GET", "/v1/").status == 200
        assert known.request("GET", "/v1/").status == 200
        assert server.metrics()["packets_cached"] <= PACKETS_MAX


def test_sessions_that_nobody_opened(server, unchanged, bounded):
    with Connection(server.address) as connection:
        for i in range(500):
            headers = [("Authorization", f"Session 01JDFJ7Z7Q2S4T6V8X0A{i:06}"), ("X-WflDB-Timestamp", "2026-11-24T10:00:00Z"),
                       ("X-WflDB-Nonce", "1"), ("X-WflDB-Signature", "0" * 64)]
            assert connection.request("GET", "/v1/", headers).code == "session_unknown"


def test_signatures_that_are_none_spend_nobodys_nonces():
    """A stranger who knows a packet cannot fill its owner's memory of nonces."""
    with Server(nonces_per_client_max=16) as tight, Client(tight) as owner, Connection(tight.address) as stranger:
        for _ in range(64):
            headers = signed_headers(owner.credential, "GET", "/v1/", tight.address)
            headers = [(n, b64u(bytes(64)) if n == "X-WflDB-Signature" else v) for n, v in headers]
            assert stranger.request("GET", "/v1/", headers).code == "signature_invalid"
        assert tight.metrics()["nonces"] == 0
        assert owner.request("GET", "/v1/").status == 200


# ---- documents that cost more to read than to send

DEEP = 200_000
DOCUMENTS = {
    "brackets": b"[" * DEEP, "braces": b'{"a":' * (DEEP // 5), "a batch of brackets": b'{"ops":' + b"[" * DEEP, "quotes": b'"' * DEEP, "a long number": b"9" * DEEP,
    "a large exponent": b'{"ops":[1e999999999]}', "a long name": b'{"' + b"a" * DEEP + b'":1}', "many members": b"{" + b",".join(b'"a%d":1' % i for i in range(20_000)) + b"}",
    "one member again and again": b"{" + b",".join([b'"ops":[]'] * 20_000) + b"}", "escapes": b'"' + b"\\u0061" * (DEEP // 6) + b'"', "spaces": b" " * DEEP, "NULs": b"\0" * DEEP,
    "1001 ops": json.dumps({"ops": [{"op": "check", "key": str(i), "if": None} for i in range(1001)]}).encode(),
    "one key 1000 times": json.dumps({"ops": [{"op": "put", "key": "a", "value": ""}] * 1000}).encode(),
}
PLACES = {"a batch": ("POST", f"/v1/{BUCKET}/batch"), "a batch of buckets": ("POST", "/v1/-/batch"), "settings": ("PATCH", f"/v1/{BUCKET}"), "a bucket": ("PUT", f"/v1/{BUCKET}"),
          "a session": ("POST", "/v1/-/session"), "a revocation": ("POST", "/v1/-/revocations")}


@pytest.mark.parametrize("method, target", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_that_is_hard_to_read_is_refused(server, method, target, document):
    with Client(server, [Grant(), Grant("*", ops=["admin"])]) as client:
        answer = client.request(method, target, body=document)
        assert answer.status in (400, 409, 413) and answer.code != "internal", answer


@pytest.fixture(scope="module", autouse=True)
def documents_change_nothing(made, witness):
    before = witness.state(BUCKET)
    yield
    after = witness.state(BUCKET)
    assert after[BUCKET][1:3] == before[BUCKET][1:3]


LISTS = {
    "a thousand ranges": ("GET", "k", [("Range", "bytes=" + ",".join(["0-0"] * 1000))]), "ranges that overlap": ("GET", "k", [("Range", "bytes=" + ",".join(f"0-{i}" for i in range(500)))]),
    "a range of 400 digits": ("GET", "k", [("Range", "bytes=0-" + "9" * 400)]), "a thousand conditions": ("GET", "k", [("If-None-Match", ", ".join(['"x"'] * 1000))]),
    "conditions without end": ("GET", "k", [("If-Match", ",".join([""] * 5000) + "x")]), "a thousand types": ("GET", "k", [("Accept", ", ".join(f"a/b;q=0.{i}" for i in range(1000)))]),
    "metadata beyond 8 KiB": ("PUT", "k2", [(f"X-WflDB-Meta-A{i}", "b" * 1000) for i in range(9)]), "33 tags": ("PUT", "k2", [(f"X-WflDB-Tag-A{i}", "b") for i in range(33)]),
    "a tag of 257 bytes": ("PUT", "k2", [("X-WflDB-Tag-A", "b" * 257)]), "a content type of 20 KiB": ("PUT", "k2", [("Content-Type", "a/" + "b" * 20_000)]),
}


@pytest.mark.parametrize("method, key, headers", LISTS.values(), ids=LISTS)
def test_a_header_that_is_hard_to_read_costs_little(server, unchanged, method, key, headers):
    with Client(server) as client:
        answer = client.request(method, path_of("witness", key), headers, b"x" if method == "PUT" else None)
        assert answer.status in (200, 206, 304, 400, 412, 416, 431), answer
        assert method == "GET" or answer.status in (400, 431)


QUERIES = {
    "a limit beyond 1000": "scan?limit=1001", "a limit of 400 digits": "scan?limit=" + "9" * 400, "a limit below 0": "scan?limit=-1", "a limit in powers": "scan?limit=1e3",
    "a thousand parameters": "scan?" + "&".join(f"a{i}=b" for i in range(900)), "one parameter twice": "scan?limit=1&limit=1", "empty pieces": "scan?" + "&" * 4000,
    "nine tags": "query?" + "&".join(f"tag.a{i}=b" for i in range(9)), "no tag": "query", "a wait beyond 60": "changes?wait=61", "a cursor of noise": "scan?cursor=" + b64u(bytes(range(200))),
    "a cursor of 7 KiB": "scan?cursor=" + "A" * 7000, "a delimiter of two": "scan?delimiter=//", "a position that is none": "changes?after=8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_that_asks_for_too_much_is_refused(server, unchanged, query):
    with Client(server) as client:
        answer = client.request("GET", f"/v1/{BUCKET}/{query}")
        assert (answer.status, answer.code) == (400, "invalid_query") or answer.code == "invalid_version", answer


def test_a_large_body_declared_by_many_is_not_held_for_them(server, client1, unchanged, bounded):
    """Room is made for what has come, not for what is said to come."""
    before = server.anonymous_bytes()
    held = []
    for _ in range(60):
        connection = Connection(server.address)
        target = path_of(BUCKET, "k")
        connection.send_head("PUT", target, client1.headers("PUT", target, content="unsigned") + [("Content-Length", str(5 << 30))], rest=b"x")
        held.append(connection)
    assert client1.get("witness", "k").status == 200
    assert server.anonymous_bytes() - before < memory_bound(60 * 3 * MIB)
    for connection in held:
        connection.close()
    client1.close()
