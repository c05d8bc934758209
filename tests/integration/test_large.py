# SPDX-License-Identifier: Apache-2.0
"""Objects of any size: in by length or by stream, out whole or in ranges, and nothing of what failed (protocol, Objects
over HTTP and Large objects)."""
import email.utils
import hashlib
import os
import random
import socket
import threading

import pytest

from wfltest import Client, Connection, Grant, Server, wait_until
from wfltest.client import path_of
from wfltest.http2 import Connection2

KIB, MIB = 1 << 10, 1 << 20
OTHER = '"01ARZ3NDEKTSV4RRFFQ69G5FAV"'

# Content up to 64 KiB is in the record, larger content in chunks of 1 MiB: around each border one less and one more.
SIZES = [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 5 * MIB, 5 * MIB + 1]
SEED = int(os.environ.get("WFL_SEED", random.SystemRandom().randrange(1 << 32)))

# Random bytes once; contents are cut from them, so that making them costs nothing. Two that begin at different places
# share no chunk.
POOL = random.Random(SEED).randbytes(48 * MIB)


@pytest.fixture(autouse=True)
def say_seed():
    print(f"WFL_SEED={SEED}")  # shown where a test fails; replays it


def content_of(size, at=None):
    at = random.randrange(len(POOL) - size + 1) if at is None else at
    return POOL[at:at + size]


def cut(content, rng, most):
    """The content in pieces of odd sizes."""
    at = 0
    while at < len(content):
        size = rng.randint(1, rng.choice([7, 1000, 65537, most]))
        yield content[at:at + size]
        at += size


# ---- in and out


@pytest.mark.parametrize("size", SIZES + [40 * MIB])
def test_what_is_put_by_length_comes_back(client, bucket, size):
    content = content_of(size)
    put = client.put(bucket, "k", content, status=201)
    assert put.json["size"] == size
    got = client.get(bucket, "k")
    assert got.body == content
    assert int(got.header("content-length")) == size
    assert got.header("x-wfldb-content-blake3") == put.json["blake3"]
    head = client.get(bucket, "k", method="HEAD")
    assert head.body == b"" and int(head.header("content-length")) == size
    client.delete(bucket, "k")


@pytest.mark.parametrize("size", [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB + 1])
def test_what_is_streamed_comes_back(client, bucket, size):
    content = content_of(size)
    pieces = list(cut(content, random.Random(SEED + size), 700_001))
    put = client.stream("PUT", path_of(bucket, "k"), pieces)
    assert (put.status, put.json["size"]) == (201, size)
    assert client.get(bucket, "k").body == content
    assert client.put(bucket, "same", content).json["blake3"] == put.json["blake3"]


@pytest.mark.parametrize("size", [64 * KIB, 64 * KIB + 1, 3 * MIB, 3 * MIB + 77])
@pytest.mark.parametrize("streamed", [False, True], ids=["length", "stream"])
def test_each_way_to_declare_the_hash(client, bucket, size, streamed):
    content = content_of(size)

    def put(key, headers, **sign):
        if streamed:
            return client.stream("PUT", path_of(bucket, key), [content], headers, **sign)
        return client.request("PUT", path_of(bucket, key), headers, content, **sign)

    blake3 = put("sha256", []).json["blake3"]
    for key, headers, sign in (("unsigned", [], {"content": "unsigned"}),
                               ("unsigned3", [("X-WflDB-Content-BLAKE3", "unsigned")], {"content": None}),
                               ("blake3", [("X-WflDB-Content-BLAKE3", blake3)], {"content": None})):
        answer = put(key, headers, **sign)
        assert (answer.status, answer.json["blake3"]) == (201, blake3), key
        assert client.get(bucket, key).body == content
    undeclared = put("none", [], content=None)
    assert (undeclared.status, undeclared.code) == (400, "invalid_header")


