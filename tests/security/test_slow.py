# SPDX-License-Identifier: Apache-2.0
"""Clients that take their time: in the head, in the body, in reading, and in doing nothing. All of them are held at once;
each is ended when its time is over, told so where it can be, and meanwhile everybody else is served (protocol, Transport)."""
import threading
import time

import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

from wfltest import Client, Connection, Server
from wfltest.client import path_of
from wfltest.frames import MIB, PREFACE, GoneAway, Raw, Reset, signed

BUCKET = "slow"
GET = "GET /v1/-/server HTTP/1.1\r\nHost: localhost\r\n"
BASE = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/v1/-/server")]


@pytest.fixture(scope="module")
def server():
    with Server(header_timeout_seconds=1, body_stall_timeout_seconds=1, idle_timeout_seconds=2) as running:
        yield running


class Held:
    """One slow client, on a connection of its own. `again` is sent each tenth of a second."""

    def __init__(self, client, first=b"", again=None):
        self.client, self.again = client, again
        self.connection = Connection(client.server.address)
        self.connection.send(first)

    def tick(self):
        self.connection.send(self.again)

    def end(self):
        """(what was told, "" for nothing, whether the connection is closed)"""
        try:
            answer = self.connection.read()
        except (EOFError, ConnectionError):
            return "", True
        return answer.code, self.connection.at_end()


def put_head(client, key, *framing):
    target = path_of(BUCKET, key)
    lines = [f"PUT {target} HTTP/1.1", f"Host: {client.server.address}", *framing]
    lines += [f"{n}: {v}" for n, v in client.headers("PUT", target, content="unsigned")]
    return "\r\n".join([*lines, "", ""]).encode()


def get_bytes(client, key):
    target = path_of(BUCKET, key)
    lines = [f"GET {target} HTTP/1.1", f"Host: {client.server.address}"] + [f"{n}: {v}" for n, v in client.headers("GET", target)]
    return "\r\n".join([*lines, "", ""]).encode()


class Held2:
    """The same over HTTP/2; `make` sends the first frames."""

    def __init__(self, client, make, again=None, **options):
        self.again = again
        self.raw = Raw(client.server.address, **options)
        make(client, self.raw)

    def tick(self):
        self.raw.send(self.again)

    def end(self):
        stream = self.raw.next - 2
        told = ""
        try:
            if stream > 0:
                told = self.raw.answer(stream).code
        except Reset:
            told = "reset"
        except (GoneAway, OSError):
            return told, True
        try:
            self.raw.at_end()
        except TimeoutError:
            return told, False
        except OSError:
            pass
        return told, True


def upload(client, c, *frames):
    s = c.stream()
    c.send(c.head(s, signed(client, c, "PUT", path_of(BUCKET, "k"), content="unsigned")), *[f(s) for f in frames])


def download(client, c):
    s = c.stream()
    c.send(c.head(s, signed(client, c, "GET", path_of(BUCKET, "large")), "END_STREAM"))


