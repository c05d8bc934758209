# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame: what is malformed ends a stream, what is worse ends the connection, and neither touches
another stream, another connection or the store. Floods are bounded; windows are kept, both ways."""
import os
import signal
import socket
import struct

import hpack
import pytest
from hyperframe.frame import (ContinuationFrame, DataFrame, HeadersFrame, PingFrame, PriorityFrame, PushPromiseFrame,
                              RstStreamFrame, SettingsFrame, WindowUpdateFrame)

from wfltest import Client, Connection, Server, memory_bound
from wfltest.client import path_of
from wfltest.frames import (CANCEL, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, MIB, PREFACE, PROTOCOL_ERROR, REFUSED_STREAM,
                            STREAM_CLOSED, Raw, Reset, frames_of, signed)

# ---- malformed requests

BASE = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/v1/-/server")]
MALFORMED = [
    ("no method", BASE[1:]), ("no scheme", BASE[:1] + BASE[2:]), ("no path", BASE[:3]), ("no authority", BASE[:2] + BASE[3:]),
    ("an empty path", BASE[:3] + [(":path", "")]),
    ("two methods", BASE[:1] + BASE), ("two paths", BASE + [(":path", "/v1/")]),
    ("two authorities", BASE + [(":authority", "localhost")]), ("two schemes", BASE + [(":scheme", "http")]),
    ("an unknown pseudo-header", BASE + [(":color", "red")]), ("a response's pseudo-header", BASE + [(":status", "200")]),
    ("a pseudo-header behind a regular one", BASE[:3] + [("a", "b"), BASE[3]]),
    ("a name in upper case", BASE + [("X-Upper", "b")]), ("an empty name", BASE + [("", "b")]),
    ("a name with a space", BASE + [("a b", "c")]), ("a name with a colon", BASE + [("a:b", "c")]),
    ("CR in a value", BASE + [("a", "b\rc")]), ("LF in a value", BASE + [("a", "b\nx: y")]),
    ("NUL in a value", BASE + [("a", "b\0")]), ("a control in a value", BASE + [("a", "\x01")]),
    ("space before a value", BASE + [("a", " b")]), ("space behind a value", BASE + [("a", "b ")]),
    ("connection", BASE + [("connection", "close")]), ("keep-alive", BASE + [("keep-alive", "timeout=1")]),
    ("proxy-connection", BASE + [("proxy-connection", "close")]), ("upgrade", BASE + [("upgrade", "h2c")]),
    ("transfer-encoding", BASE + [("transfer-encoding", "chunked")]), ("te that is not trailers", BASE + [("te", "gzip")]),
    ("two Hosts", BASE + [("host", "localhost"), ("host", "localhost")]),
    ("two lengths", BASE + [("content-length", "0"), ("content-length", "0")]),
    ("a length that is no number", BASE + [("content-length", "+0")]),
    ("a length and no body", BASE + [("content-length", "1")]),
    ("a space in the path", BASE[:3] + [(":path", "/v1/-/ser ver")]),
    ("a path that does not begin with a slash", BASE[:3] + [(":path", "v1/-/server")]),
    ("an absolute path", BASE[:3] + [(":path", "http://localhost/v1/-/server")]),
    ("an asterisk for a GET", BASE[:3] + [(":path", "*")]),
]


@pytest.mark.parametrize("fields", [case[1] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_request_ends_its_stream_and_nothing_else(server, fields):
    with Raw(server.address) as c:
        stream = c.stream()
        c.send(c.head(stream, fields, "END_STREAM"))
        with pytest.raises(Reset) as reset:
            c.answer(stream)
        assert reset.value.args == (PROTOCOL_ERROR,)
        assert c.get().status == 200


REFUSED = [
    ("a fragment", BASE[:3] + [(":path", "/v1/-/server#a")]),
    ("bytes beyond ASCII in the path", BASE[:3] + [(":path", "/v1/\u00e4")]),
    ("a Host that is another", BASE + [("host", "other")]),
    ("CONNECT", [(":method", "CONNECT"), (":authority", "localhost:80")]),
]


@pytest.mark.parametrize("fields", [case[1] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_well_formed_but_not_for_us_is_told_and_the_connection_goes_on(server, fields):
    with Raw(server.address) as c:
        stream = c.stream()
        c.send(c.head(stream, fields, *([] if fields[0][1] == "CONNECT" else ["END_STREAM"])))
        answer = c.answer(stream)
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert answer.json["request_id"] == answer.header("x-request-id")
        assert c.get().status == 200


def test_what_the_rules_allow_is_served(server):
    with Raw(server.address) as c:
        for fields in (BASE + [("host", "localhost")], BASE[:2] + BASE[3:] + [("host", "localhost")], BASE + [("te", "trailers")],
                       BASE + [("a", "")], BASE + [("a", "b\tc")], BASE + [("content-length", "0")],
                       BASE[:1] + [(":scheme", "https")] + BASE[2:], BASE + [("cookie", "a"), ("cookie", "b")]):
            stream = c.stream()
            c.send(c.head(stream, fields, "END_STREAM"))
            assert c.answer(stream).status == 200, fields


# ---- the connection's own rules

ENDS = [
    ("DATA on stream 0", lambda c: b"\0\0\1\0\0\0\0\0\0a", PROTOCOL_ERROR),
    ("HEADERS on stream 0", lambda c: b"\0\0\1\1\5\0\0\0\0\x82", PROTOCOL_ERROR),
    ("an even stream", lambda c: c.head(2, BASE, "END_STREAM"), PROTOCOL_ERROR),
    ("DATA on a stream not begun", lambda c: DataFrame(99, b"a").serialize(), PROTOCOL_ERROR),
    ("a push", lambda c: PushPromiseFrame(1, 2, c.encoder.encode(BASE), flags=["END_HEADERS"]).serialize(), PROTOCOL_ERROR),
    ("a frame of 20 KiB", lambda c: DataFrame(1, b"a" * 20_000).serialize(), FRAME_SIZE_ERROR),
    ("a PING of 7 bytes", lambda c: b"\0\0\7\6\0\0\0\0\0" + b"a" * 7, FRAME_SIZE_ERROR),
    ("SETTINGS of 5 bytes", lambda c: b"\0\0\5\4\0\0\0\0\0" + b"a" * 5, FRAME_SIZE_ERROR),
    ("a window beyond 31 bits", lambda c: struct.pack(">HBBBII", 0, 6, 4, 0, 0, 0x0004_FFFF)[:9] +
     struct.pack(">HI", 4, 1 << 31), FLOW_CONTROL_ERROR),
    ("a window that overflows", lambda c: WindowUpdateFrame(0, window_increment=(1 << 31) - 1).serialize(),
     FLOW_CONTROL_ERROR),
    ("CONTINUATION of nothing", lambda c: ContinuationFrame(1, b"\x82", flags=["END_HEADERS"]).serialize(), PROTOCOL_ERROR),
    ("a PING inside a header block", lambda c: HeadersFrame(3, c.encoder.encode(BASE)).serialize() +
     PingFrame(0, b"12345678").serialize(), PROTOCOL_ERROR),
    ("a header block that HPACK cannot read", lambda c: HeadersFrame(3, b"\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"])
     .serialize(), 9),
]


@pytest.mark.parametrize("write, code", [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
def test_a_broken_frame_ends_the_connection_and_stores_nothing(server, client1, bucket, write, code):
    target = path_of(bucket, "k")
    with Raw(server.address) as c:
        # An upload is under way, and stays there: the connection ends all the same.
        c.send(c.head(c.stream(), signed(client1, c, "PUT", target, content="unsigned")), DataFrame(1, b"half"))
        c.round_trip()
        bad = write(c)
        c.send(bad if isinstance(bad, bytes) else bad.serialize())
        assert c.at_end() == code
    assert client1.get(bucket, "k", 404).code == "key_not_found"


def test_frames_that_may_be_ignored_are(server):
    with Raw(server.address) as c:
        c.send(b"\0\0\5\xba\0\0\0\0\0hello", b"\0\0\0\xbb\xff\0\0\0\5",
               PriorityFrame(7, depends_on=0, stream_weight=3, exclusive=False),
               SettingsFrame(0, settings={0xF0F0: 1}))
        assert c.get().status == 200


@pytest.mark.parametrize("text", [PREFACE[:-1] + b"\r", PREFACE[:10] + b"1" + PREFACE[11:], b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n"],
                         ids=["the last byte", "the version", "the target"])
def test_a_broken_preface_is_a_broken_request(server, text):
    with Connection(server.address) as c:
        c.send(text)
        answer = c.read()
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert c.at_end()


def test_half_a_preface_is_no_connection(server):
    for at in range(1, len(PREFACE)):
        with Connection(server.address) as c:
            c.send(PREFACE[:at])
            c.socket.shutdown(socket.SHUT_WR)
            assert c.read().code == "invalid_request"
            assert c.at_end()


def test_a_preface_without_settings_ends_the_connection(server):
    with Raw(server.address, start=False) as c:
        c.send(PREFACE, c.head(1, BASE, "END_STREAM"))
        assert c.at_end() == PROTOCOL_ERROR


def test_a_preface_cut_at_every_place_is_a_preface(server):
    first = PREFACE + SettingsFrame(0).serialize()
    for at in range(1, len(first)):
        with Raw(server.address, start=False) as c:
            c.send(first[:at])
            c.send(first[at:])
            assert c.get().status == 200


# ---- streams

def test_256_uploads_at_once_and_the_next_is_refused(server, client1, bucket):
    with Raw(server.address) as c:
        c.round_trip()  # the limit is known now
        streams = [c.stream() for _ in range(256)]
        for s in streams:
            target = path_of(bucket, f"{s}")
            c.send(c.head(s, signed(client1, c, "PUT", target, [("X-WflDB-Durability", "buffered")], b"%d" % s)))
        c.round_trip()
        assert not any(isinstance(f, RstStreamFrame) for f in c.seen)
        c.send(*[DataFrame(s, b"%d" % s, flags=["END_STREAM"]) for s in streams])
        assert {a.status for a in c.answers_of(streams).values()} == {201}
    assert len(client1.scan(bucket, limit=1000)[0]) == 256
    with Raw(server.address) as c:
        c.round_trip()
        target = path_of(bucket, "held")
        for _ in range(257):
            c.send(c.head(c.stream(), signed(client1, c, "PUT", target, content="unsigned")))
        assert c.at_end() == PROTOCOL_ERROR  # it knew the limit: RFC 9113 section 5.1.2
    assert client1.get(bucket, "held", 404).code == "key_not_found"


def test_a_stream_above_the_limit_before_it_is_known_is_refused_alone(server, client1, bucket):
    with Raw(server.address, ack=False) as c:
        streams = [c.stream() for _ in range(260)]
        for s in streams:
            c.send(c.head(s, signed(client1, c, "PUT", path_of(bucket, f"{s}"), content="unsigned")))
        assert c.answers_of(streams[256:]) == {s: REFUSED_STREAM for s in streams[256:]}
        assert not any(isinstance(f, RstStreamFrame) and f.stream_id in streams[:256] for f in c.seen)
        c.send(DataFrame(streams[0], b"a", flags=["END_STREAM"]))
        assert c.answer(streams[0]).status == 201


def test_interleaved_uploads_and_downloads_stay_apart(server, client1, bucket):
    bodies = {i: bytes([i]) * (30_000 + 1000 * i) for i in range(12)}
    with Raw(server.address) as c:
        c.round_trip()
        streams = {}
        for i, body in bodies.items():
            s = c.stream()
            streams[s] = i
            c.send(c.head(s, signed(client1, c, "PUT", path_of(bucket, f"{i}"), body=body)))
        for at in range(0, 45_000, 3000):
            for s, i in streams.items():
                piece = bodies[i][at:at + 3000]
                if piece:
                    last = at + 3000 >= len(bodies[i])
                    c.send(DataFrame(s, piece, pad_length=at % 7, flags=["PADDED"] + (["END_STREAM"] if last else [])))
        assert {a.status for a in c.answers_of(streams).values()} == {201}
        reads = {}
        for i in bodies:
            s = c.stream()
            reads[s] = i
            c.send(c.head(s, signed(client1, c, "GET", path_of(bucket, f"{i}")), "END_STREAM"))
        for s, answer in c.answers_of(reads).items():
            assert answer.body == bodies[reads[s]]


def test_what_follows_the_end_of_a_stream_is_not_part_of_it(server, client1, bucket):
    with Raw(server.address) as c:
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "PUT", path_of(bucket, "k"), body=b"hello")),
               DataFrame(s, b"hello", flags=["END_STREAM"]), DataFrame(s, b"more"))
        assert c.at_end() == STREAM_CLOSED
    answer = client1.request("GET", path_of(bucket, "k"))  # the first five bytes are a whole request
    assert answer.status == 404 or answer.body == b"hello"


def test_who_breaks_a_rule_and_leaves_while_an_answer_waits_for_its_window_holds_nobody(server, client1, bucket):
    """All of it in one read of the server's: the answer that cannot go out, the broken frame, and the end."""
    client1.put(bucket, "k", b"x" * 100_000)
    for _ in range(20):
        with Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}) as c:
            s = c.stream()
            c.send(c.head(s, signed(client1, c, "GET", path_of(bucket, "k")), "END_STREAM"))
            while s not in c.answers:
                c.frame()
            c.round_trip()
            broken = b"\0\0\7\6\0\0\0\0\0" + b"a" * 7
            frames = b"\0\0\x0a\xbb\0\0\0\0\0" + b"a" * 10  # of no known kind: 19 bytes
            rest = (1 << 14) - len(broken)
            filler = frames * (rest // 19 - 1)
            last = rest - len(filler) - 9
            c.send(filler + last.to_bytes(3, "big") + b"\xbb\0\0\0\0\0" + b"a" * last + broken)
            c.socket.shutdown(socket.SHUT_WR)
            c.ack = False
            c.at_end()
    for _ in range(8):  # on every reactor
        with Raw(server.address) as c:
            assert c.get().status == 200


def test_a_head_whose_end_never_came_is_no_request(server, client1, bucket):
    """All of its fields are here and well signed; what is missing is the end of the block, and with it whether a body follows."""
    for extra in ([], [ContinuationFrame(1, b"")]):
        with Raw(server.address) as c:
            c.round_trip()
            fields = signed(client1, c, "PUT", path_of(bucket, "k"), content="unsigned")
            c.send(HeadersFrame(c.stream(), c.encoder.encode(fields)), *extra)
            c.socket.shutdown(socket.SHUT_WR)
            c.ack = False
            c.at_end()
            assert c.answers == {}
    client1.put(bucket, "later", b"")  # what was under way before is committed before
    assert client1.get(bucket, "k", 404).code == "key_not_found"


# ---- bodies

LENGTHS = [("more than said", b"12345", [b"123456"]), ("less than said", b"12345", [b"1234"]), ("none", b"12345", [b""]),
           ("more, in pieces", b"12345", [b"123", b"45", b"6"])]


@pytest.mark.parametrize("said, sent", [case[1:] for case in LENGTHS], ids=[case[0] for case in LENGTHS])
def test_a_body_of_another_length_is_reset_and_not_stored(server, client1, bucket, said, sent):
    with Raw(server.address) as c:
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "PUT", path_of(bucket, "k"), body=said)),
               *[DataFrame(s, piece, flags=["END_STREAM"] if i == len(sent) - 1 else []) for i, piece in enumerate(sent)])
        with pytest.raises(Reset) as reset:
            c.answer(s)
        assert reset.value.args == (PROTOCOL_ERROR,)
        assert c.get().status == 200
    assert client1.get(bucket, "k", 404).code == "key_not_found"