def test_metadata_of_a_large_object(client, bucket):
    headers = [("Content-Type", "video/x"), ("X-WflDB-Meta-Camera", "x 100"), ("X-WflDB-Tag-state", "new")]
    content = content_of(2 * MIB + 5)
    client.put(bucket, "k", content, headers)
    for options in ({}, {"headers": [("Range", "bytes=5-9")], "status": 206}):
        got = client.get(bucket, "k", **options)
        assert got.header("content-type") == "video/x"
        assert got.header("x-wfldb-meta-camera") == "x 100"
        assert got.header("x-wfldb-tag-state") == "new"
        assert got.header("accept-ranges") == "bytes"
    item = client.page(bucket)["items"][0]
    assert (item["size"], item["content_type"]) == (len(content), "video/x")


# ---- what fails leaves nothing


def space(server):
    metrics = server.metrics()
    return metrics["live_bytes"], metrics["requests_open"]


@pytest.fixture
def comes_back(server):
    """Whatever a test did not store gives its space back."""
    before = server.metrics()["live_bytes"]
    yield
    wait_until(lambda: server.metrics()["live_bytes"] == before, lambda: f"{before} live bytes before, now {space(server)}")


def nothing_is_there(client, bucket, key="k"):
    assert client.get(bucket, key, 404).code == "key_not_found"
    document = client.expect(200, "GET", path_of(bucket)).json
    assert (document["objects"], document["bytes"]) == (0, 0)


@pytest.mark.parametrize("size", [64 * KIB, 64 * KIB + 1, MIB, 3 * MIB, 3 * MIB + 1, 20 * MIB])
@pytest.mark.parametrize("declared", ["sha256", "blake3"])
@pytest.mark.parametrize("streamed", [False, True], ids=["length", "stream"])
def test_one_wrong_bit_in_the_last_byte(client, bucket, comes_back, size, declared, streamed):
    content = content_of(size)
    if declared == "sha256":
        header = ("X-WflDB-Content-SHA256", hashlib.sha256(content).hexdigest())
    else:
        header = ("X-WflDB-Content-BLAKE3", client.put(bucket, "right", content).json["blake3"])
        client.delete(bucket, "right")
    wrong = content[:-1] + bytes([content[-1] ^ 1])
    if streamed:
        answer = client.stream("PUT", path_of(bucket, "k"), [wrong[:100], wrong[100:]], [header], content=None)
    else:
        answer = client.request("PUT", path_of(bucket, "k"), [header], wrong, content=None)
    assert (answer.status, answer.code) == (400, "content_mismatch")
    nothing_is_there(client, bucket)


def begin(server, client1, bucket, length, body_hash="unsigned", key="k"):
    """A PUT whose head is sent, on a connection of its own."""
    target = path_of(bucket, key)
    connection = Connection(server.address)
    framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", length)
    connection.send_head("PUT", target, client1.headers("PUT", target, [framing], b"", content=body_hash))
    return connection


@pytest.mark.parametrize("sent", [0, 1, 64 * KIB, MIB - 1, MIB, MIB + 1, 3 * MIB - 1])
def test_a_body_that_ends_too_early(server, client1, bucket, comes_back, sent):
    content = content_of(sent)
    for length in (3 * MIB, None):
        with begin(server, client1, bucket, length) as connection:
            connection.send(content if length else b"%x\r\n" % (3 * MIB) + content)
            connection.socket.shutdown(socket.SHUT_WR)
            answer = connection.read()
            assert (answer.status, answer.code) == (400, "incomplete_body")
            assert connection.at_end()
        nothing_is_there(client1, bucket)


def test_a_stream_that_ends_at_a_border_without_its_end(server, client1, bucket, comes_back):
    with begin(server, client1, bucket, None) as connection:
        connection.send(b"%x\r\n" % (2 * MIB) + content_of(2 * MIB) + b"\r\n")
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.read().code == "incomplete_body"
    nothing_is_there(client1, bucket)


def test_more_than_the_length_is_the_next_request(server, client1, bucket):
    """RFC 9112 section 6.3: the length says where the body ends; what follows is no part of it."""
    content = content_of(2 * MIB)
    with begin(server, client1, bucket, len(content)) as connection:
        connection.send(content + b"surplus\r\n\r\n")
        assert connection.read().status == 201
        assert connection.read().code == "invalid_request"
    assert client1.get(bucket, "k").body == content


