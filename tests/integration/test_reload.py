# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: roots and limits are read again while the server runs; what is wrong changes nothing."""
import json
import os
import signal

import pytest

from wfltest import Client, Key, Server, wait_until
from wfltest.changes import EVENTS, Stream
from wfltest.session import open_session


class Configured(Server):
    """With a settings file, which can be written anew."""

    def __init__(self, text="", **settings):
        super().__init__(**settings)
        self.file = os.path.join(self.folder, "wfldb.conf")
        self.write(text)

    def write(self, text):
        with open(self.file, "w") as out:
            out.write(text)

    def command(self):
        return [*super().command(), "--config", self.file]

    def trust(self, text):
        with open(os.path.join(self.folder, "root.jwk"), "w") as out:
            out.write(text)

    def reload(self):
        before = self.count("reloaded")
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.count("reloaded") == before + 1, "the end of the reload")

    def count(self, event, text=""):
        return sum(entry.get("event") == event and text in entry.get("message", "") for entry in self.entries())


@pytest.fixture
def configured():
    with Configured() as running:
        yield running


# ---- roots

@pytest.mark.parametrize("http", [1, 2])
def test_a_root_that_is_taken_away_ends_what_hangs_on_it(configured, http):
    old, new = configured.root, Key()
    with Client(configured, http=http) as client, open_session(client) as session, Client(configured, http=http) as waiting:
        client.make_bucket("photos")
        client.put("photos", "k", b"x")  # the packet is known, the connection open
        assert session.get("photos", "k").status == 200
        with Stream(waiting, "photos", EVENTS) as stream:
            configured.trust(json.dumps(new.jwk))
            configured.reload()
            assert client.request("GET", "/v1/photos/k").code == "packet_untrusted"
            assert session.request("GET", "/v1/photos/k").code == "packet_untrusted"
            wait_until(lambda: stream._more() is False, "the end of the stream")
        configured.root = new
        with Client(configured, http=http) as trusted:
            assert trusted.get("photos", "k").body == b"x"
        configured.root = old
        configured.trust(json.dumps(old.jwk))  # and back again
        configured.reload()
        assert client.get("photos", "k").body == b"x"


@pytest.mark.parametrize("text", ["", "no key", '{"kty":"OKP"}', json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "A" * 43})],
                         ids=["empty", "no JSON", "no key", "small order"])
def test_a_root_that_cannot_be_read_changes_nothing(configured, text):
    configured.trust(text)
    with Client(configured) as client:
        client.make_bucket("photos")
        configured.reload()
        assert configured.count("reload_failed", "the roots in use stay") == 1
        assert client.request("GET", "/v1/photos").status == 200


# ---- limits

def test_limits_hold_for_new_connections():
    with Configured("header_count_max = 20\n") as server:
        many = [(f"x-{i}", "1") for i in range(40)]
        with Client(server) as client:
            client.make_bucket("photos")
            assert client.request("GET", "/v1/photos", many).code == "header_too_large"
            client.request("GET", "/v1/photos")  # on a connection of its own that stays
            server.write("header_count_max = 60\n")
            server.reload()
            with Client(server) as later:
                assert later.request("GET", "/v1/photos", many).status == 200
            assert client.request("GET", "/v1/photos", many).code == "header_too_large"
            assert client.request("GET", "/v1/photos", many).status == 200  # that one had been closed
        assert not server.count("reload_needs_restart")


def test_what_needs_a_new_start_is_named():
    with Configured("pool_threads = 2\nidle_timeout_seconds = 30\n") as server:
        server.write("pool_threads = 3\nidle_timeout_seconds = 40\n")
        server.reload()
        assert server.count("reload_needs_restart") == server.count("reload_needs_restart", "pool_threads") == 1


@pytest.mark.parametrize("text", ["header_count_max = x\n", "no_such_setting = 1\n"])
def test_a_file_that_is_wrong_changes_nothing(configured, text):
    configured.write(text)
    configured.reload()
    assert configured.count("reload_failed", "settings in use stay") == 1
    with Client(configured) as client:
        assert client.request("GET", "/v1/").status == 200
