# SPDX-License-Identifier: Apache-2.0
"""Batches: all of it or nothing, in one bucket and across buckets (protocol, Batches)."""
import base64
import json
import os
import random
import re
import threading

import pytest

from wfltest import Client, Grant, Server, wait_until
from wfltest.client import path_of

MIB = 1 << 20
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
NEVER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def send(client, bucket, ops, headers=(), **sign):
    return client.request("POST", f"/v1/{bucket or '-'}/batch", headers, json.dumps({"ops": ops}).encode(), **sign)


def batch(client, bucket, *ops, headers=()):
    """Done, or the test fails. The results."""
    answer = send(client, bucket, list(ops), headers)
    assert answer.status == 200, answer
    assert answer.header("content-type") == "application/json" and set(answer.json) == {"results"}
    results = answer.json["results"]
    assert [r["key"] for r in results] == [op["key"] for op in ops]
    versions = [r["version"] for r, op in zip(results, ops) if op["op"] != "check"]
    assert versions == sorted(set(versions)) and all(ULID.fullmatch(v) for v in versions)
    return results


def refused(client, bucket, *ops, failed=None):
    answer = send(client, bucket, list(ops))
    assert answer.status >= 400, answer
    assert answer.json.get("failed") == failed, answer
    return answer.status, answer.code


def put(key, value="x", **more):
    return {"op": "put", "key": key, "value": value, **more}


def delete(key, **more):
    return {"op": "delete", "key": key, **more}


def copy(source, key, **more):
    return {"op": "copy", "from": source, "key": key, **more}


def check(key, condition):
    return {"op": "check", "key": key, "if": condition}


def contents(client, bucket):
    return {item["key"]: base64.b64decode(item["value"]) for item in client.scan(bucket, include="value", limit=1000)[0]}


def state(client, *buckets):
    return [(client.scan(b, include="value,meta,tags")[0], client.expect(200, "GET", path_of(b)).json) for b in buckets]


# ---- what a batch does


def test_all_kinds_of_ops_happen_together(client, bucket):
    client.put(bucket, "c", b"gone")
    client.put(bucket, "e", b"copied", [("Content-Type", "a/b"), ("X-WflDB-Meta-M", "1"), ("X-WflDB-Tag-T", "2")])
    there = client.put(bucket, "d", b"there").json["version"]
    results = batch(
        client, bucket, put("a", "téxt \0"),
        {"op": "put", "key": "b", "base64": "AAE=", "content_type": "c/d", "meta": {"x": "y"}, "tags": {"u": "v"}},
        delete("c"), copy("e", "f"), check("d", there), put("ä/b c", ""))
    assert set(results[4]) == {"key"}
    assert contents(client, bucket) == {"a": "téxt \0".encode(), "b": b"\0\1", "d": b"there", "e": b"copied",
                                        "f": b"copied", "ä/b c": b""}
    a, b, f = (client.get(bucket, key) for key in "abf")
    assert a.header("content-type") == "application/octet-stream"
    assert a.header("x-wfldb-version") == results[0]["version"]
    assert [b.header(n) for n in ("content-type", "x-wfldb-meta-x", "x-wfldb-tag-u")] == ["c/d", "y", "v"]
    assert [f.header(n) for n in ("content-type", "x-wfldb-meta-m", "x-wfldb-tag-t")] == ["a/b", "1", "2"]
    assert f.header("x-wfldb-version") == results[3]["version"]
    assert f.header("x-wfldb-content-blake3") == client.get(bucket, "e").header("x-wfldb-content-blake3")
    bucket_now = client.expect(200, "GET", path_of(bucket)).json
    assert (bucket_now["objects"], bucket_now["version"]) == (6, results[5]["version"])
    assert client.put(bucket, "later", b"").json["version"] > results[5]["version"]


