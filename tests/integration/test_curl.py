# SPDX-License-Identifier: Apache-2.0
"""examples/curl.sh: a client of openssl and curl alone is a client like any other."""
import json
import os
import stat
import subprocess

import pytest

from wfltest import Client, Grant, Key, issue, source_root
from wfltest.client import path_of
from wfltest.keys import b64u

SCRIPT = os.path.join(source_root(), "examples", "curl.sh")


class Shell:
    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.environment = {"PATH": os.environ["PATH"], "WFLDB_ENDPOINT": f"http://{server.address}",
                            "LC_ALL": "C.UTF-8", "TMPDIR": str(folder / "temporary")}
        (folder / "temporary").mkdir()

    def credential(self, grants=None, name="credential.json", mode=0o600, text=None, endpoint=None):
        key = Key()
        path = self.folder / name
        path.write_text(text or key.file(issue(self.server.root, key, grants or [Grant()]), endpoint))
        path.chmod(mode)
        return path

    def run(self, *words, stdin=b"", status=0, environment=()):
        done = subprocess.run([SCRIPT, *words], input=stdin, capture_output=True, timeout=60, cwd=self.folder,
                              env={**self.environment, **dict(environment)})
        assert done.returncode == status, (words, done)
        if status != 0:
            assert done.stdout == b"" and done.stderr.count(b"\n") == 1, done
            assert done.stderr.startswith(b"curl.sh: ")
        assert os.listdir(self.folder / "temporary") == []  # nothing stays behind, whatever happened
        return done.stderr.decode() if status else done.stdout


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.fixture
def shell(server, tmp_path):
    return Shell(server, tmp_path)


@pytest.mark.parametrize("key", [
    "plain", "a/b/c.txt", "with space", "ümläut/日本/😀", "100% & more?x=1#y", "a//b", "ends/", "plus+and'quotes\"",
    "{a,b}[1-3]*$HOME`id`\\", "~tilde_-.", "x" * 1024, "-o", "@file", "%2F",
])
def test_any_key_comes_back_as_it_went(shell, client1, bucket, key):
    credential = shell.credential()
    content = bytes(range(256)) + b"\r\n\0 end"
    (shell.folder / "in [1] {a}.bin").write_bytes(content)
    shell.run("put", credential, "in [1] {a}.bin", f"{bucket}/{key}")
    assert client1.get(bucket, key).body == content
    assert [item["key"] for item in client1.scan(bucket)[0]] == [key]
    assert shell.run("get", credential, f"{bucket}/{key}") == content
    shell.run("rm", credential, f"{bucket}/{key}")
    client1.get(bucket, key, 404)
    assert "key_not_found" in shell.run("get", credential, f"{bucket}/{key}", status=4)


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(1 << 20)], ids=["empty", "byte", "large"])
def test_files_and_pipes(shell, client1, bucket, content):
    credential = shell.credential()
    shell.run("put", credential, "-", f"{bucket}/piped", stdin=content)
    answer = client1.get(bucket, "piped")
    assert (answer.body, answer.header("content-type")) == (content, "application/octet-stream")
    shell.run("get", credential, f"{bucket}/piped", "out.bin")
    assert (shell.folder / "out.bin").read_bytes() == content
    assert stat.S_IMODE((shell.folder / "out.bin").stat().st_mode) == 0o666 & ~current_umask()
    assert sorted(os.listdir(shell.folder)) == ["credential.json", "out.bin", "temporary"]


def test_a_failed_get_leaves_the_file_alone(shell, bucket):
    (shell.folder / "kept").write_bytes(b"before")
    shell.run("get", shell.credential(), f"{bucket}/nothing", "kept", status=4)
    assert (shell.folder / "kept").read_bytes() == b"before"
    assert sorted(os.listdir(shell.folder)) == ["credential.json", "kept", "temporary"]


def test_a_pipe_is_written_to_and_not_replaced(shell, client1, bucket):
    client1.put(bucket, "k", b"through the pipe")
    os.mkfifo(shell.folder / "pipe")
    reader = subprocess.Popen(["cat", shell.folder / "pipe"], stdout=subprocess.PIPE)
    shell.run("get", shell.credential(), f"{bucket}/k", "pipe")
    assert reader.communicate(timeout=30)[0] == b"through the pipe"
    assert stat.S_ISFIFO((shell.folder / "pipe").stat().st_mode)
    assert "cannot be written" in shell.run("get", shell.folder / "credential.json", f"{bucket}/k", "temporary", status=1)
    assert "cannot be written" in shell.run("get", shell.folder / "credential.json", f"{bucket}/k", "none/k", status=1)


