# SPDX-License-Identifier: Apache-2.0
"""Presigned URLs over both transports (protocol, Signed requests): what one is good for, what of it is bound, when."""
import hashlib
import subprocess
import time
from urllib.parse import quote

import pytest

from wfltest import Client, Connection, Grant, Key, Server, issue
from wfltest.http2 import Connection2
from wfltest.keys import ulid
from wfltest.presigned import presign
from wfltest.session import open_session

UNSIGNED = ("X-WflDB-Content-SHA256", "unsigned")


@pytest.fixture
def plain(client):
    """A connection of somebody without a credential."""
    with (Connection if client.http == 1 else Connection2)(client.server.address) as connection:
        yield connection


@pytest.fixture
def target(client, bucket):
    client.put(bucket, "a/b c", b"content", [("Content-Type", "text/plain"), ("X-WflDB-Meta-m", "1")])
    return f"/v1/{bucket}/a/b%20c"


# ---- what it is good for

def test_it_reads_again_and_again(client, plain, target):
    url = presign(client, "GET", target)
    for _ in range(3):
        got = plain.request("GET", url)
        assert (got.status, got.body, got.header("content-type")) == (200, b"content", "text/plain")
        assert got.header("cache-control") == "private"
    assert client.request("GET", target).header("cache-control") is None


def test_head_has_its_own_url(client, plain, target):
    head = plain.request("HEAD", presign(client, "HEAD", target))
    assert head.status == 200 and head.header("content-length") == "7"
    assert plain.request("HEAD", presign(client, "GET", target)).status == 401


def test_it_stores_again_and_again(client, plain, bucket):
    url = presign(client, "PUT", f"/v1/{bucket}/new", [UNSIGNED])
    assert plain.request("PUT", url, [UNSIGNED], b"one").status == 201
    assert plain.request("PUT", url, [UNSIGNED], b"two").status == 200
    assert client.get(bucket, "new").body == b"two"


def test_an_empty_put_needs_no_declaration(client, plain, bucket):
    assert plain.request("PUT", presign(client, "PUT", f"/v1/{bucket}/empty"), body=b"").status == 201


def test_a_body_needs_its_declaration(client, plain, bucket):
    assert plain.request("PUT", presign(client, "PUT", f"/v1/{bucket}/k"), body=b"x").code == "invalid_header"


def test_a_put_can_be_bound_to_its_content(client, plain, bucket):
    declared = ("X-WflDB-Content-SHA256", hashlib.sha256(b"this").hexdigest())
    url = presign(client, "PUT", f"/v1/{bucket}/k", [declared])
    assert plain.request("PUT", url, [declared], b"that").code == "content_mismatch"
    assert plain.request("PUT", url, [UNSIGNED], b"that").code == "signature_invalid"
    assert plain.request("PUT", url, [declared], b"this").status == 201


def test_a_put_is_bound_to_the_headers_that_were_signed(client, plain, bucket):
    headers = [UNSIGNED, ("Content-Type", "image/png"), ("X-WflDB-Tag-t", "1"), ("If-None-Match", "*")]
    url = presign(client, "PUT", f"/v1/{bucket}/k", headers)
    for left_out in range(1, len(headers)):
        some = [h for i, h in enumerate(headers) if i != left_out]
        assert plain.request("PUT", url, some, b"x").code == "signature_invalid"
    other = [h if h[0] != "Content-Type" else ("Content-Type", "text/html") for h in headers]
    assert plain.request("PUT", url, other, b"x").code == "signature_invalid"
    assert plain.request("PUT", url, [*headers, ("X-WflDB-Meta-m", "1")], b"x").code == "signature_invalid"
    assert plain.request("PUT", url, headers, b"x").status == 201
    assert plain.request("PUT", url, headers, b"x").code == "precondition_failed"
    assert client.get(bucket, "k").header("content-type") == "image/png"


def test_a_range_and_a_condition_are_bound_too(client, plain, target):
    part = [("Range", "bytes=2-3")]
    assert plain.request("GET", presign(client, "GET", target, part), part).body == b"nt"
    assert plain.request("GET", presign(client, "GET", target), part).code == "signature_invalid"
    version = client.request("GET", target).header("x-wfldb-version")
    known = [("If-None-Match", f'"{version}"')]
    assert plain.request("GET", presign(client, "GET", target, known), known).status == 304