def test_a_body_without_a_length_is_taken(server, client1, bucket):
    with Raw(server.address) as c:
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "PUT", path_of(bucket, "k"), content="unsigned")), DataFrame(s, b"12"),
               DataFrame(s, b""), DataFrame(s, b"3"), DataFrame(s, b"", flags=["END_STREAM"]))
        assert c.answer(s).status == 201
    assert client1.get(bucket, "k").body == b"123"


def test_trailers_end_a_body_and_are_no_headers(server, client1, bucket):
    with Raw(server.address) as c:
        for apart in (False, True):
            s = c.stream()
            frames = [c.head(s, signed(client1, c, "PUT", path_of(bucket, "k"), body=b"hello")), DataFrame(s, b"hello"),
                      c.head(s, [("x-wfldb-meta-a", "trailer"), ("if-match", "*")], "END_STREAM")]
            for piece in [frames] if not apart else [[f] for f in frames]:
                c.send(*piece)
                if apart:
                    c.round_trip()
            assert c.answer(s).status in (200, 201)
    assert client1.get(bucket, "k").header("x-wfldb-meta-a") is None


def test_an_upload_is_asked_for_once_it_is_authorised(server, client1, bucket):
    target = path_of(bucket, "k")
    with Raw(server.address) as c:
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "PUT", target, [("Expect", "100-continue")], b"hello")))
        while not c.interim:
            c.frame()
        assert c.interim == [(s, 100)]
        c.send(DataFrame(s, b"hello", flags=["END_STREAM"]))
        assert c.answer(s).status == 201
        s = c.stream()  # who sends without waiting is not asked
        c.send(c.head(s, signed(client1, c, "PUT", target, [("Expect", "100-continue")], b"hello")),
               DataFrame(s, b"hello", flags=["END_STREAM"]))
        assert c.answer(s).status == 200
        s = c.stream()
        c.send(c.head(s, c.fields("PUT", target, [("expect", "100-continue"), ("x-wfldb-content-sha256", "unsigned")], b"hello")))
        assert c.answer(s).code == "credential_missing"
        assert c.interim == [(1, 100)]
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "PUT", target, [("Expect", "a-teapot")], b"hello")))
        assert c.answer(s).code == "invalid_header"