def test_a_batch_across_buckets(client, bucket):
    other = bucket + "-other"
    client.make_bucket(other)
    client.put(other, "from", b"of the other")
    client.put(bucket, "from", b"of the first")
    results = batch(client, None, put("k", "1", bucket=bucket), put("k", "2", bucket=other),
                    copy("from", "to", bucket=other), copy("from", "to", bucket=bucket), delete("from", bucket=other),
                    dict(check("none", None), bucket=bucket))
    assert [r["bucket"] for r in results] == [bucket, other, other, bucket, other, bucket]
    assert contents(client, bucket) == {"k": b"1", "from": b"of the first", "to": b"of the first"}
    assert contents(client, other) == {"k": b"2", "to": b"of the other"}
    client.delete(other, "k")
    client.delete(other, "to")
    client.expect(204, "DELETE", path_of(other))
    before = state(client, bucket)
    assert refused(client, None, put("k", "3", bucket=bucket), put("k", bucket=other), failed=[1]) == (404, "bucket_not_found")
    assert state(client, bucket) == before


@pytest.mark.parametrize("size", [0, 5, 1024, 1025, 65536, 65537, 3 * MIB + 7])
def test_a_rename_and_a_swap(client, bucket, size):
    """Sources are those before the batch, whatever the order of ops, and of any size."""
    one, two = os.urandom(size), os.urandom(size)
    client.put(bucket, "one", one)
    client.put(bucket, "two", two)
    batch(client, bucket, delete("one"), copy("one", "renamed"))
    client.get(bucket, "one", 404)
    batch(client, bucket, copy("renamed", "two"), copy("two", "renamed"))
    assert (client.get(bucket, "renamed").body, client.get(bucket, "two").body) == (two, one)
    batch(client, bucket, copy("two", "two", meta={"again": "1"}))
    again = client.get(bucket, "two")
    assert (again.body, again.header("x-wfldb-meta-again")) == (one, "1")
    assert client.expect(200, "GET", path_of(bucket)).json["bytes"] == 2 * size
    batch(client, bucket, *(copy("two", f"copy-{i}") for i in range(20)), delete("two"))
    client.delete(bucket, "renamed")
    assert all(client.get(bucket, f"copy-{i}").body == one for i in (0, 19))


def test_copied_content_is_there_once_and_goes_with_its_last_name(client, bucket, server):
    before = server.metrics()["live_bytes"]
    content = os.urandom(2 * MIB + 5)
    client.put(bucket, "source", content)
    held = server.metrics()["live_bytes"]
    assert held >= before + len(content)
    batch(client, bucket, *(copy("source", f"c{i}") for i in range(50)))
    assert server.metrics()["live_bytes"] == held
    assert client.expect(200, "GET", path_of(bucket)).json["bytes"] == 51 * len(content)
    batch(client, bucket, delete("source"), *(delete(f"c{i}") for i in range(49)))
    assert client.get(bucket, "c49").body == content
    batch(client, bucket, delete("c49"))
    wait_until(lambda: server.metrics()["live_bytes"] == before, lambda: server.metrics()["live_bytes"])


@pytest.mark.parametrize("meta, tags", [(None, None), ({}, None), (None, {}), ({"n": "2"}, None), (None, {"t": "2"}),
                                        ({"n": "2"}, {"t": "2"})])
def test_a_copy_takes_the_pairs_that_are_not_given(client, bucket, meta, tags):
    client.put(bucket, "from", b"x", [("X-WflDB-Meta-m", "1"), ("X-WflDB-Tag-s", "1")])
    given = {n: v for n, v in (("meta", meta), ("tags", tags)) if v is not None}
    batch(client, bucket, copy("from", "to", **given))
    item = client.page(bucket, prefix="to", include="meta,tags")["items"][0]
    assert item["meta"] == ({"m": "1"} if meta is None else meta)
    assert item["tags"] == ({"s": "1"} if tags is None else tags)


@pytest.mark.parametrize("size", [5, 2000, 2 * MIB])
def test_a_copy_of_an_older_version(client, bucket, size):
    bucket += "-versions"
    client.make_bucket(bucket, b'{"versions":1}')
    bodies = [os.urandom(size) for _ in range(3)]
    versions = [client.put(bucket, "k", body).json["version"] for body in bodies]
    assert refused(client, bucket, copy("k", "to", from_version=versions[0]), failed=[0]) == (404, "version_not_found")
    batch(client, bucket, copy("k", "to", from_version=versions[1]), copy("k", "same", from_version=versions[2]))
    assert (client.get(bucket, "to").body, client.get(bucket, "same").body) == (bodies[1], bodies[2])
    batch(client, bucket, copy("k", "k", from_version=versions[1]))
    assert client.get(bucket, "k").body == bodies[1]
    tombstone = client.delete(bucket, "k").header("x-wfldb-version")
    for version in (tombstone, NEVER):
        assert refused(client, bucket, put("n"), copy("k", "to", from_version=version),
                       failed=[1]) == (404, "version_not_found")
    assert client.get(bucket, "to").body == bodies[1]