def test_an_older_version_and_a_moment(client, plain):
    client.make_bucket(f"versions-{client.http}", b'{"versions":-1}')
    target = f"/v1/versions-{client.http}/k"
    old = client.expect(201, "PUT", target, body=b"old").json["version"]
    client.expect(200, "PUT", target, body=b"new")
    assert plain.request("GET", presign(client, "GET", f"{target}?version={old}")).body == b"old"
    assert plain.request("GET", presign(client, "GET", f"{target}?at={old}")).body == b"old"
    assert plain.request("HEAD", presign(client, "HEAD", f"{target}?version={old}")).status == 200
    assert plain.request("GET", presign(client, "GET", target)).body == b"new"
    assert plain.request("GET", presign(client, "GET", f"{target}?no-such=1")).code == "invalid_query"
    assert plain.request("PUT", presign(client, "PUT", f"{target}?version={old}")).code == "invalid_query"
    assert plain.request("GET", presign(client, "GET", f"{target}?versions")).code == "forbidden"


def test_large_content_goes_both_ways(client, plain, bucket):
    content = bytes(range(256)) * 1024 * 10
    assert plain.request("PUT", presign(client, "PUT", f"/v1/{bucket}/large", [UNSIGNED]), [UNSIGNED], content).status == 201
    assert plain.request("GET", presign(client, "GET", f"/v1/{bucket}/large")).body == content
    url = presign(client, "PUT", f"/v1/{bucket}/large", [UNSIGNED])
    assert plain.stream("PUT", url, [content, content], [UNSIGNED]).status == 200
    assert client.get(bucket, "large").body == 2 * content


# ---- and for nothing else

@pytest.mark.parametrize("method, path", [
    ("DELETE", "/{b}/a/b%20c"), ("POST", "/{b}/a/b%20c?multipart=start"), ("PUT", "/{b}/k?upload=01JDFJ7Z7Q2S4T6V8X0A2C4E6G&part=1"),
    ("GET", "/{b}/k?upload=01JDFJ7Z7Q2S4T6V8X0A2C4E6G"), ("POST", "/{b}/k?upload=01JDFJ7Z7Q2S4T6V8X0A2C4E6G"),
    ("GET", "/{b}/k?multipart=start"), ("GET", "/{b}/scan"), ("GET", "/{b}/query"), ("GET", "/{b}/changes"), ("POST", "/{b}/batch"),
    ("GET", "/{b}"), ("GET", "/{b}?uploads"), ("PUT", "/new-bucket"), ("PATCH", "/{b}"), ("DELETE", "/{b}"), ("GET", "/"),
    ("POST", "/-/batch"), ("POST", "/-/session"), ("GET", "/-/revocations"), ("POST", "/-/revocations"), ("GET", "/-/scrub"),
    ("OPTIONS", "/{b}/a/b%20c"),
])
def test_other_methods_and_targets_are_forbidden(server, plain, target, bucket, method, path):
    with Client(server, [Grant(ops=["get", "put", "delete", "scan", "watch", "manage", "admin"])]) as almighty:
        url = presign(almighty, method, "/v1" + path.format(b=bucket))
        assert plain.request(method, url).code == "forbidden"


def test_it_grants_no_more_than_its_packet(server, client, plain, target, bucket):
    with Client(server, [Grant(bucket, "mine/", ["get"])]) as narrow:
        assert plain.request("GET", presign(narrow, "GET", target)).code == "forbidden"
        assert plain.request("GET", presign(narrow, "GET", f"/v1/{bucket}/mine/none")).code == "key_not_found"
        assert plain.request("PUT", presign(narrow, "PUT", f"/v1/{bucket}/mine/a")).code == "forbidden"


# ---- what is bound

TAMPER = {
    "method": lambda url: ("HEAD", url), "path": lambda url: ("GET", url.replace("/a/b%20c", "/a/b%20d")),
    "bucket": lambda url: ("GET", url.replace("/v1/bucket", "/v1/bucke2")),
    "packet": lambda url: ("GET", url.replace("wfl-packet=ey", "wfl-packet=eY")),
    "timestamp": lambda url: ("GET", url.replace("Z&wfl-expires", ".0Z&wfl-expires")),
    "expires": lambda url: ("GET", url.replace("wfl-expires=300", "wfl-expires=3000")),
    "a parameter": lambda url: ("GET", url + "&at=2026-01-01T00:00:00Z"), "an empty parameter": lambda url: ("GET", url + "&"),
    "signature": lambda url: ("GET", url[:-4] + ("AAAA" if url[-4:] != "AAAA" else "BBBA")),
}


