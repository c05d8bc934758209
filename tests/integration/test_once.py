# SPDX-License-Identifier: Apache-2.0
"""Every kind of write happens once, however often and over whatever it is sent (protocol, Signed requests: Replay)."""
import concurrent.futures
import hashlib
import itertools
import json
import os

import pytest

from wfltest import Client, Connection, Grant, Key, Server, wait_until
from wfltest.client import path_of
from wfltest.http2 import Connection2
from wfltest.keys import ALL_OPS
from wfltest.presigned import presign
from wfltest.session import open_session
from wfltest.signing import nonce

MIB = 1 << 20
LARGE = os.urandom(2 * MIB + 12345)
PART = os.urandom(MIB + 1)
ABSENT = ("If-None-Match", "*")
names = (f"once-{n}" for n in itertools.count(1))


class Write:
    """One request as it is to be sent, signed with one nonce; `other` is another operation."""

    def __init__(self, method, target, status, body=None, headers=(), other=None, content="sha256"):
        self.method, self.target, self.status, self.body, self.headers = method, target, status, body, list(headers)
        self.other = other or (b"another" if body is not None else None)
        self.content, self.nonce = content, nonce()

    def signed(self, client, **more):
        return client.headers(self.method, self.target, self.headers, self.body, nonce_text=self.nonce,
                              content=self.content if self.body is not None else None, **more)

    def send(self, client, signed=None, connection=None):
        signed = signed or self.signed(client)
        if connection is not None:
            return connection.request(self.method, self.target, signed, self.body)
        return client._answer(lambda kept: kept.request(self.method, self.target, signed, self.body))

    def send_other(self, client):
        if self.body is None:
            headers = self.headers + [("X-WflDB-Durability", "buffered")]
            return client.request(self.method, self.target, headers, nonce_text=self.nonce)
        return client.request(self.method, self.target, self.headers, self.other, nonce_text=self.nonce)


# ---- the writes; each gets a bucket of its own that keeps all versions

def put(client, bucket):
    return Write("PUT", path_of(bucket, "new"), 201, b"content", [("X-WflDB-Tag-a", "1")])


def overwrite(client, bucket):
    client.put(bucket, "old", b"before")
    return Write("PUT", path_of(bucket, "old"), 200, b"after")


def put_unsigned(client, bucket):
    write = Write("PUT", path_of(bucket, "new"), 201, b"content", content="unsigned")
    return write


def put_large(client, bucket):
    return Write("PUT", path_of(bucket, "large"), 201, LARGE)


def put_on_condition(client, bucket):
    return Write("PUT", path_of(bucket, "new"), 201, b"content", [ABSENT])


def put_refused(client, bucket):
    client.put(bucket, "old", b"x")
    return Write("PUT", path_of(bucket, "old"), 412, b"content", [ABSENT])


def put_large_refused(client, bucket):
    client.put(bucket, "old", b"x")
    return Write("PUT", path_of(bucket, "old"), 412, LARGE, [ABSENT])


def put_nowhere(client, bucket):
    return Write("PUT", path_of(bucket + "-not", "k"), 404, b"x")


def put_too_large(client, bucket):
    client.expect(200, "PATCH", path_of(bucket), body=b'{"max_object_bytes":3}')
    return Write("PUT", path_of(bucket, "k"), 413, b"xxxx")


def put_over_quota(client, bucket):
    client.expect(200, "PATCH", path_of(bucket), body=b'{"quota_objects":0}')
    return Write("PUT", path_of(bucket, "k"), 507, b"x")


def delete(client, bucket):
    client.put(bucket, "old", b"x")
    return Write("DELETE", path_of(bucket, "old"), 204)


def delete_nothing(client, bucket):
    return Write("DELETE", path_of(bucket, "never"), 404)


def erase(client, bucket):
    version = client.put(bucket, "old", b"x").header("x-wfldb-version")
    return Write("DELETE", path_of(bucket, "old") + f"?version={version}", 204)


def erase_nothing(client, bucket):
    client.put(bucket, "old", b"x")
    return Write("DELETE", path_of(bucket, "old") + "?version=01ARZ3NDEKTSV4RRFFQ69G5FAV", 404)


