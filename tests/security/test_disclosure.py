# SPDX-License-Identifier: Apache-2.0
"""What an answer tells to who may not know: whether a key or bucket is there, by code, body, header or time; what the
server is made of; and what logs and metrics say of tenants (protocol, Errors; Authentication)."""
import json
import os
import re
import statistics
import time

import pytest

from wfltest import Client, Connection, Grant, Key, issue
from wfltest.client import path_of
from wfltest.keys import ALL_OPS, b64u, ulid

FULL, EMPTY, NONE = "full-bucket", "empty-bucket", "no-bucket"
OWN = "own-bucket"


@pytest.fixture(scope="module", autouse=True)
def made(server, witness):
    with Client(server) as maker:
        for bucket in (FULL, EMPTY, OWN):
            maker.make_bucket(bucket)
        maker.make_bucket("public", b'{"public_read":true}')
        for i in range(200):
            maker.put(FULL, f"k{i}", b"x" * 1000, [("X-WflDB-Durability", "buffered"), ("X-WflDB-Tag-A", "b")])
        maker.put(FULL, "large", b"x" * (1 << 20))
        maker.put("public", "k", b"open")
        maker.put(OWN, "k", b"mine")


def told(response):
    """All of an answer that could tell something."""
    body = response.json if response.body else None
    if body is not None:
        body.pop("request_id")
    return response.status, [h for h in response.headers if h[0].lower() not in ("x-request-id", "date")], body


# ---- by what is said

ASKS = {
    "GET": ("GET", "k1", None, []), "HEAD": ("HEAD", "k1", None, []), "GET a part": ("GET", "large", None, [("Range", "bytes=0-0")]),
    "GET beyond the end": ("GET", "k1", None, [("Range", "bytes=5000-")]), "GET if it is not there": ("GET", "k1", None, [("If-None-Match", "*")]),
    "GET if it is there": ("GET", "k1", None, [("If-Match", "*")]), "GET a version": ("GET", "k1?version=" + ulid(0), None, []), "GET as of a moment": ("GET", "k1?at=2026-01-01T00:00:00Z", None, []),
    "the versions": ("GET", "k1?versions", None, []), "PUT": ("PUT", "k1", b"x", []), "PUT if it is not there": ("PUT", "k1", b"x", [("If-None-Match", "*")]),
    "PUT if it is there": ("PUT", "k1", b"x", [("If-Match", "*")]), "PUT too much": ("PUT", "k1", b"x" * 100_000, []), "DELETE": ("DELETE", "k1", None, []), "DELETE a version": ("DELETE", "k1?version=" + ulid(0), None, []),
    "start an upload": ("POST", "k1?multipart=start", None, []), "list parts": ("GET", "k1?upload=" + ulid(0), None, []), "scan": ("GET", "scan", None, []), "query": ("GET", "query?tag.a=b", None, []),
    "changes": ("GET", "changes", None, []), "wait for changes": ("GET", "changes?wait=5&after=now", None, []), "a batch": ("POST", "batch", json.dumps({"ops": [{"op": "check", "key": "k1", "if": "*"}]}).encode(), []),
}


@pytest.mark.parametrize("http", [1, 2])
@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_one_answer_whatever_is_there(server, unchanged, ask, http):
    """By who has every right elsewhere: to a full bucket, an empty one, and none."""
    method, what, body, headers = ask
    with Client(server, [Grant(OWN, ops=ALL_OPS[:-1])], http=http) as client:
        answers = []
        for bucket in (FULL, EMPTY, NONE):
            answers.append(told(client.request(method, f"/v1/{bucket}/{what}", headers, body)))
            client.close()
        assert answers[0][0] == 403
        assert answers[1:] == answers[:1] * 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("key", ["", "/k1", "/scan", "/changes", "/k1?versions"])
def test_one_answer_to_who_has_no_credential(server, unchanged, method, key):
    with Connection(server.address) as connection:
        answers = [told(connection.request(method, f"/v1/{bucket}{key}")) for bucket in (FULL, EMPTY, NONE)]
    assert answers[0][0] == 401 and answers[1:] == answers[:1] * 2


