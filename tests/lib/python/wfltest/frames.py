# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame: the test writes each frame itself, as no library would let it."""
import collections
import os
import socket

import hpack
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from .client import path_of
from .http1 import Response

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MIB = 1 << 20
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 1, 3, 5, 6, 7, 8
STREAM_WINDOW, CONNECTION_WINDOW = 256 << 10, 1 << 20


class Reset(Exception):
    """The server reset the stream."""


class GoneAway(Exception):
    """The server ended the connection; with its GOAWAY's code, None where it said nothing."""


class Raw:
    """A connection on which the test writes every frame itself. `ack`: answer the server's SETTINGS."""

    def __init__(self, address, ack=True, settings=None, window=(1 << 31) - 1 - 65535, start=True):
        host, port = address.rsplit(":", 1)
        self.address, self.ack = address, ack
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.input = b""
        self.next = 1
        self.answers, self.interim, self.seen = {}, [], []
        self.over = {}  # stream: None for one that was answered, else the code of its reset
        self.goaway = None
        self.rooms = collections.defaultdict(lambda: STREAM_WINDOW, {0: 65535})  # what the server takes
        if start:
            first = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: (1 << 31) - 1, **(settings or {})})
            frames = [first] + ([WindowUpdateFrame(0, window_increment=window)] if window else [])
            self.socket.sendall(PREFACE + b"".join(f.serialize() for f in frames))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        """All in one write."""
        for f in frames:
            if isinstance(f, DataFrame):
                self.rooms[0] -= f.flow_controlled_length
                self.rooms[f.stream_id] -= f.flow_controlled_length
        self.socket.sendall(b"".join(f if isinstance(f, bytes) else f.serialize() for f in frames))

    def stream(self):
        self.next += 2
        return self.next - 2

    def fields(self, method, target, headers=(), body=None):
        out = [(":method", method), (":scheme", "http"), (":authority", self.address), (":path", target)]
        out += [(n.lower(), v) for n, v in headers]
        return out + ([("content-length", str(len(body)))] if body is not None else [])

    def head(self, stream, fields, *flags):
        return HeadersFrame(stream, self.encoder.encode(fields), flags=["END_HEADERS", *flags])

    def _exactly(self, n):
        while len(self.input) < n:
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                raise GoneAway(self.goaway)
            self.input += data
        out, self.input = self.input[:n], self.input[n:]
        return out

    def frame(self):
        """The next frame, noted: heads, bodies, and our acknowledgement of settings."""
        f, length = Frame.parse_frame_header(memoryview(self._exactly(9)))
        f.parse_body(memoryview(self._exactly(length)))
        self.seen.append(f)
        if isinstance(f, SettingsFrame) and "ACK" not in f.flags and self.ack:
            self.send(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(f, WindowUpdateFrame):
            self.rooms[f.stream_id] += f.window_increment
        elif isinstance(f, GoAwayFrame):
            self.goaway = f.error_code
        elif isinstance(f, HeadersFrame):
            assert "END_HEADERS" in f.flags
            fields = self.decoder.decode(f.data)
            status = int(fields[0][1])
            if 100 <= status < 200:
                self.interim.append((f.stream_id, status))
            else:
                self.answers[f.stream_id] = Response(status, fields[1:])
        elif isinstance(f, DataFrame):
            self.answers[f.stream_id].body += f.data
        if isinstance(f, RstStreamFrame):
            self.over.setdefault(f.stream_id, f.error_code)
        elif isinstance(f, (HeadersFrame, DataFrame)) and "END_STREAM" in f.flags:
            self.over.setdefault(f.stream_id, None)
        return f

    def answer(self, stream):
        """The answer of a stream, whole; it may be here already. Others' frames are noted on the way."""
        while stream not in self.over:
            self.frame()
        code = self.over.pop(stream)
        if code is not None:
            raise Reset(code)
        return self.answers.pop(stream)

    def answers_of(self, streams):
        """{stream: Response or the code of its reset} in whatever order they come."""
        out = {}
        for stream in streams:
            try:
                out[stream] = self.answer(stream)
            except Reset as reset:
                out[stream] = reset.args[0]
        return out

    def round_trip(self):
        """When this returns the server has seen all that was sent before, and what it could say to that at once is
        here. Twice, because it may answer a PING before what came ahead of it."""
        for _ in range(2):
            data = os.urandom(8)
            self.send(PingFrame(0, data))
            while True:
                f = self.frame()
                if isinstance(f, PingFrame):
                    assert "ACK" in f.flags and f.opaque_data == data
                    break

    def get(self, target="/v1/-/server", headers=(), method="GET"):
        stream = self.stream()
        self.send(self.head(stream, self.fields(method, target, headers), "END_STREAM"))
        return self.answer(stream)

    def put(self, client, bucket, key, body):
        """An upload that keeps to the windows that the server has opened; the answer."""
        self.round_trip()
        target, stream, at = path_of(bucket, key), self.stream(), 0
        self.send(self.head(stream, signed(client, self, "PUT", target, body=body)))
        while at < len(body):
            n = min(16384, self.rooms[stream], self.rooms[0], len(body) - at)
            if n == 0:
                self.frame()
                continue
            at += n
            self.send(DataFrame(stream, body[at - n:at], flags=["END_STREAM"] if at == len(body) else []))
        return self.answer(stream)

    def at_end(self):
        """Read to the end of the connection; the GOAWAY's code."""
        try:
            while True:
                self.frame()
        except GoneAway:
            return self.goaway


def signed(client, raw, method, target, headers=(), body=None, **sign):
    return raw.fields(method, target, client.headers(method, target, headers, body, **sign), body)


def frames_of(stream, body, size=16384):
    """DATA frames without an end."""
    return [DataFrame(stream, body[at:at + size]) for at in range(0, len(body), size)]
