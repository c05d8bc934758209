# SPDX-License-Identifier: Apache-2.0
"""TLS between clients and the server (protocol, Transport): what is spoken, what is refused, and that what TLS puts
between the bytes and the socket changes nothing about either."""
import calendar
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from wfltest import Client, Connection, Server, wait_until
from wfltest.changes import LINES, Stream
from wfltest.client import path_of
from wfltest.http2 import Connection2
from wfltest.relay import Relay
from wfltest.signing import signed_headers
from wfltest.tls import Certificate, context, s_client

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
KIB, MIB = 1 << 10, 1 << 20
RECORD = 16384
ALPN = {1: "http/1.1", 2: "h2"}


@pytest.fixture(scope="module")
def ca():
    return Certificate("test authority", ca=True)


@pytest.fixture(scope="module")
def keys(ca, tmp_path_factory):
    return Certificate("server", ca).write(tmp_path_factory.mktemp("keys"), "server")


@pytest.fixture(scope="module")
def server(keys):
    with Server(tls_listen="127.0.0.1:0", tls_cert=keys[0], tls_key=keys[1]) as running:
        yield running


@pytest.fixture(params=[(1, V12), (1, V13), (2, V12), (2, V13)], ids=["http1-1.2", "http1-1.3", "http2-1.2", "http2-1.3"])
def client(request, server, ca):
    http, version = request.param
    with Client(server, http=http, tls=context(ca, version, [ALPN[http]])) as made:
        yield made


def connect(server, ca, *, alpn=("http/1.1",), version=None):
    return Connection(server.tls_address, tls=context(ca, version, alpn))


def serves(server, ca):
    with connect(server, ca) as connection:
        return connection.request("GET", "/v1/-/server").status == 200


# ---- what is spoken

@pytest.mark.parametrize("version, cipher", [
    (V12, "ECDHE-ECDSA-AES128-GCM-SHA256"), (V12, "ECDHE-ECDSA-AES256-GCM-SHA384"), (V12, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (V13, "TLS_AES_128_GCM_SHA256"), (V13, "TLS_AES_256_GCM_SHA384"), (V13, "TLS_CHACHA20_POLY1305_SHA256"),
])
def test_sound_ciphers_are_spoken(server, version, cipher):
    option = ["-tls1_2", "-cipher", cipher] if version == V12 else ["-tls1_3", "-ciphersuites", cipher]
    status, text = s_client(server.tls_address, "-brief", *option)
    assert status == 0 and f"Ciphersuite: {cipher}" in text, text


@pytest.mark.parametrize("options", [
    "-tls1 -cipher ALL:@SECLEVEL=0", "-tls1_1 -cipher ALL:@SECLEVEL=0",
    "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA384", "-tls1_2 -cipher ECDHE-ECDSA-AES128-CCM",
    "-tls1_2 -cipher AES128-GCM-SHA256", "-tls1_2 -cipher AES256-SHA", "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256",
    "-tls1_2 -cipher PSK-AES128-GCM-SHA256 -psk 00", "-tls1_2 -cipher ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0",
    "-tls1_2 -cipher AECDH-AES128-SHA:@SECLEVEL=0", "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", "-tls1_3 -groups ffdhe2048",
    "-tls1_2 -sigalgs ECDSA+SHA1 -cipher ALL:@SECLEVEL=0",
], ids=str)
def test_weak_ones_are_refused(server, ca, options):
    status, text = s_client(server.tls_address, "-brief", *options.split())
    assert status != 0 and "alert" in text and "Ciphersuite" not in text, text
    assert serves(server, ca)


def test_with_an_rsa_key_too_only_ephemeral_keys(ca, tmp_path):
    cert, key = Certificate("server", ca, key="rsa2048").write(tmp_path, "rsa")
    with Server(tls_listen="127.0.0.1:0", tls_cert=cert, tls_key=key) as server:
        for cipher, spoken in (("ECDHE-RSA-AES256-GCM-SHA384", True), ("ECDHE-RSA-CHACHA20-POLY1305", True), ("AES256-GCM-SHA384", False),
                               ("DHE-RSA-AES256-GCM-SHA384", False), ("ECDHE-RSA-AES256-SHA384", False)):
            status, text = s_client(server.tls_address, "-brief", "-tls1_2", "-cipher", cipher)
            assert (status == 0) == spoken, text


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_nothing_is_resumed_nor_compressed(server, ca, version):
    client = context(ca, version, ["http/1.1"])
    with Connection(server.tls_address, tls=client) as first:
        assert first.request("GET", "/v1/-/server").status == 200
        assert first.socket.compression() is None and first.socket.version() == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
        assert not first.socket.session.has_ticket
        session = first.socket.session
    host, port = server.tls_address.split(":")
    with client.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host, session=session) as again:
        again.sendall(b"GET /v1/-/server HTTP/1.1\r\nHost: h\r\n\r\n")
        assert again.recv(100).startswith(b"HTTP/1.1 200") and not again.session_reused


