# SPDX-License-Identifier: Apache-2.0
"""Objects: what is put is what is got, with everything that belongs to it (protocol, Objects over HTTP)."""
import email.utils
import hashlib
import os
import re
import time

import pytest

from wfltest import Connection
from wfltest.client import path_of

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
SIZES = [0, 1, 13, 1023, 1024, 1025, 2047, 2048, 4096, 65535, 65536, 65537, 300_000, (1 << 20) - 1, 1 << 20]
# From the BLAKE3 specification's own example and the empty input.
BLAKE3_EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.mark.parametrize("size", SIZES)
def test_an_object_of_any_size_comes_back(client, bucket, size):
    content = os.urandom(size)
    put = client.put(bucket, "a/b.bin", content, status=201)
    got = client.get(bucket, "a/b.bin")
    assert got.body == content
    assert int(got.header("content-length")) == size
    assert got.header("x-wfldb-content-blake3") == put.json["blake3"] == put.header("x-wfldb-content-blake3")
    head = client.get(bucket, "a/b.bin", method="HEAD")
    assert head.body == b""
    ignored = {"date", "x-request-id"}
    assert sorted(h for h in head.headers if h[0].lower() not in ignored) == \
        sorted(h for h in got.headers if h[0].lower() not in ignored)


def test_a_put_is_answered_with_what_was_stored(client, bucket):
    put = client.put(bucket, "2026/ä b.txt", b"hello", status=201)
    assert set(put.json) == {"bucket", "key", "version", "size", "blake3"}
    assert (put.json["bucket"], put.json["key"], put.json["size"]) == (bucket, "2026/ä b.txt", 5)
    assert put.header("content-type") == "application/json"
    assert ULID.fullmatch(put.json["version"])
    assert put.header("etag") == f'"{put.json["version"]}"'
    assert put.header("x-wfldb-version") == put.json["version"]
    again = client.put(bucket, "2026/ä b.txt", b"hello again", status=200)
    assert again.json["version"] > put.json["version"]
    assert client.get(bucket, "2026/ä b.txt").body == b"hello again"


def test_the_hash_of_nothing_is_blake3_of_nothing(client, bucket):
    assert client.put(bucket, "empty", b"").json["blake3"] == BLAKE3_EMPTY


def test_metadata_tags_and_type_come_back(client, bucket):
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-WflDB-Meta-Camera", "x 100"),
               ("x-wfldb-meta-2", ""), ("X-WflDB-Tag-State", "new"), ("X-WflDB-Tag-who", "%C3%A4")]
    client.put(bucket, "k", b"x", headers)
    got = client.get(bucket, "k")
    assert got.header("content-type") == "text/plain; charset=utf-8"
    assert got.header("x-wfldb-meta-camera") == "x 100"
    assert got.header("x-wfldb-meta-2") == ""
    assert got.header("x-wfldb-tag-state") == "new"
    assert got.header("x-wfldb-tag-who") == "%C3%A4"
    client.put(bucket, "k", b"x")  # a new object has only its own
    got = client.get(bucket, "k")
    assert got.header("content-type") == "application/octet-stream"
    assert got.header("x-wfldb-meta-camera") is None
    assert got.header("x-wfldb-tag-state") is None


def test_last_modified_and_date_are_now(client, bucket):
    before = time.time()
    client.put(bucket, "k", b"x")
    got = client.get(bucket, "k")
    for name in ("last-modified", "date"):
        at = email.utils.parsedate_to_datetime(got.header(name)).timestamp()
        assert before - 1.5 <= at <= time.time() + 1.5, name
    assert got.header("accept-ranges") == "bytes"
    assert ULID.fullmatch(got.header("x-request-id"))


@pytest.mark.parametrize("key", ["a", "a/", "/a", "a//b", "a b", "ä/ü", "\U0001F40C", "+", "%", "a%2Fb", "?", "#&=",
                                 "-._~", "scan/x", "x/scan", "batch/", "...", ".a", "k" * 1024, "ä" * 512])
def test_keys_of_every_kind(client, bucket, key):
    if key == "a%2Fb":  # the six characters, not an encoded slash
        assert path_of(bucket, key).endswith("a%252Fb")
    put = client.put(bucket, key, key.encode(), status=201)
    assert put.json["key"] == key
    assert client.get(bucket, key).body == key.encode()
    assert client.page(bucket)["items"][0]["key"] == key
    client.delete(bucket, key)
    assert client.get(bucket, key, 404).code == "key_not_found"


def test_a_key_is_one_however_it_is_encoded(client, bucket):
    client.put(bucket, "a b~c", b"x")
    for target in ("a%20b~c", "a%20b%7Ec", "%61%20b%7ec"):
        assert client.expect(200, "GET", f"/v1/{bucket}/{target}").body == b"x"


def test_a_delete_leaves_a_version_and_no_object(client, bucket):
    put = client.put(bucket, "k", b"x")
    gone = client.delete(bucket, "k")
    assert gone.header("x-wfldb-version") > put.json["version"]
    assert client.delete(bucket, "k", 404).code == "key_not_found"
    assert client.put(bucket, "k", b"y", status=201).json["version"] > gone.header("x-wfldb-version")


def test_content_is_checked_against_its_hash(client, bucket):
    wrong = [("X-WflDB-Content-SHA256", hashlib.sha256(b"other").hexdigest())]
    refused = client.request("PUT", path_of(bucket, "k"), wrong, b"content", content=None)
    assert (refused.status, refused.code) == (400, "content_mismatch")
    assert client.get(bucket, "k", 404).code == "key_not_found"
    blake3 = client.put(bucket, "other", b"content").json["blake3"]
    declared = [("X-WflDB-Content-BLAKE3", blake3)]
    assert client.request("PUT", path_of(bucket, "k"), declared, b"content", content=None).status == 201
    refused = client.request("PUT", path_of(bucket, "k"), declared, b"Content", content=None)
    assert refused.code == "content_mismatch"
    assert client.get(bucket, "k").body == b"content"


def test_an_unsigned_body_is_accepted_and_its_hash_told(client, bucket):
    put = client.put(bucket, "k", b"content", content="unsigned")
    assert put.json["blake3"] == client.put(bucket, "other", b"content").json["blake3"]


def test_a_buffered_write_is_read_at_once(client, bucket):
    client.put(bucket, "k", b"x", [("X-WflDB-Durability", "buffered")])
    assert client.get(bucket, "k").body == b"x"


def test_a_chunked_body_is_an_object(server, client1, bucket):
    target = path_of(bucket, "chunked")
    content = os.urandom(200_000)
    with Connection(server.address) as c:
        head = [f"{n}: {v}" for n, v in client1.headers("PUT", target, body=content)]
        c.send("\r\n".join([f"PUT {target} HTTP/1.1", f"Host: {server.address}", *head,
                            "Transfer-Encoding: chunked", "", ""]).encode())
        for at in range(0, len(content), 7001):
            piece = content[at:at + 7001]
            c.send(f"{len(piece):X}\r\n".encode() + piece + b"\r\n")
        c.send(b"0\r\nX-Trailer: dropped\r\n\r\n")
        assert c.read().status == 201
    assert client1.get(bucket, "chunked").body == content


def test_many_objects_on_one_connection(client, bucket):
    for i in range(200):
        client.put(bucket, f"{i:04}", b"%d" % i)
    for i in range(200):
        assert client.get(bucket, f"{i:04}").body == b"%d" % i
