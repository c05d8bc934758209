# SPDX-License-Identifier: Apache-2.0
"""Every error of the protocol that can be reached, provoked from outside, and the shape of its answer (protocol, Errors)."""
import os
import re
import time
from urllib.parse import unquote

import pytest

from wfltest import Client, Grant, Key, Server, issue
from wfltest.keys import ALL_OPS, b64u, ulid
from wfltest.signing import nonce, timestamp

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
MEMBERS = {"type", "title", "status", "code", "detail", "request_id"}


def check_problem(response, status, code):
    assert (response.status, response.code) == (status, code), response
    problem = response.json
    assert set(problem) == MEMBERS
    assert problem["type"] == f"urn:wfldb:error:{code}"
    assert problem["status"] == status
    assert problem["title"] and problem["detail"]
    assert ULID.fullmatch(problem["request_id"])
    assert response.header("x-request-id") == problem["request_id"]
    assert response.header("content-type") == "application/problem+json"
    assert response.header("date")
    assert response.header("www-authenticate") == ("Bearer" if status == 401 else None)
    retry = response.header("retry-after")
    assert (retry is not None and int(retry) > 0) if status in (429, 503) else retry is None
    assert (response.header("allow") is not None) == (status == 405)
    content_range = response.header("content-range")
    assert re.fullmatch(r"bytes \*/\d+", content_range) if status == 416 else content_range is None


# ---- how each is provoked

@pytest.fixture(scope="module")
def small():
    """A server that loses patience and memory early."""
    with Server(body_stall_timeout_seconds=1, header_timeout_seconds=1, nonces_per_client_max=16,
                audience="prod-eu") as running:
        yield running


class Rig:
    def __init__(self, server, small, client, bucket):
        self.server, self.small, self.client, self.bucket = server, small, client, bucket

    def signed(self, method="GET", target=None, headers=(), body=None, **sign):
        return self.client.request(method, target or f"/v1/{self.bucket}/k", headers, body, **sign)

    def raw(self, method, target, headers, body=None):
        return self.client.connect().request(method, target, headers, body)

    def changed(self, name, value, method="GET", target=None):
        """A signed request with one header put in another's place behind the signer's back; None: left out."""
        target = target or f"/v1/{self.bucket}/k"
        headers = [(n, value if n.lower() == name else v) for n, v in self.client.headers(method, target)]
        return self.raw(method, target, [(n, v) for n, v in headers if v is not None])

    def reused(self):
        self.client.put(self.bucket, "k", b"x", nonce_text=(spent := nonce()))
        return self.client.put(self.bucket, "k", b"y", nonce_text=spent, status=409)

    def with_packet(self, packet, key=None, server=None):
        with Client(server or self.server, key=key or Key(), packet=packet, http=self.client.http) as other:
            return other.request("GET", "/v1/")

    def one_link(self, signer=None, **options):
        key = Key()
        return self.with_packet(issue(signer or self.server.root, key, [Grant()], **options), key)

    def escalating(self):
        a, b = Key(), Key()
        parent = issue(self.server.root, a, [Grant("abc")], delegate=1)
        return self.with_packet(issue(a, b, [Grant("*")], parent), b)

    def put(self, key="k", headers=(), status=None, **more):
        return self.client.put(self.bucket, key, b"hello", headers, status, **more)

    def stalled(self):
        with Client(self.small, http=self.client.http) as patient:
            patient.make_bucket(f"stalled-{patient.http}")
            target = f"/v1/stalled-{patient.http}/k"
            headers = patient.headers("PUT", target, content="unsigned") + [("Content-Length", "10")]
            connection = patient.connect()
            if patient.http == 1:
                lines = [f"PUT {target} HTTP/1.1", f"Host: {patient.server.address}"]
                connection.send("\r\n".join(lines + [f"{n}: {v}" for n, v in headers]).encode() + b"\r\n\r\nhello")
                return connection.read("PUT")
            stream = connection.h2.get_next_available_stream_id()
            connection.h2.send_headers(stream, [(":method", "PUT"), (":scheme", "http"),
                                                (":authority", patient.server.address), (":path", target)] +
                                       [(n.lower(), v) for n, v in headers])
            connection.h2.send_data(stream, b"hello")
            connection.flush()
            return connection.finish(stream)

    def cut_off(self):
        target = f"/v1/{self.bucket}/k"
        headers = self.client.headers("PUT", target, content="unsigned") + [("Content-Length", "10")]
        connection = self.client.connect()
        lines = [f"PUT {target} HTTP/1.1", f"Host: {self.server.address}"] + [f"{n}: {v}" for n, v in headers]
        connection.send("\r\n".join(lines).encode() + b"\r\n\r\nhello")
        connection.socket.shutdown(1)
        return connection.read("PUT")

    def outrun(self):
        with Client(self.small, http=self.client.http) as greedy:
            for _ in range(16):
                assert greedy.request("GET", "/v1/").status == 200
            return greedy.request("GET", "/v1/")

    def over_quota(self):
        name = f"full-{self.bucket}"
        self.client.make_bucket(name, b'{"quota_objects":1}')
        self.client.put(name, "a", b"")
        return self.client.put(name, "b", b"", status=507)

    def twice(self):
        headers = self.client.headers("GET", "/v1/")
        assert self.raw("GET", "/v1/", headers).status == 200
        return self.raw("GET", "/v1/", headers)

    def settings(self, body):
        return self.signed("PUT", f"/v1/new-{self.bucket}", body=body)

    def ranged(self):
        self.put()
        return self.signed(headers=[("Range", "bytes=5-")])

    @property
    def limited(self):
        name = f"limited-{self.bucket}"
        self.client.make_bucket(name, b'{"max_object_bytes":10}')
        return name

    def upload(self, method, query, body=None):
        return self.signed(method, f"/v1/{self.bucket}/k?{query}", body=body)

    def created_twice(self):
        self.put()
        return self.put(headers=[("If-None-Match", "*")], status=412)

    def not_empty(self):
        self.put()
        return self.signed("DELETE", f"/v1/{self.bucket}")


