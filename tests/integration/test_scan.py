# SPDX-License-Identifier: Apache-2.0
"""Listings: order, bounds, folding, pages (protocol, Scan)."""
import base64
import os

import pytest

from wfltest import Client, Grant

KEYS = sorted(["a", "a/", "a/1", "a/2", "a/b/1", "a/b/2", "a0", "b", "b/c/d/e", "ä/x", "ä/y", "\U0001F40C", "z//1",
               "z//2", "z/1", "~"], key=lambda k: k.encode())


@pytest.fixture(scope="module")
def filled(server):
    with Client(server) as c:
        c.make_bucket("filled")
        for key in KEYS:
            c.put("filled", key, key.encode())
    return "filled"


def keys_of(items):
    return [i["key"] for i in items]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("reverse", ["false", "true"])
def test_every_key_once_in_order(client, filled, limit, reverse):
    items, prefixes = client.scan(filled, limit=limit, reverse=reverse)
    assert keys_of(items) == (KEYS[::-1] if reverse == "true" else KEYS)
    assert prefixes == []


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b/", "ä", "z/", "nothing"])
@pytest.mark.parametrize("delimiter", ["/", "b", "ä"])
@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize("reverse", ["false", "true"])
def test_a_delimiter_folds(client, filled, prefix, delimiter, limit, reverse):
    items, prefixes = client.scan(filled, prefix=prefix, delimiter=delimiter, limit=limit, reverse=reverse)
    plain, folded = [], []
    for key in KEYS:
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix))
        if at < 0:
            plain.append(key)
        elif key[:at + len(delimiter)] not in folded:
            folded.append(key[:at + len(delimiter)])
    if reverse == "true":
        plain, folded = plain[::-1], folded[::-1]
    assert keys_of(items) == plain
    assert prefixes == folded


def test_bounds_are_exclusive_and_in_the_direction_asked(client, filled):
    def listed(**q):
        return keys_of(client.scan(filled, **q)[0])
    at = KEYS.index
    assert listed(after="a", end="b") == KEYS[at("a") + 1:at("b")]
    assert listed(after="a/15", end="a0") == ["a/2", "a/b/1", "a/b/2"]
    assert listed(after="~~") == [k for k in KEYS if k.encode() > b"~~"]
    assert listed(reverse="true", after="b", end="a") == KEYS[at("a") + 1:at("b")][::-1]
    assert listed(prefix="a/", after="a/1") == ["a/2", "a/b/1", "a/b/2"]


def test_an_item_is_its_object(client, bucket):
    headers = [("Content-Type", "text/x"), ("X-WflDB-Meta-One", "1"), ("X-WflDB-Tag-Two", "2")]
    put = client.put(bucket, "k", b"\x00\x01binary", headers).json
    plain = client.page(bucket)["items"][0]
    assert {n: plain[n] for n in ("key", "version", "size", "blake3", "content_type")} == {
        "key": "k", "version": put["version"], "size": 8, "blake3": put["blake3"], "content_type": "text/x"}
    assert plain["modified"].endswith("Z")
    assert not {"meta", "tags", "value"} & set(plain)
    full = client.page(bucket, include="meta,tags,value")["items"][0]
    assert full["meta"] == {"one": "1"}
    assert full["tags"] == {"two": "2"}
    assert base64.b64decode(full["value"]) == b"\x00\x01binary"


def test_values_have_bounds_and_none_is_left_out(client, bucket):
    contents = {f"{i:03}": os.urandom(65536) for i in range(150)}
    for key, content in contents.items():
        client.put(bucket, key, content, [("X-WflDB-Durability", "buffered")])
    client.put(bucket, "big", b"x" * 65537)
    page = client.page(bucket, include="value", limit=1000)
    assert 0 < len(page["items"]) < 150  # 8 MiB are full before
    items, _ = client.scan(bucket, include="value", limit=1000)
    assert keys_of(items) == sorted(contents) + ["big"]
    for item in items[:-1]:
        assert base64.b64decode(item["value"]) == contents[item["key"]]
    assert "value" not in items[-1]


def test_what_stays_is_seen_once_while_others_write(client, bucket):
    stays = [f"k{i:04}" for i in range(0, 200, 2)]
    for key in stays:
        client.put(bucket, key, b"x", [("X-WflDB-Durability", "buffered")])
    seen, cursor, number = [], {}, 0
    while True:
        page = client.page(bucket, limit=7, **cursor)
        seen += keys_of(page["items"])
        for i in range(3):
            client.put(bucket, f"k{(number * 37 + i) % 200 | 1:04}", b"y", [("X-WflDB-Durability", "buffered")])
        number += 1
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
    assert len(seen) == len(set(seen))
    assert [k for k in seen if k in set(stays)] == stays


def test_the_default_is_100_items(client, bucket):
    for i in range(101):
        client.put(bucket, f"{i:03}", b"", [("X-WflDB-Durability", "buffered")])
    page = client.page(bucket)
    assert len(page["items"]) == 100 and "cursor" in page
    rest = client.page(bucket, cursor=page["cursor"])
    assert keys_of(rest["items"]) == ["100"] and "cursor" not in rest
    assert "cursor" not in client.page(bucket, limit=101)


@pytest.mark.parametrize("query", [
    "limit=0", "limit=1001", "limit=", "limit=1x", "limit=-1", "limit=99999999999999999999", "delimiter=ab",
    "delimiter=%FF", "reverse=1", "reverse=", "include=colour", "include=meta,,tags", "cursor=abc", "cursor=%00",
    "colour=1", "limit=1&limit=1", "prefix=a&prefix=a", "=", "&", "prefix=%FF", "after=%FF",
    "at=yesterday", "at=", "at=2026-11-24",
])
def test_a_question_that_is_none(client, filled, query):
    answer = client.request("GET", f"/v1/{filled}/scan?{query}")
    assert (answer.status, answer.code) == (400, "invalid_query")


def test_a_cursor_belongs_to_its_question(client, filled, bucket):
    cursor = client.page(filled, limit=2, prefix="a")["cursor"]
    for target in (f"/v1/{filled}/scan?limit=2&prefix=b&cursor={cursor}",
                   f"/v1/{filled}/scan?limit=2&prefix=a&reverse=true&cursor={cursor}",
                   f"/v1/{filled}/scan?limit=2&prefix=a&delimiter=%2F&cursor={cursor}",
                   f"/v1/{bucket}/scan?limit=2&prefix=a&cursor={cursor}",
                   f"/v1/{filled}/scan?limit=2&prefix=a&cursor={cursor[:-2]}",
                   f"/v1/{filled}/scan?limit=2&prefix=a&cursor={cursor}AA"):
        assert client.request("GET", target).code == "invalid_query", target


def test_a_grant_must_cover_the_prefix(server, filled):
    with Client(server, [Grant(filled, "a/", ["scan"])]) as c:
        assert keys_of(c.scan(filled, prefix="a/")[0]) == [k for k in KEYS if k.startswith("a/")]
        assert keys_of(c.scan(filled, prefix="a/b/")[0]) == ["a/b/1", "a/b/2"]
        for query in ("", "?prefix=", "?prefix=a", "?prefix=b/"):
            assert c.request("GET", f"/v1/{filled}/scan{query}").code == "forbidden"
