# SPDX-License-Identifier: Apache-2.0
"""Signed requests under attack: whatever is altered behind the signer's back, however a target is spelled (protocol,
Canonical request and Signed requests)."""
import hashlib
import json
import os

import pytest

from wfltest import Client, Grant, Key, issue
from wfltest.keys import b64u
from wfltest.signing import canonical

ORDER = 2 ** 252 + 27742317777372353535851937790883648493


@pytest.fixture
def filled(client, bucket):
    client.put(bucket, "k", b"hello")
    client.put(bucket, "a b", b"spaced")
    return bucket


def replaced(headers, name, value):
    """One header in another's place; None: left out."""
    out = [(n, value if n.lower() == name else v) for n, v in headers]
    return [(n, v) for n, v in out if v is not None]


def send(client, method, target, headers, body=None, **more):
    return client.connect().request(method, target, headers, body, **more)


# ---- altered on the way

ALTERED = {  # what the attacker changes of PUT /v1/{bucket}/k?; each gives (method, target, headers, body, authority)
    "the method": lambda b, h: ("DELETE", f"/v1/{b}/k", h, None, None),
    "the method to HEAD": lambda b, h: ("HEAD", f"/v1/{b}/k", h, None, None),
    "the key": lambda b, h: ("PUT", f"/v1/{b}/l", h, b"hello", None),
    "the key's letters": lambda b, h: ("PUT", f"/v1/{b}/K", h, b"hello", None),
    "a slash more": lambda b, h: ("PUT", f"/v1/{b}/k/", h, b"hello", None),
    "a slash inside": lambda b, h: ("PUT", f"/v1/{b}//k", h, b"hello", None),
    "the bucket": lambda b, h: ("PUT", f"/v1/{b}x/k", h, b"hello", None),
    "a query": lambda b, h: ("PUT", f"/v1/{b}/k?version=1", h, b"hello", None),
    "an empty parameter": lambda b, h: ("PUT", f"/v1/{b}/k?&", h, b"hello", None),
    "the authority": lambda b, h: ("PUT", f"/v1/{b}/k", h, b"hello", "other.invalid"),
    "the authority's port": lambda b, h: ("PUT", f"/v1/{b}/k", h, b"hello", "127.0.0.1"),
    "the declared hash": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "x-wfldb-content-sha256", hashlib.sha256(b"other").hexdigest()), b"other", None),
    "the hash to unsigned": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "x-wfldb-content-sha256", "unsigned"), b"other", None),
    "the hash's name": lambda b, h: ("PUT", f"/v1/{b}/k", [("X-WflDB-Content-BLAKE3" if n == "X-WflDB-Content-SHA256" else n, v) for n, v in h], b"hello", None),
    "the timestamp": lambda b, h: ("PUT", f"/v1/{b}/k", [(n, v[:-2] + "0Z" if n == "X-WflDB-Timestamp" and v[-2] != "0" else v[:-2] + "1Z" if n == "X-WflDB-Timestamp" else v) for n, v in h], b"hello", None),
    "the nonce": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "x-wfldb-nonce", "0123456789abcdef"), b"hello", None),
    "a tag": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "x-wfldb-tag-a", "2"), b"hello", None),
    "a tag more": lambda b, h: ("PUT", f"/v1/{b}/k", h + [("X-WflDB-Tag-B", "1")], b"hello", None),
    "a tag less": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "x-wfldb-tag-a", None), b"hello", None),
    "buffered": lambda b, h: ("PUT", f"/v1/{b}/k", h + [("X-WflDB-Durability", "buffered")], b"hello", None),
    "a header of the future": lambda b, h: ("PUT", f"/v1/{b}/k", h + [("X-WflDB-Anything", "")], b"hello", None),
    "the bare prefix": lambda b, h: ("PUT", f"/v1/{b}/k", h + [("X-WflDB-", "x")], b"hello", None),
    "the content type": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "content-type", "text/html"), b"hello", None),
    "no content type": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "content-type", None), b"hello", None),
    "a condition": lambda b, h: ("PUT", f"/v1/{b}/k", h + [("If-None-Match", "*")], b"hello", None),
    "another condition": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "if-match", '"01JDFJ7Z7Q2S4T6V8X0A2C4E6G"'), b"hello", None),
    "no condition": lambda b, h: ("PUT", f"/v1/{b}/k", replaced(h, "if-match", None), b"hello", None),
    "a range": lambda b, h: ("PUT", f"/v1/{b}/k", h + [("Range", "bytes=0-0")], b"hello", None),
    "a range condition": lambda b, h: ("PUT", f"/v1/{b}/k", h + [("If-Range", "x")], b"hello", None),
}