# ---- conditions


def test_conditions_are_judged_together_and_all_told(client, bucket):
    versions = {key: client.put(bucket, key, key.encode()).json["version"] for key in "abc"}
    holds = [put("a", **{"if": versions["a"]}), delete("b", **{"if": "*"}), copy("c", "n", **{"if": None}),
             check("c", versions["c"]), check("none", None)]
    fails = [put("a", **{"if": versions["b"]}), delete("b", **{"if": NEVER}), copy("c", "c", **{"if": None}),
             check("none", "*"), check("none", NEVER), put("none", **{"if": "*"}), delete("none", **{"if": "*"})]
    before = state(client, bucket)
    for op in fails:
        assert refused(client, bucket, op, put("other"), failed=[0]) == (412, "precondition_failed")
        assert refused(client, bucket, put("other"), op, failed=[1]) == (412, "precondition_failed")
    ops = [holds[0], fails[1], holds[2], fails[2], fails[3], holds[3], fails[5]]
    assert refused(client, bucket, *ops, failed=[1, 3, 4, 6]) == (412, "precondition_failed")
    assert state(client, bucket) == before
    batch(client, bucket, *holds)
    assert contents(client, bucket) == {"a": b"x", "c": b"c", "n": b"c"}
    assert refused(client, bucket, *holds[:2], failed=[0, 1]) == (412, "precondition_failed")


def test_conditions_see_the_state_before_the_batch(client, bucket):
    first = batch(client, bucket, put("a"), check("a", None))[0]["version"]
    batch(client, bucket, delete("a"), check("a", first), check("a", "*"))
    assert contents(client, bucket) == {}


def test_headers_of_single_requests_do_not_judge_a_batch(client, bucket):
    for header in (("If-Match", f'"{NEVER}"'), ("If-None-Match", "*")):
        batch(client, bucket, put("k"), headers=[header])


@pytest.mark.parametrize("ops, failed, code", [
    ([delete("none")], 0, "key_not_found"), ([copy("none", "k")], 0, "key_not_found"),
    ([delete("none", **{"if": None})], 0, "key_not_found"),
    ([copy("there", "k", from_version=NEVER)], 0, "version_not_found"),
    ([copy("none", "k", from_version=NEVER)], 0, "version_not_found"),
    ([put("n"), copy("n", "m")], 1, "key_not_found"), ([put("n"), delete("there"), delete("none")], 2, "key_not_found"),
])
def test_what_an_op_needs_must_be_there_before_the_batch(client, bucket, ops, failed, code):
    client.put(bucket, "there", b"x")
    before = state(client, bucket)
    assert refused(client, bucket, *ops, failed=[failed]) == (404, code)
    assert state(client, bucket) == before


# ---- limits of the bucket and of the packet


def test_quotas_are_judged_of_the_whole(client, bucket):
    bucket += "-quotas"
    client.make_bucket(bucket, b'{"quota_objects":3,"quota_bytes":30,"max_object_bytes":20}')
    batch(client, bucket, put("a", "a" * 10), put("b", "b" * 10), put("c", "c" * 10))
    before = state(client, bucket)
    for ops in ([put("d", "")], [copy("a", "d")], [delete("a"), put("d", ""), put("e", "")],
                [put("a", "a" * 11)], [put("a", "a" * 20), put("b", "b")], [delete("a"), copy("b", "d"), put("c", "c" * 11)]):
        answer = send(client, bucket, ops)
        assert (answer.status, answer.code) == (507, "quota_exceeded"), ops
        assert state(client, bucket) == before
    assert refused(client, bucket, put("a", ""), put("b", "b" * 21), failed=[1]) == (413, "object_too_large")
    assert state(client, bucket) == before
    # In between it would be over, in the end it is not.
    batch(client, bucket, put("d", "d" * 10), put("b", "b" * 20), delete("a"), delete("c"))
    assert contents(client, bucket) == {"d": b"d" * 10, "b": b"b" * 20}


