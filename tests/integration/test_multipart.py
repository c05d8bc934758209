# SPDX-License-Identifier: Apache-2.0
"""Multipart uploads from their start to an object, or to nothing (protocol, Endpoints and Large objects)."""
import hashlib
import json
import os
import re
import threading

import pytest

from wfltest import Client, Connection, Grant, Server, wait_until
from wfltest.client import path_of

MIB = 1 << 20
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
NEVER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
OTHER = f'"{NEVER}"'
ZERO_HASH = "0" * 64


class Upload:
    """One upload as its client sees it. Methods take the status that must be answered."""

    def __init__(self, client, bucket, key="k", headers=(), upload=None):
        self.client, self.bucket, self.key, self.parts = client, bucket, key, {}
        self.path = path_of(bucket, key)
        if upload is None:
            self.started = client.expect(201, "POST", self.path + "?multipart=start", headers)
            upload = self.started.json["upload"]
        self.upload = upload
        self.target = f"{self.path}?upload={upload}"

    def put(self, number, body, status=200, headers=(), **sign):
        answer = self.client.expect(status, "PUT", f"{self.target}&part={number}", headers, body, **sign)
        if status == 200:
            assert {n: answer.json[n] for n in ("part", "size")} == {"part": number, "size": len(body)}
            self.parts[number] = {"part": number, "blake3": answer.json["blake3"]}
        return answer

    def stream(self, number, pieces):
        answer = self.client.stream("PUT", f"{self.target}&part={number}", pieces)
        self.parts[number] = {"part": number, "blake3": answer.json["blake3"]}
        return answer

    def list(self, status=200):
        answer = self.client.expect(status, "GET", self.target)
        return answer.json["parts"] if status == 200 else answer.code

    def complete(self, status=201, parts=None, **members):
        parts = [self.parts[n] for n in sorted(self.parts)] if parts is None else parts
        return self.client.expect(status, "POST", self.target, body=json.dumps({"parts": parts, **members}).encode())

    def abort(self, status=204):
        return self.client.expect(status, "DELETE", self.target)

    def is_gone(self):
        assert self.list(404) == "upload_not_found"
        assert self.put(1, b"x", 404).code == "upload_not_found"
        assert self.complete(404, [{"part": 1, "blake3": ZERO_HASH}]).code == "upload_not_found"
        assert self.abort(404).code == "upload_not_found"


def code(answer):
    return answer.status, answer.code


def space_comes_back(server, before):
    wait_until(lambda: server.metrics()["live_bytes"] == before, lambda: f"{before} before, {server.metrics()['live_bytes']} now")


# ---- the whole way


def test_an_upload_becomes_an_object(client, bucket):
    contents = {1: os.urandom(MIB), 2: os.urandom(2 * MIB + 17), 7: os.urandom(MIB + 1), 10000: os.urandom(5)}
    headers = [("Content-Type", "video/x"), ("X-WflDB-Meta-Camera", "x 100"), ("X-WflDB-Tag-state", "new")]
    upload = Upload(client, bucket, "a/ä b", headers)
    assert set(upload.started.json) == {"upload", "part_bytes_min"}
    assert ULID.fullmatch(upload.upload) and upload.started.json["part_bytes_min"] == MIB
    for number in (7, 10000, 1, 2):
        upload.put(number, contents[number])
    sizes = {number: len(content) for number, content in contents.items()}
    assert upload.list() == [{**upload.parts[number], "size": sizes[number]} for number in sorted(contents)]
    assert client.get(bucket, "a/ä b", 404).code == "key_not_found"  # nothing to be seen before completion
    assert client.page(bucket)["items"] == []
    whole = b"".join(contents[number] for number in sorted(contents))
    done = upload.complete()
    assert set(done.json) == {"bucket", "key", "version", "size", "blake3"}
    assert (done.json["bucket"], done.json["key"], done.json["size"]) == (bucket, "a/ä b", len(whole))
    assert done.header("etag") == f'"{done.json["version"]}"' and done.header("x-wfldb-version") == done.json["version"]
    assert done.header("x-wfldb-content-blake3") == done.json["blake3"]
    got = client.get(bucket, "a/ä b")
    assert got.body == whole and got.header("etag") == done.header("etag")
    assert (got.header("content-type"), got.header("x-wfldb-meta-camera"), got.header("x-wfldb-tag-state")) == ("video/x", "x 100", "new")
    plain = client.put(bucket, "plain", whole)
    assert plain.json["blake3"] == done.json["blake3"] == got.header("x-wfldb-content-blake3")
    document = client.expect(200, "GET", path_of(bucket)).json
    assert (document["objects"], document["bytes"]) == (2, 2 * len(whole))
    upload.is_gone()


