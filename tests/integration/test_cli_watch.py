# SPDX-License-Identifier: Apache-2.0
"""wfldb watch: every change once and in order, through lost connections and restarts, until Ctrl-C."""
import json
import signal
import subprocess
import threading

import pytest

from wfltest import Client, Grant, Server, wait_until
from wfltest.client import path_of
from wfltest.programs import Cli, FakeServer
from wfltest.relay import Relay

ZERO = "0" * 26


@pytest.fixture
def cli(server, tmp_path):
    return Cli(server, tmp_path)


def put(client, bucket, key, body=b"x", headers=()):
    return client.put(bucket, key, body, headers).json["version"]


class Watch:
    """wfldb watch in the background, read line by line."""

    def __init__(self, cli, *words, environment=()):
        cli.environment.update(dict(environment))
        self.process = cli.start("watch", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.limit = threading.Timer(60, self.process.kill)  # then a line that never comes fails its test

    def __enter__(self):
        self.limit.start()
        return self

    def __exit__(self, *_):
        self.limit.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)

    def line(self):
        line = self.process.stdout.readline().decode()
        assert line.endswith("\n"), (line, self.process.stderr.read())
        return line[:-1]

    def lines(self, count):
        return [self.line() for _ in range(count)]

    def end(self, number=signal.SIGINT, status=0):
        """Ctrl-C: what is left of its output, and what it said on stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == status, (self.process.returncode, err)
        return out.decode(), err.decode()


@pytest.mark.parametrize("transport", [[], ["--http2"]], ids=["http1", "http2"])
def test_a_line_for_each_change(cli, client1, bucket, transport):
    first = put(client1, bucket, "a", b"hello")
    with Watch(cli, bucket, *transport) as watch:
        assert watch.line().split() == [first, "put", "5", "a"]
        second = put(client1, bucket, "b c")
        assert watch.line() == f"{second}  put                1  b c"
        gone = client1.delete(bucket, "a").header("x-wfldb-version")
        assert watch.line().split() == [gone, "delete", "-", "a"]
        client1.expect(204, "DELETE", path_of(bucket, "b c") + f"?version={second}")
        assert watch.line().split()[1:] == ["erase", "-", "b", "c"]
        assert watch.end() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_well_on_a_signal_while_nothing_comes(cli, client1, bucket, number):
    put(client1, bucket, "a")
    with Watch(cli, bucket) as watch:
        watch.line()
        assert watch.end(number) == ("", "")


def test_json_is_what_the_server_says(cli, client1, bucket):
    put(client1, bucket, "ä\"\\", b"hello", [("X-WflDB-Tag-Kind", "x")])
    client1.delete(bucket, "ä\"\\")
    changes = client1.expect(200, "GET", f"/v1/{bucket}/changes").json["changes"]
    with Watch(cli, bucket, "--json") as watch:
        assert [json.loads(line) for line in watch.lines(2)] == changes
        assert watch.end() == ("", "")


def test_where_it_begins_and_what_it_wants(cli, client1, bucket):
    versions = [put(client1, bucket, key) for key in ("a/1", "b/1", "a/2", "b/2")]
    with Watch(cli, bucket, "--after", versions[1]) as watch:
        assert [line.split()[0] for line in watch.lines(2)] == versions[2:]
    with Watch(cli, bucket, "--prefix", "b/") as watch:
        assert [line.split()[0] for line in watch.lines(2)] == versions[1::2]
    with Watch(cli, bucket, "--prefix", "b/", f"--after={versions[1]}") as watch:
        assert watch.line().split()[0] == versions[3]
    with Watch(cli, bucket, "--after", ZERO) as watch:
        assert [line.split()[0] for line in watch.lines(4)] == versions


def test_now_is_when_it_began_whatever_becomes_of_the_connection(cli, server, client1, bucket):
    """The connection is cut before the first change: what is changed meanwhile is not lost."""
    put(client1, bucket, "before")
    with Relay(server.address) as relay:
        watchers = server.metrics()["watchers"]
        with Watch(cli, bucket, "--after", "now", environment={"WFLDB_ENDPOINT": f"http://{relay.address}"}) as watch:
            wait_until(lambda: server.metrics()["watchers"] > watchers, lambda: "nobody watches")
            relay.target, target = "127.0.0.1:1", relay.target
            relay.release()  # cuts
            meanwhile = put(client1, bucket, "meanwhile")
            assert b"trying again" in watch.process.stderr.readline()
            relay.target = target
            assert watch.line().split()[0] == meanwhile
            assert watch.end() == ("", "")


def test_every_change_once_through_lost_connections(cli, server, client1, bucket):
    versions = []
    with Relay(server.address) as relay:
        with Watch(cli, bucket, "--quiet", environment={"WFLDB_ENDPOINT": f"http://{relay.address}"}) as watch:
            for turn in range(4):
                versions += [put(client1, bucket, f"{i:03}", headers=[("X-WflDB-Durability", "buffered")]) for i in range(50)]
                seen = len(versions) - 25  # the rest may come before the cut, or behind it
                lines = watch.lines(50 if turn else 25)
                assert [line.split()[0] for line in lines] == versions[seen - len(lines):seen]
                relay.release()  # cuts
            assert [line.split()[0] for line in watch.lines(25)] == versions[-25:]
            assert watch.end() == ("", "")


def test_a_server_that_comes_back(tmp_path):
    with Server() as server, Relay(server.address) as relay:
        cli = Cli(server, tmp_path, relay.address)
        with Client(server) as client:
            client.make_bucket("bucket")
            first = put(client, "bucket", "a")
        with Watch(cli, "bucket") as watch:
            assert watch.line().split()[0] == first
            server.stop()
            server.start()
            relay.target = server.address
            with Client(server) as client:
                second = put(client, "bucket", "b")
            assert watch.line().split()[0] == second
            assert watch.end()[0] == ""


def test_what_ends_it(cli, client1, bucket):
    put(client1, bucket, "a")
    assert "bucket_not_found" in cli.run("watch", "no-such-bucket", status=4)
    assert "bucket_not_found" in cli.run("watch", "no-such-bucket", "--after", "now", status=4)
    reader = cli.credential("reader.json", [Grant(bucket, ops=["get", "scan"])])
    assert "forbidden" in cli.run("watch", bucket, "--credential", reader, status=3)
    part = cli.credential("part.json", [Grant(bucket, "a/", ops=["watch"])])
    assert "forbidden" in cli.run("watch", bucket, "--credential", part, status=3)
    assert "connect" in cli.run("watch", bucket, environment={"WFLDB_ENDPOINT": "http://127.0.0.1:1"}, status=1)
    with open("/dev/full", "wb") as full:
        assert "written" in cli.run("watch", bucket, stdout=full, status=1)
    client1.make_bucket(gone := f"{bucket}-gone")
    put(client1, gone, "k")
    client1.delete(gone, "k")
    with Watch(cli, gone) as watch:
        watch.lines(2)
        client1.expect(204, "DELETE", path_of(gone))
        assert watch.process.wait(30) == 4
        assert b"bucket_not_found" in watch.process.stderr.read()


def stream(text, end=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + end + b"\r\n" + text


def test_events_however_they_are_written(cli):
    """Comments, line ends of two bytes, data on several lines, ids without an event; and where it goes on from."""
    positions = [f"01ARZ3NDEKTSV4RRFFQ69G5FA{c}" for c in "VWXY"]
    rows = ['{"version":"%s","op":"put","key":"k%d","size":1}' % (version, i) for i, version in enumerate(positions[:3])]
    text = (f": hello\n\nid: {positions[0]}\nevent: put\ndata: {rows[0]}\n\n"
            f"id:{positions[1]}\r\nretry: 1\r\ndata:{rows[1][:11]}\r\ndata: {rows[1][11:]}\r\n\r\n"
            f"data: {rows[2]}\n\n:\nid: {positions[3]}\n\nid: {positions[0]}\ndata: {{\"cut")
    refusal = b"HTTP/1.1 410 Gone\r\nContent-Length: 40\r\n\r\n" + b'{"code":"cursor_expired","detail":"old"}'
    with FakeServer(stream(text.encode()), refusal) as fake:
        cli.environment["WFLDB_ENDPOINT"] = f"http://{fake.address}"
        process = cli.start("watch", "bucket", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=30)
    assert [line.split() for line in out.decode().splitlines()] == [[v, "put", "1", f"k{i}"] for i, v in enumerate(positions[:3])]
    assert process.returncode == 3 and b"cursor_expired" in err
    assert fake.requests[1].splitlines()[0] == f"GET /v1/bucket/changes?after={positions[3]} HTTP/1.1"
    assert all("accept: text/event-stream" in request.lower() for request in fake.requests)


@pytest.mark.parametrize("text", [b"data: {}\n\n", b"data: x\n\n", b"id: x\n\n", b'data: {"version":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}\n\n',
                                  b"data: " + b"x" * (2 << 20)], ids=["nothing", "no-json", "no-position", "no-op", "no-end"])
def test_events_that_are_none_end_it(cli, text):
    with FakeServer(stream(text)) as fake:
        said = cli.to(fake, "watch", "bucket", status=1)
        assert "understood" in said or "no change has" in said


def test_a_server_that_is_busy_is_asked_again(cli):
    row = b'data: {"version":"01ARZ3NDEKTSV4RRFFQ69G5FAV","op":"put","key":"k","size":1}\n\n'
    busy = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    gone = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    with FakeServer(stream(row), busy, busy, stream(b":\n\n"), gone) as fake:
        cli.environment["WFLDB_ENDPOINT"] = f"http://{fake.address}"
        process = cli.start("watch", "bucket", "--quiet", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 4 and len(out.splitlines()) == 1 and len(fake.requests) == 5
    with FakeServer(busy) as fake:  # of one that has never answered it is said at once
        assert "503" in cli.to(fake, "watch", "bucket", status=3)
