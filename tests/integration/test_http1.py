# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as it must not be written, cut at every place, and to its limits. After each case the connection is
in a state that is known: it goes on, or it is closed; the server serves others."""
import array
import fcntl
import os
import re
import resource
import select
import socket
import struct
import termios

import pytest

from wfltest import Client, Connection, Server, memory_bound
from wfltest.client import path_of

H = "Host: localhost\r\n"
GET = "GET /v1/-/server HTTP/1.1\r\n"
POST = "PUT /v1/ab1/k HTTP/1.1\r\n"

# name, what is sent, status, code
BROKEN = [
    ("bare LF", f"{GET.rstrip()}\n{H}\r\n", 400, "invalid_request"),
    ("LF ends a header", f"{GET}Host: localhost\nA: b\r\n\r\n", 400, "invalid_request"),
    ("LF ends the head", f"{GET}{H}\n", 400, "invalid_request"),
    ("CR alone in a value", f"{GET}{H}A: b\rc\r\n\r\n", 400, "invalid_request"),
    ("CR alone ends a line", f"{GET}{H}A: b\rB: c\r\n\r\n", 400, "invalid_request"),
    ("NUL in a value", f"{GET}{H}A: b\0c\r\n\r\n", 400, "invalid_request"),
    ("NUL in the target", f"GET /v1/\0 HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("a fold", f"{GET}{H}A: b\r\n c\r\n\r\n", 400, "invalid_request"),
    ("a fold with a tab", f"{GET}{H}A: b\r\n\tc\r\n\r\n", 400, "invalid_request"),
    ("a fold of the first header", f"{GET} A: b\r\n{H}\r\n", 400, "invalid_request"),
    ("space before the colon", f"{GET}Host : localhost\r\n\r\n", 400, "invalid_request"),
    ("tab before the colon", f"{GET}{H}A\t: b\r\n\r\n", 400, "invalid_request"),
    ("no colon", f"{GET}{H}A b\r\n\r\n", 400, "invalid_request"),
    ("no name", f"{GET}{H}: b\r\n\r\n", 400, "invalid_request"),
    ("a name that is no token", f"{GET}{H}A(b): c\r\n\r\n", 400, "invalid_request"),
    ("a name beyond ASCII", f"{GET}{H}\u00e4: c\r\n\r\n", 400, "invalid_request"),
    ("a control in a value", f"{GET}{H}A: \x01\r\n\r\n", 400, "invalid_request"),
    ("DEL in a value", f"{GET}{H}A: \x7f\r\n\r\n", 400, "invalid_request"),
    ("no Host", f"{GET}\r\n", 400, "invalid_request"),
    ("two Hosts", f"{GET}{H}{H}\r\n", 400, "invalid_request"),
    ("two different Hosts", f"{GET}{H}Host: other\r\n\r\n", 400, "invalid_request"),
    ("both framings", f"{POST}{H}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "invalid_request"),
    ("both framings, other order", f"{POST}{H}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
     "invalid_request"),
    ("two lengths that differ", f"{POST}{H}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "invalid_request"),
    # RFC 9110 section 8.6 leaves it to us: one length, said once, is the only one that no two readers see differently.
    ("the same length twice", f"{POST}{H}Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "invalid_request"),
    ("a list of lengths", f"{POST}{H}Content-Length: 1, 2\r\n\r\nab", 400, "invalid_request"),
    ("a signed length", f"{POST}{H}Content-Length: +1\r\n\r\na", 400, "invalid_request"),
    ("a negative length", f"{POST}{H}Content-Length: -1\r\n\r\na", 400, "invalid_request"),
    ("a hexadecimal length", f"{POST}{H}Content-Length: 0x1\r\n\r\na", 400, "invalid_request"),
    ("an empty length", f"{POST}{H}Content-Length: \r\n\r\n", 400, "invalid_request"),
    ("a length with space inside", f"{POST}{H}Content-Length: 1 1\r\n\r\n", 400, "invalid_request"),
    ("a length beyond 64 bits", f"{POST}{H}Content-Length: 18446744073709551617\r\n\r\na", 400, "invalid_request"),
    ("identity, then chunked", f"{POST}{H}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400, "invalid_request"),
    ("gzip", f"{POST}{H}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "invalid_request"),
    ("chunked twice", f"{POST}{H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "invalid_request"),
    ("chunked with a tail", f"{POST}{H}Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400, "invalid_request"),
    ("chunked misspelt", f"{POST}{H}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "invalid_request"),
    ("chunked with a vertical tab", f"{POST}{H}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, "invalid_request"),
    ("chunked in HTTP/1.0", f"PUT /v1/ab1/k HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "invalid_request"),
    ("HTTP/1.2", f"GET /v1/-/server HTTP/1.2\r\n{H}\r\n", 400, "invalid_request"),
    ("HTTP/3.0", f"GET /v1/-/server HTTP/3.0\r\n{H}\r\n", 400, "invalid_request"),
    ("HTTP/0.9", "GET /v1/-/server\r\n\r\n", 400, "invalid_request"),
    ("no protocol", f"GET /v1/-/server \r\n{H}\r\n", 400, "invalid_request"),
    ("two spaces", f"GET  /v1/-/server HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("a space in the target", f"GET /v1/-/ser ver HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("a tab for a space", f"GET\t/v1/-/server HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("a fragment", f"GET /v1/-/server#a HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("bytes beyond ASCII in the target", f"GET /v1/\u00e4 HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("an absolute target for another host", f"GET http://other/v1/-/server HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("CONNECT", f"CONNECT localhost:80 HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("a method in lower case", f"get /v1/-/server HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("a method of no kind", f"FROB /v1/-/server HTTP/1.1\r\n{H}\r\n", 400, "invalid_request"),
    ("TLS to a cleartext port", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + "\x00" * 60, 400, "invalid_request"),
    ("101 headers", GET + H + "".join(f"A{i}: b\r\n" for i in range(100)) + "\r\n", 431, "header_too_large"),
    ("33 KiB of headers", GET + H + "".join(f"A{i}: {'b' * 1000}\r\n" for i in range(33)) + "\r\n", 431,
     "header_too_large"),
    ("one header of 40 KiB", f"{GET}{H}A: {'b' * 40_000}\r\n\r\n", 431, "header_too_large"),
    ("a head that never ends", f"{GET}{H}A: {'b' * 40_000}", 431, "header_too_large"),
    ("a target of 9 KiB", f"GET /v1/{'a' * 9000} HTTP/1.1\r\n{H}\r\n", 431, "header_too_large"),
    ("a request line of 40 KiB", f"GET /{'a' * 40_000}", 431, "header_too_large"),
]


@pytest.mark.parametrize("text, status, code", [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_head_is_refused_and_the_connection_closed(server, text, status, code):
    with Connection(server.address) as c:
        c.send(text.encode("utf-8") if "\u00e4" in text else text.encode("latin-1"))
        answer = c.read()
        assert (answer.status, answer.code) == (status, code)
        assert answer.header("connection") == "close"
        assert answer.header("content-type") == "application/problem+json"
        assert answer.json["request_id"] == answer.header("x-request-id")
        assert c.at_end()


FINE = [
    ("an absolute target", "GET http://localhost/v1/-/server HTTP/1.1\r\n" + H + "\r\n"),
    ("a name in any case", f"{GET}hOsT: localhost\r\n\r\n"),
    ("no space behind the colon", f"{GET}Host:localhost\r\n\r\n"),
    ("much space around a value", f"{GET}Host: \t localhost \t \r\n\r\n"),
    ("an empty value", f"{GET}{H}A:\r\n\r\n"),
    ("bytes beyond ASCII in a value", f"{GET}{H}A: \u00e4\r\n\r\n"),
    ("empty lines before", f"\r\n\r\n{GET}{H}\r\n"),
    ("99 headers more", GET + H + "".join(f"A{i}: b\r\n" for i in range(99)) + "\r\n"),
]


@pytest.mark.parametrize("text", [case[1] for case in FINE], ids=[case[0] for case in FINE])
def test_what_the_rules_allow_is_served_and_the_connection_goes_on(server, text):
    with Connection(server.address) as c:
        for _ in range(2):
            c.send(text.encode("latin-1"))
            assert c.read().status == 200


CHUNKED = POST + H + "Transfer-Encoding: chunked\r\n"
BROKEN_CHUNKS = [
    ("no size", "\r\n"), ("no hexadecimal", "g\r\n"), ("a sign", "+1\r\na\r\n"), ("0x", "0x1\r\na\r\n"),
    ("a size of 17 digits", "1" * 17 + "\r\n"), ("a size that wraps", "ffffffffffffffff\r\n"),
    ("LF behind the size", "1\na\r\n0\r\n\r\n"), ("LF behind the data", "1\r\na\n0\r\n\r\n"),
    ("more data than said", "1\r\nab\r\n0\r\n\r\n"), ("an extension of 2 KiB", "1;" + "e" * 2048 + "\r\na\r\n0\r\n\r\n"),
    ("LF in an extension", "1;a\nb\r\na\r\n0\r\n\r\n"), ("space before the size", " 1\r\na\r\n0\r\n\r\n"),
    ("endless trailers", "0\r\n" + "A: b\r\n" * 10_000), ("LF ends the trailers", "0\r\n\n"),
    ("a control in a trailer", "0\r\nA: \x00\r\n\r\n"),
]


@pytest.mark.parametrize("chunks", [case[1] for case in BROKEN_CHUNKS], ids=[case[0] for case in BROKEN_CHUNKS])
def test_a_broken_chunk_ends_the_request_and_stores_nothing(server, client1, bucket, chunks):
    target = path_of(bucket, "chunked")
    head = [f"{n}: {v}" for n, v in client1.headers("PUT", target, content="unsigned")]
    with Connection(server.address) as c:
        c.send("\r\n".join([f"PUT {target} HTTP/1.1", f"Host: {server.address}", *head, "Transfer-Encoding: chunked",
                            "", ""]).encode())
        try:
            c.send(chunks.encode("latin-1"))
        except OSError:
            pass  # refused while we were sending
        answer = c.read()
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert c.at_end()
    assert client1.get(bucket, "chunked", 404).code == "key_not_found"


def test_chunks_in_every_legal_form(server, client1, bucket):
    target = path_of(bucket, "chunked")
    head = [f"{n}: {v}" for n, v in client1.headers("PUT", target, content="unsigned")]
    with Connection(server.address) as c:
        c.send("\r\n".join([f"PUT {target} HTTP/1.1", f"Host: {server.address}", *head,
                            "Transfer-Encoding:  Chunked ", "", ""]).encode())
        c.send(b"0001\r\na\r\nA;name=value;b=\"c d\"\r\n0123456789\r\na ;x\r\nABCDEFGHIJ\r\n000;last\r\nT: r\r\nU: s\r\n\r\n")
        assert c.read().status == 201
        assert c.request("GET", "/v1/-/server").status == 200
    assert client1.get(bucket, "chunked").body == b"a0123456789ABCDEFGHIJ"


def put_bytes(client, target, body):
    head = [f"{n}: {v}" for n, v in client.headers("PUT", target, body=body)]
    return "\r\n".join([f"PUT {target} HTTP/1.1", f"Host: {client.server.address}", *head,
                        f"Content-Length: {len(body)}", "", ""]).encode() + body


def get_bytes(client, target, extra=()):
    head = [f"{n}: {v}" for n, v in client.headers("GET", target)]
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {client.server.address}", *head, *extra, "", ""]).encode()


def test_a_request_cut_at_every_place_is_the_same_request(server, client1, bucket):
    target = path_of(bucket, "cut")
    whole = put_bytes(client1, target, b"0123456789")
    with Connection(server.address) as c:
        for at in range(1, len(whole), 13):
            text = put_bytes(client1, target, b"0123456789")
            c.send(text[:at])
            # The first part is in the server's hands, not in our socket, before the second one goes.
            count = array.array("i", [1])
            while count[0] > 0:
                fcntl.ioctl(c.socket, termios.TIOCOUTQ, count)
            c.send(text[at:])
            assert c.read().status in (200, 201)
    assert client1.get(bucket, "cut").body == b"0123456789"


def test_a_hundred_requests_in_one_write_are_answered_in_order(server, client1, bucket):
    for i in range(100):
        client1.put(bucket, f"{i}", b"%d" % i, [("X-WflDB-Durability", "buffered")])
    with Connection(server.address) as c:
        c.send(b"".join(get_bytes(client1, path_of(bucket, f"{i}")) for i in range(100)))
        for i in range(100):
            assert c.read().body == b"%d" % i


def test_writes_and_reads_in_one_pipeline_see_each_other(server, client1, bucket):
    target = path_of(bucket, "k")
    with Connection(server.address) as c:
        parts = []
        for i in range(30):
            parts += [put_bytes(client1, target, b"%d" % i * 1000), get_bytes(client1, target)]
        c.send(b"".join(parts))
        for i in range(30):
            assert c.read().status in (200, 201)
            assert c.read().body == b"%d" % i * 1000


def test_a_refused_upload_sends_no_body(server, client1, bucket):
    target = path_of(bucket, "k")
    with Connection(server.address) as c:
        head = [f"{n}: {v}" for n, v in client1.headers("PUT", target, content="unsigned")]
        lines = [f"PUT {target} HTTP/1.1", f"Host: {server.address}", "Expect: 100-continue", "Content-Length: 5"]
        c.send("\r\n".join(lines + head + ["", ""]).encode())
        assert c.read_head().status == 100
        c.send(b"hello")
        assert c.read().status == 201
        # Without a credential, its body declared (headers are judged first).
        c.send("\r\n".join(lines + ["X-WflDB-Content-SHA256: unsigned", "", ""]).encode())
        refused = c.read()
        assert (refused.status, refused.code) == (401, "credential_missing")
        assert refused.header("connection") == "close" and c.at_end()  # nobody knows whether the body comes
    with Connection(server.address) as c:
        c.send("\r\n".join(lines[:2] + ["Expect: a-teapot", "Content-Length: 5"] + head + ["", ""]).encode())
        assert c.read().code == "invalid_header"


def test_close_and_keep_alive_as_asked(server):
    with Connection(server.address) as c:
        assert c.request("GET", "/v1/-/server", [("Connection", "close")]).header("connection") == "close"
        assert c.at_end()
    with Connection(server.address) as c:
        c.send(f"GET /v1/-/server HTTP/1.0\r\n{H}\r\n".encode())
        assert c.read().status == 200
        assert c.at_end()
    with Connection(server.address) as c:
        for _ in range(2):
            c.send(f"GET /v1/-/server HTTP/1.0\r\n{H}Connection: keep-alive\r\n\r\n".encode())
            assert c.read().header("connection") == "keep-alive"


def test_a_refused_request_with_a_small_body_leaves_the_connection_usable(server, client1, bucket):
    with Connection(server.address) as c:
        for _ in range(3):
            answer = c.request("PUT", path_of(bucket, "k"), [("X-WflDB-Content-SHA256", "unsigned")], b"x" * 1000)
            assert (answer.status, answer.code) == (401, "credential_missing")
            assert answer.header("connection") is None
        head = f"PUT {path_of(bucket, 'k')} HTTP/1.1\r\n{H}X-WflDB-Content-SHA256: unsigned\r\n"
        c.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        assert c.read().status == 401
        c.send(b"5\r\nhello\r\n0\r\n\r\n")  # late, and still no request of its own
        assert c.request("GET", "/v1/-/server").status == 200
        c.send(f"{head}Content-Length: 70000\r\n\r\n".encode())
        assert c.read().header("connection") == "close"  # too much to read for nothing
        assert c.at_end()
    with Connection(server.address) as c:
        c.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        assert c.read().status == 401
        try:
            for _ in range(100):
                c.send(b"1;" + b"e" * 1000 + b"\r\na\r\n")  # most of it framing
        except OSError:
            pass
        assert c.at_end()


def test_half_requests_hold_nothing(server, client1, bucket):
    target = path_of(bucket, "half")
    text = put_bytes(client1, target, b"x" * 5000)
    for at in (1, 20, 300, len(text) - 4000, len(text) - 1):
        with Connection(server.address) as c:
            c.send(text[:at])
    for at in (1, len(text) - 10):  # a reset instead of an end
        with Connection(server.address) as c:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.send(text[:at])
    assert client1.get(bucket, "half", 404).code == "key_not_found"


def test_connections_lost_while_the_store_works_leave_it_whole(server, client1, bucket):
    large = os.urandom(1 << 20)  # hashed by the worker pool
    client1.put(bucket, "large", large)
    texts = [lambda: put_bytes(client1, path_of(bucket, "small"), b"x"), lambda: put_bytes(client1, path_of(bucket, "large"), large),
             lambda: get_bytes(client1, path_of(bucket, "large")), lambda: get_bytes(client1, path_of(bucket) + "/scan?include=value")]
    for i in range(80):
        with Connection(server.address) as c:
            c.send(texts[i % 4]() + texts[(i + 1) % 4]())
            if i % 3:
                c.socket.recv(1)
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1 if i % 8 < 4 else 0, 0))
    assert client1.get(bucket, "large").body == large


def test_a_body_that_ends_early_is_told_and_stores_nothing(server, client1, bucket):
    target = path_of(bucket, "early")
    text = put_bytes(client1, target, b"x" * 5000)
    with Connection(server.address) as c:
        c.send(text[:-1])
        c.socket.shutdown(socket.SHUT_WR)
        answer = c.read()
        assert (answer.status, answer.code) == (400, "incomplete_body")
        assert c.at_end()
    assert client1.get(bucket, "early", 404).code == "key_not_found"


@pytest.fixture(scope="module")
def impatient():
    with Server(header_timeout_seconds=1, body_stall_timeout_seconds=1, idle_timeout_seconds=2) as running:
        yield running


def test_the_slow_are_told_and_closed(impatient):
    with Client(impatient) as client:
        client.make_bucket("slow")
        with Connection(impatient.address) as c:
            c.send(GET.encode())
            answer = c.read()
            assert (answer.status, answer.code) == (408, "request_timeout")
            assert c.at_end()
        with Connection(impatient.address) as c:
            c.send(put_bytes(client, path_of("slow", "k"), b"x" * 5000)[:-1])
            answer = c.read()
            assert (answer.status, answer.code) == (408, "request_timeout")
            assert c.at_end()
        with Connection(impatient.address) as c:
            assert c.request("GET", "/v1/-/server").status == 200
            assert c.at_end()  # idle
    with Client(impatient) as client:  # the first one's own connection was idle for too long
        client.get("slow", "k", 404)


def test_who_does_not_read_its_answers_is_closed(impatient):
    with Client(impatient) as client:
        client.make_bucket("unread")
        client.put("unread", "k", b"x" * (1 << 20))
    with Connection(impatient.address) as c, Connection(impatient.ops) as ops:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(40):  # more than the kernel keeps for us
            c.send(get_bytes(client, path_of("unread", "k")))
        for _ in range(500_000):  # a bound on a broken server, not a wait
            metrics = ops.request("GET", "/metrics").body.decode()
            if re.search(r"^wfldb_connections 0$", metrics, re.MULTILINE):
                break
        else:
            raise AssertionError("the connection is still held")


def test_one_byte_at_a_time_does_not_prolong_a_head(impatient):
    with Connection(impatient.address) as c:
        try:
            for _ in range(1000):
                c.send(b"A")
                c.socket.settimeout(0.1)
                try:
                    if c.socket.recv(1, socket.MSG_PEEK):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
        c.socket.settimeout(20)
        assert c.read().code in ("request_timeout", "invalid_request")
        assert c.at_end()


def ended_of(connections, count):
    """Wait until `count` of them were closed by the server; those that were."""
    ended = set()
    while len(ended) < count:
        readable, _, _ = select.select([c.socket for c in connections if c not in ended], [], [], 20)
        assert readable, f"{len(ended)} of {count} were closed"
        ended |= {c for c in connections if c.socket in readable and c.at_end()}
    return ended


def served(server):
    """True once a new connection is served; one that is refused is tried again, a bounded number of times."""
    for _ in range(2000):
        try:
            with Connection(server.address) as c:
                return c.request("GET", "/v1/-/server").status == 200
        except (EOFError, OSError):
            continue
    return False


def test_connections_beyond_the_limit_are_refused_and_others_served():
    with Server(connections_max=20, reactors=2) as server:
        held = [Connection(server.address) for _ in range(40)]
        refused = ended_of(held, 20)
        assert len(refused) == 20
        for c in held:
            if c not in refused:
                assert c.request("GET", "/v1/-/server").status == 200
        for c in held:
            c.close()
        assert served(server)


def test_a_server_out_of_files_serves_on_when_it_has_some_again(server):
    with Server(reactors=1) as running:
        used = len(os.listdir(f"/proc/{running.process.pid}/fd"))
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (used + 10, used + 10))
        held = [Connection(running.address) for _ in range(30)]  # the kernel takes them, the server cannot yet
        for c in held[:5]:
            assert c.request("GET", "/v1/-/server").status == 200
        for c in held[:25]:
            c.close()
        for c in held[25:]:
            assert c.request("GET", "/v1/-/server").status == 200
            c.close()
        assert served(running)


def test_bad_input_leaves_no_memory_behind(server, client1, bucket):
    def flood():
        for _, text, _, _ in BROKEN:
            with Connection(server.address) as c:
                try:
                    c.send(text.encode("utf-8", "surrogateescape"))
                    c.read()
                except (EOFError, OSError):
                    pass
        for _ in range(5):
            assert client1.put(bucket, "k", b"x" * ((1 << 20) + 1), status=413).code == "object_too_large"
    flood()
    before = server.resident_bytes()
    for _ in range(20):
        flood()
    assert server.resident_bytes() - before < memory_bound(16 << 20)


LIMITS = [
    ("as many headers as may be", "", 18, 200), ("one more", "", 19, 431), ("a header block below the limit", "b" * 3900, 0, 200),
    ("one above it", "b" * 4096, 0, 431),
]


@pytest.fixture(scope="module")
def narrow():
    with Server(header_bytes_max=4096, header_count_max=20, target_bytes_max=256) as running:
        yield running


@pytest.mark.parametrize("value, count, status", [case[1:] for case in LIMITS], ids=[case[0] for case in LIMITS])
def test_limits_of_heads_are_settings(narrow, value, count, status):
    with Connection(narrow.address) as c:
        c.send((GET + H + f"V: {value}\r\n" + "".join(f"A{i}: b\r\n" for i in range(count)) + "\r\n").encode())
        assert c.read().status == status


def test_the_limit_of_targets_is_a_setting(narrow):
    with Connection(narrow.address) as c:
        assert c.request("GET", "/v1/" + "a" * 252).status == 401
        assert c.request("GET", "/v1/" + "a" * 253).status == 431
        assert c.at_end()


def test_a_head_of_hundreds_of_kibibytes_is_taken_where_the_setting_says_so():
    with Server(header_bytes_max=1 << 20) as server, Connection(server.address) as c:
        for _ in range(2):
            assert c.request("GET", "/v1/-/server", [(f"A{i}", "b" * 50_000) for i in range(10)]).status == 200


def test_no_header_of_ours_is_from_theirs(server):
    with Connection(server.address) as c:
        answer = c.request("GET", "/v1/-/server", [("X-Request-Id", "mine"), ("X-Forwarded-For", "1.2.3.4")])
        assert re.fullmatch(r"[0-9A-Z]{26}", answer.header("x-request-id"))
