# SPDX-License-Identifier: Apache-2.0
"""Rates of packets and buckets over real sockets (protocol, Limits). A slow machine makes a rate look smaller and never
larger, so what is asserted of time are bounds from one side."""
import json
import os
import time

import pytest

from wfltest import Client, Connection, Grant, Key, Server, issue, wait_until
from wfltest.changes import LINES, Stream
from wfltest.http2 import Connection2

MIB = 1 << 20


def settings(server, bucket, **values):
    with Client(server) as owner:
        owner.expect(200, "PATCH", f"/v1/{bucket}", body=json.dumps(values).encode())


class Tries:
    """Requests as fast as they go; how many of each answer, and how long it took."""

    def __init__(self, count, ask):
        begin = time.monotonic()
        self.answers = [ask() for _ in range(count)]
        self.seconds = time.monotonic() - begin
        self.passed = sum(a.status < 400 for a in self.answers)
        for answer in self.answers:
            assert answer.status < 400 or (answer.status, answer.code) == (429, "rate_limited"), answer
            assert answer.status < 400 or int(answer.header("retry-after")) >= 1

    def check(self, rate, burst=True):
        assert (rate if burst else 0) <= self.passed <= rate + rate * self.seconds + 1, (self.passed, self.seconds)


def test_a_packets_rate(server, bucket, client):
    with Client(server, limits={"requests_per_second": 5}, http=client.http) as limited:
        Tries(40, lambda: limited.request("GET", "/v1/")).check(5)
    assert client.expect(200, "GET", "/v1/")


def test_what_is_handed_on_is_not_multiplied(server, bucket):
    middle, keys = Key(), [Key() for _ in range(4)]
    parent = issue(server.root, middle, [Grant()], delegate=1, limits={"requests_per_second": 4})
    clients = [Client(server, key=k, packet=issue(middle, k, [Grant()], parent, limits={"requests_per_second": 1000}))
               for k in keys] + [Client(server, key=middle, packet=parent)]
    turns = iter(clients * 8)
    Tries(40, lambda: next(turns).request("GET", "/v1/")).check(4)
    for client in clients:
        client.close()


def test_of_a_chain_the_smallest_holds(server):
    middle, key = Key(), Key()
    parent = issue(server.root, middle, [Grant()], delegate=1, limits={"requests_per_second": 1000})
    with Client(server, key=key, packet=issue(middle, key, [Grant()], parent, limits={"requests_per_second": 3})) as client:
        Tries(20, lambda: client.request("GET", "/v1/")).check(3)
    with Client(server, key=middle, packet=parent) as client:
        assert Tries(20, lambda: client.request("GET", "/v1/")).passed == 20


def test_a_buckets_rate_binds_all_and_holds_at_once(server, bucket):
    with Client(server) as one, Client(server) as two, Connection(server.address) as nobody:
        one.put(bucket, "k", b"x")
        settings(server, bucket, requests_per_second=4, public_read=True)
        asks = [lambda: one.request("GET", f"/v1/{bucket}/k"), lambda: two.request("GET", f"/v1/{bucket}/scan"),
                lambda: nobody.request("GET", f"/v1/{bucket}/k")]
        turn = iter(asks * 20)
        Tries(40, lambda: next(turn)()).check(4)
        # Its owner is not locked out, and other buckets know nothing of it.
        one.expect(200, "GET", f"/v1/{bucket}")
        one.expect(200, "GET", "/v1/")
        settings(server, bucket, requests_per_second=None)
        assert Tries(40, asks[0]).passed == 40
        settings(server, bucket, requests_per_second=2)
        Tries(40, asks[1]).check(2, burst=False)  # what was taken before still counts


def test_batches_count_in_each_bucket(server, bucket):
    other = bucket + "-b"
    with Client(server) as client:
        client.make_bucket(other)
        settings(server, other, requests_per_second=2)
        body = json.dumps({"ops": [{"op": "put", "bucket": b, "key": str(i), "value": "x"}
                                   for b in (bucket, other) for i in range(5)]}).encode()
        Tries(20, lambda: client.request("POST", "/v1/-/batch", body=body)).check(2)
        client.put(bucket, "k", b"x")
        one = json.dumps({"ops": [{"op": "put", "key": "a", "value": "x"}]}).encode()
        Tries(20, lambda: client.request("POST", f"/v1/{other}/batch", body=one)).check(2, burst=False)


