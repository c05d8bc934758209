# SPDX-License-Identifier: Apache-2.0
"""libwfldb's own session: from which request on there is one, what takes its place when it is lost, and whom it trusts."""
import contextlib
import re
import subprocess

import pytest

from wfltest import Client, Connection, Grant, Key, Server, binary, issue
from wfltest.relay import Relay
from wfltest.session import open_session


class Driver:
    """A handle of the library that does what it is told, through a relay that hears all requests."""

    def __init__(self, server, folder, after=0, key=None, packet=None, pin=None):
        self.relay = Relay(server.address, record=True)
        self.key = key or Key()
        text = self.key.file(packet or issue(server.root, self.key, [Grant()]))
        if pin is not None:
            text = text[:-1] + ',"server":{"kty":"OKP","crv":"Ed25519","x":"%s"}}' % pin.jwk["x"]
        (folder / "credential.json").write_text(text)
        self.start = [binary("tests/client/session_driver"), f"http://{self.relay.address}", folder / "credential.json", str(after)]

    def __enter__(self):
        self.relay.__enter__()
        self.process = subprocess.Popen(self.start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        with contextlib.closing(self.process.stdout):
            self.process.stdin.close()
            status = self.process.wait(60)
        self.relay.__exit__()
        assert status == 0

    def do(self, line, result="ok"):
        """What came before the result."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        text, _, said = self.process.stdout.readline().rstrip("\n").rpartition(" ")
        assert said == result, (line, text, said)
        return text

    def heard(self):
        """(method, path, scheme, nonce) of each request since the last time."""
        text, self.relay.sent = b"".join(self.relay.sent).decode("latin-1"), []
        heads = re.findall(r"([A-Z]+) (/v1/\S*) HTTP/1.1\r\n(.*?)\r\n\r\n", text, re.S)
        return [(method, path, re.search(r"Authorization: (\w+) ", head)[1], re.search(r"X-WflDB-Nonce: (\S+)", head)[1])
                for method, path, head in heads]


@pytest.fixture(scope="module")
def server():
    with Server() as running, Client(running) as client:
        client.make_bucket("photos")
        client.put("photos", "k", b"v")
        yield running


def schemes(heard):
    return [scheme for _, _, scheme, _ in heard]


def test_few_requests_need_no_session(server, tmp_path):
    with Driver(server, tmp_path) as driver:
        for _ in range(8):
            assert driver.do("get k") == "v"
        assert schemes(driver.heard()) == ["Bearer"] * 8


def test_many_requests_have_one(server, tmp_path):
    with Driver(server, tmp_path) as driver:
        for _ in range(8):
            driver.do("get k")
        driver.heard()
        for i in range(6):
            driver.do(f"put new-{i} v")
            driver.do("get k")
            driver.do("head k")
            driver.do(f"rm new-{i}")
        heard = driver.heard()
        assert heard[0][:3] == ("POST", "/v1/-/session", "Bearer")
        assert schemes(heard[1:]) == ["Session"] * 24
        assert [nonce for _, _, _, nonce in heard[1:]] == [str(i) for i in range(1, 25)]


def test_threads_share_it(server, tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 4096 * 20)
    with Driver(server, tmp_path, after=1) as driver:
        driver.do("get k")
        driver.do(f"file large {tmp_path / 'file'}")
        heard = driver.heard()
        assert [path for _, path, _, _ in heard].count("/v1/-/session") == 1
        in_session = [int(nonce) for _, _, scheme, nonce in heard if scheme == "Session"]
        assert len(in_session) >= 20 and sorted(in_session) == list(range(1, len(in_session) + 1))


def test_a_lost_session_is_not_noticed(tmp_path):
    with Server() as server, Client(server) as client:
        client.make_bucket("photos")
        client.put("photos", "k", b"v")
        with Driver(server, tmp_path, after=1) as driver:
            for line in ("get k", "put a 1", "get a", "head a", "rm a"):
                driver.do("get k")
                driver.do("get k")
                assert schemes(driver.heard())[-1] == "Session"
                assert server.stop() == 0
                server.start()
                driver.relay.target = server.address
                if line in ("get a", "head a", "rm a"):
                    client.close()
                    client.put("photos", "a", b"1")
                driver.do(line)
                first, second = driver.heard()[:2]
                assert (first[2], second[2]) == ("Session", "Bearer")
            assert driver.do("get k") == "v"


def test_a_write_in_a_lost_session_keeps_its_name(tmp_path):
    """So that it is done once, whatever became of the first."""
    with Server() as server, Client(server) as client:
        client.make_bucket("photos")
        with Driver(server, tmp_path, after=1) as driver:
            driver.do("put a 1")
            driver.do("put a 2")
            opened = driver.heard()[-2:]
            assert opened[0][1] == "/v1/-/session" and opened[1][2:] == ("Session", "1")
            assert server.stop() == 0
            server.start()
            driver.relay.target = server.address
            driver.do("put a 3")
            first, second = driver.heard()
            assert first[2:] == ("Session", "2") and second[2] == "Bearer"
            assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}\.2", second[3])


def test_where_no_session_can_be_had_it_goes_on_without(tmp_path):
    with Server(sessions_per_client_max=1) as server, Client(server) as client:
        client.make_bucket("photos")
        client.put("photos", "k", b"v")
        with open_session(client):
            with Driver(server, tmp_path, after=1, key=client.key, packet=client.packet) as driver:
                for _ in range(40):
                    driver.do("get k")
                assert schemes(driver.heard()) == ["Bearer"] * 41  # one of them asked, and did not ask again
    assert not any('"status":5' in line for line in server.log)


def identity_of(server):
    with Connection(server.address) as connection:
        jwk = connection.request("GET", "/v1/-/server").json["identity"]
    return type("Pinned", (), {"jwk": jwk})


def test_the_pinned_server_is_the_one(server, tmp_path):
    with Driver(server, tmp_path, after=1, pin=identity_of(server)) as driver:
        for _ in range(5):
            driver.do("get k")
        assert schemes(driver.heard())[2:] == ["Session"] * 4


def test_another_server_than_the_pinned_one_is_refused(server, tmp_path):
    with Driver(server, tmp_path, after=1, pin=Key()) as driver:
        driver.do("get k")
        driver.do("get k", "server")
        driver.do("put x y", "server")
        assert "Session" not in schemes(driver.heard())