def test_renegotiation_ends_the_connection(server, ca):
    _, text = s_client(server.tls_address, "-tls1_2", "-no_ticket", stdin=b"R\n")
    assert "RENEGOTIATING" in text and "no renegotiation" in text, text
    assert serves(server, ca)


# ---- which protocol

@pytest.mark.parametrize("offered, http", [(["h2"], 2), (["http/1.1"], 1), (["http/1.1", "h2"], 2), (["x", "http/1.1"], 1)], ids=str)
def test_alpn_chooses(server, ca, offered, http):
    with (Connection if http == 1 else Connection2)(server.tls_address, tls=context(ca, alpn=offered)) as connection:
        assert connection.socket.selected_alpn_protocol() == ALPN[http]
        assert connection.request("GET", "/v1/-/server").status == 200


@pytest.mark.parametrize("http", [1, 2])
def test_without_alpn_the_first_bytes_say(server, ca, http):
    with (Connection if http == 1 else Connection2)(server.tls_address, tls=context(ca)) as connection:
        assert connection.socket.selected_alpn_protocol() is None
        assert connection.request("GET", "/v1/-/server").status == 200


def test_unknown_protocols_are_refused(server, ca):
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(server, ca, alpn=["spdy/3", "http/1.0"])
    assert serves(server, ca)


def test_what_was_chosen_holds(server, ca):
    with connect(server, ca, alpn=["h2"]) as connection:
        connection.send(b"GET /v1/-/server HTTP/1.1\r\nHost: h\r\n\r\n")
        with pytest.raises(ssl.SSLError, match="UNEXPECTED_EOF"):  # broken off
            while not connection.at_end():
                assert b"HTTP/1.1" not in connection.buffer
                connection.buffer = b""
    with connect(server, ca, alpn=["http/1.1"]) as connection:
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert connection.read().status == 400 and connection.at_end()


# ---- contents of all sizes, both ways

SIZES = [0, 1, 1023, RECORD - 1, RECORD, RECORD + 1, 4 * RECORD + 300, 64 * KIB, 64 * KIB + 1, MIB - 1, 3 * MIB + 12345, 9 * MIB + 1]


@pytest.fixture(scope="module")
def contents():
    return [os.urandom(size) for size in SIZES]


def test_what_goes_in_comes_out(client, bucket, contents):
    for index, content in enumerate(contents):
        client.put(bucket, f"k{index}", content)
    client.stream("PUT", path_of(bucket, "streamed"), [contents[-1][:100_000], contents[-1][100_000:]])
    for index, content in enumerate(contents):
        assert client.get(bucket, f"k{index}").body == content
    assert client.get(bucket, "streamed").body == contents[-1]
    for first, last in ((0, 0), (RECORD - 1, RECORD), (MIB - 1, MIB), (5, 9 * MIB - 5), (9 * MIB, 9 * MIB)):
        answer = client.get(bucket, f"k{len(SIZES) - 1}", 206, [("Range", f"bytes={first}-{last}")])
        assert answer.body == contents[-1][first:last + 1]
    assert client.get(bucket, f"k{len(SIZES) - 1}", method="HEAD").body == b""
    assert len(client.scan(bucket, limit=5)[0]) == len(SIZES) + 1