@pytest.mark.parametrize("what", ALTERED)
def test_nothing_signed_can_be_altered(client, filled, what):
    before = client.get(filled, "k").header("etag")
    headers = client.headers("PUT", f"/v1/{filled}/k", [("Content-Type", "text/plain"), ("If-Match", "*"), ("X-WflDB-Tag-A", "1")],
                             b"hello")
    method, target, headers, body, authority = ALTERED[what](filled, headers)
    refused = send(client, method, target, headers, body, host=authority)
    assert refused.status == 401, refused
    if method != "HEAD":
        assert refused.code == "signature_invalid"
    client.close()
    assert client.get(filled, "k").header("etag") == before


def test_what_is_not_signed_may_change_on_the_way(client, filled):
    headers = client.headers("GET", f"/v1/{filled}/k")
    assert send(client, "GET", f"/v1/{filled}/k", headers + [("Accept", "*/*"), ("Via", "1.1 proxy"), ("User-Agent", "x")]).status == 200
    headers = [(n.upper(), f" \t{v} " if client.http == 1 else v) for n, v in client.headers("GET", f"/v1/{filled}/k")][::-1]
    assert send(client, "GET", f"/v1/{filled}/k", headers).status == 200
    headers = client.headers("GET", f"/v1/{filled}/k", authority=client.server.address.upper())
    assert send(client, "GET", f"/v1/{filled}/k", headers).status == 200


def test_a_body_that_differs_is_refused(client, filled):
    headers = client.headers("PUT", f"/v1/{filled}/k", body=b"hello")
    refused = send(client, "PUT", f"/v1/{filled}/k", headers, b"jello")
    assert (refused.status, refused.code) == (400, "content_mismatch")
    client.close()
    assert client.get(filled, "k").body == b"hello"


# ---- the credential

def test_a_signature_is_bound_to_its_credential(server, client, filled):
    """Two packets for the same key: a request signed under one is not a request under the other."""
    narrow, wide = (issue(server.root, client.key, [Grant(b)]) for b in ("abc", "*"))
    with Client(server, key=client.key, packet=narrow, http=client.http) as other:
        headers = other.headers("GET", f"/v1/{filled}/k")
    assert send(client, "GET", f"/v1/{filled}/k", headers).code == "forbidden"
    stolen = replaced(headers, "authorization", "Bearer " + wide)
    assert send(client, "GET", f"/v1/{filled}/k", stolen).code == "signature_invalid"


def test_another_key_signs_nothing(server, client, filled):
    mallory = Key()
    for signer in (mallory, server.root):
        other = Client(server, key=signer, packet=client.packet, http=client.http)
        assert send(client, "GET", f"/v1/{filled}/k", other.headers("GET", f"/v1/{filled}/k")).code == "signature_invalid"


def test_who_signed_an_earlier_link_is_not_the_client(server, client, filled):
    a, b = Key(), Key()
    chain = issue(a, b, [Grant("*")], issue(server.root, a, [Grant("*")], delegate=1))
    for key, code in ((b, ""), (a, "signature_invalid"), (server.root, "signature_invalid")):
        with Client(server, key=key, packet=chain, http=client.http) as some:
            assert some.request("GET", f"/v1/{filled}/k").code == code


@pytest.mark.parametrize("scheme, code", [
    ("Bearer {}", ""), ("bearer {}", ""), ("BEARER {}", ""), ("Bearer", "credential_missing"), ("Bearer ", "credential_missing"),
    ("{}", "credential_missing"), ("Basic {}", "credential_missing"), ("Bearer{}", "credential_missing"), ("", "credential_missing"),
    ("Bearer  {}", "packet_malformed"), ("Bearer {} ", ""), ("Bearer {}, Bearer {}", "packet_malformed"), ("Bearer \"{}\"", "packet_malformed"),
    ("Session {}", "session_unknown"), ("session 01JDFJ7Z7Q2S4T6V8X0A2C4E6G", "session_unknown"), ("Token {}", "credential_missing"),
])
def test_how_a_credential_is_written(client, filled, scheme, code):
    headers = replaced(client.headers("GET", f"/v1/{filled}/k"), "authorization", scheme.replace("{}", client.packet))
    assert send(client, "GET", f"/v1/{filled}/k", headers).code == code