@pytest.mark.parametrize("what", TAMPER)
def test_nothing_can_be_changed(client, plain, target, what):
    method, url = TAMPER[what](presign(client, "GET", target))
    answer = plain.request(method, url)
    assert answer.status == 401 and answer.code in ("signature_invalid", "packet_malformed", "signature_malformed", "") and \
        answer.body.find(b"content") < 0


def test_nor_the_authority(client, plain, target):
    assert plain.request("GET", presign(client, "GET", target, authority="elsewhere:7410")).code == "signature_invalid"


@pytest.mark.parametrize("change, code", [
    ({"packet": None}, "credential_missing"), ({"packet": "x"}, "packet_malformed"), ({"packet": ""}, "packet_malformed"),
    ({"timestamp": None}, "timestamp_malformed"), ({"timestamp": "now"}, "timestamp_malformed"),
    ({"timestamp": "2026-11-24T10:00:00+00:00"}, "timestamp_malformed"),
    ({"expires": None}, "invalid_query"), ({"expires": ""}, "invalid_query"), ({"expires": "0"}, "invalid_query"),
    ({"expires": "604801"}, "invalid_query"), ({"expires": "604800"}, ""), ({"expires": "-1"}, "invalid_query"),
    ({"expires": "1.5"}, "invalid_query"), ({"expires": "0300"}, "invalid_query"), ({"expires": "9" * 30}, "invalid_query"),
    ({"signature": None}, "signature_malformed"), ({"signature": ""}, "signature_malformed"),
    ({"signature": "A" * 86}, "signature_invalid"), ({"signature": "A" * 85}, "signature_malformed"),
    ({"nonce": "0123456789abcdef"}, "invalid_query"), ({"": "x"}, "invalid_query"), ({"Packet": "x"}, "invalid_query"),
])
def test_parameters_are_read_strictly(client, plain, target, change, code):
    assert plain.request("GET", presign(client, "GET", target, **change)).code == code


def test_one_given_twice_is_refused(client, plain, target):
    url = presign(client, "GET", target)
    for name in ("packet", "timestamp", "expires", "signature"):
        value = next(p.partition("=")[2] for p in url.partition("?")[2].split("&") if p.startswith(f"wfl-{name}="))
        assert plain.request("GET", f"{url}&wfl-{name}={value}").code == "invalid_query"
        assert plain.request("GET", f"{url}&%77fl-{name}={value}").code == "invalid_query"


def test_encoded_names_are_the_same(client, plain, target):
    assert plain.request("GET", presign(client, "GET", target).replace("wfl-expires", "wfl%2Dexpires")).status == 200


# ---- two credentials

def test_headers_and_query_together_are_refused(client, target):
    url = presign(client, "GET", target)
    assert client.request("GET", url).code == "invalid_query"
    with open_session(client) as session:
        assert session.request("GET", url).code == "invalid_query"
    assert client.request("GET", target + "?wfl-signature=x").code == "invalid_query"
    assert client.request("GET", target + "?wfl-x=1").code == "invalid_query"


@pytest.mark.parametrize("name, value", [("X-WflDB-Nonce", "0123456789abcdef"), ("X-WflDB-Timestamp", "2026-11-24T10:00:00Z"),
                                         ("X-WflDB-Signature", "A" * 86), ("Authorization", "Basic eDp5")])
def test_nor_a_part_of_one(client, plain, target, name, value):
    headers = [(name, value)]
    assert plain.request("GET", presign(client, "GET", target, headers), headers).code == "invalid_query"


# ---- when

@pytest.mark.parametrize("at, expires, code", [(-10, 300, ""), (-200, 300, ""), (-400, 300, "timestamp_skew"), (50, 300, ""),
                                               (70, 300, "timestamp_skew"), (-86400, 604800, ""), (-2, 1, "timestamp_skew")])
