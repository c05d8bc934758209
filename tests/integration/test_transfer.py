# SPDX-License-Identifier: Apache-2.0
"""wfldb put, get and cat with content of any size: parts, pipes, lost connections, interruptions, memory."""
import errno
import fcntl
import filecmp
import json
import os
import pty
import re
import resource
import select
import signal
import struct
import subprocess
import termios

import pytest

from wfltest import Client, Server
from wfltest.client import path_of
from wfltest.programs import Cli, FakeServer
from wfltest.relay import Relay

KIB, MIB = 1 << 10, 1 << 20
SMALL_PARTS = ["--part-size", "1M"]
SANITIZED = any(build in os.path.basename(os.environ["WFL_BUILD_ROOT"]) for build in ("asan", "tsan"))


class Transfers(Cli):
    """Through a relay, so that a test can count, hold and cut."""

    def __init__(self, server, folder, relay):
        super().__init__(server, folder, relay.address)
        self.relay = relay
        self.environment["XDG_STATE_HOME"] = str(folder / "state")

    def make(self, name, size, sparse=False):
        """Random bytes; sparse: some of them at each MiB."""
        path = self.folder / name
        with open(path, "wb") as out:
            if sparse:
                for at in range(0, size, MIB):
                    out.seek(at)
                    out.write(os.urandom(min(64, size - at)))
                out.truncate(size)
            else:
                out.write(os.urandom(size))
        return path

    def states(self):
        folder = self.folder / "state" / "wfldb"
        return sorted(folder.iterdir()) if folder.exists() else []

    def leftovers(self):
        return sorted(p.name for p in self.folder.iterdir() if ".part" in p.name)

    def uploads(self, bucket):
        with Client(self.server) as client:
            return client.expect(200, "GET", path_of(bucket) + "?uploads").json["uploads"]

    def check(self, bucket, key, path):
        """The object is the file, read by another way than it came."""
        reader = self.start("cat", f"{bucket}/{key}", stdout=subprocess.PIPE)
        done = subprocess.run(["cmp", "-", path], stdin=reader.stdout, capture_output=True, timeout=60)
        reader.stdout.close()
        assert reader.wait(60) == 0 and done.returncode == 0, done

    def nothing_is_left(self, bucket):
        assert self.states() == [] and self.leftovers() == [] and self.uploads(bucket) == []


@pytest.fixture
def relay(server):
    with Relay(server.address) as made:
        yield made


@pytest.fixture
def cli(server, tmp_path, relay):
    return Transfers(server, tmp_path, relay)


def wait_for_log(server, path, before):
    """The methods but PUT and GET of requests to a path since `before`. A request is logged when it has ended, a little
    after its answer: until there are a GET and, where there is one POST, two."""
    for _ in range(3000):
        methods = [e["method"] for e in server.entries()[before:] if e.get("event") == "request" and e["path"].endswith(path)]
        others = [m for m in methods if m not in ("GET", "PUT")]
        if "GET" in methods and len(others) != 1:
            return others
        select.select([], [], [], 0.01)
    raise AssertionError(methods)