def test_ls_gives_a_page(shell, client1, bucket):
    for key in ("a/1", "a/2 ü", "b"):
        client1.put(bucket, key, b"x")
    credential = shell.credential()
    page = json.loads(shell.run("ls", credential, f"{bucket}/a/"))
    assert [item["key"] for item in page["items"]] == ["a/1", "a/2 ü"]
    assert len(json.loads(shell.run("ls", credential, bucket))["items"]) == 3


def test_the_credential_may_name_the_server(shell, client1, bucket):
    credential = shell.credential(endpoint=f"http://{shell.server.address}/")
    shell.run("put", credential, "-", f"{bucket}/k", stdin=b"v", environment={"WFLDB_ENDPOINT": ""})
    assert client1.get(bucket, "k").body == b"v"


def test_who_may_not_is_refused(shell, client1, bucket):
    client1.put(bucket, "secret", b"x")
    reader = shell.credential([Grant(bucket, "docs/", ["get"])])
    assert "forbidden" in shell.run("get", reader, f"{bucket}/secret", status=3)
    assert "forbidden" in shell.run("put", reader, "-", f"{bucket}/docs/a", status=3)

    holder, other = Key(), Key()
    packet = issue(shell.server.root, holder, [Grant()])
    stolen = shell.credential(name="stolen.json", text=other.file(packet))
    assert "signature_invalid" in shell.run("get", stolen, f"{bucket}/secret", status=3)
    self_made = shell.credential(name="self.json", text=other.file(issue(other, other, [Grant()])))
    assert "packet_untrusted" in shell.run("get", self_made, f"{bucket}/secret", status=3)
    assert client1.expect(200, "GET", path_of(bucket)).json["objects"] == 1


def test_used_wrongly(shell, bucket):
    credential = shell.credential()
    for words in ([], ["get"], ["get", credential], ["get", credential, bucket], ["fly", credential, "a/b"],
                  ["put", credential, "file"], ["put", credential, "file", bucket], ["rm", credential, "a/b", "c"]):
        shell.run(*words, status=2)
    assert "chmod 600" in shell.run("get", shell.credential(name="open.json", mode=0o640), f"{bucket}/k", status=2)
    assert "needs a private key and a packet" in shell.run(
        "get", shell.credential(name="key.json", text=Key().file()), f"{bucket}/k", status=2)
    assert "no such" in shell.run("get", shell.folder / "none.json", f"{bucket}/k", status=2)
    assert "no such file" in shell.run("put", credential, "none", f"{bucket}/k", status=1)


def test_no_server_is_a_failure(shell, bucket):
    assert "connect" in shell.run("get", shell.credential(), f"{bucket}/k", status=1,
                                  environment={"WFLDB_ENDPOINT": "http://127.0.0.1:1"})


def test_the_private_key_is_in_no_command_line_and_no_file(shell, bucket):
    """Programs that stand before the real ones write down how they were called and what lies in the folder."""
    key = Key()
    credential = shell.credential(text=key.file(issue(shell.server.root, key, [Grant()])))
    tools, notes = shell.folder / "tools", shell.folder / "notes"
    tools.mkdir()
    for name in ("openssl", "curl", "sed", "tr", "cut", "cat"):
        real = subprocess.run(["which", name], capture_output=True, check=True, text=True).stdout.strip()
        wrapper = tools / name
        wrapper.write_text('#!/bin/bash\nprintf "%s\\n" "$0 $*" >>"$NOTES"\n'
                           '/bin/grep -rhs . "$TMPDIR" >>"$NOTES"\n'
                           f'exec {real} "$@"\n')
        wrapper.chmod(0o755)
    shell.run("put", credential, "-", f"{bucket}/k", stdin=b"v",
              environment={"PATH": f"{tools}:{os.environ['PATH']}", "NOTES": str(notes)})
    text = notes.read_text(errors="replace")
    assert "pkeyutl" in text and "WFLDB1" in text  # the notes were taken
    assert b64u(key.seed) not in text and key.seed.hex() not in text
    assert "PRIVATE KEY" not in text