def test_an_answer_before_the_end_of_the_body_is_whole(server, client1, bucket):
    client1.put(bucket, "k", b"hello")
    etag = client1.get(bucket, "k").header("etag")
    target = path_of(bucket, "k")
    with Raw(server.address) as c:
        # Answers with and without a body, to requests whose body never comes: each arrives, then the stream is reset.
        for method, headers, status in (("PUT", [], 401), ("HEAD", [], 200), ("GET", [("If-None-Match", etag)], 304),
                                        ("DELETE", [], 204)):
            s = c.stream()
            fields = c.fields(method, target, [("x-wfldb-content-sha256", "unsigned")]) if status == 401 else \
                signed(client1, c, method, target, headers, content="unsigned")
            c.send(c.head(s, fields))
            assert c.answer(s).status == status, method
            assert c.answers_of([s]) == {s: 0}


def test_who_sends_no_more_still_gets_what_was_asked_for(server, client1, bucket):
    client1.put(bucket, "k", b"x" * MIB)
    with Raw(server.address) as c:
        first, second, half = c.stream(), c.stream(), c.stream()
        c.send(c.head(first, signed(client1, c, "GET", path_of(bucket, "k")), "END_STREAM"),
               c.head(half, signed(client1, c, "PUT", path_of(bucket, "half"), body=b"hello")), DataFrame(half, b"hell"),
               c.head(second + 4, signed(client1, c, "PUT", path_of(bucket, "whole"), body=b"hello")),
               DataFrame(second + 4, b"hello", flags=["END_STREAM"]))
        c.socket.shutdown(socket.SHUT_WR)
        c.ack = False
        out = c.answers_of([first, half, second + 4])
        assert out[first].body == b"x" * MIB and out[second + 4].status == 201
        assert isinstance(out[half], int)
        c.at_end()
    with Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 10}) as c:  # and cannot open a window
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "GET", path_of(bucket, "k")), "END_STREAM"))
        c.socket.shutdown(socket.SHUT_WR)
        c.ack = False
        with pytest.raises(Reset):
            c.answer(s)
        c.at_end()
    with Raw(server.address) as c:  # inside a header block, and inside a frame
        c.send(HeadersFrame(1, c.encoder.encode(BASE)), b"\0\0")
        c.socket.shutdown(socket.SHUT_WR)
        c.ack = False
        c.at_end()
    client1.get(bucket, "half", 404)


