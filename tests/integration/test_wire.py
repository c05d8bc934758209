# SPDX-License-Identifier: Apache-2.0
"""FlatBuffers in place of JSON (protocol, Encodings): every document says the same in both, batches and settings mean
the same in both, and a buffer that is broken is refused. flatc, which knows the schema alone, reads and writes them."""
import base64
import json
import random
import threading

import pytest

from wfltest import Client, Grant, wire
from wfltest.client import path_of

MIB = 1 << 20
BATCH = "/v1/{}/batch"


def same(client, target, kind, headers=()):
    """The answer's document; the same from both encodings."""
    plain = client.expect(200, "GET", target, headers)
    assert plain.header("content-type") == "application/json"
    found, document = wire.document(client.expect(200, "GET", target, [wire.ACCEPT, *headers]))
    assert found == kind and document == plain.json
    return document


def fill(client, bucket):
    pairs = [("X-WflDB-Meta-Colour", "red"), ("X-WflDB-Meta-A", ""), ("X-WflDB-Tag-Kind", "sample")]
    client.put(bucket, "a/one", b"first", [*pairs, ("Content-Type", "text/plain")])
    client.put(bucket, "a/empty", b"", pairs)
    client.put(bucket, "b/\u00e9\"\\\u2028", bytes(range(256)))
    client.put(bucket, "large", bytes(100_000), pairs)


# ---- every document

def test_a_page_of_scan_says_the_same(client, bucket):
    fill(client, bucket)
    for query in ("", "include=meta", "include=tags", "include=meta,tags,value", "delimiter=/", "prefix=none", "limit=1",
                  "reverse=true&include=value&limit=2"):
        page = same(client, f"/v1/{bucket}/scan?{query}", "Listing")
        assert len(page["items"]) == {"delimiter=/": 1, "prefix=none": 0, "limit=1": 1}.get(
            query, 2 if "limit=2" in query else 4)


def test_pages_follow_each_other_in_either_encoding(client, bucket):
    for i in range(25):
        client.put(bucket, f"{i:02}", b"x", [("X-WflDB-Durability", "buffered")])
    keys, query, turn = [], "limit=4", 0
    while True:
        answer = client.expect(200, "GET", f"/v1/{bucket}/scan?{query}", [wire.ACCEPT] if turn % 2 else [])
        page = wire.document(answer)[1] if turn % 2 else answer.json
        keys += [item["key"] for item in page["items"]]
        if "cursor" not in page:
            break
        query, turn = f"limit=4&cursor={page['cursor']}", turn + 1
    assert keys == [f"{i:02}" for i in range(25)]


def test_a_page_with_as_much_as_it_can_hold_says_the_same(client, bucket):
    pairs = {f"m{i:02}": "v" * 160 for i in range(46)}
    value = random.Random(1).randbytes(64 << 10)
    for i in range(130):
        client.put(bucket, f"{i:03}" + "k" * 1000, value,
                   [(f"X-WflDB-Meta-{n}", v) for n, v in pairs.items()] + [("X-WflDB-Durability", "buffered")])
    target = f"/v1/{bucket}/scan?include=meta,tags,value&limit=1000"
    plain = client.expect(200, "GET", target).json
    found, document = wire.document(client.expect(200, "GET", target, [wire.ACCEPT]))
    assert found == "Listing" and document == plain and 100 < len(plain["items"]) < 130 and "cursor" in plain


def test_a_page_of_query_says_the_same(client, bucket):
    fill(client, bucket)
    page = same(client, f"/v1/{bucket}/query?tag.kind=sam*&include=meta,tags,value", "Listing")
    assert len(page["items"]) == 3 and "prefixes" not in page
    assert same(client, f"/v1/{bucket}/query?tag.kind=none", "Listing")["items"] == []


def test_the_list_of_buckets_says_the_same(client, bucket):
    assert {"name": bucket} in same(client, "/v1/", "BucketList")["buckets"]
    with Client(client.server, [Grant(bucket="nowhere-*")], http=client.http) as other:
        assert same(other, "/v1/", "BucketList")["buckets"] == []


