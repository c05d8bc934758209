# SPDX-License-Identifier: Apache-2.0
"""A request inside a request: each framing that two readers could read differently carries a second request, well signed,
in what one of them takes for a body. It is never carried out (protocol, Transport; RFC 9112 section 11.2)."""
import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, RstStreamFrame

from wfltest import Client, Connection
from wfltest.client import path_of
from wfltest.frames import GoneAway, Raw, Reset, signed

BUCKET = "smuggled"
NAMES = ["outer", "inner"]


@pytest.fixture(scope="module", autouse=True)
def made(server, witness):
    with Client(server) as maker:
        maker.make_bucket(BUCKET)


def request(client, method, key, framing=(), body=b"", content="unsigned", host=None, version="HTTP/1.1", target=None):
    """One request as bytes, signed; `framing` are lines as they are, `host` the lines in place of Host."""
    path = path_of(BUCKET, key)
    lines = [f"{method} {target or path} {version}"]
    lines += [f"Host: {client.server.address}"] if host is None else list(host)
    lines += [f"{n}: {v}" for n, v in client.headers(method, path, content=content)]
    return "\r\n".join([*lines, *framing, "", ""]).encode("latin-1") + body


def inner(client):
    return request(client, "PUT", "inner", content=None)  # complete without a body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def sent(server, data):
    """The answers to all of it, until the server closes or has answered the end of what it reads."""
    answers = []
    with Connection(server.address) as connection:
        try:
            connection.send(data + f"GET /v1/-/server HTTP/1.1\r\nHost: {server.address}\r\nConnection: close\r\n\r\n".encode())
        except OSError:
            pass
        try:
            while True:
                answers.append(connection.read())
        except (EOFError, OSError):
            return answers


# name: lines of framing. Behind them comes a terminating chunk, then the inner request.
CL_TE = {
    "CL and TE": ["Content-Length: {n}", "Transfer-Encoding: chunked"],
    "TE and CL": ["Transfer-Encoding: chunked", "Content-Length: {n}"],
    "CL 0 and TE": ["Content-Length: 0", "Transfer-Encoding: chunked"],
    "CL of the terminator and TE": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "TE, space before the colon": ["Content-Length: {n}", "Transfer-Encoding : chunked"],
    "TE, tab before the colon": ["Content-Length: {n}", "Transfer-Encoding\t: chunked"],
    "TE, vertical tab": ["Transfer-Encoding:\x0bchunked"],
    "TE, form feed": ["Transfer-Encoding: chunked\x0c"],
    "TE, NUL behind": ["Transfer-Encoding: chunked\0"],
    "TE, no-break space": ["Transfer-Encoding: \xa0chunked"],
    "TE in a folded line": ["Content-Length: {n}", "X: y\r\n Transfer-Encoding: chunked"],
    "TE folded": ["Content-Length: {n}", "Transfer-Encoding:\r\n chunked"],
    "TE behind a bare LF": ["Content-Length: {n}", "X: y\nTransfer-Encoding: chunked"],
    "TE behind a bare CR": ["Content-Length: {n}", "X: y\rTransfer-Encoding: chunked"],
    "TE quoted": ['Transfer-Encoding: "chunked"'],
    "TE twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "TE twice, one unknown": ["Transfer-Encoding: chunked", "Transfer-Encoding: x"],
    "TE unknown, then chunked": ["Transfer-Encoding: x", "Transfer-Encoding: chunked"],
    "TE a list": ["Transfer-Encoding: chunked, chunked"],
    "TE a list with nothing": ["Transfer-Encoding: , chunked"],
    "TE with an end": ["Transfer-Encoding: chunked,"],
    "TE identity last": ["Transfer-Encoding: chunked, identity"],
    "TE identity": ["Transfer-Encoding: identity", "Content-Length: {n}"],
    "TE empty": ["Transfer-Encoding:", "Content-Length: {n}"],
    "TE cut off": ["Transfer-Encoding: chunke", "Content-Length: {n}"],
    "TE with a parameter": ["Transfer-Encoding: chunked;q=1"],
    "CL twice, different": ["Content-Length: 5", "Content-Length: {n}"],
    "CL twice, the same": ["Content-Length: 5", "Content-Length: 5"],
    "CL a list": ["Content-Length: 5, 5"],
    "CL a list of two": ["Content-Length: 5, {n}"],
    "CL signed": ["Content-Length: +5"],
    "CL below nothing": ["Content-Length: -1"],
    "CL in hexadecimal": ["Content-Length: 0x5"],
    "CL with a fraction": ["Content-Length: 5.0"],
    "CL in powers": ["Content-Length: 5e0"],
    "CL with a group": ["Content-Length: 5_0"],
    "CL with space inside": ["Content-Length: 5 0"],
    "CL quoted": ['Content-Length: "5"'],
    "CL empty": ["Content-Length:"],
    "CL of 2^64 and 5": ["Content-Length: 18446744073709551621"],
    "CL of 2^64": ["Content-Length: 18446744073709551616"],
    "CL of 400 digits": ["Content-Length: 1" + "0" * 400],
    "CL, space before the colon": ["Content-Length : 5"],
    "CL in another alphabet": ["Content-Length: \xb2"],
    "CL behind a bare LF": ["X: y\nContent-Length: 5"],
    "CL folded": ["Content-Length:\r\n 5"],
}