def test_head_and_not_modified_have_no_body(server, client1, bucket):
    client1.put(bucket, "k", b"hello")
    target = path_of(bucket, "k")
    with Raw(server.address) as c:
        whole = c.get(target, client1.headers("GET", target))
        assert whole.body == b"hello" and whole.header("content-length") == "5"
        head = c.get(target, client1.headers("HEAD", target), "HEAD")
        assert (head.status, head.body, head.header("content-length")) == (200, b"", "5")
        same = c.get(target, client1.headers("GET", target, [("If-None-Match", whole.header("etag"))]))
        assert (same.status, same.body, same.header("content-length")) == (304, b"", None)
        empty = path_of(bucket, "empty")
        client1.put(bucket, "empty", b"")
        nothing = c.get(empty, client1.headers("GET", empty))
        assert (nothing.status, nothing.body, nothing.header("content-length")) == (200, b"", "0")


# ---- windows

def test_a_download_keeps_to_the_reader_s_windows(server, client1, bucket):
    content = os.urandom(MIB)
    target = path_of(bucket, "large")
    client1.put(bucket, "large", content)
    with Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 10}, window=0) as c:
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "GET", target), "END_STREAM"))
        while s not in c.answers or len(c.answers[s].body) < 10:
            c.frame()
        c.round_trip()
        assert len(c.answers[s].body) == 10  # the stream's window, and not a byte more
        have, opened, connection = 10, 10, 65535
        for step in (1, 1, 100, 5000, 60_000):
            c.send(WindowUpdateFrame(s, window_increment=step))
            opened += step
            while len(c.answers[s].body) < min(opened, connection):
                c.frame()
            c.round_trip()
            have = len(c.answers[s].body)
            assert have == min(opened, connection)
        c.send(WindowUpdateFrame(s, window_increment=MIB))
        c.round_trip()
        assert len(c.answers[s].body) == connection == 65535  # now the connection's window is what holds
        body = c.answers[s].body
        while len(body) < MIB:
            c.send(WindowUpdateFrame(0, window_increment=100_000))
            connection += 100_000
            while len(body) < min(MIB, connection):
                c.frame()
                body = c.answers[s].body
        assert body == content