NO_UPLOAD = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

ERRORS = {
    (400, "invalid_request"): lambda r: r.raw("GET", "/v1/abc/%zz", r.client.headers("GET", "/v1/abc/x")),
    (400, "invalid_bucket"): lambda r: r.signed(target="/v1/A/k"),
    (400, "invalid_key"): lambda r: r.signed(target="/v1/abc/../k"),
    (400, "reserved_key"): lambda r: r.put("scan", status=400),
    (400, "invalid_query"): lambda r: r.signed(target="/v1/?limit=1"),
    (400, "invalid_header"): lambda r: r.put(content=None, status=400),
    (400, "duplicate_header"): lambda r: r.put(headers=[("If-Match", "*"), ("If-Match", "*")], status=400),
    (400, "invalid_json"): lambda r: r.settings(b"{"),
    (400, "invalid_setting"): lambda r: r.settings(b'{"colour":1}'),
    (400, "content_mismatch"): lambda r: r.put(headers=[("X-WflDB-Content-BLAKE3", "0" * 64)], content=None, status=400),
    (400, "incomplete_body"): lambda r: r.cut_off() if r.client.http == 1 else None,  # HTTP/2 resets the stream
    (400, "invalid_part"): lambda r: r.upload("PUT", f"upload={NO_UPLOAD}&part=10001", b"x"),
    (401, "credential_missing"): lambda r: r.raw("GET", "/v1/", []),
    (401, "packet_malformed"): lambda r: r.with_packet("x"),
    (401, "packet_untrusted"): lambda r: r.one_link(Key()),
    (401, "packet_signature"): lambda r: r.one_link(signature=bytes(64)),
    (401, "packet_expired"): lambda r: r.one_link(iat=1000, exp=2000),
    (401, "packet_not_yet_valid"): lambda r: r.one_link(nbf=int(time.time()) + 3600, ttl=7200),
    (401, "packet_escalation"): lambda r: r.escalating(),
    (401, "packet_revoked"): lambda r: r.revoked(),
    (401, "packet_audience"): lambda r: r.one_link(aud="prod-eu"),
    (401, "signature_malformed"): lambda r: r.changed("x-wfldb-signature", None),
    (401, "signature_invalid"): lambda r: r.changed("x-wfldb-signature", b64u(bytes(64))),
    (401, "timestamp_malformed"): lambda r: r.changed("x-wfldb-timestamp", "now"),
    (401, "timestamp_skew"): lambda r: r.changed("x-wfldb-timestamp", timestamp(time.time() - 100)),
    (401, "nonce_malformed"): lambda r: r.changed("x-wfldb-nonce", "1"),
    (401, "replayed"): lambda r: r.twice(),
    (401, "session_unknown"): lambda r: r.changed("authorization", "Session 01JDFJ7Z7Q2S4T6V8X0A2C4E6G"),
    (403, "forbidden"): lambda r: r.with_grants([Grant("other-bucket")]),
    (404, "bucket_not_found"): lambda r: r.signed(target="/v1/never-made/k"),
    (404, "upload_not_found"): lambda r: r.upload("GET", f"upload={NO_UPLOAD}"),
    (404, "key_not_found"): lambda r: r.signed(target=f"/v1/{r.bucket}/none"),
    (404, "not_found"): lambda r: r.signed(target="/v2/"),
    (405, "method_not_allowed"): lambda r: r.signed("POST", "/v1/"),
    (408, "request_timeout"): lambda r: r.stalled(),
    (431, "header_too_large"): lambda r: r.raw("GET", "/v1/abc/" + "k" * 8200, []),
    (409, "bucket_exists"): lambda r: r.signed("PUT", f"/v1/{r.bucket}"),
    (409, "bucket_not_empty"): lambda r: r.not_empty(),
    (409, "nonce_reused"): lambda r: r.reused(),
    (412, "precondition_failed"): lambda r: r.created_twice(),
    (416, "range_not_satisfiable"): lambda r: r.ranged(),
    (400, "invalid_batch"): lambda r: r.signed("POST", f"/v1/{r.bucket}/batch", body=b'{"ops":[]}'),
    (413, "batch_too_large"): lambda r: r.signed("POST", f"/v1/{r.bucket}/batch", body=b" " * ((16 << 20) + 1)),
    (413, "object_too_large"): lambda r: r.client.put(r.limited, "k", b"x" * 11, status=413),
    (429, "rate_limited"): lambda r: r.outrun(),
    (507, "quota_exceeded"): lambda r: r.over_quota(),
}