@pytest.mark.parametrize("framing", CL_TE.values(), ids=CL_TE)
def test_no_request_hides_in_another_ones_framing(server, unchanged, framing):
    with Client(server) as client:
        hidden = b"0\r\n\r\n" + inner(client)
        lines = [line.format(n=len(hidden)) if "{n}" in line else line for line in framing]
        answers = sent(server, request(client, "PUT", "outer", lines, hidden))
    assert [(a.status, a.code) for a in answers] == [(400, "invalid_request")]


CHUNKS = {
    "size with a sign": b"-1\r\n", "size in hexadecimal's notation": b"0x0\r\n\r\n", "size empty": b"\r\n\r\n", "size of spaces": b"  \r\n\r\n",
    "size behind space": b" 0\r\n\r\n", "size of 2^64": b"10000000000000000\r\n", "size of 2^63": b"8000000000000000\r\n",
    "size that wraps in 32 bits": b"100000000\n", "size ended by LF": b"0\n\r\n", "size ended by CR": b"0\r\r\n", "size with a comma": b"0,0\r\n\r\n",
    "size with an underscore": b"0_0\r\n\r\n", "size and a NUL": b"0\0\r\n\r\n", "extension with LF": b"0;a\n\r\n", "extension with NUL": b"0;\0\r\n\r\n",
    "extension with CR": b"0;a\rb\r\n\r\n", "data ended by LF": b"1\r\nx\n0\r\n\r\n", "data ended by CR": b"1\r\nx\r0\r\n\r\n", "data without its end": b"1\r\nx0\r\n\r\n",
    "data longer than said": b"1\r\nxx\r\n0\r\n\r\n", "trailers ended by LF": b"0\r\n\n", "trailer ended by LF": b"0\r\nA: b\n\r\n",
    "trailer that is a request line": b"0\r\nGET / HTTP/1.1\0\r\n\r\n", "trailer with NUL": b"0\r\nA: \0\r\n\r\n",
}


@pytest.mark.parametrize("start", CHUNKS.values(), ids=CHUNKS)
def test_no_request_hides_behind_a_broken_chunk(server, unchanged, start):
    with Client(server) as client:
        answers = sent(server, request(client, "PUT", "outer", ["Transfer-Encoding: chunked"], start + inner(client)))
    assert [(a.status, a.code) for a in answers] == [(400, "invalid_request")]