def feed(cli, path, *words):
    """The file through a pipe; what the command printed."""
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as source:
        done = cli.start(*words, stdin=source.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        source.stdout.close()
        out, err = done.communicate(timeout=60)
    assert done.returncode == 0 and err == b"", err
    return out


# ---- sizes

SIZES = [0, 1, 64 * KIB, 64 * KIB + 1, MIB, MIB + 1, 16 * MIB, 16 * MIB + 1, 64 * MIB - 1, 64 * MIB, 64 * MIB + 1, 200 * MIB]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_comes_back_as_it_was(cli, server, bucket, size):
    path, before = cli.make("in", size, sparse=size > MIB), len(server.log)
    said = cli.run("put", "in", f"{bucket}/k")
    assert re.fullmatch(rf"{bucket}/k  {size} bytes  [0-9A-Z]{{26}}\n", said)
    assert cli.run("get", f"{bucket}/k", "out") == ""
    assert filecmp.cmp(path, cli.folder / "out", shallow=False)
    assert wait_for_log(server, f"/{bucket}/k", before) == (["POST", "POST"] if size > 64 * MIB else [])  # start and completion
    cli.nothing_is_left(bucket)


@pytest.mark.parametrize("size", [0, 64 * KIB, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 65 * MIB])
def test_a_pipe_of_any_size_comes_back_as_it_was(cli, bucket, size):
    path = cli.make("in", size, sparse=size > MIB)
    assert f" {size} bytes ".encode() in feed(cli, path, "put", "-", f"{bucket}/k")
    cli.check(bucket, "k", path)
    cli.nothing_is_left(bucket)


@pytest.mark.parametrize("transport", [[], ["--http2"]], ids=["http1", "http2"])
@pytest.mark.parametrize("words", [[], ["--no-multipart"], SMALL_PARTS, [*SMALL_PARTS, "--parallel", "1"], [*SMALL_PARTS, "--parallel", "16"]],
                         ids=["usual", "one", "parts", "in-turn", "many"])
def test_every_way_carries_every_byte(cli, bucket, transport, words):
    path = cli.make("in", 5 * MIB + 12345)
    cli.run(*transport, "put", "in", f"{bucket}/file", *words, "--meta", "a=b", "--content-type", "text/x")
    feed(cli, path, *transport, "put", "-", f"{bucket}/pipe", *words)
    for key in ("file", "pipe"):
        cli.check(bucket, key, path)
        known = cli.json(*transport, "get", f"{bucket}/{key}", "out", *words)
        assert known["size"] == path.stat().st_size and filecmp.cmp(path, cli.folder / "out", shallow=False)
    known = cli.json("stat", f"{bucket}/file")
    assert known["meta"] == {"a": "b"} and known["content_type"] == "text/x" and known["blake3"] == cli.json("stat", f"{bucket}/pipe")["blake3"]
    cli.nothing_is_left(bucket)


def test_what_is_no_plain_file_is_read_to_its_end(cli, bucket):
    cli.make("in", 3 * MIB)
    with open(cli.folder / "in", "rb") as standard_input:
        standard_input.seek(MIB)  # from where it stands
        process = cli.start("put", "-", f"{bucket}/redirected", *SMALL_PARTS, stdin=standard_input, stdout=subprocess.DEVNULL)
        assert process.wait(60) == 0
    (cli.folder / "rest").write_bytes((cli.folder / "in").read_bytes()[MIB:])
    cli.check(bucket, "redirected", cli.folder / "rest")
    cli.run("put", "/proc/version", f"{bucket}/made-up")  # says that it is empty
    cli.check(bucket, "made-up", "/proc/version")
    assert "directory" in cli.run("put", "/proc", f"{bucket}/folder", status=1)


def test_parts_go_in_parallel_and_in_bounded_memory(cli, bucket, relay):
    cli.make("in", 200 * MIB, sparse=True)

    def peak_memory(*words):
        process, peak = cli.start(*words), 0
        while process.poll() is None:  # what rusage says would have the memory of this process in it, from before exec
            try:
                text = open(f"/proc/{process.pid}/status").read()
                peak = int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1)) * KIB
                process.wait(0.02)
            except (AttributeError, OSError, subprocess.TimeoutExpired):
                pass
        assert process.returncode == 0 and peak > 0
        return peak

    for words, hold in ((["put", "in", f"{bucket}/k", "--json"], relay.hold_up), (["get", f"{bucket}/k", "out"], relay.hold_down)):
        hold(40 * MIB)
        process = cli.start(*words, stdout=subprocess.DEVNULL)
        relay.wait_held()
        relay.wait_open(5)  # its first one and four for parts
        process.kill()
        process.wait()
        relay.release()
        assert peak_memory(*words, "--no-resume") < 64 * MIB or SANITIZED
    assert filecmp.cmp(cli.folder / "in", cli.folder / "out", shallow=False)


# ---- interrupted, and on from there

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_upload_goes_on(cli, bucket, relay, number):
    path = cli.make("in", 24 * MIB)
    words = ["put", "in", f"{bucket}/k", *SMALL_PARTS]
    stop(cli, relay, words, number, up=16 * MIB)
    state, = cli.states()
    assert state.stat().st_mode & 0o777 == 0o600 and state.parent.stat().st_mode & 0o777 == 0o700
    begun, = cli.uploads(bucket)
    sent = relay.up
    cli.run(*words)
    assert relay.up - sent < 16 * MIB  # of 24; four parts at most were under way
    assert begun["bytes"] > 8 * MIB
    cli.check(bucket, "k", path)
    cli.nothing_is_left(bucket)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_download_goes_on(cli, client1, bucket, relay, number):
    path = cli.make("in", 24 * MIB)
    cli.run("put", "in", f"{bucket}/k")
    words = ["get", f"{bucket}/k", "out", *SMALL_PARTS]
    stop(cli, relay, words, number, down=16 * MIB)
    assert not (cli.folder / "out").exists() and len(cli.leftovers()) == 1 and len(cli.states()) == 1
    received = relay.down
    cli.run(*words)
    assert relay.down - received < 16 * MIB
    assert filecmp.cmp(path, cli.folder / "out", shallow=False)
    cli.nothing_is_left(bucket)