def test_multipart(client, bucket, contents):
    path = path_of(bucket, "big")
    upload = client.expect(201, "POST", path + "?multipart=start").json["upload"]
    parts = []
    for number, body in enumerate((contents[-2], contents[-1], b"end"), 1):
        parts.append({"part": number, "blake3": client.expect(200, "PUT", f"{path}?upload={upload}&part={number}", body=body).json["blake3"]})
    client.expect(201, "POST", f"{path}?upload={upload}", body=json.dumps({"parts": parts}).encode())
    assert client.get(bucket, "big").body == contents[-2] + contents[-1] + b"end"


def test_a_stream_of_changes(client, bucket):
    with Stream(client, bucket, LINES) as stream:
        for number in range(3):
            with Client(client.server) as writer:
                writer.put(bucket, f"k{number}", b"x")
            assert json.loads(stream._block())["key"] == f"k{number}"


def test_many_streams_of_one_connection(server, ca, bucket, contents):
    with Client(server, http=2, tls=context(ca, alpn=["h2"])) as client:
        client.put(bucket, "k", contents[-2])
        connection = client.connect()
        streams = [connection.start("GET", path_of(bucket, "k"), client.headers("GET", path_of(bucket, "k"))) for _ in range(40)]
        for stream in streams:
            assert connection.finish(stream).body == contents[-2]


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("piece", [None, 1, 333, RECORD], ids=["at once", "bytes", "333", "records"])
def test_pipelined_requests_however_they_are_cut_into_records(server, ca, bucket, version, piece):
    with Client(server, tls=context(ca, version)) as client:
        client.put(bucket, "k", b"v" * 3000)
        target, data = path_of(bucket, "k"), b""
        for _ in range(12):
            head = [f"GET {target} HTTP/1.1", f"Host: {client.address}"]
            head += [f"{n}: {v}" for n, v in client.headers("GET", target)]
            data += "\r\n".join(head).encode() + b"\r\n\r\n"
        connection = client.connect()
        for at in range(0, len(data), piece or len(data)):
            connection.send(data[at:at + (piece or len(data))])
        for _ in range(12):
            assert connection.read().body == b"v" * 3000


@pytest.mark.parametrize("http", [1, 2])
@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
def test_half_written_records(server, ca, bucket, http, version):
    """Each byte of handshake, requests and answers arrives alone."""
    with Relay(server.tls_address, piece=1) as relay, \
            Client(server, http=http, tls=context(ca, version, [ALPN[http]])) as client:
        client.through = relay.address
        client.put(bucket, "k", b"v" * 5000)
        assert client.get(bucket, "k").body == b"v" * 5000


def test_a_reader_that_stops_gets_the_rest_later(server, ca, bucket, contents):
    """The server seals no more than it can send, and goes on from where it stopped."""
    with Relay(server.tls_address) as relay, Client(server, tls=context(ca)) as client:
        client.through = relay.address
        client.put(bucket, "k", contents[-1])
        for hold in (100, RECORD + 7, 500_000):
            relay.hold_down(hold)
            timer = threading.Thread(target=lambda: (relay.wait_held(), relay.resume()))
            timer.start()
            assert client.get(bucket, "k").body == contents[-1]
            timer.join(30)


