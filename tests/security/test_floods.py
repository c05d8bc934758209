# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as a weapon: frames that cost the sender nothing and the server something, without end. Each connection that
does so is ended, soon, and its neighbours do not notice (protocol, Transport; RFC 9113 section 10.5)."""
import os
import socket
import struct

import hpack
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, SettingsFrame, WindowUpdateFrame

from wfltest import Client
from wfltest.client import path_of
from wfltest.frames import CANCEL, MIB, PREFACE, PROTOCOL_ERROR, STREAM_CLOSED, GoneAway, Raw, Reset, signed
from wfltest.witness import serves

ENHANCE_YOUR_CALM = 11
FRAMES_MAX = 100_000  # none of the floods below may be taken for so long
BUCKET = "floods"
PING = PingFrame(0, b"awaited!").serialize()
BASE = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/v1/-/server")]


@pytest.fixture(scope="module", autouse=True)
def made(server, witness):
    with Client(server) as maker:
        maker.make_bucket(BUCKET)
        maker.put(BUCKET, "large", b"x" * MIB)


def raw_frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def reset(stream):
    return raw_frame(3, 0, stream, struct.pack(">I", CANCEL))


def flood(raw, make, batch=100):
    """Send, and read what comes, until the server ends the connection: its GOAWAY's code (None: none), and how much was
    sent. Behind each batch a PING is awaited, so that nothing but its own patience ends what the server takes."""
    sent = 0
    raw.ack = False
    try:
        while True:
            assert sent < FRAMES_MAX, "a flood is taken without end"
            raw.socket.sendall(b"".join(make() for _ in range(batch)) + PING)
            sent += batch
            while take_frame(raw) != (6, b"awaited!"):
                pass
    except (OSError, EOFError):
        while len(raw.input) >= 9 and take_frame(raw):
            pass
    return raw.goaway, sent


def take_frame(raw):
    """Kind and payload of the next frame; the code of a GOAWAY is kept."""
    while len(raw.input) < 9 or len(raw.input) < 9 + int.from_bytes(raw.input[:3], "big"):
        data = raw.socket.recv(1 << 18)
        if not data:
            raise EOFError
        raw.input += data
    kind, length = raw.input[3], int.from_bytes(raw.input[:3], "big")
    payload, raw.input = raw.input[9:9 + length], raw.input[9 + length:]
    if kind == 7:
        raw.goaway = int.from_bytes(payload[4:8], "big")
    return kind, payload


def warmed(raw, fields):
    """The block by which these fields are sent from now on: each from the table."""
    encoder, s = hpack.Encoder(), raw.stream()
    raw.send(HeadersFrame(s, encoder.encode(fields), flags=["END_HEADERS"]), reset(s))
    return encoder.encode(fields)


def each(raw, fields, *after, flags=5):
    block = warmed(raw, fields)

    def make():
        s = raw.stream()
        return raw_frame(1, flags, s, block) + b"".join(f(s) for f in after)
    return make


def open_stream(client, raw, method="PUT"):
    s = raw.stream()
    raw.send(raw.head(s, signed(client, raw, method, path_of(BUCKET, "k"), content="unsigned")))
    return s


def constant(frame):
    data = frame if isinstance(frame, bytes) else frame.serialize()
    return lambda: data


FLOODS = {  # each gives a function that makes the next frames
    "pings": lambda k, c: constant(PingFrame(0, b"12345678")),
    "answers to pings nobody sent": lambda k, c: constant(PingFrame(0, b"12345678", flags=["ACK"])),
    "settings": lambda k, c: constant(SettingsFrame(0, settings={1: 4096})),
    "empty settings": lambda k, c: constant(SettingsFrame(0)),
    "settings that move the table": lambda k, c: (lambda sizes: lambda: raw_frame(4, 0, 0, struct.pack(">HI", 1, next(sizes))))(iter(lambda: 4096, 0)),
    "settings that move every window": lambda k, c: (
        [open_stream(k, c) for _ in range(100)],
        (lambda n: lambda: raw_frame(4, 0, 0, struct.pack(">HI", 4, 65535 + (n.append(0) or len(n)) % 2)))([]))[1],
    "priorities": lambda k, c: constant(PriorityFrame(101, depends_on=0, stream_weight=3, exclusive=True)),
    "priorities of ever new streams": lambda k, c: lambda: raw_frame(2, 0, c.stream() + 1000, struct.pack(">IB", 0, 3)),
    "priorities in circles": lambda k, c: (lambda n: lambda: raw_frame(2, 0, 1 + 2 * (n.append(0) or len(n)) % 200, struct.pack(">IB", 1 + 2 * (len(n) + 7) % 200, 3)))([]),
    "windows of a stream, opened by one": lambda k, c: constant(WindowUpdateFrame(open_stream(k, c), window_increment=1)),
    "windows of a stream that has ended": lambda k, c: (c.get(), constant(WindowUpdateFrame(1, window_increment=1)))[1],
    "frames of no known kind": lambda k, c: constant(raw_frame(0xbb, 0xff, 0, b"hello")),
    "frames of no known kind, empty": lambda k, c: constant(raw_frame(0xbb, 0, 1)),
    "empty data": lambda k, c: constant(DataFrame(open_stream(k, c), b"")),
    "data of padding alone": lambda k, c: constant(raw_frame(0, 8, open_stream(k, c), b"\0")),
    "data of a stream that has ended": lambda k, c: (c.get(), constant(raw_frame(0, 0, 1)))[1],
    "goodbyes": lambda k, c: constant(GoAwayFrame(0, last_stream_id=0)),
    "requests taken back": lambda k, c: each(c, BASE, reset),
    "reads taken back": lambda k, c: each(c, signed(k, c, "GET", path_of(BUCKET, "large")), reset),
    "uploads taken back": lambda k, c: each(c, signed(k, c, "PUT", path_of(BUCKET, "k"), content="unsigned"), reset, flags=4),
    "requests made to be reset, by a window of 0": lambda k, c: each(
        c, signed(k, c, "PUT", path_of(BUCKET, "k"), content="unsigned"), lambda s: raw_frame(8, 0, s, bytes(4)), flags=4),
    "requests made to be reset, by a window too large": lambda k, c: each(
        c, signed(k, c, "PUT", path_of(BUCKET, "k"), content="unsigned"), lambda s: raw_frame(8, 0, s, struct.pack(">I", (1 << 31) - 1)), flags=4),
    "requests made to be reset, by their length": lambda k, c: each(
        c, signed(k, c, "PUT", path_of(BUCKET, "k"), content="unsigned", body=b"x"), lambda s: raw_frame(0, 1, s), flags=4),
    "requests made to be reset, by their end": lambda k, c: each(c, BASE, lambda s: raw_frame(0, 0, s, b"x")),
    "malformed requests": lambda k, c: each(c, BASE + [("connection", "close")]),
    "a block without end": lambda k, c: (c.send(HeadersFrame(1, c.encoder.encode(BASE))), constant(ContinuationFrame(1, hpack.Encoder().encode([("a", "b" * 100)]))))[1],
    "a block without end, of nothing": lambda k, c: (c.send(HeadersFrame(1, c.encoder.encode(BASE))), constant(ContinuationFrame(1, b"")))[1],
    "a block without end, of table sizes": lambda k, c: (c.send(HeadersFrame(1, b"")), constant(ContinuationFrame(1, b"\x20\x3f\xe1\x1f" * 1000)))[1],
}


# What RFC 9113 or nghttp2 ends by itself, at once; all else ends when patience does.
OTHERWISE = {
    "goodbyes": [None], "data of a stream that has ended": [STREAM_CLOSED, ENHANCE_YOUR_CALM], "requests made to be reset, by a window of 0": [PROTOCOL_ERROR],
    "requests made to be reset, by their end": [STREAM_CLOSED], "a block without end": [None, PROTOCOL_ERROR],
    "a block without end, of nothing": [None, PROTOCOL_ERROR], "a block without end, of table sizes": [None, PROTOCOL_ERROR],
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_its_connection(server, unchanged, name):
    with Client(server) as client, Raw(server.address) as attacker, Raw(server.address) as neighbour:
        attacker.round_trip()
        code, sent = flood(attacker, FLOODS[name](client, attacker))
        assert code in OTHERWISE.get(name, [ENHANCE_YOUR_CALM]), (code, sent)
        assert sent < 40_000
        assert neighbour.get().status == 200
        assert client.get(BUCKET, "large").status == 200
    assert serves(server)


def test_a_flood_of_streams_above_the_limit_ends_its_connection(server, unchanged):
    """By who has not heard of the limit, so that each is refused alone."""
    with Client(server) as client, Raw(server.address, ack=False) as attacker:
        for _ in range(256):
            open_stream(client, attacker)
        block = b"\x82\x86\x84\x01\x01a"  # GET http / a, of the static table
        code, sent = flood(attacker, lambda: raw_frame(1, 4, attacker.stream(), block))
        assert code == ENHANCE_YOUR_CALM and sent < 2000, (code, sent)


@pytest.mark.parametrize("name", [name for name in FLOODS if not name.startswith("a block")])
def test_a_flood_by_who_does_not_read_is_bounded(server, witness, name):
    before = server.anonymous_bytes()
    with Client(server) as client, Raw(server.address) as attacker:
        attacker.round_trip()
        attacker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        make = FLOODS[name](client, attacker)
        attacker.socket.settimeout(5)
        try:
            for _ in range(60):
                attacker.socket.sendall(b"".join(make() for _ in range(500)))
        except OSError:
            pass  # ended, or nothing is taken any more
        assert serves(server)
        assert server.anonymous_bytes() - before < 64 << 20


BOMBS = {  # a head that is small on the wire and large in memory, or costs much to read; what comes of it
    "one field from the table, again and again": lambda e: e.encode(BASE + [("a", "b" * 3900)]) + e.encode([("a", "b" * 3900)]) * 4000,
    "4000 names of one byte": lambda e: e.encode(BASE) + b"\x00\x01a\x00" * 4000,
    "16,000 fields of the static table": lambda e: e.encode(BASE) + b"\x90" * 16000,
    "crumbs of a cookie": lambda e: e.encode(BASE) + b"\x00\x06cookie\x01;" * 1500,
    "40 KiB of Huffman": lambda e: e.encode(BASE + [("a", "0" * 40_000)]),
    "101 headers": lambda e: e.encode(BASE + [(f"a{i}", "b") for i in range(101)]),
    "a path of 9 KiB": lambda e: e.encode(BASE[:3] + [(":path", "/" + "a" * 9000)]),
    "an authority of 40 KiB": lambda e: e.encode(BASE[:2] + [(":authority", "a" * 40_000), BASE[3]]),
    "a method of 40 KiB": lambda e: e.encode([(":method", "A" * 40_000)] + BASE[1:]),
    "a name of 40 KiB": lambda e: e.encode(BASE + [("a" * 40_000, "b")]),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_a_header_bomb_is_refused_and_holds_no_memory(server, unchanged, make):
    before, block = server.anonymous_bytes(), make(hpack.Encoder())
    for _ in range(20):
        with Raw(server.address) as c:
            s = c.stream()
            pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
            frames = [HeadersFrame(s, pieces[0], flags=["END_STREAM"])] + [ContinuationFrame(s, p) for p in pieces[1:]]
            frames[-1].flags.add("END_HEADERS")
            try:
                c.send(*frames)
                assert c.answer(s).code == "header_too_large"
            except (Reset, GoneAway):
                pass
    assert server.anonymous_bytes() - before < 32 << 20


HPACK = {
    "an index beyond the table": b"\xff\x80\x80\x80\x01", "the index 0": b"\x80", "an integer without end": b"\xff" + b"\xff" * 20,
    "a string beyond the block": b"\x00\x7f\x7fabc", "Huffman with an end of text": b"\x00\x84\xff\xff\xff\xff\x01b", "Huffman padded with zeros": b"\x00\x01a\x81\x00",
    "a table larger than allowed": b"\x3f\xe2\x1f", "a table resized behind a field": b"\x82\x20", "an integer of 2^62": b"\x00\x7f" + b"\xff" * 8 + b"\x3f",
}


@pytest.mark.parametrize("block", HPACK.values(), ids=HPACK)
def test_a_block_that_cannot_be_read_ends_the_connection(server, unchanged, block):
    with Raw(server.address) as c:
        c.send(HeadersFrame(c.stream(), block, flags=["END_HEADERS", "END_STREAM"]))
        assert c.at_end() == 9  # COMPRESSION_ERROR


SETTINGS = {
    "a push that is no switch": (2, 2, PROTOCOL_ERROR), "a window beyond 31 bits": (4, 1 << 31, 3), "a frame below 16 KiB": (5, 16383, PROTOCOL_ERROR),
    "a frame beyond 24 bits": (5, 1 << 24, PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name, value, code", SETTINGS.values(), ids=SETTINGS)
def test_settings_that_are_none_end_the_connection(server, unchanged, name, value, code):
    with Raw(server.address) as c:
        c.send(raw_frame(4, 0, 0, struct.pack(">HI", name, value)))
        assert c.at_end() == code


def test_settings_of_many_entries_end_the_connection(server, unchanged):
    with Raw(server.address) as c:
        c.send(raw_frame(4, 0, 0, struct.pack(">HI", 0xF0F0, 1) * 2000))
        assert c.at_end() in (ENHANCE_YOUR_CALM, None)


def test_a_reader_of_single_bytes_is_ended(server, unchanged):
    """The content asked for in pieces of one byte, so that each costs a frame and a write."""
    with Client(server) as client, Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}) as c:
        s = c.stream()
        c.send(c.head(s, signed(client, c, "GET", path_of(BUCKET, "large")), "END_STREAM"))
        code, sent = flood(c, constant(WindowUpdateFrame(s, window_increment=1)))
        assert code == ENHANCE_YOUR_CALM and sent < 60_000


def test_256_readers_that_open_no_window_hold_no_content(server, unchanged):
    with Client(server) as client:
        before = server.anonymous_bytes()
        with Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}) as c:
            streams = [c.stream() for _ in range(256)]
            for s in streams:
                c.send(c.head(s, signed(client, c, "GET", path_of(BUCKET, "large")), "END_STREAM"))
            c.round_trip()
            assert server.anonymous_bytes() - before < 320 << 20  # an object a stream at most
            assert client.get(BUCKET, "large").status == 200


BUSY = {  # much, and honest: none of it is a flood
    "5000 small requests": lambda k, c: [c.get() for _ in range(1000)],
    "windows opened for each small answer": lambda k, c: [
        (c.get("/v1/-/server"), c.send(WindowUpdateFrame(0, window_increment=1), WindowUpdateFrame(0, window_increment=1))) for _ in range(2000)],
    "a large upload in small pieces": lambda k, c: upload_in_pieces(k, c, 200_000, 10),
    "a hundred requests taken back": lambda k, c: [c.send(c.head(s, BASE, "END_STREAM"), reset(s)) for s in (c.stream() for _ in range(100))],
    "pings now and then": lambda k, c: [c.round_trip() for _ in range(500)],
}


def upload_in_pieces(client, c, size, piece):
    c.round_trip()
    s = c.stream()
    c.send(c.head(s, signed(client, c, "PUT", path_of(BUCKET, "pieces"), content="unsigned")))
    data = b"".join(DataFrame(s, os.urandom(piece)).serialize() for _ in range(size // piece))
    c.send(data)
    c.send(DataFrame(s, b"", flags=["END_STREAM"]))
    assert c.answer(s).status in (200, 201)


@pytest.mark.parametrize("work", BUSY.values(), ids=BUSY)
def test_a_busy_client_is_no_flood(server, work):
    with Client(server) as client, Raw(server.address) as c:
        work(client, c)
        assert c.get().status == 200


def test_a_preface_and_nothing_else_is_closed_with_the_others(server):
    """A thousand connections that only say hello hold little."""
    before = server.anonymous_bytes()
    held = [Raw(server.address, start=False) for _ in range(200)]
    for c in held:
        c.send(PREFACE + SettingsFrame(0).serialize())
    for c in held:
        c.round_trip()
    assert server.anonymous_bytes() - before < 32 << 20
    for c in held:
        c.socket.close()
