# SPDX-License-Identifier: Apache-2.0
"""The server's clock is set back and forth while it runs: nothing that was used is good again, and versions go on in order."""
import mmap
import os
import struct
import time

import pytest

from wfltest import Client, Grant, Server
from wfltest.server import binary
from wfltest.session import open_session

BUCKET = "clock"


class MovableServer(Server):
    """Its clock is the system's plus `moved` seconds (tests/lib/clock)."""

    def __init__(self, **settings):
        super().__init__(**settings)
        path = os.path.join(self.folder, "clock")
        with open(path, "wb") as out:
            out.write(bytes(8))
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 8)
        self.environment = {"LD_PRELOAD": binary("tests/lib/clock/libmovable_clock.so"), "MOVABLE_CLOCK": path,
                            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def move(self, seconds):
        self.map[:] = struct.pack("q", int(seconds * 1e9))
        self.moved = seconds

    moved = 0

    def now(self):
        return time.time() + self.moved


@pytest.fixture
def movable():
    if os.environ["WFL_BUILD_ROOT"].endswith("-tsan"):
        pytest.skip("ThreadSanitizer has to be the first that is loaded")
    with MovableServer() as movable:
        with Client(movable) as client:
            client.make_bucket(BUCKET)
        yield movable


def client_of(movable):
    """Its packet is in force whatever the clock says here."""
    return Client(movable, [Grant()], nbf=int(time.time()) - 40 * 86400, exp=int(time.time()) + 40 * 86400)


def ask(client, movable, method="GET", key="k", body=None):
    return client.request(method, f"/v1/{BUCKET}/{key}", body=body, at=movable.now())


def test_the_clock_of_the_server_moves(movable):
    with client_of(movable) as client:
        assert ask(client, movable, "PUT", body=b"x").status == 201
        movable.move(7200)
        assert client.request("GET", f"/v1/{BUCKET}/k").code == "timestamp_skew"
        assert ask(client, movable).status == 200
        movable.move(-7200)  # before its start: what was used then, nobody remembers
        assert ask(client, movable).code == "timestamp_skew"


@pytest.mark.parametrize("back", [1, 30, 59, 61, 3600, 86400])
def test_versions_go_on_when_the_clock_steps_back(movable, back):
    with client_of(movable) as client, open_session(client, ttl=86400) as session:
        versions = []
        for moved in (0, 0, -back, -back, 0):
            movable.move(moved)
            versions.append(session.put(BUCKET, "k", os.urandom(8), at=movable.now()).header("x-wfldb-version"))
        assert all(versions) and versions == sorted(versions) and len(set(versions)) == 5
        changes = session.request("GET", f"/v1/{BUCKET}/changes", at=movable.now()).json
        assert [change["version"] for change in changes["changes"]] == versions


@pytest.mark.parametrize("forward, others", [(0, 10), (30, 10), (90, 1200), (3600, 10)])
@pytest.mark.parametrize("method, body", [("GET", None), ("PUT", b"again")])
def test_a_request_is_not_good_again(movable, method, body, forward, others):
    """Sent once; the clock runs ahead, others fill the memory of nonces anew; it is set back, and the same bytes come again."""
    with client_of(movable) as client, client_of(movable) as other:
        assert ask(client, movable, "PUT", body=b"first").status == 201
        headers = client.headers(method, f"/v1/{BUCKET}/k", body=body, at=movable.now())

        def send():
            return client._answer(lambda connection: connection.request(method, f"/v1/{BUCKET}/k", headers, body))
        first = send()
        assert first.status == 200
        movable.move(forward)
        for number in range(others):
            assert ask(other if number % 9 == 0 else client, movable).status == 200
        movable.move(0)
        again = send()
        if method == "GET":
            assert again.code in ("replayed", "timestamp_skew")
        else:
            assert again.code == "timestamp_skew" or \
                (again.header("x-wfldb-replayed"), again.header("x-wfldb-version")) == ("true", first.header("x-wfldb-version"))
        assert ask(client, movable).code in ("", "timestamp_skew")


def test_who_was_right_all_the_time_is_let_in_when_the_server_is_right_again(movable):
    with client_of(movable) as client:
        assert ask(client, movable, "PUT", body=b"x").status == 201
        movable.move(86400)
        assert client.request("GET", f"/v1/{BUCKET}/k").code == "timestamp_skew"
        movable.move(0)
        assert client.request("GET", f"/v1/{BUCKET}/k").status == 200


@pytest.mark.parametrize("moved", [-3600, -90, 90])
def test_a_session_ends_by_its_own_time_and_its_counters_go_on(movable, moved):
    """A counter is good once, whatever the time: the clock decides over dates and over the session's end."""
    with client_of(movable) as client, open_session(client, ttl=3600) as session:
        assert session.request("PUT", f"/v1/{BUCKET}/s", body=b"x", at=movable.now()).status == 201
        movable.move(moved)
        assert session.request("GET", f"/v1/{BUCKET}/s", at=movable.now()).status == 200
        spent = session.headers("GET", f"/v1/{BUCKET}/s", at=movable.now())
        for status in (200, 401):
            again = session._answer(lambda connection: connection.request("GET", f"/v1/{BUCKET}/s", spent))
            assert again.status == status
        assert again.code == "replayed"
        movable.move(3700)
        assert session.request("GET", f"/v1/{BUCKET}/s", at=movable.now()).status == 401


def test_a_packet_is_in_force_by_the_servers_clock(movable):
    with Client(movable, [Grant()]) as client:
        assert ask(client, movable, key="none").status == 404
        movable.move(-86400 * 30)
        assert ask(client, movable, key="none").code == "packet_not_yet_valid"
        movable.move(86400 * 365 * 20)
        assert ask(client, movable, key="none").code == "packet_expired"
