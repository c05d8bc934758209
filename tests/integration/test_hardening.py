# SPDX-License-Identifier: Apache-2.0
"""What an intruder would find: how the programs are built, whose rights the server has, what its threads may do."""
import json
import os
import pathlib
import pwd
import shutil
import stat
import subprocess
import tempfile

import pytest

from wfltest import Client, Key, Server, binary, wait_until
from wfltest.programs import Cli, Program

SANITIZED = os.environ["WFL_BUILD_ROOT"].endswith(("-asan", "-tsan", "-coverage"))
PROGRAMS = ["wfldb-server", "wfldb", "wfldb-admin"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


# ---- how they are built

def readelf(program, *options):
    return subprocess.run(["readelf", "-W", *options, binary(program)], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(SANITIZED, reason="those builds are not shipped")
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_are_built_to_be_hard_to_take_over(program):
    head, segments, dynamic = readelf(program, "-h"), readelf(program, "-l"), readelf(program, "-d")
    assert "DYN (Position-Independent Executable" in head
    assert "GNU_RELRO" in segments and "BIND_NOW" in dynamic and "PIE" in dynamic  # relocations are read-only from the start
    stack = next(line for line in segments.splitlines() if "GNU_STACK" in line)
    assert " RW " in stack and "E" not in stack.split()[-2]
    assert not any(" RWE " in line for line in segments.splitlines())
    assert "TEXTREL" not in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic
    symbols = readelf(program, "--dyn-syms")
    assert "__stack_chk_fail" in symbols  # canaries
    assert any(f"{name}_chk" in symbols for name in ("__snprintf", "__memcpy", "__fprintf", "__printf"))  # _FORTIFY_SOURCE
    exported = [line for line in symbols.splitlines() if " GLOBAL DEFAULT " in line and " UND " not in line and " wfl" in line]
    assert exported == []
    if os.uname().machine == "x86_64":  # Debian's own start files have no CET notes, so the whole has none; our code is ready
        with open(binary(program), "rb") as file:
            assert file.read().count(b"\xf3\x0f\x1e\xfa") > 100  # endbr64


# ---- what it may do

def threads(server):
    folder = f"/proc/{server.process.pid}/task"
    for thread in os.listdir(folder):
        with open(f"{folder}/{thread}/status") as status:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in status)


def core_limit(server):
    with open(f"/proc/{server.process.pid}/limits") as limits:
        return next(line for line in limits if line.startswith("Max core file size")).split()[4:6]


@pytest.mark.skipif(SANITIZED, reason="leak checks cannot run inside")
def test_every_thread_is_fenced_in():
    with Server(landlock=1, seccomp=1) as server:
        with Client(server) as client:
            client.make_bucket("fenced")
            client.put("fenced", "k", os.urandom(3 << 20))
            assert len(client.get("fenced", "k").body) == 3 << 20
        found = list(threads(server))
        assert len(found) > 5
        assert {t["Seccomp"] for t in found} == {"2"} and {t["NoNewPrivs"] for t in found} == {"1"}
        assert core_limit(server) == ["0", "0"]
        assert not any(e.get("event") == "sandbox_missing" for e in server.entries())


@pytest.mark.skipif(SANITIZED, reason="leak checks cannot run inside")
def test_each_fence_can_be_left_out():
    with Server(landlock=0, seccomp=0) as server:
        assert {t["Seccomp"] for t in threads(server)} == {"0"} and {t["NoNewPrivs"] for t in threads(server)} == {"0"}
    with Server(landlock=1, seccomp=0) as server:
        assert {t["Seccomp"] for t in threads(server)} == {"0"} and {t["NoNewPrivs"] for t in threads(server)} == {"1"}


def test_client_programs_leave_no_core_either(server, tmp_path):
    """Seen in one that waits for changes."""
    cli = Cli(server, tmp_path)
    cli.run("mb", "waited")
    process = cli.start("watch", "waited", stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: server.metrics()["watchers"] == 1, "it waits")
        with open(f"/proc/{process.pid}/limits") as limits:
            assert next(line for line in limits if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]
    finally:
        process.terminate()
        process.wait(30)


# ---- whose rights, and whose folder

class As(Server):
    """Started with `--user`, in a folder that this user can reach."""

    def __init__(self, user, **settings):
        folder = tempfile.mkdtemp(prefix="wfl-user-")
        os.chmod(folder, 0o711)
        super().__init__(folder, **settings)
        self.user = user
        os.chmod(os.path.join(folder, "root.jwk"), 0o644)

    def command(self):
        return [*super().command(), "--user", self.user]


@as_root
def test_root_becomes_the_user():
    user = pwd.getpwnam("nobody")
    server = As("nobody")
    try:
        for _ in range(2):  # a new folder, and one that is there
            with server:
                for status in threads(server):
                    assert set(status["Uid"].split()) == {str(user.pw_uid)} and set(status["Gid"].split()) == {str(user.pw_gid)}
                    assert status["CapEff"] == status["CapPrm"] == "0" * 16
                    assert "0" not in status["Groups"].split()
                with Client(server) as client:
                    if client.request("PUT", "/v1/mine", body=b"").status == 201:
                        client.put("mine", "k", os.urandom(2 << 20))
                    assert len(client.get("mine", "k").body) == 2 << 20
                assert not any(e.get("event") == "running_as_root" for e in server.entries())
                data = os.path.join(server.folder, "data")
                for folder, _, names in os.walk(data):
                    for path in [folder, *(os.path.join(folder, name) for name in names)]:
                        assert os.lstat(path).st_uid == user.pw_uid, path
                        assert stat.S_IMODE(os.lstat(path).st_mode) & 0o077 == 0, path
    finally:
        shutil.rmtree(server.folder)


@as_root
def test_root_is_told_that_it_is_not_needed():
    with Server() as server:
        assert next(e for e in server.entries() if e.get("event") == "running_as_root")["level"] == "warn"


@pytest.fixture
def reachable():
    """A folder that other users can pass through."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="wfl-user-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


class Starter(Program):
    def __init__(self, folder):
        super().__init__("wfldb-server", folder)
        (folder / "root.json").write_text(json.dumps(Key().jwk))

    def refused(self, *options, status=1):
        return self.run("--data", "data", "--root", "root.json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", *options,
                        status=status)


@as_root
def test_what_cannot_be_is_said_in_one_line(reachable):
    starter, tmp_path = Starter(reachable), reachable
    assert "useradd" in starter.refused("--user", "nobody-has-this-name")
    assert "root itself" in starter.refused("--user", "root")
    (tmp_path / "data").mkdir(mode=0o700)
    assert "chown" in starter.refused("--user", "nobody")  # root's
    os.chown(tmp_path / "data", pwd.getpwnam("nobody").pw_uid, -1)
    assert "chown" in starter.refused()
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").write_text("a file")
    assert "no folder" in starter.refused()


def test_a_folder_that_others_can_look_into_is_closed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    with Server(str(tmp_path)) as server:
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert any(e.get("event") == "data_folder_closed" for e in server.entries())
    with Server(str(tmp_path), root=server.root) as again:
        assert not any(e.get("event") == "data_folder_closed" for e in again.entries())