def stop(cli, relay, words, number, up=None, down=None):
    relay.hold_up(up) if up else relay.hold_down(down)
    process = cli.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    relay.wait_held()
    process.send_signal(number)
    said = process.communicate(timeout=30)[1].decode()
    relay.release()
    if number == signal.SIGKILL:
        assert process.returncode == -number and said == ""
    else:
        assert process.returncode == 1, said
        assert re.fullmatch(r"wfldb: [^\n]*stopped[^\n]*\n", said), said
    return said


def test_what_cannot_go_on_is_aborted(cli, bucket, relay):
    cli.make("in", 24 * MIB)
    for source in ("in", "-"):
        relay.hold_up(8 * MIB)
        feeder = subprocess.Popen(["cat", cli.folder / "in"], stdout=subprocess.PIPE)
        process = cli.start("put", source, f"{bucket}/k", *SMALL_PARTS, *(["--no-resume"] if source == "in" else []), stdin=feeder.stdout,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        feeder.stdout.close()
        relay.wait_held()
        process.send_signal(signal.SIGINT)
        relay.release()
        said = process.communicate(timeout=30)[1].decode()
        assert process.returncode == 1 and "stopped" in said and "goes on" not in said
        feeder.wait()
        cli.nothing_is_left(bucket)


def test_a_pipe_that_says_nothing_can_be_stopped(cli, bucket):
    process = cli.start("put", "-", f"{bucket}/k", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    process.stdin.write(b"x")
    process.stdin.flush()
    wait_until_it_reads(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 1 and b"stopped" in process.stderr.read()
    process.stdin.close()
    process.stderr.close()
    cli.nothing_is_left(bucket)


def wait_until_it_reads(process):
    """Until what the pipe holds has been taken out of it."""
    while True:
        waiting = struct.unpack("i", fcntl.ioctl(process.stdin, termios.FIONREAD, b"\0" * 4))[0]
        if waiting == 0:
            return
        select.select([], [process.stdin], [], 0.01)


def test_a_file_that_changed_starts_anew(cli, bucket, relay):
    cli.make("in", 24 * MIB)
    words = ["put", "in", f"{bucket}/k", *SMALL_PARTS]
    stop(cli, relay, words, signal.SIGKILL, up=12 * MIB)
    path = cli.make("in", 24 * MIB)
    cli.run(*words)
    cli.check(bucket, "k", path)
    cli.nothing_is_left(bucket)  # the old upload is aborted


def test_other_options_are_another_upload(cli, bucket, relay):
    path = cli.make("in", 24 * MIB)
    words = ["put", "in", f"{bucket}/k", *SMALL_PARTS]
    stop(cli, relay, words, signal.SIGKILL, up=12 * MIB)
    cli.run(*words, "--meta", "name=second")
    assert cli.json("stat", f"{bucket}/k")["meta"] == {"name": "second"}
    cli.check(bucket, "k", path)
    cli.nothing_is_left(bucket)


def damage(path, how):
    if how == "garbage":
        path.write_bytes(os.urandom(300))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    elif how == "readable":
        path.chmod(0o644)
    elif how == "link":
        path.rename(path.with_suffix(".elsewhere"))
        path.symlink_to(path.with_suffix(".elsewhere"))
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        note = json.loads(path.read_text())
        note.update(how)
        path.write_text(json.dumps(note))


PUT_DAMAGE = ["garbage", "empty", "cut", "readable", "link", "folder", {"upload": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, {"upload": "../x"}, {"upload": 7},
              {"part_bytes": 0}, {"part_bytes": -1}, {"part_bytes": 1 << 62}, {"part_bytes": 3 * MIB}, {"size": 1}, {"bucket": "other"}]
GET_DAMAGE = ["garbage", "readable", "link", {"file": "/etc/passwd"}, {"file": ""}, {"file": "credential.json"}, {"parts": "1" * 24}, {"parts": ""},
              {"parts": "1" * 1000}, {"version": "x"}, {"part_bytes": 0}, {"part_bytes": 1}, {"size": 0}, {"size": -5}, {"size": 1 << 62}, {"blake3": "0" * 64}]


def test_a_state_that_is_not_ours_or_not_whole_is_ignored(cli, bucket, relay):
    path = cli.make("in", 4 * MIB)
    words = ["put", "in", f"{bucket}/k", *SMALL_PARTS]
    for how in PUT_DAMAGE:
        stop(cli, relay, words, signal.SIGKILL, up=2 * MIB)
        damage([p for p in cli.states() if p.suffix == ".json"][0], how)
        cli.run(*words)
        cli.check(bucket, "k", path)
        sweep_states(cli)
    for how in GET_DAMAGE:
        stop(cli, relay, ["get", f"{bucket}/k", "out", *SMALL_PARTS], signal.SIGKILL, down=5 * MIB // 2)
        damage([p for p in cli.states() if p.suffix == ".json"][0], how)
        cli.run("get", f"{bucket}/k", "out", *SMALL_PARTS)
        assert filecmp.cmp(path, cli.folder / "out", shallow=False), how
        (cli.folder / "out").unlink()
        sweep_states(cli)
    assert os.path.getsize("/etc/passwd") > 0 and "packet" in (cli.folder / "credential.json").read_text()


def sweep_states(cli):
    for state in cli.states():
        state.rmdir() if state.is_dir() and not state.is_symlink() else state.unlink()


def test_nowhere_to_note_is_no_failure(cli, bucket):
    path = cli.make("in", 4 * MIB)
    for environment in ({"XDG_STATE_HOME": "/dev/null/x"}, {"XDG_STATE_HOME": "relative", "HOME": None}, {"XDG_STATE_HOME": None, "HOME": "/proc"}):
        cli.run("put", "in", f"{bucket}/k", *SMALL_PARTS, environment=environment)
        cli.check(bucket, "k", path)
        cli.run("get", f"{bucket}/k", "out", *SMALL_PARTS, environment=environment)
        assert filecmp.cmp(path, cli.folder / "out", shallow=False)
    assert not (cli.folder / "relative").exists()


def test_a_beginning_that_was_damaged_is_fetched_anew(cli, bucket, relay):
    path = cli.make("in", 24 * MIB)
    cli.run("put", "in", f"{bucket}/k")
    for harm in ("changed", "cut"):
        stop(cli, relay, ["get", f"{bucket}/k", "out", *SMALL_PARTS], signal.SIGKILL, down=12 * MIB)
        name, = cli.leftovers()
        with open(cli.folder / name, "r+b") as partial:
            if harm == "changed":
                partial.write(b"damaged!")
            else:
                partial.truncate(1000)
        cli.run("get", f"{bucket}/k", "out", *SMALL_PARTS)
        assert filecmp.cmp(path, cli.folder / "out", shallow=False)
        (cli.folder / "out").unlink()
        cli.nothing_is_left(bucket)


# ---- objects that change, connections and servers that go

def test_a_download_never_mixes_two_versions(cli, bucket, relay):
    cli.make("old", 24 * MIB)
    new = cli.make("new", 24 * MIB)
    cli.run("put", "old", f"{bucket}/k")
    words = ["get", f"{bucket}/k", "out", *SMALL_PARTS]
    stop(cli, relay, words, signal.SIGKILL, down=12 * MIB)  # between two calls
    put_beside(cli, new, bucket)
    cli.run(*words)
    assert filecmp.cmp(new, cli.folder / "out", shallow=False)
    cli.nothing_is_left(bucket)
    (cli.folder / "out").unlink()
    put_beside(cli, cli.folder / "old", bucket)
    relay.hold_down(12 * MIB)  # in the middle of one
    process = cli.start(*words)
    relay.wait_held()
    put_beside(cli, new, bucket)
    relay.release()
    assert process.wait(60) == 0 and filecmp.cmp(new, cli.folder / "out", shallow=False)
    cli.nothing_is_left(bucket)


def put_beside(cli, path, bucket):
    """Not through the relay."""
    cli.run("put", path, f"{bucket}/k", environment={"WFLDB_ENDPOINT": f"http://{cli.server.address}"})


def test_a_pipe_that_has_half_of_a_replaced_object_is_told(cli, bucket, relay):
    cli.make("old", 24 * MIB)
    cli.run("put", "old", f"{bucket}/k")
    for change in (lambda: put_beside(cli, cli.make("new", MIB), bucket), lambda: cli.run("rm", f"{bucket}/k", environment={"WFLDB_ENDPOINT": f"http://{cli.server.address}"})):
        put_beside(cli, cli.folder / "old", bucket)
        relay.hold_down(12 * MIB)
        process = cli.start("cat", f"{bucket}/k", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        relay.wait_held()
        change()
        relay.release()
        said = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 1 and "replaced while it was fetched" in said


def test_lost_connections_are_made_up_for(cli, bucket, relay):
    path = cli.make("in", 12 * MIB)
    relay.cut_every = 5 * MIB
    cli.run("put", "in", f"{bucket}/file", *SMALL_PARTS)
    feed(cli, path, "put", "-", f"{bucket}/pipe", *SMALL_PARTS)
    for key in ("file", "pipe"):
        cuts = relay.cuts
        cli.run("get", f"{bucket}/{key}", "out", *SMALL_PARTS)
        assert filecmp.cmp(path, cli.folder / "out", shallow=False)
        cli.check(bucket, key, path)
        assert relay.cuts > cuts + 1
    relay.cut_every = None
    cli.nothing_is_left(bucket)


@pytest.mark.parametrize("what", ["put", "pipe", "get", "cat"])
def test_a_server_that_is_killed_and_comes_back_is_waited_for(tmp_path, what):
    with Server() as server, Relay(server.address) as relay:
        cli = Transfers(server, tmp_path, relay)
        cli.run("mb", "bucket")
        path = cli.make("in", 24 * MIB)
        if what in ("get", "cat"):
            cli.run("put", "in", "bucket/k")
            relay.hold_down(12 * MIB)
        else:
            relay.hold_up(12 * MIB)
        with open(path, "rb") as source, open(tmp_path / "out", "wb") as out:
            feeder = subprocess.Popen(["cat"], stdin=source, stdout=subprocess.PIPE)
            process = {
                "put": lambda: cli.start("put", "in", "bucket/k", *SMALL_PARTS, stdout=subprocess.DEVNULL),
                "pipe": lambda: cli.start("put", "-", "bucket/k", *SMALL_PARTS, stdin=feeder.stdout, stdout=subprocess.DEVNULL),
                "get": lambda: cli.start("get", "bucket/k", "out", *SMALL_PARTS),
                "cat": lambda: cli.start("cat", "bucket/k", stdout=out),
            }[what]()
            feeder.stdout.close()
            relay.wait_held()
            server.kill()
            server.start()
            relay.target = server.address
            relay.release()
            assert process.wait(60) == 0
            feeder.wait()
        if what in ("put", "pipe"):
            cli.check("bucket", "k", path)
        else:
            assert filecmp.cmp(path, tmp_path / "out", shallow=False)
        cli.nothing_is_left("bucket")


def test_a_server_that_stays_away_is_no_hang(cli, bucket, relay):
    """The first word is not repeated: whoever calls a server that is not there hears so at once."""
    cli.make("in", 4 * MIB)
    relay.target = "127.0.0.1:1"
    for words in (["put", "in", f"{bucket}/k", *SMALL_PARTS], ["get", f"{bucket}/k", "out", *SMALL_PARTS], ["cat", f"{bucket}/k"]):
        assert "connection" in cli.run(*words, status=1)
    assert cli.states() == [] and cli.leftovers() == []


# ---- refusals and full disks

def test_conditions_are_judged_at_the_end(cli, client1, bucket):
    cli.make("in", 4 * MIB)
    client1.put(bucket, "k", b"there")
    assert "precondition_failed" in cli.run("put", "in", f"{bucket}/k", *SMALL_PARTS, "--if-none-match", status=3)
    assert client1.get(bucket, "k").body == b"there"
    cli.nothing_is_left(bucket)
    version = client1.get(bucket, "k").header("x-wfldb-version")
    cli.run("put", "in", f"{bucket}/k", *SMALL_PARTS, "--if-match", version)
    cli.check(bucket, "k", cli.folder / "in")


def test_an_upload_that_is_refused_in_the_middle_is_aborted(cli, client1):
    client1.make_bucket("narrow", b'{"max_object_bytes":2000000}')
    path = cli.make("in", 4 * MIB)
    for words in (["put", "in", "narrow/k", *SMALL_PARTS], ["put", "in", "narrow/k"]):
        assert "object_too_large" in cli.run(*words, status=3)
    client1.get("narrow", "k", 404)
    cli.nothing_is_left("narrow")
    assert path.exists()


def test_a_full_disk_leaves_nothing(cli, bucket):
    cli.make("in", 12 * MIB)
    cli.run("put", "in", f"{bucket}/k")
    (cli.folder / "out").write_bytes(b"before")

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))

    for words in ([], SMALL_PARTS, ["--no-multipart"]):
        process = cli.start("get", f"{bucket}/k", "out", *words, stderr=subprocess.PIPE, preexec_fn=little_room)
        said = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 1 and os.strerror(errno.EFBIG) in said
        assert (cli.folder / "out").read_bytes() == b"before"
        cli.nothing_is_left(bucket)


@pytest.mark.parametrize("words, says", [
    (["--parallel", "0"], "1 to 16"), (["--parallel", "17"], "1 to 16"), (["--parallel", "x"], "1 to 16"),
    (["--part-size", "1"], "at least 1M"), (["--part-size", "1023K"], "at least 1M"), (["--part-size", "-1M"], "bytes"),
    (["--part-size", "9999999999999G"], "bytes"), (["--part-size", "M"], "bytes"), (["--part-size", ""], "bytes"),
])
def test_options_that_make_no_sense(cli, bucket, words, says):
    assert says in cli.run("put", "credential.json", f"{bucket}/k", *words, status=2)
    assert says in cli.run("get", f"{bucket}/k", "out", *words, status=2)
    assert "no option of cat" in cli.run("cat", f"{bucket}/k", *words, status=2)


# ---- servers that are none

def answer(status, body=b"", **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"] + [f"{n.replace('_', '-')}: {v}" for n, v in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


OBJECT = {"X_WflDB_Version": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "X_WflDB_Content_BLAKE3": "0" * 64}
FIRST = answer("206 Partial Content", b"x" * MIB, Content_Range=f"bytes 0-{MIB - 1}/{MIB + 5}", **OBJECT)


@pytest.mark.parametrize("answers, says", [
    ([answer("206 Partial Content", b"12345", Content_Range="bytes 1-5/9", **OBJECT)], "answer"),
    ([answer("206 Partial Content", b"12345", Content_Range="bytes 0-4/4", **OBJECT)], "answer"),
    ([answer("206 Partial Content", b"12345", **OBJECT)], "answer"),
    ([answer("206 Partial Content", b"12345", Content_Range="bytes 0-4/5")], "answer"),
    ([answer("206 Partial Content", b"123456", Content_Range="bytes 0-4/5", **OBJECT)], "answer"),
    ([answer("206 Partial Content", b"12345", Content_Range="bytes 0-4/5", **OBJECT)], "corrupt"),
    ([answer("200 OK", b"12345", **OBJECT)], "corrupt"),
    ([FIRST, answer("206 Partial Content", b"12345", Content_Range=f"bytes {MIB}-{MIB + 4}/{MIB + 5}", **OBJECT)], "corrupt"),
    ([FIRST, answer("206 Partial Content", b"1234", Content_Range=f"bytes {MIB}-{MIB + 3}/{MIB + 5}", **OBJECT)], "answer"),
    ([FIRST, answer("206 Partial Content", b"12345", Content_Range=f"bytes {MIB}-{MIB + 4}/{MIB + 6}", **OBJECT)], "answer"),
    ([FIRST, answer("206 Partial Content", b"12345", Content_Range="bytes 0-4/5", **OBJECT)], "answer"),
    ([FIRST, answer("200 OK", b"x" * (MIB + 5), **OBJECT)], "answer"),
    ([FIRST, answer("403 Forbidden")], "forbidden"),
])
def test_an_answer_that_is_not_the_part_asked_for_leaves_nothing(cli, answers, says):
    with FakeServer(*answers) as fake:
        said = cli.to(fake, "get", "bucket/k", "out", *SMALL_PARTS, "--no-resume", status=3 if says == "forbidden" else 1)
    assert says in said or says == "answer" and "not what was asked for" in said
    assert sorted(os.listdir(cli.folder)) == ["credential.json"]


def test_an_upload_that_the_server_names_oddly_is_none(cli):
    cli.make("in", 2 * MIB)
    for body in (b"", b"{}", b"[]", b'{"upload":7}', b'{"upload":"../../../../../etc/passwdxx"}', b'{"upload":"01ARZ3NDEKTSV4RRFFQ69G5FA"}'):
        with FakeServer(answer("201 Created", body)) as fake:
            assert "answer" in cli.to(fake, "put", "in", "bucket/k", *SMALL_PARTS, status=1)
        assert cli.states() == []


# ---- the bar

class Terminal:
    """The other end of a terminal that is a program's stderr."""

    def __init__(self, columns=80):
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        self.text = ""

    def wait_for(self, pattern):
        while not re.search(pattern, self.text):
            assert select.select([self.ours], [], [], 30)[0], self.text
            self.text += os.read(self.ours, 65536).decode()

    def rest(self):
        os.close(self.theirs)
        while True:
            try:
                data = os.read(self.ours, 65536)
            except OSError:  # EIO: nobody has the other end any more
                break
            if not data:
                break
            self.text += data.decode()
        os.close(self.ours)
        return self.text


def check_line(text, columns):
    assert "\n" not in text and "\x1b" not in text
    frames = text.split("\r")
    assert all(len(frame) < columns for frame in frames)
    assert frames[-1] == "" and frames[-2].strip() == ""  # the line is empty again, the cursor at its start
    return [frame for frame in frames if frame.strip()]


@pytest.mark.parametrize("columns", [80, 30])
def test_the_bar_of_a_known_size(cli, bucket, relay, columns):
    cli.make("in", 8 * MIB)
    cli.run("put", "in", f"{bucket}/k")
    terminal = Terminal(columns)
    relay.hold_down(4 * MIB)
    process = cli.start("get", f"{bucket}/k", "out", *SMALL_PARTS, stderr=terminal.theirs)
    relay.wait_held()
    terminal.wait_for(r"\r *[1-9]\d?%  ")
    relay.release()
    assert process.wait(60) == 0
    frames = check_line(terminal.rest(), columns)
    if columns == 80:
        assert all(re.fullmatch(r" *\d+%  (\[=*>? *\]  )?\d+(\.\d)? \w+ of 8\.0 MiB  \d+(\.\d)? \w+/s  (\d+:\d\d|-:--) left *", f) for f in frames), frames


def test_the_bar_of_an_unknown_size(cli, bucket):
    terminal = Terminal()
    process = cli.start("put", "-", f"{bucket}/k", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=terminal.theirs)
    process.stdin.write(b"x" * 3 * MIB)
    process.stdin.flush()
    terminal.wait_for(r"3\.0 MiB  [\d.]+ \w+/s  \d+:\d\d")
    process.stdin.close()
    assert process.wait(60) == 0
    assert any("3.0 MiB" in frame for frame in check_line(terminal.rest(), 80))


@pytest.mark.parametrize("words", [["--quiet"], ["--json"]])
def test_no_bar_where_it_is_not_wanted(cli, bucket, relay, words):
    """Held until the pipe has been read for longer than a bar waits: the same work draws one without the option."""
    terminal = Terminal()
    process = cli.start("put", "-", f"{bucket}/k", *words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=terminal.theirs)
    other = Terminal()
    drawing = cli.start("put", "-", f"{bucket}/other", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=other.theirs)
    other.wait_for("/s")
    for one in (process, drawing):
        one.stdin.close()
        assert one.wait(60) == 0
    assert terminal.rest() == "" and other.rest() != ""


def test_a_failure_stands_on_a_line_of_its_own(cli, bucket, relay):
    cli.make("in", 8 * MIB)
    terminal = Terminal()
    relay.hold_up(4 * MIB)
    process = cli.start("put", "in", f"{bucket}/k", *SMALL_PARTS, stdout=subprocess.DEVNULL, stderr=terminal.theirs)
    relay.wait_held()
    terminal.wait_for("/s")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 1
    relay.release()
    text = terminal.rest()
    assert re.search(r"\r *\rwfldb: [^\r\n]*the same command goes on from here \(stopped\)\r\n$", text), text
