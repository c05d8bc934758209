# SPDX-License-Identifier: Apache-2.0
"""Older versions of objects: listed, read, gone back to, listed as of a moment, erased (protocol, Data model, Endpoints)."""
import datetime
import itertools
import json
import os
import threading
from urllib.parse import quote

import pytest

from wfltest import Client, Grant, wait_until
from wfltest.client import path_of

names = (f"ver-{n}" for n in itertools.count(1))
NEVER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.fixture
def kept(client):
    """A bucket that keeps every version."""
    bucket = next(names)
    client.make_bucket(bucket, b'{"versions":-1}')
    return bucket


def versions(client, bucket, key="k", status=200):
    answer = client.expect(status, "GET", path_of(bucket, key) + "?versions")
    return answer.json["versions"] if status == 200 else answer.code


def as_of(client, bucket, key="k", status=200, method="GET", headers=(), **parameters):
    query = "&".join(f"{n}={quote(v, safe='')}" for n, v in parameters.items())
    return client.expect(status, method, f"{path_of(bucket, key)}?{query}", headers)


def erase(client, bucket, version, key="k", status=204):
    return client.expect(status, "DELETE", f"{path_of(bucket, key)}?version={version}")


def ms_of(version):
    n = 0
    for c in version[:10]:
        n = n * 32 + CROCKFORD.index(c)
    return n


def time_of(ms, decimals="{:03}", rest=""):
    at = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + decimals.format(ms % 1000) + rest + "Z"


def put(client, bucket, body, key="k", headers=()):
    return client.put(bucket, key, body, headers).json["version"]


# ---- the list

def test_versions_are_listed_newest_first_with_tombstones(client, kept):
    one = client.put(kept, "k", b"first").json
    gone = client.delete(kept, "k").header("x-wfldb-version")
    two = client.put(kept, "k", b"x" * 100_000).json
    listed = versions(client, kept)
    assert listed == [
        {"version": two["version"], "op": "put", "size": 100_000, "blake3": two["blake3"], "modified": time_of(ms_of(two["version"]))},
        {"version": gone, "op": "delete", "modified": time_of(ms_of(gone))},
        {"version": one["version"], "op": "put", "size": 5, "blake3": one["blake3"], "modified": time_of(ms_of(one["version"]))}]
    client.delete(kept, "k")
    assert [v["op"] for v in versions(client, kept)] == ["delete", "put", "delete", "put"]
    assert versions(client, kept, "K", 404) == "key_not_found"
    assert versions(client, kept, "k/", 404) == "key_not_found"


@pytest.mark.parametrize("settings, left", [({}, 1), ({"versions": 0}, 1), ({"versions": 1}, 2), ({"versions": 3}, 4), ({"versions": -1}, 7),
                                            ({"versions": -1, "retain_seconds": 0}, 1), ({"versions": 3, "retain_seconds": 3600}, 4)], ids=str)
def test_as_many_are_left_as_the_settings_say(client, settings, left):
    bucket = next(names)
    client.make_bucket(bucket, json.dumps(settings).encode())
    made = [put(client, bucket, b"%d" % i) for i in range(7)]
    assert [v["version"] for v in versions(client, bucket)] == made[::-1][:left]
    for i, version in enumerate(made):
        answer = client.request("GET", f"{path_of(bucket, 'k')}?version={version}")
        if i >= 7 - left:
            assert (answer.status, answer.body) == (200, b"%d" % i)
        else:
            assert (answer.status, answer.code) == (404, "version_not_found")
            at = client.request("GET", f"{path_of(bucket, 'k')}?at={version}")
            assert (at.status, at.code) == (410, "cursor_expired")


# ---- one of them