BODIES = {  # honest framings: what is inside is content, however much it looks like a request
    "a length": lambda client, hidden: (["Content-Length: %d" % len(hidden)], hidden),
    "chunks": lambda client, hidden: (["Transfer-Encoding: chunked"], chunk(hidden) + b"0\r\n\r\n"),
    "chunks cut inside": lambda client, hidden: (["Transfer-Encoding: chunked"], chunk(hidden[:9]) + chunk(hidden[9:]) + b"0\r\n\r\n"),
    "an extension that looks like an end": lambda client, hidden: (["Transfer-Encoding: chunked"], b"%x;0=0\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)),
    "a length with zeros before": lambda client, hidden: (["Content-Length: 000%d" % len(hidden)], hidden),
    "a name almost Transfer-Encoding": lambda client, hidden: (["Transfer_Encoding: chunked", "Content-Length: %d" % len(hidden)], hidden),
    "a name almost Content-Length": lambda client, hidden: (["Content_Length: 0", "Content-Length: %d" % len(hidden)], hidden),
    "a hop's header that names the length": lambda client, hidden: (["Connection: content-length", "Content-Length: %d" % len(hidden)], hidden),
    "an upgrade that is not taken": lambda client, hidden: (
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Content-Length: %d" % len(hidden)], hidden),
    "a websocket that is not opened": lambda client, hidden: (["Connection: Upgrade", "Upgrade: websocket", "Content-Length: %d" % len(hidden)], hidden),
    "trailers that look like framing": lambda client, hidden: (
        ["Transfer-Encoding: chunked"], chunk(hidden) + b"0\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\nHost: other\r\n\r\n"),
}


@pytest.mark.parametrize("frame", BODIES.values(), ids=BODIES)
def test_a_body_is_content_whatever_is_in_it(server, frame):
    with Client(server) as client:
        hidden = inner(client)
        framing, body = frame(client, hidden)
        answers = sent(server, request(client, "PUT", "outer", framing, body))
        assert [a.status for a in answers[1:]] == [200] and answers[0].status in (200, 201), answers
        assert client.get(BUCKET, "outer").body == hidden
        client.get(BUCKET, "inner", 404)


UNASKED = ["GET", "HEAD", "DELETE"]


@pytest.mark.parametrize("framing", ["a length", "chunks"])
@pytest.mark.parametrize("method", UNASKED)
def test_a_body_that_nobody_asked_for_is_no_request(server, unchanged, method, framing):
    with Client(server) as client:
        lines, body = BODIES[framing](client, inner(client))
        data = request(client, method, "none", lines, body)
        answers = []
        with Connection(server.address) as connection:
            connection.send(data)
            answers.append(connection.read(method))
            if answers[0].header("connection") != "close":
                assert connection.request("GET", "/v1/-/server").status == 200
    assert answers[0].status in (400, 404)


HOSTS = {
    "twice": ["Host: {a}", "Host: {a}"], "twice, different": ["Host: {a}", "Host: other.invalid"], "twice, other order": ["Host: other.invalid", "Host: {a}"],
    "twice, one in small letters": ["Host: {a}", "host: other.invalid"], "none": [], "space before the colon": ["Host : {a}"],
    "folded": ["Host:\r\n {a}"], "behind a bare LF": ["X: y\nHost: {a}"], "with NUL": ["Host: {a}\0.invalid"], "with a bare CR": ["Host: {a}\rother"],
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_request_has_one_host(server, unchanged, host):
    with Client(server) as client:
        answers = sent(server, request(client, "PUT", "outer", content=None, host=[h.format(a=server.address) for h in host]))
    assert [(a.status, a.code) for a in answers] == [(400, "invalid_request")]


OTHERS = {  # well formed; but it is not the authority that was signed
    "another": ["Host: other.invalid"], "a list": ["Host: {a}, other.invalid"], "a user": ["Host: user@{a}"], "a path": ["Host: {a}/v1"],
    "no port": ["Host: 127.0.0.1"], "another port": ["Host: 127.0.0.1:80"], "empty": ["Host:"], "a dot behind": ["Host: {a}."], "a scheme": ["Host: http://{a}"],
    "forwarded": ["Host: other.invalid", "X-Forwarded-Host: {a}", "Forwarded: host={a}"],
}


@pytest.mark.parametrize("host", OTHERS.values(), ids=OTHERS)
def test_another_host_is_another_request(server, unchanged, host):
    with Client(server) as client:
        answers = sent(server, request(client, "PUT", "outer", content=None, host=[h.format(a=server.address) for h in host]))
    assert (answers[0].status, answers[0].code) in ((401, "signature_invalid"), (400, "invalid_request"))


LINES = {
    "HTTP/0.9": "", "HTTP/1.2": "HTTP/1.2", "HTTP/2.0": "HTTP/2.0", "HTTP/01.1": "HTTP/01.1", "HTTP/1.1 and more": "HTTP/1.1 HTTP/1.1", "http/1.1": "http/1.1",
    "HTTP/1,1": "HTTP/1,1", "no number": "HTTP/", "space behind": "HTTP/1.1 ", "a tab before": "\tHTTP/1.1", "ICAP/1.0": "ICAP/1.0",
}


@pytest.mark.parametrize("version", LINES.values(), ids=LINES)
def test_a_request_line_has_one_form(server, unchanged, version):
    with Client(server) as client:
        answers = sent(server, request(client, "PUT", "outer", content=None, version=version))
    assert [(a.status, a.code) for a in answers] == [(400, "invalid_request")]


def test_a_preface_is_taken_at_the_start_alone(server, unchanged):
    """HTTP/2 begun in the middle of an HTTP/1.1 connection."""
    with Connection(server.address) as connection:
        assert connection.request("GET", "/v1/-/server").status == 200
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        assert connection.read().code == "invalid_request"
        assert connection.at_end()


# ---- HTTP/2: well signed, and not carried out

def spoiled(**changes):
    """Fields by name replaced (None: left out), others added."""
    def make(fields):
        out = [(n, changes.get(n, v)) for n, v in fields]
        return [(n, v) for n, v in out if v is not None] + [(n, v) for n, v in changes.items() if v is not None and n not in dict(fields)]
    return make


def added(*pairs):
    return lambda fields: fields + list(pairs)


def before(*pairs):
    return lambda fields: list(pairs) + fields


FIELDS = {
    "transfer-encoding": added(("transfer-encoding", "chunked")), "connection": added(("connection", "close")),
    "connection that names another": added(("connection", "content-length")), "keep-alive": added(("keep-alive", "1")),
    "proxy-connection": added(("proxy-connection", "keep-alive")), "upgrade": added(("upgrade", "h2c")), "te": added(("te", "chunked")),
    "two lengths": added(("content-length", "5"), ("content-length", "6")), "a length that is too long": spoiled(**{"content-length": "6"}),
    "a length that is too short": spoiled(**{"content-length": "4"}), "a signed length": spoiled(**{"content-length": "+5"}),
    "a length in words": spoiled(**{"content-length": "five"}), "a length of 2^64 and 5": spoiled(**{"content-length": "18446744073709551621"}),
    "two paths": added((":path", "/v1/smuggled/other")), "a path behind": lambda f: [p for p in f if p[0] != ":path"] + [(":path", "/v1/smuggled/outer")],
    "two methods": before((":method", "DELETE")), "two authorities": before((":authority", "other.invalid")), "a status": before((":status", "200")),
    "a protocol": before((":protocol", "websocket")), "an upper-case name": added(("Content-Type", "text/plain")),
    "a name with CR LF": added(("a\r\nb", "c")), "a value with CR LF": added(("a", "b\r\ntransfer-encoding: chunked")),
    "a value with LF": added(("a", "b\nhost: other")), "a value with NUL": added(("a", "b\0")), "a name with a colon": added(("a:b", "c")),
    "a name with a space": added(("content-length ", "0")), "a method with a space": spoiled(**{":method": "PUT /v1/smuggled/other HTTP/1.1\r\n\r\nPUT"}),
    "a path with a space": spoiled(**{":path": "/v1/smuggled/outer HTTP/1.1"}), "a path with CR LF": spoiled(**{":path": "/v1/smuggled/outer\r\nA: b"}),
    "no path": spoiled(**{":path": None}), "no method": spoiled(**{":method": None}), "no scheme": spoiled(**{":scheme": None}),
    "two Hosts": added(("host", "a"), ("host", "b")), "an empty path": spoiled(**{":path": ""}),
}


@pytest.mark.parametrize("spoil", FIELDS.values(), ids=FIELDS)
def test_a_malformed_head_is_reset(server, unchanged, spoil):
    with Client(server) as client, Raw(server.address) as c:
        s = c.stream()
        fields = spoil(signed(client, c, "PUT", path_of(BUCKET, "outer"), content="unsigned", body=b"hello"))
        c.send(c.head(s, fields), DataFrame(s, b"hello", flags=["END_STREAM"]))
        with pytest.raises(Reset) as reset:
            c.answer(s)
        assert reset.value.args == (1,)
        assert c.get().status == 200


NOT_SIGNED = {
    "another authority": spoiled(**{":authority": "other.invalid"}), "a Host that differs": added(("host", "other.invalid")),
    "no authority": spoiled(**{":authority": None, "host": "other.invalid"}), "another path": spoiled(**{":path": "/v1/smuggled/other"}),
    "another method": spoiled(**{":method": "DELETE"}), "an absolute path": spoiled(**{":path": "http://127.0.0.1/v1/smuggled/outer"}),
}


@pytest.mark.parametrize("spoil", NOT_SIGNED.values(), ids=NOT_SIGNED)
def test_a_head_that_was_not_signed_is_refused(server, unchanged, spoil):
    with Client(server) as client, Raw(server.address) as c:
        s = c.stream()
        c.send(c.head(s, spoil(signed(client, c, "PUT", path_of(BUCKET, "outer"), content=None)), "END_STREAM"))
        try:
            assert c.answer(s).code in ("signature_invalid", "invalid_request")
        except Reset as reset:
            assert reset.args == (1,)
        assert c.get().status == 200


def put_head(client, c, s):
    return c.encoder.encode(signed(client, c, "PUT", path_of(BUCKET, "outer"), content="unsigned"))


FRAMES = {  # a well signed head, and frames that must not go with it
    "another stream's frame inside the head": lambda k, c, s: [HeadersFrame(s, put_head(k, c, s)), DataFrame(s + 2, b"x")],
    "data inside the head": lambda k, c, s: [HeadersFrame(s, put_head(k, c, s)), DataFrame(s, b"x", flags=["END_STREAM"])],
    "the head's end on another stream": lambda k, c, s: [HeadersFrame(s, put_head(k, c, s)), ContinuationFrame(s + 2, b"", flags=["END_HEADERS"])],
    "a reset inside the head": lambda k, c, s: [HeadersFrame(s, put_head(k, c, s)), RstStreamFrame(s, 8)],
    "a second head without an end": lambda k, c, s: [c.head(s, signed(k, c, "PUT", path_of(BUCKET, "outer"), content="unsigned")), c.head(s, [("a", "b")])],
    "trailers with a pseudo-header": lambda k, c, s: [c.head(s, signed(k, c, "PUT", path_of(BUCKET, "outer"), content="unsigned")),
                                                      c.head(s, [(":path", "/v1/smuggled/other")], "END_STREAM")],
    "data padded beyond its frame": lambda k, c, s: [c.head(s, signed(k, c, "PUT", path_of(BUCKET, "outer"), content="unsigned")),
                                                     b"\0\0\2\0\x09" + s.to_bytes(4, "big") + b"\x05x"],
    "a head padded beyond its frame": lambda k, c, s: [b"\0\0\2\1\x0d" + s.to_bytes(4, "big") + b"\x05\x82"],
    "a stream that depends on itself": lambda k, c, s: [b"\0\0\5\2\0" + s.to_bytes(4, "big") + s.to_bytes(4, "big") + b"\1",
                                                        b"\0\0\5\2\0\0\0\0\0" + b"\0\0\0\0\1"],
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_frames_that_do_not_belong_together_are_no_request(server, unchanged, make):
    with Client(server) as client, Raw(server.address) as c:
        s = c.stream()
        c.send(*make(client, c, s))
        with pytest.raises((Reset, GoneAway)):
            c.answer(s)