SLOW = {  # name: (how it is begun, what is told)
    "nothing at all": (lambda k: Held(k), ""),
    "nothing behind an answer": (lambda k: Held(k, (GET + "\r\n").encode()), ""),
    "half a request line": (lambda k: Held(k, b"GET /v1"), "request_timeout"),
    "a head without its end": (lambda k: Held(k, GET.encode()), "request_timeout"),
    "a head byte by byte": (lambda k: Held(k, GET.encode() + b"A: ", b"b"), "request_timeout"),
    "a head line by line": (lambda k: Held(k, GET.encode(), b"A: b\r\n"), "request_timeout"),
    "empty lines and no head": (lambda k: Held(k, b"\r\n"), None),
    "a method byte by byte": (lambda k: Held(k, b"G", b"E"), "request_timeout"),
    "a body that does not begin": (lambda k: Held(k, put_head(k, "k", "Content-Length: 5")), "request_timeout"),
    "a body that stops": (lambda k: Held(k, put_head(k, "k", "Content-Length: 5") + b"hell"), "request_timeout"),
    "a large body that stops": (lambda k: Held(k, put_head(k, "k", "Content-Length: 5000000") + b"x" * 200_000), "request_timeout"),
    "a chunk that stops": (lambda k: Held(k, put_head(k, "k", "Transfer-Encoding: chunked") + b"5\r\nhell"), "request_timeout"),
    "a chunk's size that stops": (lambda k: Held(k, put_head(k, "k", "Transfer-Encoding: chunked") + b"1\r\nx\r\n5"), "request_timeout"),
    "chunks without an end": (lambda k: Held(k, put_head(k, "k", "Transfer-Encoding: chunked") + b"1\r\nx\r\n"), "request_timeout"),
    "trailers that stop": (lambda k: Held(k, put_head(k, "k", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\nA: b\r\n"), "request_timeout"),
    "a promise to continue": (lambda k: Held(k, put_head(k, "k", "Content-Length: 5", "Expect: 100-continue")), "request_timeout"),
    "half a preface": (lambda k: Held(k, PREFACE[:10]), None),
    "a preface and nothing": (lambda k: Held2(k, lambda k, c: c.send(PREFACE), start=False), ""),
    "settings and nothing": (lambda k: Held2(k, lambda k, c: None), ""),
    "pings and nothing": (lambda k: Held2(k, lambda k, c: None, PingFrame(0, b"12345678")), ""),
    "settings again and again": (lambda k: Held2(k, lambda k, c: None, SettingsFrame(0, settings={1: 4096})), ""),
    "a block without its end": (lambda k: Held2(k, lambda k, c: c.send(HeadersFrame(c.stream(), c.encoder.encode(BASE)))), ""),
    "half a frame": (lambda k: Held2(k, lambda k, c: c.send(b"\0\0\x20\1\5\0\0\0\1\x82")), ""),
    "a block piece by piece": (lambda k: Held2(k, lambda k, c: c.send(HeadersFrame(c.stream(), c.encoder.encode(BASE))), ContinuationFrame(1, b"")), ""),
    "an upload that does not begin": (lambda k: Held2(k, lambda k, c: upload(k, c)), "request_timeout"),
    "an upload that stops": (lambda k: Held2(k, lambda k, c: upload(k, c, lambda s: DataFrame(s, b"x"))), "request_timeout"),
    "an upload of empty frames": (lambda k: Held2(k, lambda k, c: upload(k, c), DataFrame(1, b"")), "request_timeout"),
    "a window that stays shut": (lambda k: Held2(k, lambda k, c: download(k, c), settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}), "reset"),
    "a window that opens once": (lambda k: Held2(k, lambda k, c: (download(k, c), c.send(WindowUpdateFrame(1, window_increment=10))),
                                                 settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}), "reset"),
}


@pytest.fixture(scope="module")
def held(server, witness):
    """All of them, begun at once; a thread keeps the tricklers trickling."""
    with Client(server) as client:
        client.make_bucket(BUCKET)
        client.put(BUCKET, "large", b"x" * MIB)
        witness.during = witness.state(BUCKET)
        began = time.monotonic()
        made = {name: begin(client) for name, (begin, _) in SLOW.items()}
    trickling = [h for h in made.values() if h.again is not None]
    over = threading.Event()

    def trickle():
        while trickling and not over.wait(0.1):
            for h in list(trickling):
                try:
                    h.tick()
                except OSError:
                    trickling.remove(h)
    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    made["began"] = began
    yield made
    over.set()
    thread.join()
    for h in made.values():
        if h is not began:
            (h.connection if isinstance(h, Held) else h.raw.socket).close()


@pytest.mark.parametrize("http", [1, 2])
def test_everybody_else_is_served_meanwhile(server, held, http):
    with Client(server, http=http) as other:
        for _ in range(20):
            assert other.get(BUCKET, "large").status == 200
            assert other.request("GET", "/v1/").status == 200


@pytest.mark.parametrize("name", SLOW)
def test_the_slow_are_ended(server, held, name):
    told, closed = held[name].end()
    expected = SLOW[name][1]
    assert closed
    assert told == expected or (expected is None and told in ("", "request_timeout")), told
    assert time.monotonic() - held["began"] < 20


def test_nothing_of_it_is_stored(held, witness):
    assert witness.state(BUCKET) == witness.during


def test_who_is_slow_and_goes_on_is_served(server, held):
    """A byte now and then is no stall."""
    with Client(server) as client, Connection(server.address) as connection:
        connection.send(put_head(client, "patient", "Content-Length: 4"))
        for _ in range(4):
            connection.socket.settimeout(0.4)
            with pytest.raises(TimeoutError):
                connection.socket.recv(1)
            connection.send(b"x")
        connection.socket.settimeout(20)
        assert connection.read().status == 201
        client.delete(BUCKET, "patient")