@pytest.mark.parametrize("said, sent", [(3 * MIB, 2 * MIB), (2 * MIB, 3 * MIB)], ids=["short", "long"])
def test_a_length_that_the_stream_does_not_keep(server, client1, bucket, comes_back, said, sent):
    """RFC 9113 section 8.1.1: such a request is malformed, a stream error."""
    target = path_of(bucket, "k")
    with Connection2(server.address) as connection:
        headers = client1.headers("PUT", target, [("content-length", str(said))], b"", content="unsigned")
        stream = connection.send_head("PUT", target, headers)
        connection.h2._get_stream_by_id(stream)._expected_content_length = None
        try:
            connection.send_body(stream, content_of(sent))
            answer = connection.finish(stream)
            assert answer.code in ("incomplete_body", "invalid_request"), answer
        except ConnectionResetError:
            pass
        assert connection.request("GET", "/v1/-/server").status == 200  # the connection lives on
    nothing_is_there(client1, bucket)


@pytest.mark.parametrize("coding", [b"zz\r\n", b"100000000000000000\r\n", b"5\r\nabcdefg"], ids=["no size", "too large", "no end"])
def test_a_coding_that_breaks_in_the_middle(server, client1, bucket, comes_back, coding):
    with begin(server, client1, bucket, None) as connection:
        connection.send(b"%x\r\n" % (2 * MIB) + content_of(2 * MIB) + b"\r\n" + coding)
        answer = connection.read()
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert connection.at_end()
    nothing_is_there(client1, bucket)


@pytest.mark.parametrize("http", [1, 2])
def test_uploads_cut_anywhere(server, client1, bucket, comes_back, http):
    rng = random.Random(SEED)
    for _ in range(25):
        size, target = rng.choice([200 * KIB, 3 * MIB, 9 * MIB]), path_of(bucket, "k")
        content = content_of(rng.randrange(size))
        headers = client1.headers("PUT", target, body=b"", content="unsigned")
        if http == 1:
            with begin(server, client1, bucket, rng.choice([size, None])) as connection:
                connection.send(b"%x\r\n" % size + content)
        else:
            with Connection2(server.address) as connection:
                stream = connection.send_head("PUT", target, headers)
                connection.send_body(stream, content, end=False)
                if rng.random() < 0.5:  # the stream alone
                    connection.h2.reset_stream(stream)
                    connection.flush()
                    assert connection.request("GET", "/v1/-/server").status == 200
    wait_until(lambda: server.metrics()["requests_open"] == 0, lambda: space(server))
    nothing_is_there(client1, bucket)


def test_an_upload_that_stalls_is_given_up():
    with Server(body_stall_timeout_seconds=1) as server, Client(server) as client:
        client.make_bucket("stall")
        for length in (3 * MIB, None):
            with begin(server, client, "stall", length) as connection:
                connection.send(content_of(MIB + 5) if length else b"%x\r\n" % (3 * MIB) + content_of(MIB + 5))
                answer = connection.read()
                assert (answer.status, answer.code) == (408, "request_timeout")
                assert connection.at_end()
        target = path_of("stall", "k")
        with Connection2(server.address) as connection:
            stream = connection.send_head("PUT", target, client.headers("PUT", target, body=b"", content="unsigned"))
            connection.send_body(stream, content_of(MIB + 5), end=False)
            assert connection.finish(stream).code == "request_timeout"
        nothing_is_there(client, "stall")
        wait_until(lambda: server.metrics()["live_bytes"] == 0, lambda: space(server))


# ---- ranges