def create(client, bucket):
    return Write("PUT", path_of(bucket + "-made"), 201, b'{"versions":3}', other=b'{"versions":4}')


def create_refused(client, bucket):
    return Write("PUT", path_of(bucket), 409, b"", other=b'{"versions":4}')


def patch(client, bucket):
    return Write("PATCH", path_of(bucket), 200, b'{"versions":3}', other=b'{"versions":4}')


def delete_bucket(client, bucket):
    return Write("DELETE", path_of(bucket), 204)


def delete_full_bucket(client, bucket):
    client.put(bucket, "k", b"x")
    return Write("DELETE", path_of(bucket), 409)


def batch(client, bucket):
    client.put(bucket, "old", b"x")
    body = {"ops": [{"op": "put", "key": "a", "value": "1"}, {"op": "copy", "from": "old", "key": "c"},
                    {"op": "delete", "key": "old"}, {"op": "check", "key": "never", "if": None}]}
    other = {"ops": [{"op": "put", "key": "a", "value": "2"}]}
    return Write("POST", path_of(bucket) + "/batch", 200, json.dumps(body).encode(), other=json.dumps(other).encode())


def batch_unsigned(client, bucket):
    write = batch(client, bucket)
    write.content = "unsigned"
    return write


def batch_refused(client, bucket):
    body = {"ops": [{"op": "put", "key": "a", "value": "1"}, {"op": "check", "key": "never", "if": "*"}]}
    other = {"ops": [{"op": "put", "key": "a", "value": "2"}]}
    return Write("POST", path_of(bucket) + "/batch", 412, json.dumps(body).encode(), other=json.dumps(other).encode())


def batch_across(client, bucket):
    client.make_bucket(bucket + "-two")
    body = {"ops": [{"op": "put", "bucket": bucket, "key": "a", "value": "1"},
                    {"op": "put", "bucket": bucket + "-two", "key": "b", "base64": "AAE="}]}
    other = {"ops": [{"op": "put", "bucket": bucket, "key": "a", "value": "2"}]}
    return Write("POST", "/v1/-/batch", 200, json.dumps(body).encode(), other=json.dumps(other).encode())


def start(client, bucket):
    return Write("POST", path_of(bucket, "up") + "?multipart=start", 201)


def begin(client, bucket):
    return client.expect(201, "POST", path_of(bucket, "up") + "?multipart=start").json["upload"]


def part(client, bucket):
    return Write("PUT", path_of(bucket, "up") + f"?upload={begin(client, bucket)}&part=1", 200, PART)


def complete(client, bucket):
    target = path_of(bucket, "up") + f"?upload={begin(client, bucket)}"
    parts = [client.expect(200, "PUT", f"{target}&part={n}", body=PART).json for n in (1, 2)]
    body = {"parts": [{"part": p["part"], "blake3": p["blake3"]} for p in parts]}
    other = {"parts": body["parts"][:1]}
    return Write("POST", target, 201, json.dumps(body).encode(), other=json.dumps(other).encode())


def abort(client, bucket):
    return Write("DELETE", path_of(bucket, "up") + f"?upload={begin(client, bucket)}", 204)


WRITES = [put, overwrite, put_unsigned, put_large, put_on_condition, put_refused, put_large_refused, put_nowhere, put_too_large,
          put_over_quota, delete, delete_nothing, erase, erase_nothing, create, create_refused, patch, delete_bucket,
          delete_full_bucket, batch, batch_unsigned, batch_refused, batch_across, start, part, complete, abort]


def prepare(client, make):
    bucket = next(names)
    client.make_bucket(bucket, b'{"versions":-1}')
    return make(client, bucket), bucket


def told(answer):
    """All of an answer that says something of the write."""
    body = answer.body
    if answer.status >= 400:
        body = {name: value for name, value in answer.json.items() if name != "request_id"}
    return (answer.status, body, *(answer.header(name) for name in ("etag", "x-wfldb-version", "x-wfldb-content-blake3",
                                                                   "content-type")))