def test_a_window_that_shrinks_below_zero_holds_until_it_is_open_again(server, client1, bucket):
    client1.put(bucket, "k", b"x" * 100_000)
    target = path_of(bucket, "k")
    with Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 50_000}) as c:
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "GET", target), "END_STREAM"))
        while s not in c.answers or len(c.answers[s].body) < 50_000:
            c.frame()
        c.send(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}))  # the window is -50000 now
        c.send(WindowUpdateFrame(s, window_increment=50_000))
        c.round_trip()
        assert len(c.answers[s].body) == 50_000
        c.send(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 50_000}))
        assert c.answer(s).body == b"x" * 100_000


def test_one_stalled_reader_does_not_hold_the_others(server, client1, bucket):
    client1.put(bucket, "k", b"x" * MIB)
    target = path_of(bucket, "k")
    with Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}) as c:
        stalled = c.stream()
        c.send(c.head(stalled, signed(client1, c, "GET", target), "END_STREAM"))
        for _ in range(3):
            s = c.stream()
            c.send(c.head(s, signed(client1, c, "GET", target), "END_STREAM"), WindowUpdateFrame(s, window_increment=MIB))
            assert c.answer(s).body == b"x" * MIB
        assert stalled not in c.answers or c.answers[stalled].body == b""


def test_an_upload_that_grows_too_large_is_told_while_it_comes(server, client1):
    bucket = "grows"
    client1.make_bucket(bucket, b'{"max_object_bytes":1048576}')
    with Raw(server.address) as c:
        c.round_trip()
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "PUT", path_of(bucket, "k"), content="unsigned")))
        for _ in range(MIB // 16384 + 1):
            while min(c.rooms[s], c.rooms[0]) < 16384:
                c.frame()
            c.send(DataFrame(s, b"x" * 16384))
        answer = c.answer(s)
        assert (answer.status, answer.code) == (413, "object_too_large")
        assert c.answers_of([s]) == {s: 0}  # reset: send no more
        assert c.put(client1, bucket, "whole", b"y" * MIB).status == 201
    assert client1.get(bucket, "k", 404).code == "key_not_found"


def test_a_large_upload_gets_its_windows_back(server, client1, bucket):
    content = os.urandom(MIB)
    with Raw(server.address) as c:
        for i in range(4):
            assert c.put(client1, bucket, f"{i}", content).status == 201
        c.round_trip()
    assert client1.get(bucket, "3").body == content


# ---- resets

def test_uploads_reset_half_way_leave_nothing_and_take_no_window(server, client1, bucket):
    target = path_of(bucket, "half")
    with Raw(server.address) as c:
        c.round_trip()
        for _ in range(24):  # in one write: the reset may arrive before anybody has asked for the bytes
            s = c.stream()
            while c.rooms[0] < 100_000:
                c.frame()
            c.send(c.head(s, signed(client1, c, "PUT", target, body=b"x" * 200_000)), *frames_of(s, b"x" * 100_000),
                   RstStreamFrame(s, CANCEL))
        for _ in range(4):  # and in two
            s = c.stream()
            c.send(c.head(s, signed(client1, c, "PUT", target, body=b"x" * 200_000)), *frames_of(s, b"x" * 50_000))
            c.round_trip()
            c.send(RstStreamFrame(s, CANCEL))
        assert c.put(client1, bucket, "whole", b"y" * MIB).status == 201
    assert client1.get(bucket, "half", 404).code == "key_not_found"
    assert client1.get(bucket, "whole").body == b"y" * MIB


def test_downloads_reset_half_way_leave_the_connection_usable(server, client1, bucket):
    client1.put(bucket, "k", b"x" * MIB)
    target = path_of(bucket, "k")
    with Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 100_000}) as c:
        for _ in range(40):
            s = c.stream()
            c.send(c.head(s, signed(client1, c, "GET", target), "END_STREAM"))
            while s not in c.answers or len(c.answers[s].body) < 50_000:
                c.frame()
            c.send(RstStreamFrame(s, CANCEL))
        c.round_trip()
        assert c.get().status == 200