def test_a_buckets_document_says_the_same(client, bucket):
    fill(client, bucket)
    assert same(client, path_of(bucket), "Bucket")["settings"] == {"versions": 0}
    settings = {"versions": -1, "retain_seconds": 0, "quota_bytes": 1 << 40, "quota_objects": 0, "max_object_bytes": 7,
                "expire_seconds": 1 << 53, "change_retain_seconds": 5, "public_read": True}
    client.expect(200, "PATCH", path_of(bucket), body=json.dumps(settings).encode())
    assert same(client, path_of(bucket), "Bucket")["settings"] == settings


def test_an_objects_versions_say_the_same(client, bucket):
    client.expect(200, "PATCH", path_of(bucket), body=b'{"versions":-1}')
    client.put(bucket, "k", b"one")
    client.delete(bucket, "k")
    client.put(bucket, "k", b"")
    versions = same(client, path_of(bucket, "k") + "?versions", "VersionList")["versions"]
    assert [v["op"] for v in versions] == ["put", "delete", "put"] and [v.get("size") for v in versions] == [0, None, 3]


def test_uploads_and_parts_say_the_same(client, bucket):
    target = path_of(bucket, "k\u00e9")
    assert same(client, path_of(bucket) + "?uploads", "UploadList") == {"uploads": []}
    upload = client.expect(201, "POST", target + "?multipart=start", [wire.ACCEPT]).json["upload"]
    assert same(client, f"{target}?upload={upload}", "PartList") == {"parts": []}
    for number, size in ((7, 0), (10000, 5), (1, MIB)):
        client.expect(200, "PUT", f"{target}?upload={upload}&part={number}", [wire.ACCEPT], bytes(size))
    assert len(same(client, f"{target}?upload={upload}", "PartList")["parts"]) == 3
    assert same(client, path_of(bucket) + "?uploads", "UploadList")["uploads"][0]["bytes"] == MIB + 5


def test_a_page_of_changes_says_the_same(client, bucket):
    client.expect(200, "PATCH", path_of(bucket), body=b'{"versions":-1}')
    fill(client, bucket)
    version = client.put(bucket, "erased", b"x").header("x-wfldb-version")
    client.delete(bucket, "a/one")
    client.expect(204, "DELETE", f"{path_of(bucket, 'erased')}?version={version}")
    changes = same(client, f"/v1/{bucket}/changes", "Changes")
    assert [c["op"] for c in changes["changes"]] == ["put"] * 5 + ["delete", "erase"]
    assert changes["changes"][-1]["erased"] == version and changes["changes"][1]["tags"] == {"kind": "sample"}
    page = same(client, f"/v1/{bucket}/changes?prefix=a/&limit=2", "Changes")
    assert len(page["changes"]) == 2
    assert len(same(client, f"/v1/{bucket}/changes?prefix=a/&after={page['next']}", "Changes")["changes"]) == 1
    assert same(client, f"/v1/{bucket}/changes?after={changes['next']}", "Changes")["changes"] == []


def test_changes_are_waited_for_in_either_encoding(client, bucket):
    """Those that wait share what is read: each gets it in its own encoding."""
    after = client.put(bucket, "before", b"x").header("x-wfldb-version")
    target, answers = f"/v1/{bucket}/changes?after={after}&wait=60", {}

    def wait(flat):
        with Client(client.server, http=client.http) as waiting:
            answers[flat] = waiting.expect(200, "GET", target, [wire.ACCEPT] if flat else [])

    threads = [threading.Thread(target=wait, args=(flat,)) for flat in (False, True)]
    for thread in threads:
        thread.start()
    client.put(bucket, "new", b"x", [("X-WflDB-Tag-A", "1")])
    for thread in threads:
        thread.join()
    kind, document = wire.document(answers[True])
    assert kind == "Changes" and document == answers[False].json and [c["key"] for c in document["changes"]] == ["new"]