def assert_replayed(first, again):
    assert again.header("x-wfldb-replayed") == "true", again
    assert told(again) == told(first)


def changes(client):
    """How many commits all buckets have seen: their last versions, and what is in them."""
    return sorted((name, client.expect(200, "GET", path_of(name)).json["version"])
                  for name in (b["name"] for b in client.expect(200, "GET", "/v1/").json["buckets"]))


def test_each_list_is_complete():
    assert len(WRITES) == len({w.__name__ for w in WRITES})


@pytest.mark.parametrize("make", WRITES, ids=lambda w: w.__name__)
def test_a_write_is_executed_once(client, make):
    write, _ = prepare(client, make)
    signed = write.signed(client)
    first = write.send(client, signed)
    assert first.status == write.status and first.header("x-wfldb-replayed") is None, first
    before = changes(client)
    assert_replayed(first, write.send(client, signed))  # byte for byte
    assert_replayed(first, write.send(client))  # signed anew
    with Client(client.server, key=client.key, packet=client.packet, http=3 - client.http) as elsewhere:
        assert_replayed(first, write.send(elsewhere))  # over the other protocol
    reused = write.send_other(client)
    assert (reused.status, reused.code) == (409, "nonce_reused")
    assert reused.header("x-wfldb-replayed") is None
    assert_replayed(first, write.send(client))
    assert changes(client) == before


@pytest.mark.parametrize("make", WRITES, ids=lambda w: w.__name__)
def test_of_two_at_once_one_is_executed(client, make):
    write, _ = prepare(client, make)
    kind = Connection if client.http == 1 else Connection2
    with kind(client.server.address) as one, kind(client.server.address) as two, concurrent.futures.ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(write.send, client, write.signed(client), connection) for connection in (one, two)]
        answers = [each.result() for each in sent]
    assert sorted(a.header("x-wfldb-replayed") or "" for a in answers) == ["", "true"]
    assert told(answers[0]) == told(answers[1])
    assert answers[0].status == write.status


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_forgets_no_write(tmp_path, how):
    root, done = Key(), []
    server = Server(str(tmp_path), root=root)
    with server:
        with Client(server) as client:
            for make in WRITES:
                write, _ = prepare(client, make)
                signed = write.signed(client, authority="wfl.invalid")
                done.append((write, signed, write.send(client)))
        getattr(server, how)()
    with Server(str(tmp_path), root=root) as again:
        with Client(again, key=client.key, packet=client.packet) as after:
            before = changes(after)
            for write, signed, first in done:
                assert first.status == write.status
                assert_replayed(first, write.send(after))
                assert write.send_other(after).code == "nonce_reused"
                old = after._answer(lambda kept: kept.request(write.method, write.target, signed, write.body, host="wfl.invalid"))
                assert old.code == "timestamp_skew"
            assert changes(after) == before


# What is found when the same is done again later. The rest cannot tell.
SECOND = {put: 200, overwrite: 200, put_on_condition: 412, delete: 404, erase: 404, create: 409, delete_bucket: 404, abort: 404}


def test_what_has_expired_is_executed_again():
    """Its repetition would make a nonce live longer, so its end is seen by what another operation is told."""
    with Server(nonce_retention_seconds=1, clock_skew_seconds=1) as short, Client(short) as client:
        writes = [prepare(client, make)[0] for make in SECOND]
        for write in writes:
            assert write.send(client).status == write.status
        last, _ = prepare(client, put)
        assert last.send(client).status == 201
        wait_until(lambda: last.send_other(client).code != "nonce_reused", "the nonce is still known")
        for write, status in zip(writes, SECOND.values()):
            again = write.send(client)
            assert (again.status, again.header("x-wfldb-replayed")) == (status, None)


def test_a_replay_is_answered_before_its_body_is_sent(client1):
    write, _ = prepare(client1, put_large)
    first = write.send(client1)
    assert first.status == 201
    with Connection(client1.server.address) as connection:
        headers = write.signed(client1) + [("Content-Length", str(len(LARGE))), ("Expect", "100-continue")]
        connection.send_head("PUT", write.target, headers)
        assert_replayed(first, connection.read("PUT"))