@pytest.mark.parametrize("target", ["/v1/{}/k?packet={p}", "/v1/{}/k?access_token={p}", "/v1/{}/k?authorization=Bearer%20{p}"])
def test_a_query_that_looks_like_a_credential_is_none(client, filled, target):
    target = target.replace("{p}", client.packet).format(filled)
    assert send(client, "GET", target, []).code == "credential_missing"


def test_only_the_server_document_is_open(client, filled):
    for method, target in (("GET", "/v1/"), ("GET", f"/v1/{filled}"), ("GET", f"/v1/{filled}/k"), ("GET", f"/v1/{filled}/scan"),
                           ("PUT", f"/v1/{filled}/k"), ("DELETE", f"/v1/{filled}/k"), ("DELETE", f"/v1/{filled}"), ("GET", "/"),
                           ("GET", "/v2/"), ("GET", "/metrics"), ("GET", "/health/ready"), ("GET", "/v1/-/session"),
                           ("GET", "/v1/-/server/"), ("GET", "/v1/-/%73erver"), ("GET", "/v1/%2d/server"), ("GET", "//v1/-/server"),
                           ("GET", "/v1/-/server%00"), ("GET", "/v1/./-/server"), ("OPTIONS", f"/v1/{filled}/k"), ("TRACE", "/v1/")):
        assert send(client, method, target, []).code == "credential_missing", target
    assert send(client, "GET", "/v1/-/server", []).status == 200


# ---- the signature's own form