def test_no_change_within_the_wait_is_an_empty_page(client, bucket):
    after = client.put(bucket, "before", b"x").header("x-wfldb-version")
    assert same(client, f"/v1/{bucket}/changes?after={after}&wait=1", "Changes") == {"changes": [], "next": after}


def test_the_encoding_of_changes_is_the_one_that_accept_prefers(client1, bucket):
    for accept, kind in ((f"{wire.TYPE}, text/event-stream;q=0.5", wire.TYPE), ("text/plain, */*;q=0.1", "application/json"),
                         (f"text/event-stream;q=0.1, {wire.TYPE};q=0.2, */*", "application/json")):
        answer = client1.expect(200, "GET", f"/v1/{bucket}/changes", [("Accept", accept)])
        assert answer.header("content-type") == kind


# ---- which encoding

@pytest.mark.parametrize("accept, flat", [
    ([], False), (["*/*"], False), (["application/*"], False), (["text/html"], False), ([""], False), ([",;,"], False),
    (["application/json"], False), ([wire.TYPE], True), (["Application/VND.wflDB+FlatBuffers"], True),
    ([f"{wire.TYPE};q=0"], False), ([f"{wire.TYPE};q=0.001"], True), ([f"{wire.TYPE} ; Q=1.000"], True),
    ([f"{wire.TYPE};q=0.5, application/json"], False), ([f"{wire.TYPE}, application/json;q=0.9"], True),
    ([f"{wire.TYPE}, */*"], True), ([f"{wire.TYPE};q=0.8, */*;q=0.9"], False),
    ([f"{wire.TYPE};q=0.8, */*;q=0.9, application/json;q=0.1"], True),
    ([f"{wire.TYPE}, application/json"], True), ([f"application/json, {wire.TYPE}"], False),
    (["application/json;q=0.4", f"{wire.TYPE};q=0.5"], True), ([f"{wire.TYPE};v=1;q=0.2, application/*;q=0.3"], False),
    ([f"{wire.TYPE};q=2"], False), ([f"{wire.TYPE};q=0.1234"], False), ([f"{wire.TYPE};q="], False),
    (["application/vnd.wfldb+flatbuffersx"], False),
])
def test_the_encoding_is_the_one_that_accept_prefers(client1, bucket, accept, flat):
    answer = client1.expect(200, "GET", f"/v1/{bucket}/scan", [("Accept", a) for a in accept])
    assert answer.header("content-type") == (wire.TYPE if flat else "application/json")


def test_problems_and_other_documents_stay_json(client):
    answer = client.request("GET", "/v1/no-such-bucket/scan", [wire.ACCEPT])
    assert answer.status == 404 and answer.header("content-type") == "application/problem+json"
    assert client.expect(200, "GET", "/v1/-/server", [wire.ACCEPT]).header("content-type") == "application/json"


# ---- batches

def send(client, bucket, message, headers=(wire.CONTENT,)):
    return client.request("POST", BATCH.format(bucket), headers, message)


