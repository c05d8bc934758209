# SPDX-License-Identifier: Apache-2.0
"""examples/session.pl: with a session's key for one bucket, a language that can do no more than HMAC is a client."""
import json
import os
import shlex
import subprocess

import pytest

from wfltest import Grant, Key, binary, issue, source_root
from wfltest.client import path_of

SCRIPT = os.path.join(source_root(), "examples", "session.pl")


@pytest.fixture
def run(server, bucket, tmp_path):
    """The script with the variables that `wfldb session` prints, and no others."""
    key, path = Key(), tmp_path / "credential.json"
    path.write_text(key.file(issue(server.root, key, [Grant(bucket, ops=["get", "put", "delete", "scan"])]), f"http://{server.address}"))
    path.chmod(0o600)
    printed = subprocess.run([binary("wfldb"), "--credential", str(path), "session", "--bucket", bucket, "--ttl", "5m"], capture_output=True,
                             text=True, timeout=60, check=True).stdout
    environment = {"PATH": os.environ["PATH"], **dict(shlex.split(line)[0].split("=", 1) for line in printed.splitlines())}
    assert environment["WFLDB_SCOPE"] == bucket

    def call(*words, status=0, **changes):
        done = subprocess.run([SCRIPT, *words], capture_output=True, timeout=60, cwd=tmp_path, env={**environment, **changes})
        assert done.returncode == status, (words, done)
        if status != 0:
            assert done.stdout == b"" and done.stderr.startswith(b"session.pl: ") and done.stderr.count(b"\n") == 1, done
        return done.stdout if status == 0 else done.stderr.decode()
    return call


def test_it_stores_reads_lists_and_removes(run, client1, bucket, tmp_path):
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    for key in ("k", "2026/a b+c%.jpg", "\u00e4/\u20ac"):
        run("put", "file", key)
        assert run("get", key) == content
        assert client1.get(bucket, key).body == content
    assert [i["key"] for i in json.loads(run("ls"))["items"]] == ["2026/a b+c%.jpg", "k", "\u00e4/\u20ac"]
    assert [i["key"] for i in json.loads(run("ls", "2026/"))["items"]] == ["2026/a b+c%.jpg"]
    run("rm", "k")
    assert client1.request("GET", path_of(bucket, "k")).code == "key_not_found"
    run("put", "/dev/null", "empty")
    assert run("get", "empty") == b""


def test_what_is_refused_is_said(run, server, bucket, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    assert "key_not_found" in run("get", "none", status=4)
    assert "signature_invalid" in run("get", "k", status=3, WFLDB_MAC_KEY="0" * 64)
    assert "session_unknown" in run("get", "k", status=3, WFLDB_SESSION="01JDFJ7Z7Q2S4T6V8X0A2C4E6G")
    assert "signature_invalid" in run("put", "file", "k", status=3, WFLDB_SCOPE="another")  # the key is for one bucket
    run("get", status=2)
    run("put", "none", "k", status=1)
    run("get", "k", status=2, WFLDB_MAC_KEY="")
    run("get", "k", status=2, WFLDB_ENDPOINT="ftp://x")
