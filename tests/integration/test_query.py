# SPDX-License-Identifier: Apache-2.0
"""Objects by their tags: what is found, pages, errors, who may ask (protocol, Tags)."""
import base64
import os
from urllib.parse import quote

import pytest

from wfltest import Client, Grant

COLOURS = ["red", "reddish", "blue", "red*", "dark blue", "~"]


def tagged(tags):
    return [(f"X-WflDB-Tag-{n}", v) for n, v in tags.items()] + [("X-WflDB-Durability", "buffered")]


def tags_of(i):
    tags = {"colour": COLOURS[i % len(COLOURS)], "size": str(i % 4)}
    return tags | ({"rare": "yes"} if i % 40 == 0 else {})


def key_of(i):
    return f"{'abc'[i % 3]}/{i:03}"


@pytest.fixture(scope="module")
def filled(server):
    with Client(server) as c:
        c.make_bucket("by-tags")
        for i in range(120):
            c.put("by-tags", key_of(i), b"%d" % i, tagged(tags_of(i)))
    return "by-tags"


def target_of(bucket, tags, **parameters):
    pieces = [f"tag.{n}={quote(v, safe='*')}" for n, v in tags.items()]
    return f"/v1/{bucket}/query?" + "&".join(pieces + [f"{n}={quote(str(v), safe='')}" for n, v in parameters.items()])


def page(client, bucket, tags, **parameters):
    return client.expect(200, "GET", target_of(bucket, tags, **parameters)).json


def found(client, bucket, tags, **parameters):
    keys, answer = [], page(client, bucket, tags, **parameters)
    while True:
        keys += [i["key"] for i in answer["items"]]
        if "cursor" not in answer:
            return keys
        answer = page(client, bucket, tags, **parameters, cursor=answer["cursor"])


def has(tags, name, value):
    if value.endswith("*"):
        return name in tags and tags[name].startswith(value[:-1])
    return tags.get(name) == value


@pytest.mark.parametrize("http", [1, 2])
@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("tags", [
    {"colour": "red"}, {"colour": "red*"}, {"colour": "red**"}, {"colour": "*"}, {"colour": "dark blue"}, {"colour": "none"},
    {"rare": "yes"}, {"rare": "*", "size": "0"}, {"colour": "blue", "size": "2"}, {"colour": "re*", "size": "*", "rare": "y*"},
    {"colour": "re*", "size": "1"}, {"no-such": "*"},
], ids=str)
@pytest.mark.parametrize("prefix", ["", "b/", "c/0", "d"])
def test_what_has_all_the_tags_is_found_in_order(server, filled, http, tags, prefix, limit):
    expected = sorted(key_of(i) for i in range(120)
                      if key_of(i).startswith(prefix) and all(has(tags_of(i), n, v) for n, v in tags.items()))
    with Client(server, http=http) as c:
        assert found(c, filled, tags, limit=limit, **({"prefix": prefix} if prefix else {})) == expected


def test_an_item_is_as_in_a_scan(client, bucket):
    for key, content in (("k", b"\x00\x01small"), ("m", os.urandom(3000)), ("z", os.urandom(65537))):
        client.put(bucket, key, content, [("Content-Type", "text/x"), ("X-WflDB-Meta-One", "1"), ("X-WflDB-Tag-Two", "2")])
    for include in ({}, {"include": "meta"}, {"include": "tags,value"}, {"include": "meta,tags,value"}):
        scan, query = client.page(bucket, **include), page(client, bucket, {"two": "2"}, **include)
        assert query["items"] == scan["items"] and len(query["items"]) == 3
        assert query["at"] == scan["at"]
        assert not {"cursor", "prefixes"} & set(query)
    assert base64.b64decode(query["items"][0]["value"]) == b"\x00\x01small"
    assert "value" not in query["items"][2]


def test_the_index_follows_its_objects(client, bucket):
    def red():
        return found(client, bucket, {"colour": "red"})
    assert red() == []
    client.put(bucket, "k", b"1", tagged({"colour": "red", "size": "1"}))
    client.put(bucket, "l", b"1", tagged({"colour": "red"}))
    assert red() == ["k", "l"]
    client.put(bucket, "k", b"2", tagged({"colour": "blue", "size": "1"}))
    assert (red(), found(client, bucket, {"size": "1"})) == (["l"], ["k"])
    client.put(bucket, "k", b"3")
    assert found(client, bucket, {"size": "*"}) == []
    client.delete(bucket, "l")
    assert red() == []


def test_the_default_is_100_items(client, filled):
    first = page(client, filled, {"colour": "*"})
    assert len(first["items"]) == 100 and "cursor" in first
    assert len(page(client, filled, {"colour": "*"}, cursor=first["cursor"])["items"]) == 20
    assert "cursor" not in page(client, filled, {"colour": "*"}, limit=120)


@pytest.mark.parametrize("query", [
    "", "limit=5", "tag.=1", "tag.a", "tag.a=", "tag.A=1", "tag.-a=1", "tag.a_b=1", "tag=1", "tags.a=1", "tag." + "a" * 65 + "=1",
    "tag.a=%01", "tag.a=%C3%A4", "tag.a=%C3%A4*", "tag.a=" + "v" * 257, "tag.a=1&tag.a=1", "tag.a=1&tag.a=2", "tag.a=1&tag.%61=2*",
    "&".join(f"tag.a{i}=1" for i in range(9)), "tag.a=1&limit=0", "tag.a=1&limit=1001", "tag.a=1&limit=x", "tag.a=1&include=colour",
    "tag.a=1&cursor=", "tag.a=1&cursor=abc", "tag.a=1&prefix=%FF", "tag.a=1&prefix=a&prefix=a", "tag.a=1&x=1", "tag.a=1&after=a",
    "tag.a=1&reverse=true", "tag.a=1&delimiter=%2F", "tag.a=1&at=2026-11-24T10:00:00Z", "tag.a=1&", "Tag.a=1", "tag.a=1&=",
])
def test_a_question_that_is_none(client, filled, query):
    answer = client.request("GET", f"/v1/{filled}/query?{query}")
    assert (answer.status, answer.code) == (400, "invalid_query")


