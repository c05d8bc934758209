# SPDX-License-Identifier: Apache-2.0
"""Preconditions on PUT, DELETE and GET, and who wins a race for one."""
import threading

import pytest

from wfltest import Client
from wfltest.client import path_of

OTHER = '"01ARZ3NDEKTSV4RRFFQ69G5FAV"'


@pytest.fixture
def version(client, bucket):
    return client.put(bucket, "k", b"first").json["version"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("header, value, holds", [
    ("If-Match", "{etag}", True), ("If-Match", "*", True), ("If-Match", OTHER, False),
    ("If-Match", OTHER + ", {etag}", True), ("If-Match", "W/{etag}", False),
    ("If-None-Match", "*", False), ("If-None-Match", "{etag}", False), ("If-None-Match", OTHER, True),
    ("If-None-Match", OTHER + ",{etag}", False),
])
def test_a_write_on_an_object(client, bucket, version, method, header, value, holds):
    headers = [(header, value.format(etag=f'"{version}"'))]
    answer = client.request(method, path_of(bucket, "k"), headers, b"second" if method == "PUT" else None)
    if holds:
        assert answer.status in (200, 204)
    else:
        assert (answer.status, answer.code) == (412, "precondition_failed")
        assert answer.header("x-wfldb-version") == version
        assert client.get(bucket, "k").body == b"first"


@pytest.mark.parametrize("header, value, status", [
    ("If-Match", "*", 412), ("If-Match", OTHER, 412), ("If-None-Match", "*", 201), ("If-None-Match", OTHER, 201),
])
def test_a_write_where_nothing_is(client, bucket, header, value, status):
    client.put(bucket, "k", b"x")
    client.delete(bucket, "k")
    for key in ("k", "never"):
        answer = client.put(bucket, key, b"x", [(header, value)], status=status)
        if status == 412:
            assert answer.code == "precondition_failed"
            assert answer.header("x-wfldb-version") is None
            assert client.get(bucket, key, 404).code == "key_not_found"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("header, value, status", [
    ("If-Match", "{etag}", 200), ("If-Match", "*", 200), ("If-Match", OTHER, 412),
    ("If-None-Match", "{etag}", 304), ("If-None-Match", "W/{etag}", 304), ("If-None-Match", "*", 304),
    ("If-None-Match", OTHER, 200), ("If-None-Match", OTHER + " , {etag}", 304),
])
def test_a_read(client, bucket, version, method, header, value, status):
    answer = client.get(bucket, "k", status, [(header, value.format(etag=f'"{version}"'))], method)
    if status == 304:
        assert answer.body == b""
        assert answer.header("etag") == f'"{version}"'
    if status == 412 and method == "GET":
        assert answer.code == "precondition_failed"


@pytest.mark.parametrize("value", ["", "abc", '"', '"a', "W/", '"a" "b"', ","])
def test_a_condition_that_is_none(client, bucket, value):
    answer = client.request("PUT", path_of(bucket, "k"), [("If-Match", value)], b"x")
    assert (answer.status, answer.code) == (400, "invalid_header")


def race(server, bucket, rounds, headers_of, clients=2):
    """Per round: each of the clients PUTs the same key at the same moment. What was answered, by round."""
    barrier = threading.Barrier(clients)
    answers = [[None] * clients for _ in range(rounds)]
    failures = []

    def run(number):
        try:
            with Client(server) as c:
                for i in range(rounds):
                    headers = headers_of(c, i)
                    barrier.wait(30)
                    answers[i][number] = c.request("PUT", path_of(bucket, f"{i:05}"), headers, b"%d" % number)
                    barrier.wait(30)
        except BaseException as failure:  # told below: a thread's own is lost
            failures.append(failure)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures
    return answers


def check(client, bucket, answers, win):
    for i, tried in enumerate(answers):
        winners = [n for n, a in enumerate(tried) if a.status == win]
        assert len(winners) == 1, tried
        for n, loser in enumerate(tried):
            if n != winners[0]:
                assert loser.code == "precondition_failed"
                assert loser.header("x-wfldb-version") == tried[winners[0]].json["version"]
        assert client.get(bucket, f"{i:05}").body == b"%d" % winners[0]


def test_exactly_one_of_two_creates_each_time(server, client1, bucket):
    check(client1, bucket, race(server, bucket, 1000, lambda c, i: [("If-None-Match", "*")]), 201)


def test_exactly_one_of_four_replaces_each_time(server, client1, bucket):
    versions = [client1.put(bucket, f"{i:05}", b"first").json["version"] for i in range(100)]
    check(client1, bucket, race(server, bucket, 100, lambda c, i: [("If-Match", f'"{versions[i]}"')], 4), 200)