UNREACHABLE = {
    "invalid_version": "versions are not served yet: the parameter itself is invalid_query",
    "version_not_found": "versions are not served yet",
    "cursor_expired": "the change stream and `at` are not served yet",
    "internal": "only a fault of the server or its disk makes it; tests/store/faults_test.c",
    "corrupt_object": "only a damaged disk makes it; tests/store/faults_test.c",
    "overloaded": "only a full queue or refused memory makes it; tests/engine/pool_test.c, tests/store/faults_test.c",
    "not_ready": "only an engine that is shutting down makes it; tests/engine",
    "read_only": "no setting makes a store read-only yet",
    "disk_full": "only a full disk makes it; tests/engine/local_test.c",
}


def revoked(rig):
    jti = ulid()
    with Client(rig.server, [Grant(ops=ALL_OPS)]) as admin:
        admin.expect(201, "POST", "/v1/-/revocations", body=b'{"jti":"%s"}' % jti.encode())
    return rig.one_link(jti=jti)


Rig.revoked = revoked


def with_grants(rig, grants):
    with Client(rig.server, grants, http=rig.client.http) as other:
        return other.request("GET", f"/v1/{rig.bucket}/k")


Rig.with_grants = with_grants


@pytest.mark.parametrize("status, code", ERRORS, ids=[code for _, code in ERRORS])
def test_each_error_is_what_the_protocol_says(server, small, client, bucket, status, code):
    response = ERRORS[status, code](Rig(server, small, client, bucket))
    if response is None:
        assert client.http == 2
        return
    check_problem(response, status, code)


def rows_of_the_protocol():
    with open(os.path.join(os.environ["WFL_SOURCE_ROOT"], "docs", "protocol.md"), encoding="utf-8") as text:
        section = text.read().split("### 2.2 Errors", 1)[1].split("\n## ", 1)[0]
    rows = set()
    for line in section.splitlines():
        match = re.fullmatch(r"\| ([\d, ]+) \| (.*) \|", line)
        if match:
            statuses = [int(s) for s in match[1].split(",")]
            for code in re.findall(r"`([a-z_]+)`", match[2]):
                rows.add((tuple(statuses), code))
    return rows - {row for row in rows if row[1] == "at"}


def test_no_error_of_the_protocol_is_left_out():
    rows = rows_of_the_protocol()
    assert len(rows) > 50
    codes = {code for _, code in rows}
    provoked = {code for _, code in ERRORS}
    assert provoked & set(UNREACHABLE) == set()
    assert codes - provoked - set(UNREACHABLE) == set()
    assert provoked | set(UNREACHABLE) <= codes
    for statuses, code in rows:
        for status, provoked_code in ERRORS:
            if code == provoked_code:
                assert status in statuses