def test_a_batch_does_what_it_does_in_json(client, bucket):
    client.put(bucket, "old", b"old", [("X-WflDB-Meta-M", "1")])
    version = client.put(bucket, "current", b"x").header("x-wfldb-version")
    ops = [{"op": "put", "key": "a", "value": "text", "content_type": "text/plain", "meta": {"z": "1", "a": ""},
            "tags": {"t": "v"}},
           {"op": "put", "key": "b", "base64": base64.b64encode(bytes(range(256)) * 300).decode(), "if": None},
           {"op": "put", "key": "e\u00e9", "value": ""},
           {"op": "copy", "from": "old", "key": "c", "if": None},
           {"op": "copy", "from": "current", "key": "d", "from_version": version, "meta": {"n": "2"}, "tags": {}},
           {"op": "delete", "key": "old", "if": "*"},
           {"op": "check", "key": "current", "if": version}]
    answer = send(client, bucket, wire.batch(ops), [wire.CONTENT, wire.ACCEPT])
    assert answer.status == 200, answer
    kind, document = wire.document(answer)
    assert kind == "BatchResults" and [r["key"] for r in document["results"]] == [op["key"] for op in ops]
    versions = [r["version"] for r in document["results"][:-1]]
    assert versions == sorted(set(versions)) and "version" not in document["results"][-1]
    items = {i["key"]: i for i in client.scan(bucket, include="meta,tags,value")[0]}
    assert sorted(items) == ["a", "b", "c", "current", "d", "e\u00e9"]
    a = items["a"]
    assert (a["value"], a["content_type"], a["meta"], a["tags"]) == (
        base64.b64encode(b"text").decode(), "text/plain", {"z": "1", "a": ""}, {"t": "v"})
    assert client.get(bucket, "b").body == bytes(range(256)) * 300
    assert (items["c"]["meta"], items["d"]["meta"], items["e\u00e9"]["size"]) == ({"m": "1"}, {"n": "2"}, 0)


def test_either_encoding_goes_with_either(client, bucket):
    ops = [{"op": "put", "key": "a", "value": "1"}, {"op": "check", "key": "b", "if": None}]
    plain = json.dumps({"ops": ops}).encode()
    assert wire.document(send(client, bucket, plain, [wire.ACCEPT]))[0] == "BatchResults"
    assert send(client, bucket, wire.batch(ops)).json["results"][0]["key"] == "a"
    assert send(client, bucket, wire.batch(ops), [("Content-Type", wire.TYPE.upper() + " ;x=y")]).status == 200


def test_a_batch_across_buckets_names_them_in_its_answer(client, bucket):
    ops = [{"op": "put", "bucket": bucket, "key": "a", "value": "1"}, {"op": "check", "bucket": bucket, "key": "b", "if": None}]
    results = wire.document(send(client, "-", wire.batch(ops), [wire.CONTENT, wire.ACCEPT]))[1]["results"]
    assert [(r["bucket"], r["key"], "version" in r) for r in results] == [(bucket, "a", True), (bucket, "b", False)]


def test_a_condition_that_fails_is_told_as_in_json(client, bucket):
    answer = send(client, bucket, wire.batch([{"op": "put", "key": "a", "value": "", "if": "*"}]), [wire.CONTENT, wire.ACCEPT])
    assert (answer.status, answer.code, answer.json["failed"]) == (412, "precondition_failed", [0])


def key(**members):
    return {"key": "k", **members}


@pytest.mark.parametrize("ops, code", [
    ([], "invalid_batch"),
    ([key()], "invalid_batch"), ([key(op="None")], "invalid_batch"), ([key(op=5)], "invalid_batch"),
    ([key(op="Put")], "invalid_batch"),
    ([key(op="Put", value=[], **{"from": "x"})], "invalid_batch"),
    ([key(op="Put", value=[], bucket="other")], "invalid_batch"),
    ([key(op="Delete", value=[])], "invalid_batch"), ([key(op="Delete", meta=[])], "invalid_batch"),
    ([key(op="Copy")], "invalid_batch"), ([key(op="Copy", content_type="a/b", **{"from": "x"})], "invalid_batch"),
    ([key(op="Copy", **{"from": ""})], "invalid_key"),
    ([key(op="Check")], "invalid_batch"),
    ([key(op="Check", condition="Version")], "invalid_batch"),
    ([key(op="Check", condition="Exists", condition_version={"bytes": [0] * 16})], "invalid_batch"),
    ([key(op="Check", condition_version={"bytes": [0] * 16})], "invalid_batch"),
    ([key(op="Check", condition=9)], "invalid_batch"),
    ([{"op": "Put", "key": "", "value": []}], "invalid_key"), ([{"op": "Put", "key": "scan", "value": []}], "reserved_key"),
    ([{"op": "Put", "key": "k" * 1025, "value": []}], "invalid_key"),
    ([key(op="Put", value=[], content_type="")], "invalid_batch"),
    ([key(op="Put", value=[], content_type="a\u00e9")], "invalid_batch"),
    ([key(op="Put", value=[], meta=[{"name": "A", "value": ""}])], "invalid_batch"),
    ([key(op="Put", value=[], meta=[{"name": "a", "value": " x"}])], "invalid_batch"),
    ([key(op="Put", value=[], meta=[{"name": "a", "value": ""}, {"name": "a", "value": "1"}])], "invalid_batch"),
    ([key(op="Put", value=[], tags=[{"name": "a", "value": ""}])], "invalid_batch"),
    ([key(op="Put", value=[], tags=wire.pairs({f"t{i}": "v" for i in range(33)}))], "invalid_batch"),
    ([key(op="Put", value=[], meta=wire.pairs({f"m{i}": "v" for i in range(90)}),
          tags=wire.pairs({f"t{i}": "v" for i in range(11)}))], "invalid_batch"),
    ([key(op="Put", value=[]), key(op="Delete")], "invalid_batch"),
    ([{"op": "Delete", "key": str(i)} for i in range(1001)], "batch_too_large"),
])
def test_what_json_refuses_is_refused(client1, bucket, ops, code):
    answer = send(client1, bucket, wire.encode("Batch", {"ops": ops}))
    assert answer.status in (400, 413) and answer.code == code, answer