CONTENTS = [b"", b"small", os.urandom(2000), os.urandom(70_000), os.urandom(2_500_000)]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda c: f"{len(c)}B")
def test_an_old_version_is_answered_as_it_was(client, kept, content):
    headers = [("Content-Type", "text/x"), ("X-WflDB-Meta-M", "1"), ("X-WflDB-Tag-T", "old")]
    old = client.put(kept, "k", content, headers)
    new = put(client, kept, b"new")
    version = old.json["version"]
    for parameters in ({"version": version}, {"at": version}):
        answer = as_of(client, kept, **parameters)
        assert answer.body == content
        assert answer.header("etag") == f'"{version}"' and answer.header("x-wfldb-version") == version
        assert answer.header("x-wfldb-content-blake3") == old.json["blake3"]
        assert [answer.header(h) for h in ("content-type", "x-wfldb-meta-m", "x-wfldb-tag-t")] == ["text/x", "1", "old"]
        head = as_of(client, kept, method="HEAD", **parameters)
        assert head.body == b"" and head.header("content-length") == str(len(content)) and head.header("etag") == f'"{version}"'
        if len(content) > 10:
            part = as_of(client, kept, status=206, headers=[("Range", f"bytes=3-{len(content) - 4}")], **parameters)
            assert part.body == content[3:-3]
            assert as_of(client, kept, status=416, headers=[("Range", f"bytes={len(content)}-")], **parameters).code == "range_not_satisfiable"
        as_of(client, kept, status=304, headers=[("If-None-Match", f'"{version}"')], **parameters)
        as_of(client, kept, status=200, headers=[("If-None-Match", f'"{new}"')], **parameters)
        assert as_of(client, kept, status=412, headers=[("If-Match", f'"{new}"')], **parameters).code == "precondition_failed"
        as_of(client, kept, status=200, headers=[("If-Match", f'"{version}"')], **parameters)
    assert as_of(client, kept, version=new).body == b"new"
    client.delete(kept, "k")
    assert as_of(client, kept, version=version).body == content


def test_versions_that_are_none(client, kept):
    version = put(client, kept, b"x")
    gone = client.delete(kept, "k").header("x-wfldb-version")
    put(client, kept, b"y", "other")
    for key, wanted in (("k", gone), ("k", NEVER), ("other", version), ("none", version)):
        for method in ("GET", "DELETE") if wanted != gone else ("GET",):
            answer = client.request(method, f"{path_of(kept, key)}?version={wanted}")
            assert (answer.status, answer.code) == (404, "version_not_found")
    assert client.request("GET", f"{path_of('no-such-bucket', 'k')}?version={version}").code == "bucket_not_found"
    assert [v["op"] for v in versions(client, kept)] == ["delete", "put"]


def test_a_multipart_object_and_its_successor(client, kept):
    parts = [os.urandom(1 << 20), os.urandom(1 << 20), b"end"]
    upload = client.expect(201, "POST", path_of(kept, "k") + "?multipart=start", body=b"").json["upload"]
    done = [client.expect(200, "PUT", path_of(kept, "k") + f"?upload={upload}&part={i + 1}", body=p).json for i, p in enumerate(parts)]
    body = json.dumps({"parts": [{"part": p["part"], "blake3": p["blake3"]} for p in done]}).encode()
    version = client.expect(201, "POST", path_of(kept, "k") + f"?upload={upload}", body=body).json["version"]
    new = put(client, kept, b"new")
    assert as_of(client, kept, version=version).body == b"".join(parts)
    assert as_of(client, kept, status=206, version=version, headers=[("Range", "bytes=1048570-1048585")]).body == b"".join(parts)[1048570:1048586]
    erase(client, kept, new)
    assert client.get(kept, "k").body == b"".join(parts)


# ---- moments

def test_a_moment_is_a_version_or_a_time(client, kept):
    before = client.put(kept, "other", b"x").json["version"]
    one = put(client, kept, b"one")
    wait_until(lambda: ms_of(put(client, kept, b"x", "clock")) > ms_of(one) + 2, "time goes by")
    two = put(client, kept, b"two")
    wait_until(lambda: ms_of(put(client, kept, b"x", "clock")) > ms_of(two) + 2, "time goes by")
    gone = client.delete(kept, "k").header("x-wfldb-version")
    middle = put(client, kept, b"x", "clock")
    wait_until(lambda: ms_of(put(client, kept, b"x", "clock")) > ms_of(gone) + 2, "time goes by")
    put(client, kept, b"three")
    for at, body in ((one, b"one"), (two, b"two"), (before, None), (gone, None), (middle, None), ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", b"three"),
                     (time_of(ms_of(one)), b"one"), (time_of(ms_of(one), rest="5"), b"one"), (time_of(ms_of(two) - 1, rest="999999"), b"one"),
                     (time_of(ms_of(two)), b"two"), (time_of(ms_of(gone)), None), (time_of(ms_of(one) - 1000), None),
                     ("2999-01-01T00:00:00Z", b"three"), ("1971-01-01T00:00:00Z", None), (NEVER, None)):
        answer = client.request("GET", f"{path_of(kept, 'k')}?at={quote(at, safe='')}")
        assert (answer.status, answer.body if answer.status == 200 else answer.code) == \
            ((200, body) if body is not None else (404, "key_not_found")), at