def test_a_request_reset_while_the_store_works_on_it_harms_nobody(server, client1, bucket):
    with Raw(server.address) as c:
        kept = []
        for i in range(200):
            s = c.stream()
            c.send(c.head(s, signed(client1, c, "PUT", path_of(bucket, f"{s}"), [("X-WflDB-Durability", "buffered")], b"x")),
                   DataFrame(s, b"x", flags=["END_STREAM"]), *([RstStreamFrame(s, CANCEL)] if i % 2 else []))
            kept += [s] if i % 2 == 0 else []
        assert {answer.status for answer in c.answers_of(kept).values()} == {201}
    items = {item["key"] for item in client1.scan(bucket, limit=1000)[0]}
    assert items >= {f"{s}" for s in kept}


def test_connections_lost_while_the_store_works_leave_it_whole(server, client1, bucket):
    large = os.urandom(MIB)  # hashed by the worker pool
    client1.put(bucket, "large", large)
    requests = [("PUT", path_of(bucket, "small"), b"x"), ("PUT", path_of(bucket, "large"), large),
                ("GET", path_of(bucket, "large"), None), ("DELETE", path_of(bucket, "none"), None),
                ("GET", path_of(bucket) + "/scan?include=value", None)]
    for i in range(60):
        with Raw(server.address) as c:
            for method, target, body in requests[i % 3:]:
                s = c.stream()
                c.send(c.head(s, signed(client1, c, method, target, body=body), *([] if body else ["END_STREAM"])))
                if body:
                    c.send(*frames_of(s, body[:-1]), DataFrame(s, body[-1:], flags=["END_STREAM"]))
            if i % 2:
                c.frame()
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert client1.get(bucket, "large").body == large


def test_connections_lost_in_the_middle_leave_nothing(server, client1, bucket):
    client1.put(bucket, "large", b"x" * MIB)
    for i in range(20):
        with Raw(server.address) as c:
            up, down = c.stream(), c.stream()
            c.send(c.head(up, signed(client1, c, "PUT", path_of(bucket, "half"), body=b"x" * 100)), DataFrame(up, b"x" * 99),
                   c.head(down, signed(client1, c, "GET", path_of(bucket, "large")), "END_STREAM"))
            if i % 2:
                c.frame()
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", i % 3 and 1, 0))
    assert client1.get(bucket, "half", 404).code == "key_not_found"
    assert client1.get(bucket, "large").body == b"x" * MIB


# ---- limits and floods

def test_a_head_beyond_the_limits_is_told_and_the_connection_goes_on(server):
    with Raw(server.address) as c:
        for name, extra in (("101 headers", [(f"a{i}", "b") for i in range(101)]), ("one of 40 KiB", [("a", "b" * 40_000)]),
                            ("40 of 1 KiB", [(f"a{i}", "b" * 1000) for i in range(40)])):
            s = c.stream()
            block = c.encoder.encode(BASE + extra)
            pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
            frames = [HeadersFrame(s, pieces[0], flags=["END_STREAM"])]
            frames += [ContinuationFrame(s, p) for p in pieces[1:]]
            frames[-1].flags.add("END_HEADERS")
            c.send(*frames)
            answer = c.answer(s)
            assert (answer.status, answer.code) == (431, "header_too_large"), name
        s = c.stream()
        c.send(c.head(s, BASE[:3] + [(":path", "/v1/" + "a" * 9000)], "END_STREAM"))
        assert c.answer(s).code == "header_too_large"
        s = c.stream()
        c.send(c.head(s, BASE + [(f"a{i}", "b") for i in range(100)], "END_STREAM"))
        assert c.answer(s).status == 200


def refused(raw, send):
    """Send until the server ends the connection; what is sent is bounded, so one that does not is found out."""
    try:
        for _ in range(2000):
            send()
    except OSError:
        pass
    raw.socket.settimeout(20)
    try:
        raw.at_end()
    except OSError as error:
        assert not isinstance(error, TimeoutError), "the connection is still open"


def test_a_header_block_without_end_ends_the_connection(server):
    with Raw(server.address) as c:
        c.send(HeadersFrame(1, c.encoder.encode(BASE), flags=["END_STREAM"]))
        piece = ContinuationFrame(1, hpack.Encoder().encode([("a", "b" * 8000)])).serialize()
        refused(c, lambda: c.send(piece))
    with Raw(server.address) as c:  # and where each piece is empty
        c.send(HeadersFrame(1, c.encoder.encode(BASE), flags=["END_STREAM"]))
        piece = ContinuationFrame(1, b"").serialize() * 10
        refused(c, lambda: c.send(piece))
    with Raw(server.address) as c:
        assert c.get().status == 200


def test_a_small_block_that_unfolds_to_a_large_one_is_refused(server):
    with Raw(server.address) as c:
        c.encoder.encode([])
        first = c.encoder.encode(BASE + [("a", "b" * 3900)])
        again = c.encoder.encode([("a", "b" * 3900)])
        assert len(again) < 4
        s, before = c.stream(), server.resident_bytes()
        c.send(HeadersFrame(s, first + again * 4000, flags=["END_STREAM", "END_HEADERS"]))  # 15 MiB in 8 KiB
        assert c.answer(s).code == "header_too_large"
        assert held(server, before) < memory_bound(8 << 20)
        assert c.get().status == 200