def test_every_op_needs_its_right(server, bucket):
    message = wire.batch([{"op": "put", "key": "mine/a", "value": "1"}, {"op": "put", "key": "other", "value": "1"}])
    with Client(server, [Grant(bucket=bucket, prefix="mine/", ops=["put"])]) as limited:
        assert send(limited, bucket, message).code == "forbidden"


def test_a_body_in_the_wrong_encoding_is_refused(client1, bucket):
    plain = b'{"ops":[{"op":"delete","key":"a"}]}'
    assert send(client1, bucket, plain).code == "invalid_request"
    assert send(client1, bucket, b"").code == "invalid_request"
    assert send(client1, bucket, wire.batch([{"op": "delete", "key": "a"}]), []).code == "invalid_json"
    assert send(client1, bucket, wire.encode("Settings", {})).code == "invalid_request"


def test_a_stored_record_is_no_message(client1, bucket):
    message = bytearray(wire.batch([{"op": "check", "key": "a", "if": None}]))
    assert send(client1, bucket, bytes(message)).status == 200
    message[4:8] = b"WFLR"
    assert send(client1, bucket, bytes(message)).code == "invalid_request"


def test_a_content_that_is_named_often_counts_as_often(client1, bucket):
    """One MiB, and many ops that point at it."""
    size, count = MIB, 17
    message = bytearray(wire.encode("Batch", {"ops": [{"op": "Put", "key": f"{i:02}", "value": [i] * (8 if i else size)}
                                                      for i in range(count)]}))
    first = message.index(size.to_bytes(4, "little") + bytes(16))
    for i in range(1, count):
        vector = message.index((8).to_bytes(4, "little") + bytes([i] * 8))
        at = next(p for p in range(0, len(message) - 3, 4) if p + int.from_bytes(message[p:p + 4], "little") == vector)
        assert first > at
        message[at:at + 4] = (first - at).to_bytes(4, "little")
    assert send(client1, bucket, bytes(message)).code == "batch_too_large"
    assert client1.scan(bucket) == ([], [])


def test_a_message_that_is_cut_short_is_refused(client1, bucket):
    """At every place, but for zeros that only fill it up. What comes behind a message is not looked at."""
    message = wire.batch([{"op": "check", "key": "a", "if": None}, {"op": "check", "key": "b", "if": None}])
    for length in range(len(message)):
        answer = send(client1, bucket, message[:length])
        assert answer.code == "invalid_request" or not any(message[length:]), (length, answer)
    assert send(client1, bucket, message + b"more").status == 200