def test_a_key_update_is_answered(server):
    with subprocess.Popen(["openssl", "s_client", "-connect", server.tls_address, "-tls1_3", "-crlf"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        def until(word):
            for line in client.stdout:
                if word in line:
                    return
            raise AssertionError(f"no {word}")

        def say(text):
            client.stdin.write(text)
            client.stdin.flush()

        until(b"Verify return code")
        for _ in range(3):
            say(b"K\n")  # its own keys, and a wish for ours
            until(b"KEYUPDATE")
            say(b"GET /v1/-/server HTTP/1.1\nHost: h\n\n")
            until(b"HTTP/1.1 200 OK")
        client.stdin.close()
        client.stdout.read()


# ---- what is not TLS, or ends before its end

GARBAGE = {
    "http": b"GET /v1/-/server HTTP/1.1\r\nHost: h\r\n\r\n", "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "zeros": bytes(5000),
    "random": os.urandom(5000), "huge record": b"\x16\x03\x01\xff\xff" + bytes(70000), "empty records": b"\x16\x03\x03\x00\x00" * 4000,
    "endless hello": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(RECORD - 4) + (b"\x16\x03\x01\x40\x00" + bytes(RECORD)) * 8,
    "data first": b"\x17\x03\x03\x00\x05hello", "alert": b"\x15\x03\x03\x00\x02\x02\x28", "alerts": b"\x15\x03\x03\x00\x02\x01\x5a" * 3000,
    "sslv2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(40),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_instead_of_a_handshake(server, ca, garbage):
    failed = server.metrics()["tls_handshakes_failed_total"]
    with Connection(server.tls_address) as connection:
        try:
            connection.send(garbage)
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        while not connection.at_end():
            assert b"HTTP" not in connection.buffer
            connection.buffer = b""
    assert serves(server, ca)
    wait_until(lambda: server.metrics()["tls_handshakes_failed_total"] > failed, "counted")


def test_tls_to_the_port_in_clear(server, ca):
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        Connection(server.address, tls=context(ca))
    with Connection(server.address) as connection:
        assert connection.request("GET", "/v1/-/server").status == 200


def test_a_slow_handshake_is_ended(ca, keys):
    with Server(tls_listen="127.0.0.1:0", tls_cert=keys[0], tls_key=keys[1], header_timeout_seconds=1, idle_timeout_seconds=1) as server:
        with Connection(server.tls_address) as silent, Connection(server.tls_address) as slow:
            slow.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            assert silent.at_end() and slow.at_end()
        with connect(server, ca) as half:  # the handshake's time is not the request's
            half.send(b"GET /v1/-/server HTTP/1.1\r\n")
            assert half.read().status == 408
        with connect(server, ca) as idle, Connection2(server.tls_address, tls=context(ca, alpn=["h2"])) as idle2:
            assert idle.at_end()  # and it says bye
            while idle2.pump():
                pass


class Half:
    """A TLS client whose records the test sends itself."""

    def __init__(self, server, ca):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context(ca, alpn=["http/1.1"]).wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")
        host, port = server.tls_address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self._until(self.tls.do_handshake)
        self.flush()

    def _until(self, step, *args):
        while True:
            try:
                return step(*args)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.socket.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def flush(self):
        if data := self.outgoing.read():
            self.socket.sendall(data)

    def write(self, data):
        self.tls.write(data)
        self.flush()

    def read(self):
        return self._until(self.tls.read, 65536)

    def say_bye(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:  # it would wait for the other side's
            pass
        self.flush()


def test_a_body_that_is_cut_off_is_no_body(server, ca, bucket):
    """Without close_notify nobody knows who ended the connection: it is broken. With it, what was asked for is
    answered; in neither case is anything stored."""
    with Client(server) as client:
        for framing, rest in (("Content-Length: 100000", b"x" * 50000), ("Transfer-Encoding: chunked", b"8\r\nsomeCHNK\r\n")):
            for polite in (False, True):
                signed = signed_headers(client.credential, "PUT", path_of(bucket, "cut"), "h", (), b"x" * 100000)
                half = Half(server, ca)
                half.write("\r\n".join([f"PUT {path_of(bucket, 'cut')} HTTP/1.1", "Host: h", framing,
                                        *(f"{n}: {v}" for n, v in signed)]).encode() + b"\r\n\r\n" + rest)
                if polite:
                    half.say_bye()
                half.socket.shutdown(socket.SHUT_WR)
                if polite:
                    assert b"incomplete_body" in half.read()
                else:
                    with pytest.raises(ssl.SSLError, match="UNEXPECTED_EOF"):
                        half.read()
                half.socket.close()
        client.get(bucket, "cut", 404)


def test_the_server_says_bye(server, ca):
    with connect(server, ca) as connection:  # an end without close_notify would raise
        assert connection.request("GET", "/v1/-/server", [("Connection", "close")]).status == 200
        assert connection.at_end()
    with connect(server, ca) as connection:
        connection.send(b"broken\r\n\r\n")
        assert connection.read().status == 400 and connection.at_end()


def test_an_answer_that_ends_with_the_connection_ends_with_bye(server, ca, bucket):
    """HTTP/1.0 knows no other end."""
    with Client(server, tls=context(ca)) as client:
        client.put(bucket, "k", b"x")
        target = f"/v1/{bucket}/changes"
        lines = [f"GET {target} HTTP/1.0", f"Host: {client.address}", *(f"{n}: {v}" for n, v in client.headers("GET", target))]
        connection = client.connect()
        connection.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert connection.read().status == 200 and connection.at_end()


def test_who_does_not_read_is_ended(ca, keys, contents):
    with Server(tls_listen="127.0.0.1:0", tls_cert=keys[0], tls_key=keys[1], body_stall_timeout_seconds=1) as server:
        with Client(server, tls=context(ca)) as client:
            client.make_bucket("stall")
            client.put("stall", "k", contents[-1])
            target = path_of("stall", "k")
            client.connect().socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect().send_head("GET", target, client.headers("GET", target))
            wait_until(lambda: server.metrics()["connections"] == 0, "the connection is closed")


def test_hang_ups_of_every_kind_leave_nothing(server, ca, bucket, contents):
    with Client(server, tls=context(ca)) as client:
        client.put(bucket, "k", contents[-1])
        target = path_of(bucket, "k")
        for read in (0, 1, 100_000, 2_000_000):
            with Client(server, tls=context(ca)) as other:
                connection = other.connect()
                connection.send_head("GET", target, other.headers("GET", target))
                if read:
                    connection._exactly(read)
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert client.get(bucket, "k").body == contents[-1]
    wait_until(lambda: server.metrics()["connections"] == 0 == server.metrics()["requests_open"], "all are gone")


def test_many_connections(server, ca):
    """Each keeps little while it is idle."""
    made = context(ca, alpn=["http/1.1"])
    before = server.anonymous_bytes()
    connections = [Connection(server.tls_address, tls=made) for _ in range(300)]
    for connection in connections:
        assert connection.request("GET", "/v1/-/server").status == 200
    grown = server.anonymous_bytes() - before
    for connection in reversed(connections):
        assert connection.request("GET", "/v1/-/server").status == 200
    for connection in connections:
        connection.close()
    assert grown < 300 * 64 * KIB * (4 if os.environ["WFL_BUILD_ROOT"].endswith("san") else 1), grown
    wait_until(lambda: server.metrics()["connections"] == 0, "all are gone")


# ---- the certificate

def serial_of(connection):
    return int(connection.socket.getpeercert()["serialNumber"], 16)


def test_a_new_certificate_by_sighup(ca, tmp_path):
    first, second = Certificate("one", ca), Certificate("two", ca)
    paths = first.write(tmp_path, "server")

    def reload(event, count):
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: sum(e.get("event") == event for e in server.entries()) == count, server.log)
        return [e for e in server.entries() if e.get("event") == event][-1]

    with Server(tls_listen="127.0.0.1:0", tls_cert=paths[0], tls_key=paths[1]) as server:
        shown = next(e for e in server.entries() if e.get("event") == "tls_certificate")
        assert (int(shown["serial"], 16), shown["pin"], shown["subject"]) == (first.serial, first.pin, "CN=one")
        with connect(server, ca) as before, connect(server, ca, version=V12) as before12:
            second.write(tmp_path, "server")
            assert int(reload("tls_certificate", 2)["serial"], 16) == second.serial
            with connect(server, ca) as after:
                assert serial_of(after) == second.serial
            for old in (before, before12):
                assert serial_of(old) == first.serial
                assert old.request("GET", "/v1/-/server").status == 200
        expires = calendar.timegm(second.certificate.not_valid_after.timetuple())
        assert server.metrics()["tls_certificate_expires_seconds"] == expires
        # What is wrong is said, and changes nothing.
        for count, (break_it, word) in enumerate([
            (lambda: open(paths[0], "w").write("no certificate"), paths[0]),
            (lambda: second.write(tmp_path, "server") and os.chmod(paths[1], 0o644), "chmod 600"),
            (lambda: second.write(tmp_path, "server") and os.unlink(paths[1]), paths[1]),
            (lambda: (first.write(tmp_path, "server"), open(paths[0], "wb").write(second.pem())), "not the certificate's"),
        ], 1):
            break_it()
            entry = reload("tls_reload_failed", count)
            assert word in entry["message"] and entry["level"] == "error", entry
            with connect(server, ca) as after:
                assert serial_of(after) == second.serial
        Certificate("late", ca, days=(-9, -1)).write(tmp_path, "server")
        entry = reload("tls_certificate", 3)
        assert entry["level"] == "warn" and "expired" in entry["message"]


@pytest.fixture
def starter(tmp_path):
    from test_start import Starter
    return Starter(tmp_path)


def start_cases(ca, folder):
    good = Certificate("server", ca)
    cert, key = good.write(folder, "good")
    other = Certificate("other", ca).write(folder, "other")
    middle = Certificate("middle", ca, ca=True)
    leaf = Certificate("leaf", middle)
    unsorted = leaf.write(folder, "unsorted")
    with open(unsorted[0], "wb") as out:
        out.write(middle.pem() + leaf.pem())
    weak = Certificate("weak", ca, key="rsa1024").write(folder, "weak")
    with open(folder / "locked.key", "wb", opener=lambda p, f: os.open(p, f, 0o600)) as out:
        out.write(good.key_pem(b"secret"))
    loose = good.write(folder, "loose")
    os.chmod(loose[1], 0o640)
    listen = ["--tls-listen", "127.0.0.1:0"]
    return {
        "no certificate named": (2, [*listen, "--tls-key", key], "--tls-cert"),
        "no key named": (2, [*listen, "--tls-cert", cert], "--tls-key"),
        "nowhere to serve": (2, ["--tls-cert", cert, "--tls-key", key], "--tls-listen"),
        "nowhere at all": (2, ["--listen", "none"], "--tls-listen"),
        "no such certificate": (1, [*listen, "--tls-cert", "gone.pem", "--tls-key", key], "gone.pem"),
        "no such key": (1, [*listen, "--tls-cert", cert, "--tls-key", "gone.key"], "gone.key"),
        "two that do not fit": (1, [*listen, "--tls-cert", cert, "--tls-key", other[1]], "the key is not the certificate's"),
        "swapped": (1, [*listen, "--tls-cert", key, "--tls-key", cert], "no certificate in PEM"),
        "no key in it": (1, [*listen, "--tls-cert", cert, "--tls-key", str(folder / "root.json")], "root.json"),
        "others can read it": (1, [*listen, "--tls-cert", loose[0], "--tls-key", loose[1]], "chmod 600"),
        "a key with a password": (1, [*listen, "--tls-cert", cert, "--tls-key", "locked.key"], "encrypted"),
        "the wrong one first": (1, [*listen, "--tls-cert", unsorted[0], "--tls-key", unsorted[1]], "must come first"),
        "a weak one": (1, [*listen, "--tls-cert", weak[0], "--tls-key", weak[1]], "too weak"),
        "no address": (1, ["--tls-listen", "here", "--tls-cert", cert, "--tls-key", key], "--tls-listen"),
    }


def test_what_is_wrong_stops_the_start_with_one_line(starter, ca, tmp_path):
    for name, (status, options, word) in start_cases(ca, tmp_path).items():
        usual = [*starter.usual]
        if "none" in options:
            at = usual.index("--listen")
            del usual[at:at + 2]
        line = starter.run(*usual, *options, status=status)
        assert word in line, (name, line)


def test_tls_alone(ca, keys, tmp_path):
    class TlsOnly(Server):
        def command(self):
            usual = super().command()
            return ["none" if before == "--listen" else word for before, word in
                    zip(["", *usual], usual)] + [
                        "--tls-listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-cert", keys[0], "--tls-key", keys[1]]

    with TlsOnly(str(tmp_path)) as server:
        assert server.ready["listen"] == [] and len(server.ready["tls_listen"]) == 2
        for server.tls_address in server.ready["tls_listen"]:
            assert serves(server, ca)
