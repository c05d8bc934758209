# SPDX-License-Identifier: Apache-2.0
"""Of two failures the earlier one in the protocol's order is told, and nothing behind it is looked at (protocol, Signed
requests: "The server decides in this order")."""
import time

import pytest

from wfltest import Client, Grant, Key, Server, issue, link
from wfltest.keys import b64u
from wfltest.signing import nonce, signed_headers, timestamp

# The request that is spoiled: a PUT by a client who may put below a/ in one bucket.
#   keys of a fault: target, packet, key, stamp, nonce, signature, headers, body, spent, drop


REVOKED = "01JDFJ7Z7Q2S4T6V8X0A2C4E6G"


@pytest.fixture(scope="module")
def server():
    with Server(nonces_per_client_max=16) as running:
        with Client(running) as maker:
            maker.make_bucket("order")
            maker.make_bucket("small", b'{"max_object_bytes":4}')
            maker.put("order", "a/there", b"x")
        with Client(running, [Grant(ops=["admin"])]) as admin:
            admin.expect(201, "POST", "/v1/-/revocations", body=b'{"jti":"%s"}' % REVOKED.encode())
        yield running


def packets(server, key):
    other, middle = Key(), Key()
    grants = [Grant("order", "a/", ["put", "get"]), Grant("small", "a/", ["put"]), Grant("none", "a/", ["put"])]
    return {
        "good": issue(server.root, key, grants),
        "malformed": "x",
        "untrusted": issue(other, key, grants),
        "forged": link(server.root, key, grants, signature=bytes(64)),
        "expired": issue(server.root, key, grants, iat=1000, exp=2000),
        "escalating": issue(middle, key, grants, issue(server.root, middle, [Grant("abc")], delegate=1)),
        "revoked": issue(server.root, key, grants, jti=REVOKED, aud="elsewhere"),
        "audience": issue(server.root, key, grants, aud="elsewhere"),
        "elsewhere": issue(server.root, key, [Grant("elsewhere")]),
    }


STEPS = [  # (what fails, its code, what is done to the request), in the order of decisions
    ("a bare NUL in the head", "invalid_request", {"raw": "\0"}),
    ("a header twice", "duplicate_header", {"headers": [("X-WflDB-Meta-A", "1"), ("x-wfldb-meta-a", "1")]}),
    ("a header that is none", "invalid_header", {"content": "nonsense"}),
    ("no credential", "credential_missing", {"drop": "Authorization"}),
    ("malformed", "packet_malformed", {"packet": "malformed"}),
    ("untrusted", "packet_untrusted", {"packet": "untrusted"}),
    ("forged", "packet_signature", {"packet": "forged"}),
    ("expired", "packet_expired", {"packet": "expired"}),
    ("escalating", "packet_escalation", {"packet": "escalating"}),
    ("revoked", "packet_revoked", {"packet": "revoked"}),
    ("another audience", "packet_audience", {"packet": "audience"}),
    ("no timestamp", "timestamp_malformed", {"stamp": "now"}),
    ("long ago", "timestamp_skew", {"stamp": "2020-01-01T00:00:00Z"}),
    ("no nonce", "nonce_malformed", {"nonce": "1"}),
    ("no signature", "signature_malformed", {"signature": "x"}),
    ("a signature of zeros", "signature_invalid", {"signature": b64u(bytes(64))}),
    ("no such path", "not_found", {"target": "/v2/order/a/k"}),
    ("no bucket's name", "invalid_bucket", {"target": "/v1/O/a/k"}),
    ("no key", "invalid_key", {"target": "/v1/order/a/../k"}),
    ("a reserved key", "reserved_key", {"target": "/v1/order/scan"}),
    ("a wrong method", "method_not_allowed", {"method": "POST"}),
    ("a parameter", "invalid_query", {"query": "?x=1"}),
    ("no grant", "forbidden", {"packet": "elsewhere"}),
    ("a spent nonce", "replayed", {"nonce": "spent"}),
    ("no bucket", "bucket_not_found", {"target": "/v1/none/a/k"}),
    ("a large body", "object_too_large", {"target": "/v1/small/a/k"}),
    ("another body", "content_mismatch", {"body": b"jello"}),
]