def test_a_moment_before_what_is_kept(client, bucket):
    one = put(client, bucket, b"one")
    two = put(client, bucket, b"two")
    assert as_of(client, bucket, at=two).body == b"two"
    assert as_of(client, bucket, status=410, at=one).code == "cursor_expired"
    assert as_of(client, bucket, "none", 410, at=one).code == "cursor_expired"
    assert as_of(client, bucket, "none", 404, at=two).code == "key_not_found"
    assert client.request("GET", f"/v1/{bucket}/scan?at={one}").code == "cursor_expired"
    assert [i["version"] for i in client.page(bucket, at=two)["items"]] == [two]


@pytest.mark.parametrize("method, query, code", [
    ("GET", "version=", "invalid_version"), ("GET", "version=x", "invalid_version"), ("GET", "version=" + NEVER.lower(), "invalid_version"),
    ("GET", "version=8" + NEVER[1:], "invalid_version"), ("GET", f"version={NEVER}0", "invalid_version"), ("DELETE", "version=x", "invalid_version"),
    ("GET", "at=", "invalid_query"), ("GET", "at=yesterday", "invalid_query"), ("GET", "at=2026-13-01T00:00:00Z", "invalid_query"),
    ("GET", "at=2026-11-24", "invalid_query"), ("DELETE", f"at={NEVER}", "invalid_query"), ("PUT", f"at={NEVER}", "invalid_query"),
    ("PUT", f"version={NEVER}", "invalid_query"), ("PUT", "versions", "invalid_query"), ("DELETE", "versions", "invalid_query"),
    ("HEAD", "versions", "invalid_query"), ("GET", "versions=1", "invalid_query"), ("GET", f"version={NEVER}&at={NEVER}", "invalid_query"),
    ("GET", f"versions&at={NEVER}", "invalid_query"), ("GET", f"version={NEVER}&version={NEVER}", "invalid_query"),
    ("GET", f"version={NEVER}&x=1", "invalid_query"), ("GET", f"version={NEVER}&upload={NEVER}", "invalid_query"),
    ("DELETE", f"version={NEVER}&upload={NEVER}", "invalid_query"), ("GET", f"Version={NEVER}", "invalid_query"),
])
def test_what_does_not_go_together(client, bucket, method, query, code):
    version = put(client, bucket, b"x")
    answer = client.request(method, f"{path_of(bucket, 'k')}?{query}", body=b"y" if method == "PUT" else None)
    assert answer.status == 400
    assert method == "HEAD" or answer.code == code
    assert client.get(bucket, "k").header("x-wfldb-version") == version


def test_the_past_needs_what_the_present_needs(client, server, kept):
    version = put(client, kept, b"x", "a/k")
    put(client, kept, b"y", "a/k")
    with Client(server, [Grant(kept, "b/", ["get", "put", "delete", "scan"]), Grant(kept, "a/", ["put", "scan"])], http=client.http) as other:
        for query in ("versions", f"version={version}", f"at={version}", f"version={NEVER}"):
            assert other.request("GET", f"{path_of(kept, 'a/k')}?{query}").code == "forbidden"
            assert other.request("GET", f"{path_of('no-such-bucket', 'a/k')}?{query}").code == "forbidden"
        assert other.request("DELETE", f"{path_of(kept, 'a/k')}?version={version}").code == "forbidden"
    with Client(server, [Grant(kept, "", ["get"])], http=client.http) as reader:
        assert as_of(reader, kept, "a/k", version=version).body == b"x"
        assert reader.request("DELETE", f"{path_of(kept, 'a/k')}?version={version}").code == "forbidden"


# ---- erasing

@pytest.mark.parametrize("content", CONTENTS, ids=lambda c: f"{len(c)}B")
def test_erasing_the_current_version_brings_back_the_one_before(client, kept, content):
    tag = [("X-WflDB-Tag-Colour", "red")]
    one = put(client, kept, content, headers=tag)
    two = put(client, kept, b"two", headers=[("X-WflDB-Tag-Colour", "blue")])
    erased = erase(client, kept, two)
    info = client.expect(200, "GET", path_of(kept)).json
    assert (info["objects"], info["bytes"]) == (1, len(content))
    assert info["version"] == erased.header("x-wfldb-version") > two
    answer = client.get(kept, "k")
    assert answer.body == content and answer.header("etag") == f'"{one}"'
    assert [v["version"] for v in versions(client, kept)] == [one]
    for colour, keys in (("red", ["k"]), ("blue", [])):
        assert [i["key"] for i in client.expect(200, "GET", f"/v1/{kept}/query?tag.colour={colour}").json["items"]] == keys
    assert as_of(client, kept, at=two).header("etag") == f'"{one}"'
    assert erase(client, kept, two, status=404).code == "version_not_found"
    erase(client, kept, one)
    assert client.get(kept, "k", 404).code == "key_not_found"
    assert versions(client, kept, status=404) == "key_not_found"
    client.expect(204, "DELETE", path_of(kept))