def test_a_head_that_never_ends_is_a_timeout(small):
    with Client(small) as client:
        connection = client.connect()
        connection.send(b"GET /v1/ HTTP/1.1\r\nHost: ")
        check_problem(connection.read(), 408, "request_timeout")
        assert connection.at_end()


def test_the_answer_to_head_has_no_body(client, bucket):
    refused = client.request("HEAD", f"/v1/{bucket}/none")
    assert (refused.status, refused.body) == (404, b"")
    assert refused.header("content-type") == "application/problem+json"
    assert ULID.fullmatch(refused.header("x-request-id"))


@pytest.mark.parametrize("target, allowed", [
    ("/v1/", "GET"), ("/v1/-/server", "GET, HEAD"), ("/v1/{}", "GET, PUT, PATCH, DELETE"),
    ("/v1/{}/k", "GET, HEAD, PUT, DELETE"), ("/v1/{}/scan", "GET"),
])
@pytest.mark.parametrize("query", ["", "?no-such=1"])
def test_allow_names_what_is_answered(client, bucket, target, allowed, query):
    target = target.format(bucket)
    refused = client.request("POST", target + query)
    check_problem(refused, 405, "method_not_allowed")
    assert refused.header("allow") == allowed
    for method in allowed.split(", "):
        assert client.request(method, target).status != 405


def test_request_ids_are_all_different(client):
    seen = {client.request("GET", "/v1/").header("x-request-id") for _ in range(20)}
    assert len(seen) == 20 and all(ULID.fullmatch(i) for i in seen)


# ---- query parameters

KNOWN = {  # of each target; everything else is a typo
    ("GET", "/v1/"): [], ("GET", "/v1/{}"): ["uploads"], ("PUT", "/v1/{}"): [], ("DELETE", "/v1/{}"): [],
    ("GET", "/v1/{}/k"): ["version", "at", "versions"], ("HEAD", "/v1/{}/k"): ["version", "at"], ("PUT", "/v1/{}/k"): [], ("DELETE", "/v1/{}/k"): ["version"],
    ("GET", "/v1/-/server"): [],
    ("GET", "/v1/{}/scan"): ["prefix", "after", "end", "limit", "delimiter", "reverse", "cursor", "include", "at"],
    ("GET", "/v1/{}/query"): ["tag.a", "prefix", "limit", "cursor", "include"],
}
TYPOS = ["x=1", "x", "=", "=1", "Prefix=a", "prefix%20=a", "pre%66ix", "limit=1", "at=1", "version=1", "versions", "uploads",
         "upload=1&part=1", "wfl-timestamp=1", "%00=1", "&"]
GOOD = {"limit": "5", "delimiter": "/", "reverse": "false", "include": "meta", "cursor": "x"}


def queries():
    for (method, target), known in KNOWN.items():
        for typo in TYPOS:
            if unquote(typo).partition("=")[0] in known:
                continue
            yield method, target, typo
        for name in known:
            value = GOOD.get(name, "a")
            yield method, target, f"{name}={value}&{name}={value}"
            yield method, target, f"{name}={value}&x=1&"
            yield method, target, f"{name}={value}&%{ord(name[0]):02x}{name[1:]}={value}"


@pytest.mark.parametrize("method, target, query", queries())
def test_a_typo_never_widens_an_answer(client, server, bucket, method, target, query):
    target = f"{target.format(bucket)}?{query}"
    if target.startswith("/v1/-/"):
        refused = client.connect().request(method, target)
    else:
        refused = client.request(method, target)
    if method == "HEAD":
        assert refused.status == 400
        return
    check_problem(refused, 400, "invalid_query")


@pytest.mark.parametrize("query", [
    "limit=0", "limit=1001", "limit=-1", "limit=1e2", "limit=", "limit=%31%30%30%30%30", "delimiter=", "delimiter=ab", "delimiter=%ff",
    "reverse=True", "reverse=", "reverse=1", "include=all", "include=meta,", "include=,", "cursor=", "cursor=x",
    "cursor=%00", "prefix=%ff", "after=%c0%af", "end=%ed%a0%80", "prefix=" + "a" * 1025,
])
def test_a_value_that_is_none_is_refused(client, bucket, query):
    check_problem(client.request("GET", f"/v1/{bucket}/scan?{query}"), 400, "invalid_query")