def random_range(rng, size):
    """(header, slice or None for unsatisfiable or Ellipsis for one that does not count)"""
    def position():
        return rng.choice([0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, size // 2, size - 1, size, size + 1, rng.randrange(2 * size)])
    first, last = position(), position()
    kind = rng.randrange(8)
    if kind < 3:
        if last < first:
            return f"bytes={first}-{last}", Ellipsis
        return f"bytes={first}-{last}", (slice(first, last + 1) if first < size else None)
    if kind == 3:
        return f"bytes={first}-", (slice(first, None) if first < size else None)
    if kind == 4:
        return f"bytes=-{last}", (None if last == 0 else slice(max(0, size - last), None))
    if kind == 5:
        return f"bytes={first}-{2**70}", (slice(first, None) if first < size else None)
    if kind == 6:
        return rng.choice(["bytes=0-1,5-9", "bytes=-5,0-0", "bytes=0-1, 2-3"]), Ellipsis
    return rng.choice(["bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-2x", "items=0-5", "bytes=1--2"]), Ellipsis


def check_range(client, bucket, key, content, header, expected, method="GET"):
    answer = client.request(method, path_of(bucket, key), [("Range", header)])
    if expected is None:
        assert (answer.status, answer.header("content-range")) == (416, f"bytes */{len(content)}"), (header, answer)
        if method == "GET":
            assert answer.code == "range_not_satisfiable"
        return
    part = content if expected is Ellipsis else content[expected]
    assert answer.status == (200 if expected is Ellipsis else 206), (header, answer)
    assert int(answer.header("content-length")) == len(part), header
    if method == "GET":
        assert answer.body == part, header
    if expected is not Ellipsis:
        first = expected.indices(len(content))[0]
        assert answer.header("content-range") == f"bytes {first}-{first + len(part) - 1}/{len(content)}", header
    else:
        assert answer.header("content-range") is None


@pytest.fixture(scope="module")
def ranged(server):
    """A bucket with one content three times: small, in chunks, and in parts of odd sizes."""
    contents = {"small": content_of(50 * KIB), "chunks": content_of(3 * MIB + 333)}
    contents["parts"] = contents["chunks"]
    with Client(server) as client:
        client.make_bucket("ranged")
        for key in ("small", "chunks"):
            client.put("ranged", key, contents[key])
        upload = client.expect(201, "POST", path_of("ranged", "parts") + "?multipart=start").json["upload"]
        parts, content = [], contents["parts"]
        for number, (first, last) in enumerate([(0, MIB + 1), (MIB + 1, 3 * MIB - 7), (3 * MIB - 7, None)], 1):
            answer = client.expect(200, "PUT", path_of("ranged", "parts") + f"?upload={upload}&part={number}",
                                   body=content[first:last])
            parts.append({"part": number, "blake3": answer.json["blake3"]})
        import json
        client.expect(201, "POST", path_of("ranged", "parts") + f"?upload={upload}", body=json.dumps({"parts": parts}).encode())
    return contents


@pytest.mark.parametrize("key", ["small", "chunks", "parts"])
def test_ranges_are_slices(client, ranged, key):
    rng = random.Random(f"{SEED} {key} {client.http}")
    content = ranged[key]
    for _ in range(120):
        header, expected = random_range(rng, len(content))
        check_range(client, "ranged", key, content, header, expected)


@pytest.mark.parametrize("key", ["small", "chunks", "parts"])
def test_head_ignores_nothing_that_get_heeds(client, ranged, key):
    """The protocol: HEAD answers exactly as GET does, without the body."""
    content = ranged[key]
    for header, expected in (("bytes=0-9", slice(0, 10)), ("bytes=-7", slice(len(content) - 7, None)),
                             (f"bytes={len(content)}-", None), ("bytes=0-1,3-4", Ellipsis)):
        check_range(client, "ranged", key, content, header, expected, "HEAD")


@pytest.mark.parametrize("key", ["small", "chunks", "parts"])
def test_if_range(client, ranged, key):
    content = ranged[key]
    whole = client.get("ranged", key, method="HEAD")
    etag, modified = whole.header("etag"), whole.header("last-modified")
    for value, status in ((etag, 206), (OTHER, 200), ("W/" + etag, 200), (modified, 200), ("nonsense", 200), ("", 200),
                          (email.utils.formatdate(0, usegmt=True), 200)):
        answer = client.get("ranged", key, status, [("Range", "bytes=3-9"), ("If-Range", value)])
        assert answer.body == (content[3:10] if status == 206 else content), value
    # Where it does not hold, a range beyond the end is none that could fail.
    assert client.get("ranged", key, 200, [("Range", "bytes=99999999-"), ("If-Range", OTHER)]).body == content
    # Without a range it says nothing; preconditions come first.
    assert client.get("ranged", key, 200, [("If-Range", etag)]).body == content
    assert client.get("ranged", key, 412, [("Range", "bytes=3-9"), ("If-Match", OTHER)]).code == "precondition_failed"
    assert client.get("ranged", key, 304, [("Range", "bytes=3-9"), ("If-None-Match", etag)]).body == b""


def test_an_empty_object_has_no_range(client, bucket):
    client.put(bucket, "empty", b"")
    for header in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        answer = client.get(bucket, "empty", 416, [("Range", header)])
        assert answer.header("content-range") == "bytes */0"


# ---- conditions


def test_conditions_on_large_objects(client, bucket):
    first, second = content_of(2 * MIB + 1), content_of(3 * MIB)
    version = client.put(bucket, "k", first, [("If-None-Match", "*")], status=201).json["version"]
    refused = client.put(bucket, "k", second, [("If-None-Match", "*")], status=412)
    assert (refused.code, refused.header("x-wfldb-version")) == ("precondition_failed", version)
    refused = client.stream("PUT", path_of(bucket, "k"), [second], [("If-Match", OTHER)])
    assert (refused.status, refused.header("x-wfldb-version")) == (412, version)
    assert client.get(bucket, "k", 304, [("If-None-Match", f'"{version}"')]).body == b""
    assert client.get(bucket, "k", 412, [("If-Match", OTHER)]).header("x-wfldb-version") == version
    assert client.get(bucket, "k", 200, [("If-Match", f'"{version}"')]).body == first
    later = client.put(bucket, "k", second, [("If-Match", f'"{version}"')], status=200).json["version"]
    assert client.get(bucket, "k", 200, [("If-None-Match", f'"{version}"')]).body == second
    assert client.delete(bucket, "k", 412, [("If-Match", f'"{version}"')]).header("x-wfldb-version") == later
    client.delete(bucket, "k", 204, [("If-Match", f'"{later}"')])


def test_exactly_one_of_four_uploads_creates(server, client1, bucket):
    contents = [content_of(2 * MIB + n) for n in range(4)]
    for round_ in range(5):
        barrier, answers = threading.Barrier(4), [None] * 4

        def run(n):
            with Client(server, http=1 + n % 2) as client:
                barrier.wait(30)
                answers[n] = client.request("PUT", path_of(bucket, f"{round_}"), [("If-None-Match", "*")], contents[n])
        threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status for answer in answers) == [201, 412, 412, 412]
        winner = next(n for n in range(4) if answers[n].status == 201)
        assert client1.get(bucket, f"{round_}").body == contents[winner]


# ---- limits: told before the body is sent, where it can be known


def ask(server, client, bucket, length, headers=(), key="k"):
    """What a client that waits to be asked for its body hears first: 100, or the final answer."""
    target = path_of(bucket, key)
    framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", length)
    connection = Connection(server.address)
    connection.send_head("PUT", target, client.headers("PUT", target, [*headers, framing, ("Expect", "100-continue")], b"",
                                                       content="unsigned"))
    answer = connection.read_head()
    if answer.status != 100:
        answer.body = connection._exactly(int(answer.header("content-length")))
    return connection, answer


def hears(server, client, bucket, length, status, code, headers=(), key="k"):
    connection, answer = ask(server, client, bucket, length, headers, key)
    with connection:
        assert (answer.status, answer.code) == (status, code)
        assert connection.at_end()  # nobody knows whether the body comes after all


LIMITED = b'{"max_object_bytes":3145728}'


def test_too_large_is_told_before_the_body(server, client1):
    client1.make_bucket("limited", LIMITED)
    hears(server, client1, "limited", 3 * MIB + 1, 413, "object_too_large")
    connection, answer = ask(server, client1, "limited", 3 * MIB)
    with connection:
        assert answer.status == 100
        connection.send(content_of(3 * MIB))
        assert connection.read().status == 201
    with Client(server, limits={"max_object_bytes": 2 * MIB}) as small:
        hears(server, small, "limited", 2 * MIB + 1, 413, "object_too_large")
        hears(server, small, "limited", 6 << 40, 413, "object_too_large")
    hears(server, client1, "no-such", 3 * MIB, 404, "bucket_not_found")
    with Client(server, [Grant("other", "", ["put"])]) as stranger:
        hears(server, stranger, "limited", 3 * MIB, 403, "forbidden")


def test_what_cannot_win_is_told_before_the_body(server, client1, bucket):
    version = client1.put(bucket, "k", b"x").json["version"]
    for size in (3 * MIB, None):
        hears(server, client1, bucket, size, 412, "precondition_failed", [("If-None-Match", "*")])
        hears(server, client1, bucket, size, 412, "precondition_failed", [("If-Match", OTHER)])
        hears(server, client1, bucket, size, 412, "precondition_failed", [("If-Match", "*")], key="none")
    connection, answer = ask(server, client1, bucket, 3 * MIB, [("If-Match", f'"{version}"')])
    with connection:
        assert answer.status == 100


def test_over_the_quota_is_told_before_the_body(server, client1):
    client1.make_bucket("quota", b'{"quota_bytes":4194304,"quota_objects":2}')
    hears(server, client1, "quota", 4 * MIB + 1, 507, "quota_exceeded")
    client1.put("quota", "a", content_of(3 * MIB))
    hears(server, client1, "quota", MIB + 1, 507, "quota_exceeded", key="b")
    client1.put("quota", "a", content_of(4 * MIB), status=200)  # in place of what was there it has room
    client1.put("quota", "b", b"", status=201)
    hears(server, client1, "quota", MIB, 507, "quota_exceeded", key="c")
    hears(server, client1, "quota", None, 507, "quota_exceeded", key="c")
    assert client1.expect(200, "GET", path_of("quota")).json["bytes"] == 4 * MIB


def test_limits_hold_for_streams(client, server):
    bucket = f"streams-{client.http}"
    client.make_bucket(bucket, b'{"max_object_bytes":3145728,"quota_bytes":5242880}')
    before = server.metrics()["live_bytes"]
    answer = client.stream("PUT", path_of(bucket, "k"), cut(content_of(3 * MIB + 1), random.Random(SEED), 200_000))
    assert (answer.status, answer.code) == (413, "object_too_large")
    answer = client.stream("PUT", path_of(bucket, "k"), [content_of(40 * MIB)])
    assert (answer.status, answer.code) == (413, "object_too_large")
    assert client.stream("PUT", path_of(bucket, "k"), [content_of(3 * MIB)]).status == 201
    answer = client.stream("PUT", path_of(bucket, "l"), [content_of(2 * MIB + 1)])
    assert (answer.status, answer.code) == (507, "quota_exceeded")
    client.delete(bucket, "k")
    nothing_is_there(client, bucket)
    wait_until(lambda: server.metrics()["live_bytes"] == before, lambda: space(server))


# ---- while it is being read


class SlowReader:
    """Asks for an object and takes 64 KiB of it; the rest when it is told to."""

    def __init__(self, server, client, bucket, key, http, headers=()):
        target = path_of(bucket, key)
        self.http, headers = http, client.headers("GET", target, headers)
        if http == 1:
            self.connection = Connection(server.address)
            self.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
            self.connection.send_head("GET", target, headers)
            self.answer = self.connection.read_head()
            self.length = int(self.answer.header("content-length"))
            self.begun = self.connection._exactly(min(64 * KIB, self.length))
        else:
            self.connection = Connection2(server.address)
            self.stream = self.connection.start("GET", target, headers)
            while len(getattr(self.connection.answers.get(self.stream), "body", b"")) < 64 * KIB:
                assert self.connection.pump()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def rest(self):
        if self.http == 1:
            return self.begun + self.connection._exactly(self.length - len(self.begun))
        return self.connection.finish(self.stream).body


@pytest.mark.parametrize("http", [1, 2])
@pytest.mark.parametrize("change", ["delete", "overwrite", "bucket"])
def test_what_is_being_read_stays(server, client1, bucket, http, change):
    content = content_of(40 * MIB)
    client1.put(bucket, "k", content)
    with SlowReader(server, client1, bucket, "k", http) as reader:
        if change == "overwrite":
            client1.put(bucket, "k", content_of(20 * MIB), status=200)
        else:
            client1.delete(bucket, "k")
        if change == "bucket":
            client1.expect(204, "DELETE", path_of(bucket))
        # The collector goes over it meanwhile: it has taken back something that came later.
        client1.make_bucket(f"later-{bucket}")
        before = server.metrics()["live_bytes"]
        client1.put(f"later-{bucket}", "x", content_of(MIB + 1))
        client1.delete(f"later-{bucket}", "x")
        wait_until(lambda: server.metrics()["live_bytes"] <= before, lambda: space(server))
        assert reader.rest() == content


@pytest.mark.parametrize("http", [1, 2])
def test_slow_readers_hold_little_memory(server, client1, bucket, http):
    content = content_of(40 * MIB)
    client1.put(bucket, "k", content)
    client1.get(bucket, "k")
    before = server.anonymous_bytes()
    readers = [SlowReader(server, client1, bucket, "k", http) for _ in range(8)]
    try:
        wait_until(lambda: server.metrics()["requests_open"] >= 8, "all are under way")
        assert server.anonymous_bytes() - before < 16 * MIB  # and not 8 times 40
        for reader in readers:
            assert reader.rest() == content
    finally:
        for reader in readers:
            reader.connection.close()


@pytest.mark.parametrize("http", [1, 2])
def test_readers_that_go_away_let_go(server, client1, bucket, http):
    before = server.metrics()["live_bytes"]
    client1.put(bucket, "k", content_of(20 * MIB))
    for _ in range(10):
        SlowReader(server, client1, bucket, "k", http).connection.close()
    client1.delete(bucket, "k")
    wait_until(lambda: server.metrics()["requests_open"] == 0, lambda: space(server))
    wait_until(lambda: server.metrics()["live_bytes"] <= before, lambda: space(server))


# ---- equal content is stored once a bucket


def test_the_same_content_is_stored_once_a_bucket():
    with Server() as server, Client(server) as client:
        content = content_of(20 * MIB + 1000)
        for bucket in ("first", "second"):
            client.make_bucket(bucket)
        grown = []
        for bucket in ("first", "second"):
            for key in "abcde":
                client.put(bucket, key, content)
                grown.append(server.metrics()["live_bytes"])
        once = grown[0]
        assert len(content) <= once < len(content) + 128 * KIB  # what lies around chunks counts too
        assert grown == [once] * 5 + [2 * once] * 5
        document = client.expect(200, "GET", path_of("first")).json
        assert document["bytes"] == 5 * len(content)
        for key in "abcd":
            client.delete("first", key)
        assert client.get("first", "e").body == content
        client.put("first", "e", content_of(5), status=200)
        wait_until(lambda: server.metrics()["live_bytes"] == once, lambda: space(server))
        assert client.get("second", "a").body == content
        for key in "abcde":
            client.delete("second", key)
        wait_until(lambda: server.metrics()["live_bytes"] == 0, lambda: space(server))


def test_one_chunk_a_thousand_times(client, bucket, server):
    """A content that repeats itself, within a page of the manifest and across pages."""
    before = server.metrics()["live_bytes"]
    content = content_of(MIB, at=0) * 40
    client.put(bucket, "k", content)
    assert client.get(bucket, "k").body == content
    assert server.metrics()["live_bytes"] - before < MIB + 64 * KIB
    client.delete(bucket, "k")
    wait_until(lambda: server.metrics()["live_bytes"] <= before, lambda: space(server))