@pytest.mark.parametrize("sizes", [[0], [1], [64 << 10], [5 * MIB + 3], [MIB, 0], [MIB + 1, 1], [MIB] * 5])
def test_parts_of_every_size(client, bucket, sizes):
    contents = [os.urandom(size) for size in sizes]
    upload = Upload(client, bucket)
    for number, content in enumerate(contents, 1):
        upload.put(number, content)
    done = upload.complete(201, blake3=client.put(bucket, "plain", b"".join(contents)).json["blake3"])
    assert done.json["size"] == sum(sizes)
    assert client.get(bucket, "k").body == b"".join(contents)


def test_parts_may_be_streamed(client, bucket):
    content = os.urandom(3 * MIB + 5)
    upload = Upload(client, bucket)
    assert upload.stream(1, [content[:700], content[700:2 * MIB], content[2 * MIB:]]).json["size"] == len(content)
    assert upload.stream(2, [b"end"]).json["size"] == 3
    upload.complete()
    assert client.get(bucket, "k").body == content + b"end"


def test_a_part_put_again_counts(client, server, bucket):
    before = server.metrics()["live_bytes"]
    upload = Upload(client, bucket)
    upload.put(1, os.urandom(3 * MIB))
    upload.put(2, b"first")
    content = os.urandom(2 * MIB)
    old = upload.parts[1]
    upload.put(1, content)
    assert [part["size"] for part in upload.list()] == [2 * MIB, 5]
    assert code(upload.complete(400, [old, upload.parts[2]])) == (400, "invalid_part")
    upload.complete()
    assert client.get(bucket, "k").body == content + b"first"
    client.delete(bucket, "k")
    space_comes_back(server, before)


def test_parts_that_are_not_named_are_left_out(client, server, bucket):
    before = server.metrics()["live_bytes"]
    contents = {number: os.urandom(MIB) for number in range(1, 6)}
    upload = Upload(client, bucket)
    for number, content in contents.items():
        upload.put(number, content)
    done = upload.complete(201, [upload.parts[2], upload.parts[5]])
    assert done.json["size"] == 2 * MIB
    wait_until(lambda: server.metrics()["live_bytes"] - before < 3 * MIB, lambda: server.metrics()["live_bytes"] - before)
    assert client.get(bucket, "k").body == contents[2] + contents[5]
    client.delete(bucket, "k")
    space_comes_back(server, before)