def test_the_window(client, plain, target, at, expires, code):
    assert plain.request("GET", presign(client, "GET", target, expires=expires, at=time.time() + at)).code == code


def test_it_ends_with_its_packet(server, plain, bucket):
    with Client(server, ttl=2) as brief:
        url = presign(brief, "GET", f"/v1/{bucket}/none", expires=604800)
        assert plain.request("GET", url).code == "key_not_found"
        end = time.time() + 2.1
        while time.time() < end:
            time.sleep(0.05)
        assert plain.request("GET", url).code == "packet_expired"


def test_it_survives_a_restart():
    with Server() as server, Client(server) as client:
        client.make_bucket("photos")
        client.put("photos", "k", b"v")
        url = presign(client, "GET", "/v1/photos/k", authority="photos.example")
        assert server.stop() == 0
        server.start()
        with Connection(server.address) as plain:
            assert plain.request("GET", url, host="photos.example").body == b"v"


def test_a_revoked_packet_ends_it(server, client, plain, target):
    holder, jti = Key(), ulid()
    packet = issue(server.root, holder, [Grant()], jti=jti)
    with Client(server, key=holder, packet=packet) as shared:
        url = presign(shared, "GET", target)
        assert plain.request("GET", url).status == 200
        with Client(server, [Grant(ops=["admin"])]) as admin:
            admin.expect(201, "POST", "/v1/-/revocations", body=b'{"jti":"%s"}' % jti.encode())
        assert plain.request("GET", url).code == "packet_revoked"


# ---- and beside it

def test_no_log_line_has_a_credential(server, client, plain, target):
    url = presign(client, "GET", target)
    assert plain.request("GET", url).status == 200
    for bad in (url + "&wfl-x=" + client.packet, url[:-3], url.replace("wfl-expires=300", "wfl-expires=" + client.packet[:50])):
        answer = plain.request("GET", bad)
        assert answer.status >= 400 and client.packet[:30].encode() not in answer.body
    client.expect(200, "GET", "/v1/")  # its line is behind those
    signature = url.rpartition("=")[2]
    text = "".join(server.log)
    assert client.packet[:60] not in text and signature[:40] not in text and "wfl-packet=" not in text


def test_public_buckets_read_it_as_strictly(client, plain):
    client.make_bucket(f"public-{client.http}", b'{"public_read":true}')
    client.put(f"public-{client.http}", "k", b"v")
    target = f"/v1/public-{client.http}/k"
    assert plain.request("GET", target).body == b"v"
    assert plain.request("GET", presign(client, "GET", target, at=time.time() - 400)).code == "timestamp_skew"
    assert plain.request("GET", target + "?wfl-expires=1").code == "invalid_query"


def test_with_curl(server, client, bucket, tmp_path):
    """As docs/protocol.md says it is done."""
    (tmp_path / "file").write_bytes(b"from a file")
    url = f"http://{server.address}" + presign(client, "PUT", f"/v1/{bucket}/curl", [UNSIGNED])
    subprocess.run(["curl", "-sSf", "-T", tmp_path / "file", "-H", "X-WflDB-Content-SHA256: unsigned", url], check=True,
                   stdout=subprocess.DEVNULL)
    url = f"http://{server.address}" + presign(client, "GET", f"/v1/{bucket}/curl")
    assert subprocess.run(["curl", "-sSf", url], check=True, stdout=subprocess.PIPE).stdout == b"from a file"


def test_a_narrowed_packet_is_what_to_hand_out(server, client, plain, bucket):
    """A chain in the URL: as long as that may be."""
    holder, last = Key(), Key()
    parent = issue(server.root, holder, [Grant(bucket, ops=["get", "put"])], delegate=1)
    chain = issue(holder, last, [Grant(bucket, "in/", ["put"])], parent=parent)
    with Client(server, key=last, packet=chain) as narrow:
        assert "~" in chain and quote(chain, safe="") == chain
        url = presign(narrow, "PUT", f"/v1/{bucket}/in/a", [UNSIGNED])
        assert plain.request("PUT", url, [UNSIGNED], b"1").status == 201
        url = presign(narrow, "PUT", f"/v1/{bucket}/out/a", [UNSIGNED])
        assert plain.request("PUT", url, [UNSIGNED], b"1").code == "forbidden"