def test_eight_tags_of_the_longest_names_and_values(client, bucket):
    tags = {"a" * 63 + str(i): "v" * 256 for i in range(8)}
    client.put(bucket, "k", b"1", tagged(tags))
    assert found(client, bucket, tags) == ["k"]
    assert found(client, bucket, tags | {"a" * 63 + "7": "v" * 256 + "*"}) == ["k"]
    assert found(client, bucket, tags | {"a" * 63 + "7": "v" * 255}) == []


def test_a_cursor_belongs_to_its_question(client, filled, bucket):
    cursor = page(client, filled, {"colour": "red", "size": "*"}, prefix="a/", limit=1)["cursor"]
    # the order of the tags, and the size of pages, are no part of it
    assert client.request("GET", target_of(filled, {"size": "*", "colour": "red"}, prefix="a/", limit=2, cursor=cursor)).status == 200
    for target in (target_of(filled, {"colour": "red", "size": "*"}, prefix="b/", cursor=cursor),
                   target_of(filled, {"colour": "red", "size": "*"}, cursor=cursor),
                   target_of(filled, {"colour": "red"}, prefix="a/", cursor=cursor),
                   target_of(filled, {"colour": "red*", "size": "*"}, prefix="a/", cursor=cursor),
                   target_of(filled, {"colour": "blue", "size": "*"}, prefix="a/", cursor=cursor),
                   target_of(bucket, {"colour": "red", "size": "*"}, prefix="a/", cursor=cursor),
                   target_of(filled, {"colour": "red", "size": "*"}, prefix="a/", cursor=cursor[:-2]),
                   target_of(filled, {"colour": "red", "size": "*"}, prefix="a/", cursor=cursor + "AA"),
                   f"/v1/{filled}/scan?prefix=a%2F&cursor={cursor}"):
        assert client.request("GET", target).code == "invalid_query", target
    scanned = client.page(filled, prefix="a/", limit=1)["cursor"]
    assert client.request("GET", target_of(filled, {"colour": "red"}, prefix="a/", cursor=scanned)).code == "invalid_query"


def test_a_grant_must_cover_the_prefix(server, filled):
    with Client(server, [Grant(filled, "a/", ["scan"])]) as c:
        assert found(c, filled, {"size": "*"}, prefix="a/") == sorted(key_of(i) for i in range(0, 120, 3))
        assert found(c, filled, {"size": "*"}, prefix="a/00") == ["a/000", "a/003", "a/006", "a/009"]
        for parameters in ({}, {"prefix": ""}, {"prefix": "a"}, {"prefix": "b/"}):
            assert c.request("GET", target_of(filled, {"size": "*"}, **parameters)).code == "forbidden"
        assert c.request("GET", target_of("no-such-bucket", {"size": "*"}, prefix="a/")).code == "forbidden"
    with Client(server, [Grant(filled, "", ["get", "put", "delete", "watch"])]) as c:
        assert c.request("GET", target_of(filled, {"size": "*"})).code == "forbidden"
    answer = Client(server).connect().request("GET", target_of(filled, {"size": "*"}))
    assert answer.code == "credential_missing"


def test_what_is_asked_is_judged_in_the_protocols_order(server, client, filled):
    assert client.request("GET", target_of("no-such-bucket", {"a": "1"})).code == "bucket_not_found"
    assert client.request("GET", target_of("no-such-bucket", {"A": "1"})).code == "invalid_query"
    with Client(server, [Grant(filled, "a/", ["scan"])]) as c:
        assert c.request("GET", target_of(filled, {"A": "1"})).code == "invalid_query"
    for method in ("HEAD", "POST", "PATCH"):
        answer = client.request(method, target_of(filled, {"a": "1"}))
        assert (answer.status, answer.header("allow")) == (405, "GET")
    for method in ("PUT", "DELETE"):
        assert client.request(method, f"/v1/{filled}/query", body=b"x" if method == "PUT" else None).code == "reserved_key"
    client.put(filled, "query/x", b"")  # only the exact key is reserved
    client.delete(filled, "query/x")


def test_what_stays_is_found_once_while_others_write(client, bucket):
    stays = [f"k{i:04}" for i in range(0, 100, 2)]
    for key in stays:
        client.put(bucket, key, b"x", tagged({"colour": "red"}))
    for value in ("red", "r*"):
        seen, cursor, number = [], {}, 0
        while True:
            answer = page(client, bucket, {"colour": value}, limit=7, **cursor)
            seen += [i["key"] for i in answer["items"]]
            for i in range(3):
                client.put(bucket, f"k{(number * 37 + i) % 100 | 1:04}", b"y", tagged({"colour": ["red", "blue"][number % 2]}))
            number += 1
            if "cursor" not in answer:
                break
            cursor = {"cursor": answer["cursor"]}
        assert seen == sorted(set(seen))
        assert [k for k in seen if k in set(stays)] == stays
