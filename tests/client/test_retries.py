# SPDX-License-Identifier: Apache-2.0
"""What the library sends again by itself: writes under their nonce, reads under a new one, and what it does not."""
import os
import re
import threading

import pytest

from wfltest import Client
from wfltest.client import path_of
from wfltest.programs import Cli, FakeServer
from wfltest.relay import Relay


def answer(status, body=b"", *headers):
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers, "", ""]).encode() + body


BUSY = answer("503 Busy", b'{"code":"overloaded","detail":"later"}', "Retry-After: 0")
GONE = answer("204 Gone").replace(b"Content-Length: 0\r\nContent-Type: application/json\r\n", b"X-WflDB-Version: 01JDFJ7Z7Q2S4T6V8X0A2C4E6G\r\n")
LIST = answer("200 OK", b'{"buckets":[]}')


@pytest.fixture
def cli(server, tmp_path):
    return Cli(server, tmp_path)


def nonces(heads):
    return [re.search(r"X-WflDB-Nonce: (\S+)", head)[1] for head in heads]


@pytest.mark.parametrize("failure", [BUSY, answer("429 Slow", b"{}", "Retry-After: 0"), answer("408 Late", b"{}"), b"", b"HTTP/1.1 204"],
                         ids=["503", "429", "408", "nothing", "a piece"])
def test_a_write_is_sent_again_under_its_nonce(cli, failure):
    with FakeServer(failure, failure, GONE) as fake:
        cli.to(fake, "rm", "bucket/k")
    assert len(fake.requests) == 3 and len(set(nonces(fake.requests))) == 1
    assert len({re.search(r"X-WflDB-Timestamp: (\S+)", head)[1] for head in fake.requests}) == 3


def test_a_read_is_sent_again_under_another_nonce(cli):
    with FakeServer(BUSY, LIST) as fake:
        assert cli.to(fake, "ls") == ""
    assert len(set(nonces(fake.requests))) == 2


def test_a_read_is_not_sent_again_and_again(cli):
    with FakeServer(BUSY, BUSY, BUSY, LIST) as fake:
        assert "overloaded" in cli.to(fake, "ls", status=3)
    assert len(fake.requests) == 3


@pytest.mark.parametrize("refusal", ["400 No", "403 No", "409 No", "412 No", "500 No"])
def test_a_refusal_is_final(cli, refusal):
    with FakeServer(answer(refusal, b"{}"), GONE) as fake:
        cli.run("rm", "bucket/k", environment={"WFLDB_ENDPOINT": f"http://{fake.address}"}, status=3)
    assert len(fake.requests) == 1


def test_a_server_that_asks_for_long_is_not_waited_for(cli):
    with FakeServer(answer("503 Busy", b"{}", "Retry-After: 31"), GONE) as fake:
        cli.to(fake, "rm", "bucket/k", status=3)
    assert len(fake.requests) == 1


def lose_the_answer(relay, run):
    """`run` while the first answer (behind the 100 that lets the body through) is kept back and its connection cut."""
    relay.hold_down(len(b"HTTP/1.1 100 Continue\r\n\r\n"))
    worker = threading.Thread(target=run)
    worker.start()
    relay.wait_held()
    relay.release()
    worker.join(60)
    assert not worker.is_alive()


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_put_whose_answer_was_lost_is_not_done_twice(server, tmp_path, size):
    with Relay(server.address) as relay, Client(server) as client:
        cli = Cli(server, tmp_path, relay.address)
        bucket = f"lost-{size}"
        client.make_bucket(bucket, b'{"versions":-1}')
        content = os.urandom(size)
        (tmp_path / "file").write_bytes(content)
        relay.look_for = b"x-wfldb-replayed"
        lose_the_answer(relay, lambda: cli.run("put", "file", f"{bucket}/k"))
        assert client.get(bucket, "k").body == content
        assert len(client.expect(200, "GET", path_of(bucket, "k") + "?versions").json["versions"]) == 1
        assert relay.found == 1


def test_what_came_from_a_pipe_is_not_sent_again_and_that_is_said(server, tmp_path, bucket):
    with Relay(server.address) as relay:
        cli = Cli(server, tmp_path, relay.address)
        said = []
        lose_the_answer(relay, lambda: said.append(cli.run("put", "--no-multipart", "-", f"{bucket}/k", stdin=b"x" * 100_000, status=1)))
        assert "cannot be" in said[0] and "again" in said[0], said


def test_a_refusal_before_the_body_is_told_as_one(server, tmp_path, bucket):
    """The server says no to a large body before all of it is sent."""
    with Client(server) as client:
        client.put(bucket, "there", b"x")
        client.expect(200, "PATCH", path_of(bucket), body=b'{"max_object_bytes":1000}')
    cli = Cli(server, tmp_path)
    (tmp_path / "file").write_bytes(bytes(8 << 20))
    assert "object_too_large" in cli.run("put", "file", f"{bucket}/k", status=3)
    assert "object_too_large" in cli.run("put", "-", f"{bucket}/k", stdin=bytes(8 << 20), status=3)