def wait_until_read(raw):
    """Until the server has taken all that was sent out of its socket."""
    theirs, ours = (f":{raw.socket.getpeername()[1]:04X}", f":{raw.socket.getsockname()[1]:04X}")
    for _ in range(100_000):
        with open("/proc/net/tcp") as table:
            for line in table:
                _, local, remote, _, queues, *_ = line.split(None, 5)
                if local.endswith(theirs) and remote.endswith(ours) and queues.endswith(":00000000"):
                    return
    raise AssertionError("the server does not read")


def held(server, before):
    return server.resident_bytes() - before


def test_floods_of_pings_settings_and_refused_streams_are_bounded(server):
    with Raw(server.address) as c:
        assert c.get().status == 200
    before = server.resident_bytes()
    ping, setting = PingFrame(0, b"12345678").serialize() * 500, SettingsFrame(0, settings={1: 4096}).serialize() * 500
    for flood in (ping, setting):
        with Raw(server.address) as c:  # it sends and never reads
            refused(c, lambda flood=flood: c.send(flood))
    assert held(server, before) < memory_bound(16 << 20)
    with Raw(server.address) as c:
        assert c.get().status == 200


def test_a_flood_of_streams_above_the_limit_is_bounded(server, client1, bucket):
    before = server.resident_bytes()
    with Raw(server.address, ack=False) as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(256):
            c.send(c.head(c.stream(), signed(client1, c, "PUT", path_of(bucket, "k"), content="unsigned")))

        c.head(c.stream(), BASE)
        block = c.encoder.encode(BASE)  # all of it from the table: the same bytes each time

        def more():
            streams = [c.stream() for _ in range(1000)]
            c.send(b"".join(struct.pack(">HBBBI", 0, len(block), 1, 4, s) + block for s in streams))
        refused(c, more)
    assert held(server, before) < memory_bound(24 << 20)


def test_rapid_resets_neither_stall_nor_grow_the_server(server, client1, bucket):
    client1.put(bucket, "k", b"x" * MIB)
    target = path_of(bucket, "k")

    def attack():
        with Raw(server.address) as c:
            one = signed(client1, c, "GET", target)
            try:
                for _ in range(30):
                    frames = []
                    for _ in range(100):
                        s = c.stream()
                        frames += [c.head(s, one, "END_STREAM"), RstStreamFrame(s, CANCEL)]
                    c.send(*frames)
            except OSError:
                pass
            try:
                c.at_end()
            except OSError as error:
                assert not isinstance(error, TimeoutError), "3000 resets in a row are taken without end"
    attack()
    before = server.resident_bytes()
    for _ in range(5):
        attack()
        assert client1.get(bucket, "k").status == 200
    assert held(server, before) < memory_bound(16 << 20)


def test_a_reader_of_single_bytes_does_not_grow_the_server(server, client1, bucket):
    client1.put(bucket, "k", b"x" * MIB)
    target = path_of(bucket, "k")
    before = server.resident_bytes()
    with Raw(server.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}) as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s = c.stream()
        c.send(c.head(s, signed(client1, c, "GET", target), "END_STREAM"))
        update = WindowUpdateFrame(s, window_increment=1).serialize()
        for _ in range(8000):  # one by one, so that each makes a frame; more would end the connection
            c.send(update)
        wait_until_read(c)
        assert held(server, before) < memory_bound(16 << 20)
        refused(c, lambda: c.send(update * 50))
    assert held(server, before) < memory_bound(16 << 20)
    assert client1.get(bucket, "k").status == 200


def test_readers_that_do_not_read_hold_no_more_than_their_queue(server, client1, bucket):
    client1.put(bucket, "k", b"x" * MIB)
    target = path_of(bucket, "k")
    client1.get(bucket, "k")
    before = server.resident_bytes()
    with Raw(server.address) as c:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        streams = [c.stream() for _ in range(30)]
        for s in streams:
            c.send(c.head(s, signed(client1, c, "GET", target), "END_STREAM"))
        with Raw(server.address) as other:
            for _ in range(10):
                assert other.get(target, client1.headers("GET", target)).status == 200
        assert held(server, before) < memory_bound(48 << 20)  # at most an object a stream, and the queue


# ---- times

@pytest.fixture(scope="module")
def impatient():
    with Server(header_timeout_seconds=1, body_stall_timeout_seconds=1, idle_timeout_seconds=2, streams_max=3,
                header_bytes_max=4096, header_count_max=20, target_bytes_max=256) as running:
        with Client(running) as client:
            client.make_bucket("slow")
            client.put("slow", "large", b"x" * MIB)
        yield running


def test_the_slow_are_told_and_the_connection_goes_on(impatient):
    target = path_of("slow", "k")
    with Client(impatient) as client, Raw(impatient.address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1000}) as c:
        body, window = c.stream(), c.stream()
        c.send(c.head(body, signed(client, c, "PUT", target, body=b"x" * 100)), DataFrame(body, b"x" * 99),
               c.head(window, signed(client, c, "GET", path_of("slow", "large")), "END_STREAM"))
        out = c.answers_of([body, window])
        assert (out[body].status, out[body].code) == (408, "request_timeout")
        assert out[window] != 0  # reset: it did not open its window
        assert c.get(method="HEAD").status == 200
        assert c.at_end() == 0  # idle
    with Client(impatient) as client:
        client.get("slow", "k", 404)