@pytest.mark.parametrize("credential", ["untrusted", "expired", "forged", "another's signature"])
def test_one_answer_to_who_has_a_bad_credential(server, unchanged, credential):
    key, stranger = Key(), Key()
    packet = {"untrusted": issue(stranger, key, [Grant()]), "expired": issue(server.root, key, [Grant()], iat=1000, exp=2000),
              "forged": issue(server.root, key, [Grant()], signature=bytes(64))}.get(credential, issue(server.root, key, [Grant()]))
    with Client(server, key=stranger if credential == "another's signature" else key, packet=packet) as client:
        answers = [told(client.request("GET", f"/v1/{bucket}/k1")) for bucket in (FULL, EMPTY, NONE)]
    assert answers[0][0] == 401 and answers[1:] == answers[:1] * 2


@pytest.mark.parametrize("method, target", [("PUT", "/v1/public/k"), ("DELETE", "/v1/public/k"), ("GET", "/v1/public"), ("GET", "/v1/public/scan"), ("GET", "/v1/public/changes"),
                                            ("GET", "/v1/public/query?tag.a=b"), ("POST", "/v1/public/batch"), ("GET", "/v1/public?uploads"), ("POST", "/v1/public/k?multipart=start"),
                                            ("PATCH", "/v1/public"), ("DELETE", "/v1/public")])
def test_public_is_reading_of_objects_and_nothing_else(server, unchanged, method, target):
    with Connection(server.address) as connection:
        assert connection.request("GET", "/v1/public/k").body == b"open"
        assert connection.request(method, target).code == "credential_missing"


def test_the_list_of_buckets_names_what_the_packet_reaches(server, unchanged):
    for grants, names in (([Grant(OWN)], [OWN]), ([Grant("full-*")], [FULL]), ([Grant("none-*")], []), ([Grant(FULL, "a/", ["get"])], [FULL])):
        with Client(server, grants) as client:
            assert [b["name"] for b in client.expect(200, "GET", "/v1/").json["buckets"]] == names


def test_anothers_upload_is_unknown(server):
    with Client(server, [Grant(FULL)]) as theirs, Client(server, [Grant(OWN)]) as mine:
        upload = theirs.expect(201, "POST", f"/v1/{FULL}/up?multipart=start").json["upload"]
        for method, body in (("GET", None), ("DELETE", None), ("POST", b'{"parts":[]}')):
            answers = [told(mine.request(method, f"/v1/{OWN}/up?upload={u}", body=body)) for u in (upload, ulid(0))]
            for status, _, body_of in answers:
                assert status in (400, 404)
                (body_of or {}).pop("detail", None)
            assert answers[0] == answers[1]
        theirs.expect(204, "DELETE", f"/v1/{FULL}/up?upload={upload}")


def test_equal_content_of_another_bucket_is_not_seen(server):
    """Chunks are shared within a bucket only: neither counts nor answers tell that somebody else has the same."""
    content = os.urandom(1 << 20)
    with Client(server) as client:
        documents, answers = [], []
        for bucket in ("first-of-two", "second-of-two"):
            client.make_bucket(bucket)
            answer = client.put(bucket, "k", content)
            answers.append((answer.status, sorted(h[0] for h in answer.headers)))
            document = client.expect(200, "GET", f"/v1/{bucket}").json
            documents.append((document["objects"], document["bytes"]))
        assert documents[0] == documents[1] and answers[0] == answers[1]


# ---- by time

def medians(ask, questions, rounds):
    """Of each question's times, asked in turn so that what disturbs one disturbs all."""
    times = [[] for _ in questions]
    for _ in range(rounds):
        for i, question in enumerate(questions):
            before = time.perf_counter()
            ask(question)
            times[i].append(time.perf_counter() - before)
    return [statistics.median(t) for t in times]


TIMED = {"GET": ("GET", "large"), "HEAD": ("HEAD", "large"), "versions": ("GET", "k1?versions"), "scan": ("GET", "scan?limit=1000&include=value"), "changes": ("GET", "changes"), "bucket": ("GET", "")}


@pytest.mark.parametrize("method, what", TIMED.values(), ids=TIMED)
def test_a_refusal_takes_as_long_whatever_is_there(server, method, what):
    """To find and read what is there takes longer than to find nothing; a refusal does neither. Tried again where the machine is busy."""
    with Client(server, [Grant(OWN)]) as client:
        for rounds in (100, 300, 1000):
            full, none = medians(lambda bucket: client.request(method, f"/v1/{bucket}/{what}".rstrip("/")), (FULL, NONE), rounds)
            if abs(full - none) < 0.15 * min(full, none):
                return
    raise AssertionError(f"{full * 1e6:.0f} and {none * 1e6:.0f} us")


# ---- what the server is made of