def test_a_refusal_that_another_time_may_not_come_is_no_outcome(client, bucket):
    spent = nonce()
    target = path_of(bucket, "k")
    wrong = client.headers("PUT", target, [("X-WflDB-Content-SHA256", hashlib.sha256(b"other").hexdigest())], content=None,
                           nonce_text=spent)
    assert client.connect().request("PUT", target, wrong, b"content").code == "content_mismatch"
    assert client.request("PUT", target, body=b"content", nonce_text=spent).status == 201
    with Client(client.server, [Grant(bucket, ops=["get"])], key=client.key, http=client.http) as reader:
        other = nonce()
        assert reader.request("PUT", target, body=b"x", nonce_text=other).code == "forbidden"
        assert client.request("PUT", target, body=b"x", nonce_text=other).status == 200


def test_a_body_without_a_hash_is_part_of_a_document(client, bucket):
    spent = nonce()
    for value, code in (("1", ""), ("1", ""), ("2", "nonce_reused")):
        body = json.dumps({"ops": [{"op": "put", "key": "k", "value": value}]}).encode()
        assert client.request("POST", path_of(bucket) + "/batch", body=body, content="unsigned", nonce_text=spent).code == code


def test_a_read_and_a_write_share_no_nonce(client, bucket):
    spent = nonce()
    assert client.request("PUT", path_of(bucket, "k"), body=b"x", nonce_text=spent).status == 201
    assert client.request("GET", path_of(bucket, "k"), nonce_text=spent).code == "replayed"
    assert client.request("PUT", path_of(bucket, "k"), body=b"x", nonce_text=spent).status == 201
    other = nonce()
    assert client.request("GET", path_of(bucket, "k"), nonce_text=other).status == 200
    assert client.request("PUT", path_of(bucket, "k"), body=b"x", nonce_text=other).code == "replayed"


def test_nonces_are_a_client_s_own(server, client, bucket):
    spent = nonce()
    assert client.request("PUT", path_of(bucket, "k"), body=b"x", nonce_text=spent).status == 201
    with Client(server, http=client.http) as other:
        answer = other.request("PUT", path_of(bucket, "k"), body=b"y", nonce_text=spent)
        assert answer.status == 200 and answer.header("x-wfldb-replayed") is None


def test_a_renewed_packet_is_the_same_client(server, client, bucket):
    write = put(client, bucket)
    first = write.send(client)
    with Client(server, key=client.key, http=client.http) as renewed:
        assert renewed.packet != client.packet
        assert_replayed(first, write.send(renewed))


def test_a_client_that_outruns_what_is_kept_waits():
    with Server(write_nonces_per_client_max=16) as tight:
        with Client(tight) as greedy, Client(tight) as modest:
            greedy.make_bucket("bucket")
            first = put(greedy, "bucket")
            done = first.send(greedy)
            for _ in range(14):
                greedy.put("bucket", "k", b"x")
            refused = greedy.request("PUT", path_of("bucket", "k"), body=b"x")
            assert (refused.status, refused.code) == (429, "rate_limited") and refused.header("retry-after")
            assert_replayed(done, first.send(greedy))  # nothing was forgotten, and this is nothing new
            assert greedy.get("bucket", "k").status == 200
            modest.put("bucket", "k", b"x")


def test_writes_that_fall_out_of_time_make_room():
    with Server(write_nonces_per_client_max=16, nonce_retention_seconds=1) as tight:
        with Client(tight) as greedy:
            greedy.make_bucket("bucket")
            wait_until(lambda: greedy.request("PUT", path_of("bucket", "k"), body=b"x").status == 429, "never refused")
            wait_until(lambda: greedy.request("PUT", path_of("bucket", "k"), body=b"x").status == 200, "refused for good")


# ---- in a session

def in_session(session, make, bucket, counter=None):
    """A write of the session's; what has to be there before is made by it too."""
    write = make(session, bucket)
    write.nonce = counter or session.credential.next_nonce()
    return write