def test_erasing_a_tombstone_and_what_lies_in_the_middle(client, kept):
    one, two = put(client, kept, b"one"), put(client, kept, b"two")
    gone = client.delete(kept, "k").header("x-wfldb-version")
    erase(client, kept, one)
    assert [v["version"] for v in versions(client, kept)] == [gone, two]
    assert client.get(kept, "k", 404).code == "key_not_found"
    erase(client, kept, gone)
    assert client.get(kept, "k").body == b"two"
    assert client.expect(200, "GET", path_of(kept)).json["objects"] == 1
    three = put(client, kept, b"three")
    erase(client, kept, two)
    assert client.get(kept, "k").header("etag") == f'"{three}"'
    client.delete(kept, "k")
    erase(client, kept, three)
    assert [v["op"] for v in versions(client, kept)] == ["delete"]
    assert client.put(kept, "k", b"four", [("If-None-Match", "*")]).status == 201


def test_one_of_many_erasers_wins(server):
    bucket = next(names)
    with Client(server) as owner:
        owner.make_bucket(bucket, b'{"versions":-1}')
        for _ in range(10):
            one, two = put(owner, bucket, b"1"), put(owner, bucket, b"2")
            codes, barrier = [], threading.Barrier(4)

            def turn():
                with Client(server) as c:
                    c.connect()
                    barrier.wait(30)
                    codes.append(c.request("DELETE", f"{path_of(bucket, 'k')}?version={two}").status)
            threads = [threading.Thread(target=turn) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert sorted(codes) == [204, 404, 404, 404]
            assert owner.get(bucket, "k").header("etag") == f'"{one}"'


def test_erasing_and_putting_at_once_lose_nothing(server):
    bucket = next(names)
    with Client(server) as owner:
        owner.make_bucket(bucket, b'{"versions":-1}')
        made, stop = [], threading.Event()

        def write():
            with Client(server) as c:
                while not stop.is_set():
                    made.append(put(c, bucket, b"x" * 2000, headers=[("X-WflDB-Durability", "buffered")]))
        thread = threading.Thread(target=write)
        thread.start()
        erased = set()
        while len(erased) < 40:
            newest = versions(owner, bucket)[0]["version"] if made else None
            if newest is None:
                continue
            erase(owner, bucket, newest)
            erased.add(newest)
        stop.set()
        thread.join()
        assert {v["version"] for v in versions(owner, bucket)} == set(made) - erased
        info = owner.expect(200, "GET", path_of(bucket)).json
        assert (info["objects"], info["bytes"]) == ((1, 2000) if set(made) - erased else (0, 0))


# ---- listings of the past

def test_a_listing_of_a_moment(client, kept):
    for key in ("a/1", "a/2", "b", "c/1"):
        put(client, kept, b"old", key)
    moment = client.delete(kept, "b").header("x-wfldb-version")
    put(client, kept, b"new", "a/1")
    for key in ("a/2", "c/1"):
        client.delete(kept, key)
    put(client, kept, b"late", "d/1")
    page = client.page(kept, at=moment, include="value")
    assert [(i["key"], i["value"]) for i in page["items"]] == [("a/1", "b2xk"), ("a/2", "b2xk"), ("c/1", "b2xk")]
    assert page["at"] == moment and "cursor" not in page
    assert client.scan(kept, at=moment, delimiter="/", limit=1) == ([], ["a/", "c/"])
    assert client.scan(kept, at=moment, delimiter="/", limit=1, reverse="true") == ([], ["c/", "a/"])
    assert [i["key"] for i in client.scan(kept, at=moment, after="a/1", end="c/")[0]] == ["a/2"]
    assert [i["key"] for i in client.scan(kept)[0]] == ["a/1", "d/1"]
    for at in ("", "x", "2026-11-24"):
        assert client.request("GET", f"/v1/{kept}/scan?at={at}").code == "invalid_query"


def test_a_bucket_of_the_same_name_has_no_past(client, kept):
    version = put(client, kept, b"secret")
    client.delete(kept, "k")
    client.expect(204, "DELETE", path_of(kept))
    client.make_bucket(kept, b'{"versions":-1}')
    assert versions(client, kept, status=404) == "key_not_found"
    as_of(client, kept, status=404, version=version)
    assert client.request("GET", f"{path_of(kept, 'k')}?at={version}").status in (404, 410)
    put(client, kept, b"new")
    assert len(versions(client, kept)) == 1
    assert [i["version"] for i in client.page(kept)["items"]] != [version]
