# SPDX-License-Identifier: Apache-2.0
"""`./dev run` and README's first five minutes, command by command, as somebody new would type them."""
import json
import os
import queue
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest

from wfltest import source_root

DEV = os.path.join(source_root(), "dev")


class DevRun:
    """`./dev run` with the programs under test, from a folder with a space in its name."""

    def __init__(self, folder, *flags, data="a data folder", environment=()):
        # A credential or server of who runs the tests is none of ours.
        self.environment = {n: v for n, v in os.environ.items() if not n.startswith("WFLDB_")}
        self.environment.update({"WFLDB_DATA": str(data), **dict(environment)})
        self.folder, self.text, self.lines = folder, [], queue.SimpleQueue()
        self.process = subprocess.Popen([DEV, "run", "--ops-listen", "127.0.0.1:0", *flags], cwd=folder, env=self.environment,
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.text.append(line.decode())
            self.lines.put(self.text[-1])
        self.lines.put(None)

    def wait_for(self, text):
        while True:
            line = self.lines.get(timeout=60)
            assert line is not None, f"it ended without {text!r}: {''.join(self.text)}"
            if text in line:
                return self

    def commands(self):
        self.wait_for("Stop with Ctrl-C")
        return [line.strip() for line in self.text if line.startswith("  ")]

    def end(self, number=signal.SIGTERM, whole_group=False):
        if whole_group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.status()

    def status(self):
        status = self.process.wait(timeout=60)
        self.reader.join(60)
        self.process.stderr.close()
        return status


@pytest.fixture
def start(tmp_path):
    running = []

    def run(*flags, **options):
        running.append(DevRun(tmp_path, *(flags or ("--listen", "127.0.0.1:0")), **options))
        return running[-1]

    yield run
    for one in running:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait(30)


def shell(text, folder, status=0, environment=()):
    done = subprocess.run(["bash", "-e", "-c", text], cwd=folder, capture_output=True, text=True, timeout=120,
                          env={n: v for n, v in {**os.environ, **dict(environment)}.items() if not n.startswith("WFLDB_") or n in dict(environment)})
    assert done.returncode == status, (text, done)
    return done.stdout + done.stderr


def test_the_printed_commands_work_and_a_second_start_finds_the_data(start, tmp_path):
    first = start()
    make, put, list_ = first.commands()
    assert shell(make, "/") == "photos is made\n"
    shell(put, "/")
    assert shell(list_, "/").endswith("  docs/readme.md\n")
    assert first.end() == 0
    assert '"event":"stopped"' in first.text[-1]

    data = tmp_path / "a data folder"  # relative to where it was called from
    assert sorted(os.listdir(data)) == ["developer.json", "developer.key.json", "root.json", "store"]
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert all(stat.S_IMODE((data / name).stat().st_mode) == 0o600 for name in os.listdir(data) if name.endswith(".json"))
    credential = (data / "developer.json").read_bytes()

    second = start()
    make, put, list_ = second.commands()
    assert shell(list_, "/").endswith("  docs/readme.md\n")
    assert "bucket_exists" in shell(make, "/", status=3)
    assert (data / "developer.json").read_bytes() == credential
    assert second.end(signal.SIGINT, whole_group=True) == 0  # as Ctrl-C on a terminal does
    assert '"event":"stopped"' in second.text[-1]


def test_the_address_may_come_from_the_environment(start):
    run = start("--set", "connections_max=50", environment={"WFLDB_LISTEN": "127.0.0.1:0,127.0.0.1:0"})
    assert shell(run.commands()[0], "/") == "photos is made\n"
    assert run.end() == 0


def test_a_port_that_is_taken_is_told(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = "127.0.0.1:%d" % other.getsockname()[1]
        run = start("--listen", address)
        assert run.status() == 1
        assert address in run.text[-1] and "in use" in run.text[-1]
        assert "Stop with" not in "".join(run.text)


def test_a_wrong_option_ends_it(start):
    run = start("--fly")
    assert run.status() == 2
    assert "--fly" in run.text[-1]


def test_readmes_first_five_minutes_are_true(start, tmp_path):
    """Every command of the section, in order, in a folder that looks like a clone. Only the port is another."""
    with open(os.path.join(source_root(), "README.md")) as readme:
        section = re.search(r"^## The first five minutes\n(.*?)^## ", readme.read(), re.M | re.S)[1]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    taking_back = [line for line in lines if "wfldb-admin revoke" in line]  # the guest is wanted until the end
    script = "\n".join(line for line in lines if line not in taking_back)
    assert script.count("build/") >= 10 and script.count("examples/curl.sh") == 2
    run = start(data=tmp_path / "data")
    address = re.search(r"http://(\S+)\.", "".join(run.text) if run.commands() else "")[1]
    for name in ("README.md", "CHANGELOG.md", "docs", "examples"):
        (tmp_path / name).symlink_to(os.path.join(source_root(), name))
    (tmp_path / "build").symlink_to(os.environ["WFL_BUILD_ROOT"])
    said = shell(script, tmp_path, environment={"WFLDB_ENDPOINT": f"http://{address}"})
    with open(os.path.join(source_root(), "README.md")) as readme:
        assert said.count(readme.read()) == 4  # cat, the guest's cat, the shared URL, curl.sh's get
    for words in ("photos is made", "docs/readme.md", "get,scan in photos below 'docs/'", "accepted now"):
        assert words in said

    # "Anything outside photos/docs/, and any write, answers forbidden."
    guest = {"WFLDB_ENDPOINT": f"http://{address}", "WFLDB_CREDENTIAL": str(tmp_path / "guest.credential.json")}
    for words in ("cat photos/other", "ls photos", "put README.md photos/docs/new", "rm photos/docs/readme.md", "mb another"):
        assert "forbidden" in shell(f"build/wfldb {words}", tmp_path, status=3, environment=guest)
    assert json.loads(shell("build/wfldb --json ls photos/docs/", tmp_path, environment=guest))
    assert "revoked link" in shell("\n".join(taking_back), tmp_path, environment={"WFLDB_ENDPOINT": f"http://{address}"})
    assert "packet_revoked" in shell("build/wfldb ls photos/docs/", tmp_path, status=3, environment=guest)
    assert run.end() == 0