def spoiled(server, key, texts, *faults):
    """The answer to a request with these faults in it."""
    what = {}
    for _, _, fault in faults:
        what.update(fault)
    method = what.get("method", "PUT")
    target = what.get("target", "/v1/order/a/k") + what.get("query", "")
    packet = texts[what.get("packet", "good")]
    with Client(server, key=key, packet=packet) as client:
        spent = nonce()
        if what.get("nonce") == "spent":
            with Client(server, key=key, packet=texts["good"]) as before:
                assert before.request("GET", "/v1/", nonce_text=spent).status == 200
        text = {"spent": spent}.get(what.get("nonce"), what.get("nonce"))
        body = b"hello"
        headers = list(what.get("headers", []))
        content = "sha256"
        if "content" in what:
            headers.append(("X-WflDB-Content-SHA256", what["content"]))
            content = None
        headers = signed_headers(client.credential, method, target, server.address, headers, body, stamp=what.get("stamp"),
                                 nonce_text=text, content=content)
        if "signature" in what:
            headers = [(n, what["signature"] if n == "X-WflDB-Signature" else v) for n, v in headers]
        if "drop" in what:
            headers = [h for h in headers if h[0] != what["drop"]]
        if "raw" in what:
            headers.append(("X-Raw", "a" + what["raw"] + "b"))
        return client.connect().request(method, target, headers, what.get("body", body))


# Another method makes a reserved key what it is reserved for.
NO_PAIR = {("a reserved key", "a wrong method")}


def compatible(a, b):
    return not set(a[2]) & set(b[2]) and (a[0], b[0]) not in NO_PAIR


PAIRS = [(i, j) for i in range(len(STEPS)) for j in range(i + 1, len(STEPS)) if compatible(STEPS[i], STEPS[j])]


@pytest.mark.parametrize("step", range(len(STEPS)), ids=[s[0] for s in STEPS])
def test_each_failure_is_told(server, step):
    key = Key()
    assert spoiled(server, key, packets(server, key), STEPS[step]).code == STEPS[step][1]


def test_without_failure_it_is_done(server):
    key = Key()
    assert spoiled(server, key, packets(server, key)).status in (200, 201)


def test_of_two_failures_the_earlier_one_is_told(server):
    wrong = []
    for i, j in PAIRS:
        key = Key()
        texts = packets(server, key)
        got = spoiled(server, key, texts, STEPS[i], STEPS[j])
        if got.code != STEPS[i][1]:
            wrong.append(f"{STEPS[i][0]} and {STEPS[j][0]}: {got.status} {got.code}")
    assert len(PAIRS) > 200
    assert wrong == []


def test_a_precondition_comes_behind_the_grant_and_the_nonce(server):
    key = Key()
    with Client(server, [Grant("order", "a/", ["put"])], key=key) as client:
        only_new = [("If-None-Match", "*")]
        assert client.request("PUT", "/v1/order/b/k", only_new, b"").code == "forbidden"
        spent = nonce()
        assert client.request("GET", "/v1/", nonce_text=spent).status == 200
        assert client.request("PUT", "/v1/order/a/there", only_new, b"", nonce_text=spent).code == "replayed"
        assert client.request("PUT", "/v1/none/a/k", only_new, b"").code == "forbidden"
        assert client.request("PUT", "/v1/order/a/there", only_new, b"").code == "precondition_failed"


def test_the_limit_of_nonces_comes_behind_the_grant(server):
    with Client(server, [Grant("order", "a/", ["get"])]) as client:
        while client.request("GET", "/v1/").status == 200:
            pass
        assert client.request("GET", "/v1/order/b/k").code == "forbidden"
        assert client.request("GET", "/v1/order/a/k?x").code == "invalid_query"
        assert client.request("GET", "/v1/order/a/none").code == "rate_limited"
        assert client.request("GET", "/v1/order/a/none", stamp=timestamp(time.time() - 100)).code == "timestamp_skew"