def test_a_message_with_a_changed_byte_is_refused_or_means_something_else(client1, bucket):
    message = wire.batch([{"op": "put", "key": "a", "value": "text", "meta": {"m": "1"}, "if": None},
                          {"op": "check", "key": "b", "if": None}])
    codes = set()
    for at in range(len(message)):
        for change in (0x01, 0x80, 0xFF):
            broken = bytearray(message)
            broken[at] ^= change
            answer = send(client1, bucket, bytes(broken))
            assert answer.status in (200, 400, 404, 412, 413), (at, change, answer)
            codes.add(answer.code if answer.status != 200 else "ok")
    assert {"ok", "invalid_request", "invalid_batch", "precondition_failed"} <= codes
    assert send(client1, bucket, wire.batch([{"op": "delete", "key": "a"}])).status in (200, 404)


# ---- settings

def test_settings_are_set_and_taken_back(client, bucket):
    path = path_of(bucket + "-flat")
    answer = client.expect(201, "PUT", path, [wire.CONTENT, wire.ACCEPT],
                           wire.encode("Settings", {"versions": 3, "quota_objects": 10, "public_read": True}))
    kind, document = wire.document(answer)
    assert kind == "Bucket" and document["settings"] == {"versions": 3, "quota_objects": 10, "public_read": True}
    answer = client.expect(200, "PATCH", path, [wire.CONTENT], wire.encode(
        "Settings", {"quota_bytes": 5, "unset": ["versions", "public_read"]}))
    assert answer.json["settings"] == {"versions": 0, "quota_bytes": 5, "quota_objects": 10}
    answer = client.expect(200, "PATCH", path, [wire.CONTENT, wire.ACCEPT], wire.encode("Settings", {"versions": -1}))
    assert wire.document(answer)[1]["settings"] == {"versions": -1, "quota_bytes": 5, "quota_objects": 10}


@pytest.mark.parametrize("settings, code", [
    ({"versions": -2}, "invalid_setting"), ({"quota_bytes": -1}, "invalid_setting"),
    ({"quota_bytes": (1 << 53) + 1}, "invalid_setting"), ({"unset": ["unknown"]}, "invalid_setting"),
    ({"unset": ["versions", "versions"]}, "invalid_setting"), ({"versions": 1, "unset": ["versions"]}, "invalid_setting"),
    ({"public_read": True, "unset": ["public_read"]}, "invalid_setting"), ({"unset": ["versions\0"]}, "invalid_setting"),
    ({"unset": ["x"] * 11}, "invalid_setting"),
])
def test_settings_that_json_refuses_are_refused(client1, bucket, settings, code):
    answer = client1.request("PATCH", path_of(bucket), [wire.CONTENT], wire.encode("Settings", settings))
    assert (answer.status, answer.code) == (400, code)
    assert client1.expect(200, "GET", path_of(bucket)).json["settings"] == {"versions": 0}


def test_a_new_bucket_has_nothing_to_unset(client1, bucket):
    message = wire.encode("Settings", {"unset": ["versions"]})
    assert client1.request("PUT", path_of(bucket + "-new"), [wire.CONTENT], message).code == "invalid_setting"
    client1.expect(404, "GET", path_of(bucket + "-new"))


def test_settings_that_are_broken_are_refused(client1, bucket):
    message = wire.encode("Settings", {"versions": 2, "quota_objects": 10, "unset": ["quota_bytes"]})
    for length in range(1, len(message)):
        answer = client1.request("PATCH", path_of(bucket), [wire.CONTENT], message[:length])
        assert answer.code == "invalid_request" or not any(message[length:]), (length, answer)
    for at in range(len(message)):
        broken = bytearray(message)
        broken[at] ^= 0x81
        answer = client1.request("PATCH", path_of(bucket), [wire.CONTENT], bytes(broken))
        assert answer.status == 200 or answer.code in ("invalid_request", "invalid_setting"), (at, answer)
    assert client1.request("PATCH", path_of(bucket), [wire.CONTENT], wire.batch([{"op": "delete", "key": "a"}])
                           ).code == "invalid_request"