def test_a_header_block_that_stops_ends_the_connection(impatient):
    with Raw(impatient.address) as c:
        c.send(HeadersFrame(1, c.encoder.encode(BASE)))
        c.at_end()
    with Raw(impatient.address, start=False) as c:
        c.send(PREFACE[:10])
        c.at_end()
    with Raw(impatient.address, start=False) as c:
        c.send(PREFACE)
        c.at_end()


def test_limits_are_settings(impatient):
    with Raw(impatient.address) as c:
        for extra, status in (([(f"a{i}", "b") for i in range(20)], 200), ([(f"a{i}", "b") for i in range(21)], 431),
                              ([("a", "b" * 3000)], 200), ([("a", "b" * 6000)], 431)):
            s = c.stream()
            c.send(c.head(s, BASE + extra, "END_STREAM"))
            assert c.answer(s).status == status
        assert c.get("/v1/" + "a" * 252).status == 401
        assert c.get("/v1/" + "a" * 253).status == 431
    with Client(impatient) as client, Raw(impatient.address, ack=False) as c:
        streams = [c.stream() for _ in range(4)]
        for s in streams:
            c.send(c.head(s, signed(client, c, "PUT", path_of("slow", "k"), content="unsigned")))
        assert c.answers_of(streams[3:]) == {streams[3]: REFUSED_STREAM}


# ---- stopping

def test_a_stop_says_goodbye_and_finishes_what_is_under_way():
    with Server() as server, Client(server) as client:
        client.make_bucket("abc")
        client.close()
        with Raw(server.address) as c, Raw(server.address) as idle:
            idle.round_trip()
            s = c.stream()
            c.send(c.head(s, signed(client, c, "PUT", path_of("abc", "k"), body=b"x" * 100)), DataFrame(s, b"x" * 50))
            c.round_trip()
            server.process.send_signal(signal.SIGTERM)
            assert idle.at_end() == 0
            while c.goaway is None:
                c.frame()
            late = c.stream()
            c.send(c.head(late, BASE, "END_STREAM"))  # too late; its client may send it elsewhere
            c.send(DataFrame(s, b"x" * 50, flags=["END_STREAM"]))
            assert c.answer(s).status == 201
            assert c.at_end() == 0 and late not in c.answers
        assert server.process.wait(timeout=30) == 0
        again = Server(folder=server.folder, root=server.root)
        with again, Client(again, key=client.key, packet=client.packet) as reader:
            assert reader.get("abc", "k").body == b"x" * 100


# ---- the same answers

def test_both_transports_give_the_same_answers(server, client1, bucket):
    client1.make_bucket("same", b'{"max_object_bytes":1048576}')
    client1.put(bucket, "k", b"0123456789", [("Content-Type", "text/plain"), ("X-WflDB-Meta-A", "b"), ("X-WflDB-Tag-C", "d")])
    etag = client1.get(bucket, "k").header("etag")
    k = path_of(bucket, "k")
    requests = [
        ("GET", k, [], None), ("HEAD", k, [], None), ("GET", k, [("Range", "bytes=2-4")], None),
        ("GET", k, [("Range", "bytes=90-")], None), ("GET", k, [("If-None-Match", etag)], None),
        ("HEAD", k, [("If-None-Match", etag)], None), ("GET", k, [("If-Match", '"none"')], None),
        ("GET", path_of(bucket, "none"), [], None), ("HEAD", path_of(bucket, "none"), [], None),
        ("POST", k, [], b""), ("PUT", k, [("X-WflDB-Durability", "never")], b"x"), ("PUT", k, [("If-Match", '"none"')], b"x"),
        ("PUT", path_of("same", "k"), [], b"x" * (MIB + 1)), ("PUT", path_of(bucket, "scan"), [], b"x"), ("DELETE", path_of(bucket, "none"), [], None),
        ("GET", path_of(bucket) + "/scan?limit=0", [], None), ("GET", path_of(bucket) + "/scan", [], None),
        ("GET", path_of("nowhere", "k"), [], None), ("GET", "/v1/A/k", [], None), ("GET", "/v1/", [], None), ("GET", "/", [], None),
        ("GET", "/v1/-/server", [], None), ("GET", "/v1/%zz/k", [], None), ("GET", path_of(bucket) + "/a%2Fb", [], None),
    ]

    def plain(answer):
        skipped = {"date", "x-request-id", "connection", "content-length"}
        headers = sorted((n.lower(), v) for n, v in answer.headers if n.lower() not in skipped)
        body = answer.body
        if answer.header("content-type", "").startswith("application/problem+json") and body:
            body = {n: v for n, v in answer.json.items() if n != "request_id"}
        elif b'"time"' in body:
            body = {n: v for n, v in answer.json.items() if n != "time"}
        elif b'"at"' in body:
            body = {n: v for n, v in answer.json.items() if n != "at"}
        length = answer.header("content-length") if not isinstance(body, dict) else None
        return answer.status, headers, body, length

    with Client(server, http=2, key=client1.key, packet=client1.packet) as client2:
        for method, target, headers, body in requests:
            one = Connection(server.address)
            with one:
                first = one.request(method, target, client1.headers(method, target, headers, body), body)
            second = client2.request(method, target, headers, body)
            assert plain(first) == plain(second), (method, target)