def test_parts_in_parallel(server, client1, bucket):
    contents = {number: os.urandom(MIB + number) for number in range(1, 25)}
    upload = Upload(client1, bucket)

    def put(numbers, http):
        with Client(server, http=http) as client:
            mine = Upload(client, bucket, upload=upload.upload)
            for number in numbers:
                mine.put(number, contents[number])
            upload.parts.update(mine.parts)

    threads = [threading.Thread(target=put, args=(range(1 + n, 25, 4), 1 + n % 2)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [part["part"] for part in upload.list()] == list(range(1, 25))
    upload.complete()
    assert client1.get(bucket, "k").body == b"".join(contents[n] for n in sorted(contents))


def test_the_same_part_by_many_at_once(server, client1, bucket):
    """The last one counts, and it is one of them whole."""
    before = server.metrics()["live_bytes"]
    upload = Upload(client1, bucket)
    contents = [os.urandom(2 * MIB) for _ in range(6)]
    hashes = {}

    def put(n):
        with Client(server) as client:
            mine = Upload(client, bucket, upload=upload.upload)
            mine.put(1, contents[n])
            hashes[mine.parts[1]["blake3"]] = contents[n]

    threads = [threading.Thread(target=put, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    part, = upload.list()
    upload.complete(201, [{"part": 1, "blake3": part["blake3"]}])
    assert client1.get(bucket, "k").body == hashes[part["blake3"]]
    client1.delete(bucket, "k")
    space_comes_back(server, before)


def test_a_part_must_be_what_it_is_said_to_be(client, bucket):
    upload = Upload(client, bucket)
    wrong = [("X-WflDB-Content-SHA256", hashlib.sha256(b"other").hexdigest())]
    for content in (b"small", os.urandom(2 * MIB)):
        assert code(upload.put(1, content, 400, wrong, content=None)) == (400, "content_mismatch")
    assert upload.list() == []


def test_a_part_that_breaks_off_is_none(server, client1, bucket):
    before = server.metrics()["live_bytes"]
    upload = Upload(client1, bucket)
    upload.put(1, b"kept")
    target = f"{upload.target}&part=1"
    for sent in (0, 1, MIB, 2 * MIB - 1):
        with Connection(server.address) as connection:
            connection.send_head("PUT", target, client1.headers("PUT", target, [("Content-Length", 2 * MIB)], b"", content="unsigned"))
            connection.send(os.urandom(sent))
    wait_until(lambda: server.metrics()["requests_open"] == 0, "all are over")
    assert [part["size"] for part in upload.list()] == [4]
    upload.complete()
    assert client1.get(bucket, "k").body == b"kept"
    client1.delete(bucket, "k")
    space_comes_back(server, before)


# ---- what is refused


@pytest.mark.parametrize("number", ["0", "10001", "x", "-1", "+1", "1.0", "", "18446744073709551617"])
def test_numbers_that_no_part_has(client, bucket, number):
    upload = Upload(client, bucket)
    assert code(upload.put(number, b"x", 400)) == (400, "invalid_part")
    assert upload.list() == []


def test_uploads_that_are_not_there(client, bucket, server):
    upload = Upload(client, bucket)
    upload.put(1, b"x")
    client.make_bucket("other-" + bucket)
    for where in (Upload(client, bucket, "k", upload=NEVER), Upload(client, bucket, "l", upload=upload.upload),
                  Upload(client, "other-" + bucket, "k", upload=upload.upload)):
        where.is_gone()
    nowhere = Upload(client, "no-such-bucket", "k", upload=upload.upload)
    assert nowhere.list(404) == nowhere.put(1, b"x", 404).code == nowhere.abort(404).code == "bucket_not_found"
    assert nowhere.complete(404, []).code == "bucket_not_found"
    assert code(client.request("POST", nowhere.path + "?multipart=start")) == (404, "bucket_not_found")
    assert [part["part"] for part in upload.list()] == [1]


def test_who_may_not_put_learns_nothing(server, client1, bucket):
    upload = Upload(client1, bucket, "mine/k")
    upload.put(1, b"x")
    for grants in ([Grant(bucket, "", ["get", "scan", "delete"])], [Grant(bucket, "yours/", ["put"])], [Grant("other", "", ["put"])]):
        with Client(server, grants) as stranger:
            for known in (upload.upload, NEVER):
                theirs = Upload(stranger, bucket, "mine/k", upload=known)
                assert theirs.list(403) == "forbidden"
                for answer in (theirs.put(1, b"y", 403), theirs.complete(403, []), theirs.abort(403)):
                    assert answer.code == "forbidden"
            assert code(stranger.request("POST", upload.path + "?multipart=start")) == (403, "forbidden")
            assert code(stranger.request("GET", path_of(bucket) + "?uploads")) == (403, "forbidden")
    with Client(server, [Grant(bucket, "mine/", ["put"])]) as fellow:  # with the right, another client goes on
        theirs = Upload(fellow, bucket, "mine/k", upload=upload.upload)
        theirs.put(1, b"y")
        theirs.complete()
    assert client1.get(bucket, "mine/k").body == b"y"


@pytest.fixture
def received(client, bucket):
    upload = Upload(client, bucket)
    for number in (1, 2, 3):
        upload.put(number, os.urandom(MIB))
    upload.put(4, b"small")
    upload.put(5, b"end")
    return upload


def altered(received, **change):
    return {**received, **change}


@pytest.mark.parametrize("choose", [
    lambda p: [],
    lambda p: [p[2], p[1]],
    lambda p: [p[1], p[1]],
    lambda p: [p[1], altered(p[2], part=6)],
    lambda p: [altered(p[1], blake3=ZERO_HASH)],
    lambda p: [altered(p[1], blake3=p[2]["blake3"])],
    lambda p: [p[1], p[4], p[5]],
    lambda p: [p[4], p[5]],
    lambda p: [altered(p[1], part=0)],
    lambda p: [altered(p[1], part=10001)],
    lambda p: [p[1]] * 10001,
], ids=["none", "unordered", "twice", "missing", "unknown hash", "another's hash", "small within", "small first", "zero", "10001", "too many"])
def test_lists_that_make_no_object(client, bucket, received, choose):
    assert code(received.complete(400, choose(received.parts))) == (400, "invalid_part")
    client.get(bucket, "k", 404)
    received.complete(201, [received.parts[1], received.parts[2], received.parts[5]])  # the upload is as it was


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"{}", b'{"parts":{}}', b'{"parts":[1]}', b'{"parts":[{}]}', b'{"parts":[{"part":1}]}',
    b'{"parts":[{"part":"1","blake3":"%s"}]}' % ZERO_HASH.encode(), b'{"parts":[{"part":1.0,"blake3":"%s"}]}' % ZERO_HASH.encode(),
    b'{"parts":[{"part":1,"blake3":"00"}]}', b'{"parts":[{"part":1,"blake3":"%s"}]}' % (b"G" * 64),
    b'{"parts":[{"part":1,"blake3":"%s"}]}' % (b"A" * 64), b'{"parts":[{"part":1,"blake3":null}]}',
    b'{"parts":[{"part":1,"blake3":"%s","size":1}]}' % ZERO_HASH.encode(), b'{"parts":[],"more":1}', b'{"parts":[],"parts":[]}',
    b'{"parts":[],"blake3":"x"}', b'{"parts":[],"blake3":null}', b'{"parts":[]} x', b'\xff{"parts":[]}',
])
def test_bodies_that_are_no_list(client, bucket, received, body):
    answer = client.request("POST", received.target, body=body)
    assert code(answer) == (400, "invalid_json")
    client.get(bucket, "k", 404)


def test_the_declared_hashes_of_a_completion(client, bucket, received):
    parts = [received.parts[1], received.parts[2]]
    assert code(received.complete(400, parts, blake3=ZERO_HASH)) == (400, "content_mismatch")
    assert code(received.complete(400, parts[:1], blake3=ZERO_HASH)) == (400, "content_mismatch")
    body = json.dumps({"parts": parts}).encode()
    wrong = [("X-WflDB-Content-SHA256", hashlib.sha256(b"other").hexdigest())]
    assert code(client.request("POST", received.target, wrong, body, content=None)) == (400, "content_mismatch")
    client.get(bucket, "k", 404)
    assert received.complete(201, parts[:1], blake3=parts[0]["blake3"]).json["blake3"] == parts[0]["blake3"]


def test_limits_hold_for_the_whole(server, client1):
    client1.make_bucket("limited-parts", b'{"max_object_bytes":2097152}')
    upload = Upload(client1, "limited-parts")
    assert code(upload.put(1, os.urandom(2 * MIB + 1), 413)) == (413, "object_too_large")
    upload.put(1, os.urandom(MIB))
    upload.put(2, os.urandom(MIB + 1))
    assert code(upload.complete(413)) == (413, "object_too_large")
    upload.put(2, os.urandom(MIB))
    upload.complete()
    client1.make_bucket("quota-parts", b'{"quota_bytes":2097152}')
    upload = Upload(client1, "quota-parts")
    upload.put(1, os.urandom(MIB))
    upload.put(2, os.urandom(MIB + 1))
    assert code(upload.complete(507)) == (507, "quota_exceeded")
    assert len(upload.list()) == 2
    client1.make_bucket("free-parts")
    with Client(server, limits={"max_object_bytes": 2 * MIB}) as small:
        upload = Upload(small, "free-parts")
        assert code(upload.put(1, os.urandom(2 * MIB + 1), 413)) == (413, "object_too_large")
        upload.put(1, os.urandom(MIB))
        upload.put(2, os.urandom(MIB + 1))
        assert code(upload.complete(413)) == (413, "object_too_large")
        small.get("free-parts", "k", 404)
        upload.put(2, os.urandom(MIB))
        upload.complete()


QUERIES = [
    ("POST", "?multipart", "invalid_query"), ("POST", "?multipart=stop", "invalid_query"), ("POST", "?multipart=start&multipart=start", "invalid_query"),
    ("POST", "?multipart=start&part=1", "invalid_query"), ("POST", "?multipart=start&upload={u}", "invalid_query"),
    ("POST", "?multipart=start&x=1", "invalid_query"), ("PUT", "?upload={u}", "invalid_query"), ("PUT", "?part=1", "invalid_query"),
    ("PUT", "?upload={u}&part=1&part=1", "invalid_query"), ("PUT", "?upload={u}&upload={u}&part=1", "invalid_query"),
    ("PUT", "?upload=&part=1", "invalid_query"), ("PUT", "?upload=x&part=1", "invalid_query"), ("PUT", "?upload={u}&part=1&x", "invalid_query"),
    ("GET", "?upload", "invalid_query"), ("GET", "?upload={l}", "invalid_query"), ("GET", "?uploads", "invalid_query"),
    ("GET", "?upload={u}x", "invalid_query"), ("DELETE", "?part=1", "invalid_query"), ("GET", "?multipart=start", "POST"),
    ("PUT", "?multipart=start", "POST"), ("DELETE", "?multipart=start", "POST"), ("GET", "?upload={u}&part=1", "PUT"),
    ("POST", "?upload={u}&part=1", "PUT"), ("DELETE", "?upload={u}&part=1", "PUT"), ("HEAD", "?upload={u}", None), ("PATCH", "?upload={u}", None),
]


@pytest.mark.parametrize("method, query, refused", QUERIES)
def test_queries_are_taken_at_their_word(client, bucket, method, query, refused):
    upload = Upload(client, bucket)
    target = upload.path + query.format(u=upload.upload, l=upload.upload.lower())
    answer = client.request(method, target, body=b"" if method in ("PUT", "POST", "PATCH") else None)
    if refused == "invalid_query":
        assert code(answer) == (400, refused)
    else:
        assert answer.status == 405
        allow = set(answer.header("allow").split(", "))
        assert allow == ({refused} if refused else {"GET", "PUT", "POST", "DELETE"})
    assert upload.list() == []


def test_a_buckets_uploads_query(client, bucket):
    target = path_of(bucket) + "?uploads"
    for query in ("=1", "&x", "&uploads"):
        assert code(client.request("GET", target + query)) == (400, "invalid_query")
    for method in ("PUT", "PATCH", "DELETE"):  # which the path has, without a query
        assert code(client.request(method, target, body=None if method == "DELETE" else b"")) == (400, "invalid_query")
    answer = client.request("POST", target, body=b"")
    assert (answer.status, answer.header("allow")) == (405, "GET, PUT, PATCH, DELETE")
    assert code(client.request("GET", path_of("no-such-bucket") + "?uploads")) == (404, "bucket_not_found")


# ---- conditions


def test_conditions_are_given_at_the_start_and_judged_at_the_end(client, bucket):
    creates = Upload(client, bucket, headers=[("If-None-Match", "*")])
    creates.put(1, b"multipart")
    version = client.put(bucket, "k", b"came first").json["version"]
    refused = creates.complete(412)
    assert (refused.code, refused.header("x-wfldb-version")) == ("precondition_failed", version)
    assert len(creates.list()) == 1  # it may be completed once the key is free
    replaces = Upload(client, bucket, headers=[("If-Match", f'"{version}"')])
    replaces.put(1, b"replaced")
    assert replaces.complete(200).json["version"] > version
    assert client.get(bucket, "k").body == b"replaced"
    refused = Upload(client, bucket, headers=[("If-Match", f'"{version}"')])
    refused.put(1, b"late")
    assert refused.complete(412).code == "precondition_failed"
    client.delete(bucket, "k")
    nothing = refused.complete(412)
    assert (nothing.code, nothing.header("x-wfldb-version")) == ("precondition_failed", None)
    creates.complete(201)
    assert client.get(bucket, "k").body == b"multipart"
    for value in ("", "x", '"'):
        assert code(client.request("POST", creates.path + "?multipart=start", [("If-Match", value)])) == (400, "invalid_header")


def test_of_uploads_that_create_the_same_key_one_wins(server, client1, bucket):
    for round_ in range(10):
        uploads = [Upload(client1, bucket, f"{round_}", [("If-None-Match", "*")]) for _ in range(2)]
        for n, upload in enumerate(uploads):
            upload.put(1, b"%d" % n)
        barrier, answers = threading.Barrier(2), {}

        def complete(n):
            with Client(server) as client:
                mine = Upload(client, bucket, f"{round_}", upload=uploads[n].upload)
                barrier.wait(30)
                answers[n] = client.request("POST", mine.target, body=json.dumps({"parts": [uploads[n].parts[1]]}).encode())

        threads = [threading.Thread(target=complete, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status for answer in answers.values()) == [201, 412]
        winner = next(n for n in answers if answers[n].status == 201)
        assert answers[1 - winner].header("x-wfldb-version") == answers[winner].json["version"]
        assert client1.get(bucket, f"{round_}").body == b"%d" % winner
        uploads[1 - winner].abort()


def test_completing_many_times_at_once_is_completing_once(server, client1, bucket):
    contents = [os.urandom(2 * MIB) for _ in range(2)]
    upload = Upload(client1, bucket)
    for number, content in enumerate(contents, 1):
        upload.put(number, content)
    barrier, answers = threading.Barrier(4), [None] * 4

    def complete(n):
        with Client(server) as client:
            barrier.wait(30)
            answers[n] = client.request("POST", upload.target, body=json.dumps({"parts": [upload.parts[1], upload.parts[2]]}).encode())

    threads = [threading.Thread(target=complete, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(code(answer) for answer in answers) == [(201, "")] + [(404, "upload_not_found")] * 3
    assert client1.get(bucket, "k").body == b"".join(contents)
    upload.is_gone()


# ---- ends


def test_an_abort_leaves_nothing(client, server, bucket):
    before = server.metrics()["live_bytes"]
    upload = Upload(client, bucket)
    for number in (1, 2, 9):
        upload.put(number, os.urandom(MIB + number))
    upload.abort()
    upload.is_gone()
    assert client.expect(200, "GET", path_of(bucket) + "?uploads").json == {"uploads": []}
    client.get(bucket, "k", 404)
    space_comes_back(server, before)


def test_a_buckets_uploads_are_listed(client, bucket):
    assert client.expect(200, "GET", path_of(bucket) + "?uploads").json == {"uploads": []}
    uploads = [Upload(client, bucket, key) for key in ("b", "a/ü", "b")]
    for n, upload in enumerate(uploads):
        for number in range(n):
            upload.put(number + 1, os.urandom(MIB))
    listed = client.expect(200, "GET", path_of(bucket) + "?uploads").json["uploads"]
    assert [(u["upload"], u["key"], u["bytes"]) for u in listed] == [
        (upload.upload, upload.key, n * MIB) for n, upload in enumerate(uploads)]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", u["started"]) for u in listed)
    uploads[2].put(1, b"instead")
    uploads[0].abort()
    uploads[1].complete()
    listed = client.expect(200, "GET", path_of(bucket) + "?uploads").json["uploads"]
    assert [(u["upload"], u["bytes"]) for u in listed] == [(uploads[2].upload, MIB + 7)]


def test_a_bucket_takes_its_uploads_along(client, server, bucket):
    before = server.metrics()["live_bytes"]
    upload = Upload(client, bucket)
    upload.put(1, os.urandom(3 * MIB))
    client.expect(204, "DELETE", path_of(bucket))
    assert upload.list(404) == "bucket_not_found"
    client.make_bucket(bucket)
    upload.is_gone()
    assert client.expect(200, "GET", path_of(bucket) + "?uploads").json == {"uploads": []}
    space_comes_back(server, before)


def test_a_bucket_that_goes_while_a_part_is_sent(server, client1, bucket):
    upload = Upload(client1, bucket)
    target = f"{upload.target}&part=1"
    for sent in (0, 2 * MIB):
        with Connection(server.address) as connection:
            connection.send_head("PUT", target, client1.headers("PUT", target, [("Content-Length", 3 * MIB)], b"", content="unsigned"))
            connection.send(os.urandom(sent))
            wait_until(lambda: server.metrics()["requests_open"] >= 1, "it is under way")
            client1.expect(204, "DELETE", path_of(bucket))
            client1.make_bucket(bucket)
            connection.send(os.urandom(3 * MIB - sent))
            answer = connection.read()
            assert answer.status == 404 and answer.code in ("bucket_not_found", "upload_not_found")
            upload = Upload(client1, bucket)
            target = f"{upload.target}&part=1"


def test_an_upload_that_nobody_touches_ends():
    with Server(upload_ttl_seconds=1) as server, Client(server) as client:
        client.make_bucket("expires")
        upload = Upload(client, "expires")
        upload.put(1, os.urandom(2 * MIB))
        wait_until(lambda: client.expect(200, "GET", path_of("expires") + "?uploads").json["uploads"] == [], "it is removed")
        upload.is_gone()
        space_comes_back(server, 0)


def test_an_upload_that_is_touched_stays():
    with Server(upload_ttl_seconds=2) as server, Client(server) as client:
        client.make_bucket("expires")
        touched, left = Upload(client, "expires", "touched"), Upload(client, "expires", "left")

        def left_is_gone():
            touched.put(1, b"again")
            return left.upload not in [u["upload"] for u in client.expect(200, "GET", path_of("expires") + "?uploads").json["uploads"]]

        wait_until(left_is_gone, "what is left alone is removed")
        touched.complete()
        assert client.get("expires", "touched").body == b"again"


def test_uploads_outlive_a_restart():
    with Server() as server:
        contents = [os.urandom(MIB), os.urandom(MIB + 5)]
        with Client(server) as client:
            client.make_bucket("restart")
            upload = Upload(client, "restart", headers=[("X-WflDB-Meta-a", "b"), ("If-None-Match", "*")])
            for number, content in enumerate(contents, 1):
                upload.put(number, content)
            listed, parts = upload.list(), upload.parts
        assert server.stop() == 0
        server.start()
        with Client(server) as client:
            upload = Upload(client, "restart", upload=upload.upload)
            assert upload.list() == listed
            upload.parts = parts
            upload.complete()
            got = client.get("restart", "k")
            assert got.body == b"".join(contents) and got.header("x-wfldb-meta-a") == "b"
            client.delete("restart", "k")
            space_comes_back(server, 0)


def test_more_parts_than_are_listed_at_once(client1, bucket):
    """The store reads a thousand at a time."""
    count, content = 1003, os.urandom(MIB)  # all alike, stored once
    upload = Upload(client1, bucket)
    for number in range(1, count + 1):
        upload.put(number, content, content="unsigned")
    assert [part["part"] for part in upload.list()] == list(range(1, count + 1))
    assert upload.complete().json["size"] == count * MIB
    for first in (0, MIB - 1, 777 * MIB - 3, count * MIB - 9):
        got = client1.get(bucket, "k", 206, [("Range", f"bytes={first}-{first + 8}")])
        assert got.body == (content * 2)[first % MIB:][:9]
