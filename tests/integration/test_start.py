# SPDX-License-Identifier: Apache-2.0
"""wfldb-server from its first line to its last: settings, the ready line, locks, logs, health, the stop (protocol, Programs)."""
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from wfltest import Client, Connection, Key, Server, binary
from wfltest.client import path_of
from wfltest.keys import b64u
from wfltest.programs import Program


class Starter(Program):
    """Starts that are meant to fail, and settings in every layer."""

    def __init__(self, folder):
        super().__init__("wfldb-server", folder)
        self.root = Key()
        (folder / "root.json").write_text(json.dumps(self.root.jwk))
        self.usual = ["--data", "data", "--root", "root.json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]


@pytest.fixture
def starter(tmp_path):
    return Starter(tmp_path)


class LayeredServer(Server):
    """A server whose settings come from flags, a file and the environment, as the test says."""

    def __init__(self, folder, flags=(), environment=()):
        super().__init__(str(folder))
        self.flags, self.environment = list(flags), dict(environment)

    def command(self):
        return [binary("wfldb-server")] + self.flags

    def start(self):
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            return super().start()
        finally:
            os.environ.clear()
            os.environ.update(before)


def wait_until_nobody_listens(address):
    """Each reactor ends its own listening when it hears of the stop."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(address.rsplit(":", 1), timeout=10).close()
        except OSError:
            return
    raise AssertionError(f"{address} still takes connections")


def ops(server, path, method="GET"):
    with Connection(server.ops) as connection:
        return connection.request(method, path)


# ---- settings

def test_help_and_version(starter):
    text = starter.run("--help")
    for word in ("--data", "--root", "--listen", "--ops-listen", "--config", "--set", "WFLDB_<NAME>", "clock_skew_seconds", "connections_max"):
        assert word in text
    assert starter.run("--version").startswith("wfldb-server ")
    assert os.listdir(starter.folder) == ["root.json"]


@pytest.mark.parametrize("words, says", [
    (["--root", "root.json"], "--data DIR"), (["--data", "data"], "--root FILE"), (["--fly"], "--fly"), (["--data"], "--data"), (["word"], "'word' is not expected"),
    (["--set", "fly=1"], "no setting is named 'fly'"), (["--set", "reactors"], "NAME=VALUE"), (["--set", "reactors=-1"], "reactors must be"),
    (["--set", "reactors=1e3"], "reactors must be"), (["--set", "clock_skew_seconds=0"], "from 1 to 3600, not '0'"),
    (["--set", "clock_skew_seconds="], "clock_skew_seconds"), (["--set", "idle_timeout_seconds=99999999999999999999999"], "idle_timeout_seconds"),
    (["--set", "root="], "root: empty"), (["--set", "listen=127.0.0.1:0,"], "listen: empty"), (["--set", "data="], "data: empty"),
    (["--config", "none.conf"], "none.conf"), (["--config", "."], "config file"),
])
def test_used_wrongly_is_2_and_says_which_setting(starter, words, says):
    assert says in starter.run(*words, status=2)


@pytest.mark.parametrize("text, says", [
    ("reactors = 1\nfly = 2\n", "line 2: no setting is named 'fly'"), ("# comment\n\nreactors\n", "line 3: 'reactors' is not NAME=VALUE"),
    ("[section]", "line 1"), ("reactors = many", "line 1: setting reactors"), ("x" * 70000, "over 65536 bytes"),
])
def test_a_bad_line_of_the_file_is_named(starter, text, says):
    (starter.folder / "server.conf").write_text(text)
    said = starter.run(*starter.usual, "--config", "server.conf", status=2)
    assert "server.conf" in said and says in said


@pytest.mark.parametrize("name, value, says", [("WFLDB_FLY", "1", "'fly'"), ("WFLDB_REACTORS", "x", "reactors"), ("WFLDB_LISTEN", "", "listen")])
def test_a_bad_variable_is_named(starter, name, value, says):
    said = starter.run(*starter.usual, environment={name: value}, status=2)
    assert "environment" in said and says in said


@pytest.mark.parametrize("change, says", [
    (["--root", "none.json"], "none.json"), (["--root", "empty"], "empty"), (["--root", "data"], "data"), (["--listen", "nowhere"], "nowhere"),
    (["--listen", "127.0.0.1:99999"], "99999"), (["--listen", "127.0.0.1"], "127.0.0.1"),
    (["--listen", "192.0.2.1:0"], "192.0.2.1:0"), (["--ops-listen", "x"], "'x'"), (["--ops-listen", ""], "--ops-listen"), (["--data", "no/such/folder"], "no/such/folder"),
    (["--data", "root.json"], "root.json"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_what_cannot_be_done_stops_the_start(starter, change, says):
    (starter.folder / "empty").write_text("")
    words = list(starter.usual)
    at = words.index(change[0])
    words[at:at + 2] = change
    assert says in starter.run(*words, status=1)


def test_flags_hold_before_the_environment_before_the_file(starter, tmp_path):
    """Seen in what the server does: health names connections_max, /v1/-/server and the ready line the rest."""
    for name in ("first", "second"):
        (tmp_path / f"{name}.json").write_text(json.dumps(starter.root.jwk))
    (tmp_path / "server.conf").write_text(f"""
        # everything but one setting comes from here
        data = {tmp_path}/from-file
        root = {tmp_path}/first.json, {tmp_path}/second.json   # two of them
        listen = 127.0.0.1:0, [::1]:0, 127.0.0.1:0
        ops_listen=127.0.0.1:0
        connections_max = 101
    """)
    flags = ["--config", str(tmp_path / "server.conf")]

    def started(flags, **environment):
        server = LayeredServer(tmp_path, flags, environment).start()
        try:
            return json.loads(ops(server, "/health/ready").body)["connections"]["max"], len(server.ready["listen"])
        finally:
            assert server.stop() == 0

    assert started(flags) == (101, 3)
    assert (tmp_path / "from-file" / "identity.json").exists()
    assert started(flags, WFLDB_CONNECTIONS_MAX="102", WFLDB_LISTEN="127.0.0.1:0,127.0.0.1:0") == (102, 2)
    assert started(flags + ["--set", "connections_max=103", "--listen", "127.0.0.1:0"], WFLDB_CONNECTIONS_MAX="102",
                   WFLDB_DATA=str(tmp_path / "from-environment")) == (103, 1)
    assert (tmp_path / "from-environment" / "identity.json").exists()
    # The later flag of two; what the client programs read from the environment is none of the server's.
    assert started(flags + ["--set", "connections_max=104", "--set", "connections_max=105"], WFLDB_CREDENTIAL="x", WFLDB_ENDPOINT="y") == (105, 3)


def test_every_setting_of_the_help_can_be_set(starter, tmp_path):
    rows = re.findall(r"^  (\w+) .*\(default (\d+)\)$", starter.run("--help"), re.M)
    assert len(rows) > 10
    (tmp_path / "all.conf").write_text("".join(f"{name} = {value}\n" for name, value in rows))
    usual = [word.replace("root.json", str(tmp_path / "root.json")).replace("data", str(tmp_path / "data")) if not word.startswith("--") else word
             for word in starter.usual]
    server = LayeredServer(tmp_path, usual + ["--config", str(tmp_path / "all.conf")] + [f"--set={name}={value}" for name, value in rows],
                           {f"WFLDB_{name.upper()}": value for name, value in rows}).start()
    assert server.stop() == 0


# ---- a start and a stop

def test_the_ready_line(server):
    assert server.ready["event"] == "ready" and server.ready["level"] == "info"
    assert server.ready["tls_listen"] == []
    for address in server.ready["listen"] + [server.ready["ops_listen"]]:
        host, port = address.rsplit(":", 1)
        assert host == "127.0.0.1" and int(port) > 0
        socket.create_connection((host, int(port)), timeout=10).close()
    assert len(server.ready["listen"]) == 1
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", server.ready["time"])
    with Connection(server.address) as connection:
        assert connection.request("GET", "/v1/-/server").json["version"] == server.ready["version"]


def test_a_second_server_on_the_same_folder_is_refused(server, starter):
    words = ["--data", os.path.join(server.folder, "data")] + starter.usual[2:]
    said = starter.run(*words, status=1)
    assert "in use" in said and str(server.process.pid) in said
    with Connection(server.address) as connection:  # and the first one is not disturbed
        assert connection.request("GET", "/v1/-/server").status == 200


def test_a_port_that_is_taken_is_named(server, starter):
    for option, address in (("--listen", server.address), ("--ops-listen", server.ops)):
        words = list(starter.usual)
        words[words.index(option) + 1] = address
        said = starter.run(*words, status=1)
        assert address in said and "in use" in said and said.endswith(f"name another address with {option}")


def test_the_folder_is_the_owners_alone(tmp_path):
    mask = os.umask(0)
    try:
        with Server(str(tmp_path)) as server:
            with Client(server) as client:
                client.make_bucket("modes")
                client.put("modes", "k", b"x" * 5000)
    finally:
        os.umask(mask)
    data = tmp_path / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for folder, folders, files in os.walk(data):
        for name in folders + files:
            assert stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode) & 0o077 == 0, name
    assert json.loads((data / "identity.json").read_text())["d"]


def test_the_identity_stays(tmp_path):
    server = Server(str(tmp_path))
    seen = set()
    for _ in range(2):
        server.start()
        with Connection(server.address) as connection:
            seen.add(json.dumps(connection.request("GET", "/v1/-/server").json["identity"], sort_keys=True))
        assert server.stop() == 0
    assert len(seen) == 1
    (tmp_path / "data" / "identity.json").chmod(0o644)
    with pytest.raises(AssertionError, match="identity.json"):
        server.start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_stop_finishes_what_is_under_way(number):
    """An upload whose head has come is taken to its end; the one idle connection does not hold the stop up."""
    body = os.urandom(200_000)
    with Server() as server, Client(server) as client, Connection(server.address) as idle:
        client.make_bucket("stop")
        idle.request("GET", "/v1/-/server")
        target = path_of("stop", "k")
        headers = client.headers("PUT", target, [("Expect", "100-continue")], body)
        connection = client.connect()
        lines = [f"PUT {target} HTTP/1.1", f"Host: {server.address}", f"Content-Length: {len(body)}"] + [f"{n}: {v}" for n, v in headers]
        connection.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert connection.read_head().status == 100  # the server waits for the body
        server.process.send_signal(number)
        assert idle.at_end()                         # the stop has begun
        idle.close()
        wait_until_nobody_listens(server.address)
        connection.send(body)
        answer = connection.read("PUT")
        assert answer.status == 201 and answer.json["size"] == len(body)
        client.close()
        assert server.process.wait(timeout=30) == 0
        server.reader.join(30)
        events = [entry.get("event") for entry in server.entries()]
        assert events.index("stopping") < events.index("stopped")
        folder, server.own_folder = server.folder, False
    again = Server(folder, root=server.root)
    again.own_folder = True
    with again, Client(again, key=client.key, packet=client.packet) as reader:
        assert reader.get("stop", "k").body == body


def test_a_stop_does_not_wait_for_ever():
    with Server(stop_timeout_seconds=1) as server, Client(server) as client:
        client.make_bucket("stop")
        target = path_of("stop", "k")
        headers = client.headers("PUT", target, [("Expect", "100-continue")], b"never sent")
        connection = client.connect()
        lines = [f"PUT {target} HTTP/1.1", f"Host: {server.address}", "Content-Length: 10"] + [f"{n}: {v}" for n, v in headers]
        connection.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert connection.read_head().status == 100
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0


def test_a_stop_under_load_loses_nothing(tmp_path):
    """Every write that was answered before the end is there after the next start."""
    server = Server(str(tmp_path)).start()
    answered, enough = [], threading.Event()
    with Client(server) as client:
        client.make_bucket("load")

        def write(number):
            with Client(server, key=client.key, packet=client.packet) as mine:
                for i in range(100000):
                    try:
                        answer = mine.request("PUT", path_of("load", f"{number}/{i}"), body=b"%d" % i)
                    except (OSError, EOFError):
                        return
                    if answer.status != 201:
                        assert answer.status == 503, answer
                        return
                    answered.append((f"{number}/{i}", b"%d" % i))
                    if len(answered) > 200:
                        enough.set()

        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        client.close()
        assert enough.wait(60)
        assert server.stop() == 0
        for writer in writers:
            writer.join(60)
        server.start()
        listed = {item["key"] for item in client.scan("load", limit=1000)[0]}
        assert {key for key, _ in answered} <= listed
        for key, body in answered[::7]:
            assert client.get("load", key).body == body
    assert server.stop() == 0


def test_sighup_does_not_end_it(server):
    server.process.send_signal(signal.SIGHUP)
    with Connection(server.address) as connection:
        assert connection.request("GET", "/v1/-/server").status == 200
    assert server.process.poll() is None


# ---- health, metrics, logs

def test_health(server, client1):
    assert ops(server, "/health/live").json == {"status": "live"}
    ready = ops(server, "/health/ready").json
    assert ready["status"] == "ready" and ready["engine"]["state"] == "serving"
    assert ops(server, "/health/ready", "HEAD").status == 200
    for path, method, status in (("/", "GET", 404), ("/v1/", "GET", 404), ("/health/ready", "POST", 405), ("/metrics", "DELETE", 405)):
        answer = ops(server, path, method)
        assert answer.status == status and answer.header("content-type") == "application/problem+json"
        assert answer.header("x-request-id")
    for path in ("/metrics", "/health/ready", "/health/live"):  # not on the listener that faces the world
        assert client1.request("GET", path).code == "not_found"


def test_metrics_count(server, client1, bucket):
    def metrics():
        text = ops(server, "/metrics").body.decode()
        values, typed = {}, set()
        for line in text.splitlines():
            if line.startswith("# TYPE"):
                typed.add(line.split()[2])
            elif not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        assert {name.split("{")[0] for name in values} == typed
        return values

    before = metrics()
    for i in range(5):
        client1.put(bucket, f"{i}", b"x")
    client1.get(bucket, "none", 404)
    after = metrics()
    assert after["wfldb_commits_total"] - before["wfldb_commits_total"] == 5
    assert after['wfldb_answers_total{class="2xx"}'] - before['wfldb_answers_total{class="2xx"}'] == 5
    assert after['wfldb_answers_total{class="4xx"}'] - before['wfldb_answers_total{class="4xx"}'] == 1
    assert after["wfldb_syncs_total"] > before["wfldb_syncs_total"]
    assert after["wfldb_connections"] >= 1 and after["wfldb_read_only"] == 0


def test_log_lines_are_json_with_the_answers_request_id_and_without_secrets(tmp_path):
    key = Key()
    with Server(str(tmp_path)) as server, Client(server, key=key) as client:
        client.make_bucket("logs")
        signed = client.headers("PUT", path_of("logs", "k\u0080 \"q\""), (), b"the content")
        good = client.put("logs", 'k "q" ü', b"the content")
        bad = client.get("logs", "none", 404)
        other = Client(server, key=Key(), packet=client.packet)
        wrong = other.get("logs", "k", 401)
        other.close()
        packet = client.packet
        identity = json.loads((tmp_path / "data" / "identity.json").read_text())
        sent = [value for name, value in signed if name.lower() == "x-wfldb-signature"]
        with Connection(server.address) as connection:
            connection.send(b"GET /v1/logs/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-word\r\nX-WflDB-Signature: secret-sign\r\n\r\n")
            refused = connection.read()
    entries = {entry.get("request_id"): entry for entry in server.entries()}
    assert all(entry.get("time") and entry.get("level") and entry.get("event") for entry in server.entries())
    for answer in (good, bad, wrong, refused):
        entry = entries[answer.header("x-request-id")]
        assert entry["status"] == answer.status
    text = "".join(server.log)
    for secret in (packet, packet.rsplit(".", 1)[1], b64u(key.seed), key.seed.hex(), identity["d"], "the content", "secret-word", "secret-sign", *sent):
        assert secret not in text


def test_the_access_log_can_be_left_out(tmp_path):
    with Server(str(tmp_path), access_log=0) as server, Client(server) as client:
        client.make_bucket("quiet")
    assert not any(entry.get("event") == "request" for entry in server.entries())
    assert {"ready", "stopped"} <= {entry.get("event") for entry in server.entries()}