def test_a_rate_is_judged_after_the_grant_and_before_the_nonce(server, bucket):
    with Client(server, [Grant(bucket, "a/", ["get", "put"])], limits={"requests_per_second": 1}) as client:
        target = f"/v1/{bucket}/a/k"
        client.put(bucket, "a/k", b"x")
        while True:
            signed = client.headers("GET", target)
            answer = client.connect().request("GET", target, signed)
            if answer.status == 429:
                break
        assert client.expect(403, "GET", f"/v1/{bucket}/b").code == "forbidden"
        answers = []
        wait_until(lambda: answers.append(client.connect().request("GET", target, signed)) or answers[-1].status != 429,
                   "its time has come")
        assert answers[-1].status == 200  # the same nonce: it was not spent by the refusals


def test_waiting_as_long_as_told_is_enough(server, bucket):
    with Client(server, limits={"requests_per_second": 2}) as client:
        refused = [a for a in Tries(10, lambda: client.request("GET", "/v1/")).answers if a.status == 429]
        if refused:
            time.sleep(int(refused[-1].header("retry-after")))
        client.expect(200, "GET", "/v1/")


@pytest.mark.parametrize("http", [1, 2])
def test_large_bodies_go_at_the_rate(server, bucket, http):
    body = os.urandom(6 * MIB)
    with Client(server, limits={"bytes_per_second": 3 * MIB}, http=http) as limited, Client(server) as free:
        begin = time.monotonic()
        limited.put(bucket, "k", body)
        assert time.monotonic() - begin >= 0.6  # 2 s, less a second's burst and the piece that may run ahead
        wait_until(lambda: limited.request("GET", "/v1/").status == 200, "the debt is paid")
        begin = time.monotonic()
        assert limited.get(bucket, "k").body == body
        assert time.monotonic() - begin >= 0.6
        assert free.get(bucket, "k").body == body


def test_a_debt_is_told_as_it_is(server, bucket):
    with Client(server, limits={"bytes_per_second": 10_000}) as client:
        client.put(bucket, "k", b"x" * 60_000)
        answer = client.request("GET", "/v1/")
        assert (answer.status, answer.code) == (429, "rate_limited")
        assert 3 <= int(answer.header("retry-after")) <= 5  # of 6 s, 2 may be owed


def test_a_buckets_bytes_bind_readers_without_a_credential(server, bucket):
    with Client(server) as client, Connection(server.address) as nobody:
        client.put(bucket, "k", b"x" * 50_000)
        settings(server, bucket, bytes_per_second=10_000, public_read=True)
        assert nobody.request("GET", f"/v1/{bucket}/k").status == 200
        answer = nobody.request("GET", f"/v1/{bucket}/k")
        assert (answer.status, answer.code) == (429, "rate_limited")
        assert client.request("GET", f"/v1/{bucket}/k").status == 429


def test_a_stream_of_changes_goes_at_the_rate_and_loses_nothing(server, bucket):
    with Client(server) as client:
        for n in range(20):
            body = {"ops": [{"op": "put", "key": f"{n}-{i}" + "x" * 900, "value": ""} for i in range(5)]}
            client.expect(200, "POST", f"/v1/{bucket}/batch", body=json.dumps(body).encode())
        settings(server, bucket, bytes_per_second=80_000)
        begin = time.monotonic()
        with Stream(client, bucket, LINES) as stream:
            while stream.text.count(b"\n") < 100 and stream._more():
                pass
            keys = [json.loads(line)["key"].rstrip("x") for line in stream.text.splitlines()]
            assert keys == [f"{n}-{i}" for n in range(20) for i in range(5)]
            # What is already on its way runs ahead; what comes after it waits.
            settings(server, bucket, bytes_per_second=None)


def test_a_transfer_meets_a_rate_that_is_set_while_it_runs(server, bucket):
    body = os.urandom(24 * MIB)
    with Client(server) as client:
        client.put(bucket, "k", body)
        connection, target = client.connect(), f"/v1/{bucket}/k"
        connection.send_head("GET", target, client.headers("GET", target))
        assert connection.read_head().status == 200
        settings(server, bucket, bytes_per_second=2 * MIB)
        connection._exactly(14 * MIB)  # what was on its way, and some of what was not
        begin = time.monotonic()
        settings(server, bucket, bytes_per_second=None)  # and is taken away again
        connection._exactly(10 * MIB)
        assert time.monotonic() - begin < 60


def test_both_transports_can_wait_for_each_other(server, bucket):
    """HTTP/2: a paced upload does not hold up the other streams of its connection."""
    body = os.urandom(5 * MIB)
    key = Key()
    packet = issue(server.root, key, [Grant()], limits={"bytes_per_second": 2 * MIB})
    with Client(server, key=key, packet=packet) as client:
        connection = Connection2(server.address)
        target = f"/v1/{bucket}/k"
        upload = connection.start("PUT", target, client.headers("PUT", target, [], body), body)
        other = connection.start("GET", "/v1/", client.headers("GET", "/v1/"))
        assert connection.finish(other).status == 200
        assert upload not in connection.ended
        assert connection.finish(upload).status == 201
        connection.close()