@pytest.mark.parametrize("make", WRITES, ids=lambda w: w.__name__)
def test_a_session_s_write_is_executed_once(client, make):
    bucket = next(names)
    client.make_bucket(bucket, b'{"versions":-1}')
    with open_session(client) as session:
        write = in_session(session, make, bucket)
        signed = write.signed(session)
        first = write.send(session, signed)
        assert first.status == write.status and first.header("x-wfldb-replayed") is None, first
        before = changes(client)
        assert_replayed(first, write.send(session, signed))
        assert_replayed(first, write.send(session))
        assert write.send_other(session).code == "nonce_reused"
        write.nonce = f"{session.credential.text}.{write.nonce}"
        assert_replayed(first, write.send(client))  # signed with the key, as if the session were lost
        assert write.send_other(client).code == "nonce_reused"
    assert changes(client) == before


def test_a_write_outlives_its_session(tmp_path):
    root, done = Key(), []
    with Server(str(tmp_path), root=root) as server:
        with Client(server) as client, open_session(client) as session:
            for make in WRITES:
                bucket = next(names)
                client.make_bucket(bucket, b'{"versions":-1}')
                write = in_session(session, make, bucket)
                done.append((write, write.send(session)))
        server.kill()
    with Server(str(tmp_path), root=root) as again, Client(again, key=client.key, packet=client.packet) as after:
        before = changes(after)
        for write, first in done:
            write.nonce = f"{session.credential.text}.{write.nonce}"
            assert_replayed(first, write.send(after))
        assert changes(after) == before


def test_a_session_s_reads_and_writes_share_no_counter(client, bucket):
    with open_session(client) as session:
        target = path_of(bucket, "k")
        assert session.request("PUT", target, body=b"x", nonce_text="1").status == 201
        assert session.request("GET", target, nonce_text="1").code == "replayed"
        assert session.request("GET", target, nonce_text="2").status == 200
        assert session.request("PUT", target, body=b"x", nonce_text="2").code == "replayed"
        assert session.request("PUT", target, body=b"x", nonce_text="1").header("x-wfldb-replayed") == "true"


def test_a_session_s_counter_that_was_not_executed_may_come_again(client, bucket):
    with open_session(client) as session:
        target = path_of(bucket, "k")
        wrong = session.headers("PUT", target, [("X-WflDB-Content-SHA256", hashlib.sha256(b"other").hexdigest())], content=None,
                                nonce_text="1")
        assert session._answer(lambda kept: kept.request("PUT", target, wrong, b"content")).code == "content_mismatch"
        assert session.request("PUT", target, body=b"content", nonce_text="1").status == 201


def test_a_counter_below_the_window_is_known_or_refused(client, bucket):
    with open_session(client) as session:
        target = path_of(bucket, "k")
        assert session.request("PUT", target, body=b"x", nonce_text="1").status == 201
        assert session.request("PUT", target, body=b"x", nonce_text="5000").status == 200
        assert session.request("PUT", target, body=b"x", nonce_text="1").header("x-wfldb-replayed") == "true"
        assert session.request("PUT", target, body=b"y", nonce_text="1").code == "nonce_reused"
        assert session.request("PUT", target, body=b"x", nonce_text="2").code == "replayed"


# ---- what no commit remembers

def test_what_has_no_outcome_keeps_its_nonce_in_memory(server, client):
    with Client(server, [Grant("*", None, ALL_OPS)], http=client.http) as admin:
        for method, body in (("POST", b"{}"), ("DELETE", None)):
            spent = nonce()
            assert admin.request(method, "/v1/-/scrub", body=body, nonce_text=spent).status in (200, 202)
            assert admin.request(method, "/v1/-/scrub", body=body, nonce_text=spent).code == "replayed"


def test_a_presigned_put_is_not_remembered(client, bucket):
    url = presign(client, "PUT", path_of(bucket, "k"), [("X-WflDB-Content-SHA256", "unsigned")])
    for status in (201, 200):
        answer = client._answer(lambda kept: kept.request("PUT", url, [("X-WflDB-Content-SHA256", "unsigned")], b"x"))
        assert (answer.status, answer.header("x-wfldb-replayed")) == (status, None)