def strange(client, filled):
    """Texts in the signature's place, and what they are taken for."""
    target = f"/v1/{filled}/k"
    headers = client.headers("GET", target)
    text = canonical("GET", target, client.server.address, [h for h in headers if h[0] not in ("Authorization", "X-WflDB-Signature")],
                     client.packet)
    good = client.key.sign(text)
    s = int.from_bytes(good[32:], "little")
    plus = good[:32] + (s + ORDER).to_bytes(32, "little")
    digest = client.key.sign(hashlib.sha256(text).digest())
    return headers, {
        "as it is": (b64u(good), ""),
        "S plus the order": (b64u(plus), "signature_invalid"),
        "S with its top bits": (b64u(good[:63] + bytes([good[63] | 0xE0])), "signature_invalid"),
        "zeros": (b64u(bytes(64)), "signature_invalid"),
        "the identity and zero": (b64u(b"\x01" + bytes(63)), "signature_invalid"),
        "the halves exchanged": (b64u(good[32:] + good[:32]), "signature_invalid"),
        "of the text's hash": (b64u(digest), "signature_invalid"),
        "of a text without its last line end": (b64u(client.key.sign(text[:-1])), "signature_invalid"),
        "63 bytes": (b64u(good[:63]), "signature_malformed"),
        "65 bytes": (b64u(good + b"\0"), "signature_malformed"),
        "padded": (b64u(good) + "==", "signature_malformed"),
        "other trailing bits": (b64u(good)[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[b64u(good)[-1]], "signature_malformed"),
        "the standard alphabet": ("+" + b64u(good)[1:], "signature_malformed"),
        "hex": (good.hex(), "signature_malformed"),
        "empty": ("", "signature_malformed"),
        "missing": (None, "signature_malformed"),
    }


def test_a_signature_has_one_form(client, filled):
    for name in strange(client, filled)[1]:
        headers, texts = strange(client, filled)
        value, code = texts[name]
        assert send(client, "GET", f"/v1/{filled}/k", replaced(headers, "x-wfldb-signature", value)).code == code, name


# ---- spelling of targets

SPELLINGS = [  # (as signed, as sent): the same request
    ("k", "%6B"), ("k", "%6b"), ("%6B", "k"), ("a%20b", "a%20b"),
]


@pytest.mark.parametrize("signed, sent", SPELLINGS)
def test_every_spelling_is_one_request(client, filled, signed, sent):
    headers = client.headers("GET", f"/v1/{filled}/{signed}")
    assert send(client, "GET", f"/v1/{filled}/{sent}", headers).status == 200


DIFFERENT = [  # (as signed, as sent): two requests
    ("k", "%256B"), ("%256B", "k"), ("a%20b", "a+b"), ("a+b", "a%20b"), ("k", "K"), ("k", "%4B"), ("k", "k%00"), ("k", "./k"),
    ("k", "x/../k"), ("k", "k/"), ("k", "k;x"), ("k", "k%3Fx"), ("k", "%C1%AB"),
]


@pytest.mark.parametrize("signed, sent", DIFFERENT)
def test_no_other_target_is_the_same(client, filled, signed, sent):
    headers = client.headers("GET", f"/v1/{filled}/{signed}")
    assert send(client, "GET", f"/v1/{filled}/{sent}", headers).code == "signature_invalid"


@pytest.mark.parametrize("target, code", [
    ("/v1/{}/%2F", "invalid_key"), ("/v1/{}/a%2Fb", "invalid_key"), ("/v1/{}/a%2fb", "invalid_key"), ("/v1/{}%2Fk", "invalid_key"),
    ("/v1/{}/%", "invalid_request"), ("/v1/{}/%4", "invalid_request"), ("/v1/{}/%4g", "invalid_request"), ("/v1/{}/%u0041", "invalid_request"),
    ("/v1/{}/k?a=%", "invalid_request"), ("/v1/{}/%C0%AF", "invalid_key"), ("/v1/{}/%E0%80%AF", "invalid_key"),
    ("/v1/{}/%C1%AB", "invalid_key"), ("/v1/{}/%ED%A0%80", "invalid_key"), ("/v1/{}/%F4%90%80%80", "invalid_key"), ("/v1/{}/%FF", "invalid_key"),
    ("/v1/{}/%00", "invalid_key"), ("/v1/{}/a%0Ab", "invalid_key"), ("/v1/{}/%7F", "invalid_key"), ("/v1/{}/..", "invalid_key"),
    ("/v1/{}/%2E%2E/k", "invalid_key"), ("/v1/{}/a/./b", "invalid_key"), ("/v1/{}/a/%2e", "invalid_key"), ("/v1/../v1/{}/k", "invalid_bucket"),
    ("/v1/%2E%2E/k", "invalid_bucket"), ("/%761/{}/k", "not_found"), ("/v1/{}/", "invalid_key"),
])
def test_a_target_with_two_readings_is_refused(client, filled, target, code):
    """Signed as it is sent: even its owner cannot ask for it."""
    target = target.format(filled)
    headers = client.headers("GET", target)
    assert send(client, "GET", target, headers).code == code


def test_a_key_may_look_dangerous(client, filled):
    for key in ("...", "..a", "a..", "%2F", "%00", "a+b", "?", "#", "a//b/", "scan/x", "\\..\\x", "<script>", "\u202e"):
        client.put(filled, key, key.encode())
        assert client.get(filled, key).body == key.encode()


QUERIES = [("prefix=a&limit=5", "limit=5&prefix=a"), ("prefix=%61", "prefix=a"), ("prefix=", "prefix"), ("prefix=+", "prefix=%2B"),
           ("prefix=%c3%a4", "prefix=%C3%A4"), ("prefi%78=a", "prefix=a")]


@pytest.mark.parametrize("signed, sent", QUERIES + [(b, a) for a, b in QUERIES])
def test_every_spelling_of_a_query_is_one(client, filled, signed, sent):
    headers = client.headers("GET", f"/v1/{filled}/scan?{signed}")
    assert send(client, "GET", f"/v1/{filled}/scan?{sent}", headers).status == 200


@pytest.mark.parametrize("signed, sent", [
    ("prefix=a", "prefix="), ("prefix=a", ""), ("prefix=a", "prefix=a&limit=5"), ("prefix=a", "prefix=b"), ("prefix=+", "prefix=%20"),
    ("prefix=a", "prefix=a&"), ("prefix=a&limit=5", "limit=a&prefix=5"), ("prefix=%2561", "prefix=%61"), ("prefix=a", "prefix%3Da"),
    ("prefix=a&limit=5", "prefix=a%26limit=5"),
])
def test_no_other_query_is_the_same(client, filled, signed, sent):
    headers = client.headers("GET", f"/v1/{filled}/scan?{signed}")
    target = f"/v1/{filled}/scan" + (f"?{sent}" if sent else "")
    assert send(client, "GET", target, headers).code == "signature_invalid"


def test_a_signature_in_the_query_is_not_signed_and_not_taken(client, filled):
    headers = client.headers("GET", f"/v1/{filled}/k")
    assert send(client, "GET", f"/v1/{filled}/k?wfl-signature=x", headers).code == "invalid_query"


def test_the_absolute_form_is_the_same_request(client1, bucket):
    client1.put(bucket, "k", b"hello")
    address = client1.server.address
    headers = client1.headers("GET", f"/v1/{bucket}/k")
    assert send(client1, "GET", f"http://{address}/v1/{bucket}/k", headers).status == 200
    for target in (f"http://other.invalid/v1/{bucket}/k", f"http://{address}", f"ftp://{address}/v1/{bucket}/k",
                   f"http://x@{address}/v1/{bucket}/k", f"https://{address}/v1/{bucket}/k"):
        client1.close()
        refused = send(client1, "GET", target, client1.headers("GET", f"/v1/{bucket}/k"))
        assert (refused.status, refused.code) == (400, "invalid_request"), target


# ---- headers

@pytest.mark.parametrize("name", ["X-WflDB-Nonce", "X-WflDB-Timestamp", "X-WflDB-Signature", "Authorization", "X-WflDB-Meta-A", "X-WflDB-Tag-A",
                                  "X-WflDB-Durability", "Content-Type", "If-Match", "If-None-Match", "If-Range", "Range", "X-WflDB-"])
def test_a_signed_header_is_sent_once(client, filled, name):
    given = client.headers("GET", f"/v1/{filled}/k")
    value = dict(given).get(name, "x")
    headers = [h for h in given if h[0] != name] + [(name, value), (name.lower(), value)]
    refused = send(client, "GET", f"/v1/{filled}/k", headers)
    assert (refused.status, refused.code) == (400, "duplicate_header")


@pytest.mark.parametrize("headers, code", [
    ([], "invalid_header"),
    ([("X-WflDB-Content-SHA256", "")], "invalid_header"),
    ([("X-WflDB-Content-SHA256", "UNSIGNED")], "invalid_header"),
    ([("X-WflDB-Content-SHA256", "0" * 63)], "invalid_header"),
    ([("X-WflDB-Content-SHA256", "0" * 65)], "invalid_header"),
    ([("X-WflDB-Content-SHA256", hashlib.sha256(b"hello").hexdigest().upper())], "invalid_header"),
    ([("X-WflDB-Content-BLAKE3", "unsigned"), ("X-WflDB-Content-SHA256", "unsigned")], "invalid_header"),
    ([("X-WflDB-Content-MD5", "0" * 32)], "invalid_header"),
    ([("X-WflDB-Content-BLAKE3", "unsigned")], ""),
    ([("X-WflDB-Content-SHA256", "unsigned")], ""),
    ([("X-WflDB-Content-SHA256", hashlib.sha256(b"hello").hexdigest())], ""),
    ([("X-WflDB-Content-BLAKE3", hashlib.sha256(b"hello").hexdigest())], "content_mismatch"),
])
def test_a_body_is_declared(client, filled, headers, code):
    answer = client.request("PUT", f"/v1/{filled}/new", headers, b"hello", content=None)
    assert answer.code == code
    client.close()
    assert client.request("GET", f"/v1/{filled}/new").status == (404 if code else 200)


def test_no_body_needs_no_declaration(client, filled):
    assert client.request("PUT", f"/v1/{filled}/empty", content=None).status == 201
    assert client.request("PUT", f"/v1/{filled}/empty", body=b"", content=None).status == 200
    digest = hashlib.sha256(b"x").hexdigest()
    assert client.request("PUT", f"/v1/{filled}/empty", [("X-WflDB-Content-SHA256", digest)]).code == "content_mismatch"


# ---- the vectors, over a socket

def test_the_vectors_canonical_text_is_ours(server):
    """The second implementation agrees with the vectors, so that what it sends is worth something."""
    with open(os.path.join(os.environ["WFL_SOURCE_ROOT"], "tests", "vectors", "canonical.json"), encoding="utf-8") as text:
        cases = json.load(text)
    assert len(cases) > 10
    for case in cases:
        headers = [tuple(h) for h in case["headers"]]
        made = canonical(case["method"], case["target"], case["authority"], headers, case["credential"])
        assert made.decode() == case["canonical"], case["name"]