INSIDES = re.compile(r"rocksdb|sst|\.c:\d|/tmp|/work|/home|wfl-server|errno|0x[0-9a-f]{6,}|segfault|assert|nghttp2|libuv|sodium|jansson|thread|stack", re.I)
WRONG = ["/", "/v2/", "/v1/A", "/v1/-/", "/v1/-/x", "/v1/abc/", "/v1/abc/%zz", "/v1/abc/..", "/v1/abc/scan?x=1", "/v1/abc/scan?at=x", "/v1/abc/scan?cursor=AAAA", "/v1/abc/k?version=x",
         "/v1/abc/k?upload=x", "/v1/abc/changes?after=x", "/v1/abc/query", "/v1/" + FULL + "/none", "/v1/" + NONE + "/k", "/v1/" + FULL + "/k1?version=0000000000" + "A" * 16, "/v1/-/server?x"]


@pytest.mark.parametrize("target", WRONG)
def test_an_error_tells_nothing_of_the_inside(server, unchanged, target):
    with Client(server) as client:
        for method in ("GET", "POST", "DELETE", "PATCH"):
            body = b"{" if method in ("POST", "PATCH") else None
            answer = client.request(method, target, body=body)
            assert answer.status >= 400 or target.startswith("/v1/-/server")
            said = answer.body.decode() + "".join(f"{n}: {v}\n" for n, v in answer.headers)
            assert not INSIDES.search(re.sub(r'"request_id":"\w+"|x-request-id: \w+', "", said)), said
            assert answer.header("server") is None and answer.header("x-powered-by") is None
            client.close()


def test_who_is_not_trusted_is_not_told_who_is(server):
    stranger = Key()
    with Client(server, key=stranger, packet=issue(Key(), stranger, [Grant()])) as client:
        said = repr(client.request("GET", "/v1/"))
    assert server.root.thumb not in said and b64u(server.root.public) not in said


def test_metrics_and_health_name_no_tenant(server):
    with Client(server) as client, Connection(server.ops) as ops:
        client.request("GET", f"/v1/{FULL}/k1")
        for path in ("/metrics", "/health/live", "/health/ready"):
            said = ops.request("GET", path).body.decode()
            for name in (FULL, EMPTY, OWN, "witness", "k1", client.key.thumb, server.root.thumb, client.packet[:40]):
                assert name not in said


@pytest.mark.parametrize("target", ["/v1/", f"/v1/{FULL}/k1", "/v1/-/server", "/v1/-/revocations", "/health/../v1/", "/metrics/../v1/", "/", "/health", "/healthz", "/debug/pprof", "/.env"])
def test_the_ops_listener_serves_nothing_else(server, target):
    with Client(server) as client:
        for method in ("GET", "PUT", "POST", "DELETE"):
            with Connection(server.ops) as ops:
                answer = ops.request(method, target, client.headers(method, target, authority=server.ops))
                assert answer.status in (400, 404, 405), answer


@pytest.mark.parametrize("target", ["/metrics", "/health/live", "/health/ready", "/metrics/", "//metrics"])
def test_the_api_listener_serves_no_metrics(server, target):
    with Client(server) as client:
        assert client.request("GET", target).code == "not_found"


INJECTED = {"a line": "a\nb", "a carriage return": "a\rb", "a quote": 'a"b', "a brace": 'a"},{"', "an escape": "a\x1b[31mb", "a backslash": "a\\b", "a line separator": "a\u2028b", "a NUL": "a\0b",
            "the right-to-left mark": "a\u202eb"}


@pytest.mark.parametrize("text", INJECTED.values(), ids=INJECTED)
def test_no_log_line_can_be_forged(server, text):
    with Client(server, [Grant(OWN)], sub=text if text != "a\0b" else None) as client:
        answers = [client.request("GET", path_of(OWN, text)), client.request("GET", f"/v1/{OWN}/k?" + path_of("x", text)[6:]),
                   client.request("GET", path_of(OWN, "k"), [("User-Agent", text.replace("\n", "").replace("\r", "").replace("\0", "").encode().decode("latin-1") if client.http == 1 else "x")])]
    wanted = {a.header("x-request-id") for a in answers}
    end = time.monotonic() + 20
    while not wanted <= {e.get("request_id") for e in server.entries()}:
        assert time.monotonic() < end
    for line in server.log:
        entry = json.loads(line)
        assert isinstance(entry, dict) and "time" in entry and line.count("\n") == 1 and "\x1b" not in line