def test_the_packets_limit_holds_for_puts_and_copies(client, server, bucket):
    client.put(bucket, "large", b"x" * 101)
    with Client(server, limits={"max_object_bytes": 100}) as limited:
        batch(limited, bucket, put("k", "x" * 100))
        for op in (put("k", "x" * 101), copy("large", "k")):
            assert refused(limited, bucket, check("none", None), op, failed=[1]) == (413, "object_too_large")
    assert client.get(bucket, "k").body == b"x" * 100


# ---- what is no batch

BAD = {
    "no op at all": [],
    "op is no object": [1],
    "op has no kind": [{"key": "k", "value": "x"}],
    "unknown kind": [{"op": "move", "key": "k"}],
    "kind is no text": [{"op": 1, "key": "k"}],
    "no key": [{"op": "put", "value": "x"}],
    "key is no text": [put(5)],
    "unknown member": [put("k", extra=1)],
    "bucket in a batch of one bucket": [put("k", bucket="photos")],
    "no content": [{"op": "put", "key": "k"}],
    "two contents": [put("k", base64="")],
    "value is no text": [put("k", 5)],
    "value is null": [put("k", None)],
    "base64 is no text": [{"op": "put", "key": "k", "base64": 5}],
    "base64 without padding": [{"op": "put", "key": "k", "base64": "AAE"}],
    "base64 of another alphabet": [{"op": "put", "key": "k", "base64": "_-8="}],
    "base64 with bits left over": [{"op": "put", "key": "k", "base64": "AAF="}],
    "base64 with a space": [{"op": "put", "key": "k", "base64": "AA E="}],
    "content_type is no text": [put("k", content_type=None)],
    "empty content_type": [put("k", content_type="")],
    "content_type with a line": [put("k", content_type="a/b\r\nX: y")],
    "long content_type": [put("k", content_type="a" * 256)],
    "meta is a list": [put("k", meta=[])],
    "meta of another type": [put("k", meta={"a": 1})],
    "name of meta in capitals": [put("k", meta={"A": "1"})],
    "empty name of meta": [put("k", meta={"": "1"})],
    "long name of meta": [put("k", meta={"a" * 65: "1"})],
    "value of meta not ASCII": [put("k", meta={"a": "ä"})],
    "value of meta with a line": [put("k", meta={"a": "x\ny"})],
    "value of meta with a space at its end": [put("k", meta={"a": "x "})],
    "too much meta": [put("k", meta={"a": "x" * 4096, "b": "x" * 4096})],
    "too many of meta": [put("k", meta={f"a{i}": "" for i in range(101)})],
    "too many pairs": [put("k", meta={f"a{i}": "" for i in range(80)}, tags={f"a{i}": "x" for i in range(21)})],
    "tags are no object": [put("k", tags="a")],
    "empty tag": [put("k", tags={"a": ""})],
    "long tag": [put("k", tags={"a": "x" * 257})],
    "too many tags": [put("k", tags={f"a{i}": "x" for i in range(33)})],
    "if is no ULID": [put("k", **{"if": "x"})],
    "if is a number": [put("k", **{"if": 1})],
    "if is a list": [put("k", **{"if": [NEVER]})],
    "if is false": [put("k", **{"if": False})],
    "check of nothing": [{"op": "check", "key": "k"}],
    "check with a value": [dict(check("k", "*"), value="x")],
    "delete with a value": [delete("k", value="x")],
    "delete with meta": [delete("k", meta={})],
    "copy from nothing": [{"op": "copy", "key": "k"}],
    "copy with a value": [copy("a", "k", value="x")],
    "copy with a content_type": [copy("a", "k", content_type="a/b")],
    "put with from": [put("k", **{"from": "a"})],
    "from is no text": [copy(5, "k")],
    "from_version is no ULID": [copy("a", "k", from_version="x")],
    "from_version is null": [copy("a", "k", from_version=None)],
    "put with from_version": [put("k", from_version=NEVER)],
    "two puts of a key": [put("k"), put("j"), put("k")],
    "put and delete of a key": [put("k"), delete("k")],
    "copy to a key that is put": [copy("a", "k"), check("k", None), put("k")],
}
BAD_NAMES = {
    "empty key": (put(""), "invalid_key"),
    "key too long": (put("k" * 1025), "invalid_key"),
    "dots in a key": (delete("a/../b"), "invalid_key"),
    "a control character": (check("a\n", None), "invalid_key"),
    "NUL in a key": (put("a\0b"), "invalid_key"),
    "an empty source": (copy("", "k"), "invalid_key"),
    "a source with dots": (copy("./a", "k"), "invalid_key"),
    "reserved": (put("batch"), "reserved_key"),
    "reserved source": (copy("scan", "k"), "reserved_key"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_batchs_form_is_refused(client1, bucket, name):
    ops = BAD[name]
    assert refused(client1, bucket, *ops) == (400, "invalid_batch")
    if not name.startswith(("no op", "bucket")):  # in any place, and among buckets too
        good = [put(f"good-{i}") for i in range(3)]
        assert refused(client1, bucket, *good, *ops) == (400, "invalid_batch")
        named = [dict(op, bucket=bucket) if isinstance(op, dict) else op for op in good + ops]
        assert refused(client1, None, *named) == (400, "invalid_batch")
    assert contents(client1, bucket) == {}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_are_judged_as_in_single_requests(client1, bucket, name):
    op, code = BAD_NAMES[name]
    assert refused(client1, bucket, put("good"), op) == (400, code)
    assert contents(client1, bucket) == {}


def test_across_buckets_each_op_names_a_bucket(client, bucket):
    assert refused(client, None, put("k", bucket=bucket), put("j")) == (400, "invalid_batch")
    assert refused(client, None, put("k", bucket=5)) == (400, "invalid_batch")
    for name in ("", "-", "A-bucket", "ab", "a..b", "a/b"):
        assert refused(client, None, put("k", bucket=bucket), put("j", bucket=name)) == (400, "invalid_bucket"), name
    assert contents(client, bucket) == {}


@pytest.mark.parametrize("text, code", [
    (b"", "invalid_json"), (b"x", "invalid_json"), (b'{"ops":[', "invalid_json"), (b'{"ops":[]} x', "invalid_json"),
    (b'{"ops":[],"ops":[]}', "invalid_json"), (b'{"ops":["\xff"]}', "invalid_json"), (b'\xef\xbb\xbf{"ops":[]}', "invalid_json"),
    (b'{"ops":[{"op":"put","key":"k","value":"x","value":"y"}]}', "invalid_json"), (b'{"ops":["\\ud800"]}', "invalid_json"),
    (b"[]", "invalid_batch"), (b"null", "invalid_json"), (b"{}", "invalid_batch"), (b'{"ops":{}}', "invalid_batch"),
    (b'{"ops":[{"op":"put","key":"k","value":"x"}],"more":1}', "invalid_batch"),
    (b'{"ops":' + b"[" * 20 + b"]" * 20 + b"}", "invalid_batch"), (b"[" * 100_000, "invalid_batch"),
])
def test_texts_that_are_no_batch(client, bucket, text, code):
    answer = client.request("POST", f"/v1/{bucket}/batch", body=text)
    assert (answer.status, answer.code) == (400, code)


def test_the_target(client, bucket):
    for where in (f"/v1/{bucket}/batch", "/v1/-/batch"):
        for method in ("GET", "PATCH", "HEAD") + (("PUT", "DELETE") if "-/" in where else ()):
            answer = client.request(method, where, body=b"" if method in ("PATCH", "PUT") else None)
            assert (answer.status, answer.header("allow")) == (405, "POST"), (method, where)
        answer = client.request("POST", where + "?x=1", body=b'{"ops":[]}')
        assert (answer.status, answer.code) == (400, "invalid_query")
    assert client.request("PUT", f"/v1/{bucket}/batch", body=b"").code == "reserved_key"


def test_the_body_has_the_hash_that_was_declared(client, bucket):
    body = json.dumps({"ops": [put("k")]}).encode()
    for hash_header in ("X-WflDB-Content-BLAKE3", "X-WflDB-Content-SHA256"):
        answer = client.request("POST", f"/v1/{bucket}/batch", [(hash_header, "0" * 64)], body, content=None)
        assert (answer.status, answer.code) == (400, "content_mismatch")
    assert contents(client, bucket) == {}


@pytest.mark.parametrize("value, status", [("buffered", 200), ("durable", 400), ("", 400)])
def test_durability_is_the_requests(client, bucket, value, status):
    answer = send(client, bucket, [put("k")], [("X-WflDB-Durability", value)])
    assert (answer.status, answer.code) == (status, "" if status == 200 else "invalid_header")


# ---- sizes


def test_a_thousand_ops_and_no_more(client, bucket):
    results = batch(client, bucket, *(put(f"k{i:04}", str(i)) for i in range(1000)))
    assert len(results) == 1000
    assert contents(client, bucket) == {f"k{i:04}": str(i).encode() for i in range(1000)}
    assert refused(client, bucket, *(put(f"n{i}") for i in range(1001))) == (413, "batch_too_large")
    answer = send(client, bucket, [check(f"n{i}", "*") for i in range(1000)])
    assert (answer.status, answer.json["failed"]) == (412, list(range(1000)))
    batch(client, bucket, *(copy(f"k{i:04}", f"k{(i + 1) % 1000:04}", **{"if": r["version"]})
                            for i, r in enumerate(results[1:] + results[:1])))
    assert contents(client, bucket) == {f"k{i:04}": str((i - 1) % 1000).encode() for i in range(1000)}
    batch(client, bucket, *(delete(f"k{i:04}") for i in range(1000)))
    assert client.expect(200, "GET", path_of(bucket)).json["objects"] == 0


@pytest.mark.parametrize("declared", [True, False])
def test_sixteen_mebibytes_and_no_more(client, bucket, declared):
    values = {f"k{i}": os.urandom(n).hex()[:n] for i, n in enumerate((9 * MIB, 70_000, 65_536, 65_537, 1))}
    text = json.dumps({"ops": [put(key, value) for key, value in values.items()]}).encode()
    full = text[:-1] + b" " * (16 * MIB - len(text)) + b"}"

    def post(body):
        if declared:
            return client.request("POST", f"/v1/{bucket}/batch", body=body)
        return client.stream("POST", f"/v1/{bucket}/batch", [body[i:i + MIB] for i in range(0, len(body), MIB)])

    assert post(full).status == 200
    for key, value in values.items():
        assert client.get(bucket, key).body == value.encode()
    answer = post(b" " + full)
    assert (answer.status, answer.code) == (413, "batch_too_large")


def test_more_marks_than_a_batch_could_use_cost_no_memory(client, bucket):
    for text in (b'{"ops":[' + b"0," * (7 * MIB) + b"0]}", b'{"ops":[{' + b'"a":0,' * (2 * MIB) + b'"a":0}]}'):
        answer = client.request("POST", f"/v1/{bucket}/batch", body=text)
        assert (answer.status, answer.code) == (413, "batch_too_large")


# ---- rights


def test_each_op_needs_its_own_grant_before_anything_is_looked_up(client, server, bucket):
    client.put(bucket, "in/there", b"x")
    client.put(bucket, "out/there", b"x")
    needs = {"put": (["put"], put("in/k")), "delete": (["delete"], delete("in/there")), "check": (["get"], check("in/there", "*")),
             "copy": (["get", "put"], copy("in/there", "in/c"))}
    for ops in (["get"], ["put"], ["delete"], ["scan", "manage", "watch"], ["get", "put"], ["get", "put", "delete"]):
        prefix = "" if "manage" in ops else "in/"
        with Client(server, [Grant(bucket, prefix, ops)]) as some:
            for kind, (wanted, op) in needs.items():
                if set(wanted) <= set(ops):
                    batch(some, bucket, op)
                    client.put(bucket, "in/there", b"x")
                else:
                    assert refused(some, bucket, op) == (403, "forbidden"), (ops, kind)
                    assert refused(some, None, dict(op, bucket=bucket)) == (403, "forbidden"), (ops, kind)


def test_a_refusal_tells_nothing(client, server, bucket):
    client.put(bucket, "out/there", b"x")
    with Client(server, [Grant(bucket, "in/", ["get", "put", "delete"])]) as inside:
        batch(inside, bucket, put("in/k"))
        answers = []
        for where in ("there", "none"):
            for op in (put(f"out/{where}"), delete(f"out/{where}"), check(f"out/{where}", "*"), copy(f"out/{where}", "in/c"),
                       copy("in/k", f"out/{where}"), copy(f"out/{where}", "in/c", from_version=NEVER)):
                for ops in ([op], [check("in/k", None), op], [op, delete("in/none")]):
                    answer = send(inside, bucket, ops)
                    assert (answer.status, answer.code) == (403, "forbidden")
                    answers.append({n: v for n, v in answer.json.items() if n != "request_id"})
        half = len(answers) // 2
        assert answers[:half] == answers[half:]
        for other in ("no-such-bucket", "another-one"):
            assert refused(inside, other, put("in/k")) == (403, "forbidden")
            assert refused(inside, None, put("in/k", bucket=bucket), put("in/k", bucket=other)) == (403, "forbidden")
    assert contents(client, bucket) == {"in/k": b"x", "out/there": b"x"}


def test_two_tenants_reach_their_own_only(client, server, bucket):
    south = bucket + "-south"
    client.make_bucket(south)
    client.put(south, "k", b"south")
    client.put(bucket, "k", b"north")
    with Client(server, [Grant(bucket)]) as north:
        before = state(client, bucket, south)
        for op in (put("n"), delete("k"), check("k", "*"), copy("k", "n")):
            assert refused(north, south, op) == (403, "forbidden")
            assert refused(north, None, put("n", bucket=bucket), dict(op, bucket=south)) == (403, "forbidden")
        assert state(client, bucket, south) == before
        batch(north, None, put("n", bucket=bucket))


def test_a_nonce_is_spent_once(client, bucket):
    sign = {"nonce_text": "0123456789abcdef-" + bucket}
    assert send(client, bucket, [put("k", "1")], **sign).status == 200
    version = client.get(bucket, "k").header("x-wfldb-version")
    assert send(client, bucket, [put("k", "1")], **sign).status in (200, 401)
    assert client.get(bucket, "k").header("x-wfldb-version") == version


# ---- many at once


def test_money_moved_by_many_stays_the_same_to_every_reader(server, bucket):
    accounts, each, writers, moves = 8, 100, 32, 12
    with Client(server) as maker:
        batch(maker, bucket, *(put(f"a{i}", str(each)) for i in range(accounts)))
    done, wrong, moved = threading.Event(), [], []

    def move(seed):
        rng = random.Random(seed)
        with Client(server, http=1 + seed % 2) as client:
            mine = 0
            while mine < moves:
                a, b = rng.sample(range(accounts), 2)
                have = [client.get(bucket, f"a{i}") for i in (a, b)]
                amount = rng.randint(0, int(have[0].body))
                ops = [put(f"a{i}", str(int(h.body) + sign * amount), **{"if": h.header("x-wfldb-version")})
                       for i, h, sign in zip((a, b), have, (-1, 1))]
                answer = send(client, bucket, ops)
                if answer.status == 200:
                    mine += 1
                elif answer.status != 412 or not answer.json["failed"]:
                    wrong.append(answer)
                    return
            moved.append(mine)

    def read(http):
        with Client(server, http=http) as client:
            while not done.is_set():
                page = client.page(bucket, include="value")
                total = sum(int(base64.b64decode(item["value"])) for item in page["items"])
                if total != accounts * each:
                    wrong.append(page)
                    return

    movers = [threading.Thread(target=move, args=(i,)) for i in range(writers)]
    readers = [threading.Thread(target=read, args=(1 + i % 2,)) for i in range(2)]
    for thread in movers + readers:
        thread.start()
    for thread in movers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert not wrong and moved == [moves] * writers


def test_a_batch_is_there_after_a_kill(tmp_path):
    with Server(str(tmp_path)) as server:
        with Client(server) as client:
            client.make_bucket("photos")
            content = os.urandom(MIB).hex()
            batch(client, "photos", put("a", content), put("b", "1"))
            batch(client, "photos", copy("a", "c"), delete("a"))
        server.kill()
        server.start()
        with Client(server) as client:
            assert [item["key"] for item in client.scan("photos")[0]] == ["b", "c"]
            assert client.get("photos", "c").body == content.encode()
            client.get("photos", "a", 404)
