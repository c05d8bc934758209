# SPDX-License-Identifier: Apache-2.0
"""wfldb share and wfldb session: what they print is made to be used by others, with curl and openssl."""
import hashlib
import hmac
import json
import os
import pathlib
import re
import shlex
import subprocess
import time

import pytest

from wfltest import Client, Connection, Grant, Key, binary, issue, source_root
from wfltest.programs import Cli
from wfltest.session import Session


@pytest.fixture
def cli(server, tmp_path):
    """With a packet that outlives every URL."""
    cli, key = Cli(server, tmp_path), Key()
    (tmp_path / "credential.json").write_text(key.file(issue(server.root, key, [Grant()], ttl=30 * 86400)))
    return cli


def curl(*words):
    return subprocess.run(["curl", "-sS", *words], check=True, stdout=subprocess.PIPE, timeout=60).stdout


@pytest.fixture
def photo(cli, bucket):
    cli.run("put", "-", f"{bucket}/2026/\u00fc & %2F.txt", stdin=b"content")
    return f"{bucket}/2026/\u00fc & %2F.txt"


# ---- share

def test_share_prints_a_url_that_reads(cli, photo):
    url = cli.run("share", photo)
    assert url.count("\n") == 1
    assert curl("-f", url.strip()) == b"content"
    assert "wfl-expires=3600&" in url


def test_share_for_a_time(cli, photo):
    assert "wfl-expires=90&" in cli.run("share", photo, "--ttl", "90s")
    assert "wfl-expires=604800&" in cli.run("share", photo, "--ttl", "7d")
    for bad in ("8d", "0", "x"):
        assert "--ttl" in cli.run("share", photo, "--ttl", bad, status=2)


def test_share_an_older_content(cli):
    cli.run("mb", "shared-versions")
    cli.run("settings", "shared-versions", "versions=-1")
    cli.run("put", "-", "shared-versions/k", stdin=b"old")
    old = cli.json("stat", "shared-versions/k")["version"]
    cli.run("put", "-", "shared-versions/k", stdin=b"new")
    assert curl("-f", cli.run("share", "shared-versions/k", "--version", old).strip()) == b"old"
    assert curl("-f", cli.run("share", "shared-versions/k", "--at", old).strip()) == b"old"
    assert curl("-f", cli.run("share", "shared-versions/k").strip()) == b"new"


def test_share_for_storing(cli, bucket, tmp_path):
    (tmp_path / "file").write_bytes(b"uploaded")
    url, *headers = cli.run("share", f"{bucket}/in/a", "--put").splitlines()
    assert headers == ["X-WflDB-Content-SHA256: unsigned"]
    curl("-f", "-T", str(tmp_path / "file"), "-H", headers[0], url)
    assert cli.run("cat", f"{bucket}/in/a") == "uploaded"


def test_share_for_storing_binds_what_is_said(cli, bucket, tmp_path):
    (tmp_path / "file").write_bytes(b"uploaded")
    shared = cli.json("share", f"{bucket}/in/b", "--put", "--content-type", "image/png", "--meta", "from=me", "--tag", "t=1",
                      "--if-none-match")
    assert shared["method"] == "PUT" and set(shared["headers"]) == {
        "X-WflDB-Content-SHA256", "Content-Type", "X-WflDB-Meta-from", "X-WflDB-Tag-t", "If-None-Match"}
    words = [w for n, v in shared["headers"].items() for w in ("-H", f"{n}: {v}")]
    upload = ["-T", str(tmp_path / "file"), shared["url"]]
    assert json.loads(curl(*upload, *words[:-2]))["code"] == "signature_invalid"
    assert json.loads(curl(*upload, *words))["key"] == "in/b"
    assert json.loads(curl(*upload, *words))["code"] == "precondition_failed"
    assert cli.json("stat", f"{bucket}/in/b")["content_type"] == "image/png"


def test_share_says_when_the_packet_ends_first(cli, photo, server):
    path = cli.credential("brief.json")
    key = Key()
    path.write_text(key.file(issue(server.root, key, [Grant()], ttl=120)))
    done = subprocess.run([binary("wfldb"), "share", photo, "--ttl", "2h"], env={**cli.environment, "WFLDB_CREDENTIAL": str(path)},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0 and re.fullmatch(r"wfldb: the credential's packet ends at \S+Z, and the URL with it\n", done.stderr)
    assert curl("-f", done.stdout.strip()) == b"content"
    path.write_text(key.file(issue(server.root, key, [Grant()], iat=int(time.time()) - 100, ttl=50)))
    assert "expired" in cli.run("--credential", str(path), "share", photo, status=1)


@pytest.mark.parametrize("words", [("share",), ("share", "bucket-x"), ("share", "bucket-x/k", "--tag", "a=b"),
                                   ("share", "bucket-x/k", "--put", "--at", "2026-01-01T00:00:00Z"),
                                   ("share", "bucket-x/k", "--parallel", "3"), ("share", "bucket-x/k", "--put", "--meta", "x"),
                                   ("session",), ("session", "--bucket", "B"), ("session", "--bucket", "photos", "--system"),
                                   ("session", "--system", "--ttl", "25h"), ("session", "photos"), ("ls", "--ttl", "1h"),
                                   ("ls", "--put"), ("put", "-", "photos/k", "--bucket", "photos")])
def test_used_wrongly(cli, words):
    cli.run(*words, status=2)


# ---- session

def variables(text):
    return dict(shlex.split(line)[0].split("=", 1) for line in text.splitlines())


def test_session_prints_what_a_worker_needs(cli, bucket, photo, server):
    got = variables(cli.run("session", "--bucket", bucket, "--ttl", "60s"))
    assert set(got) == {"WFLDB_ENDPOINT", "WFLDB_SESSION", "WFLDB_SCOPE", "WFLDB_MAC_KEY", "WFLDB_EXPIRES"}
    assert got["WFLDB_ENDPOINT"] == f"http://{server.address}" and got["WFLDB_SCOPE"] == bucket
    assert 0 < int(got["WFLDB_EXPIRES"]) - time.time() <= 60


class Handed(Session):
    """A session of which there is one mac key and nothing else."""

    def __init__(self, values):
        super().__init__(values["session"], None, values["expires"])
        self.key = values["mac_key"]

    def sign(self, text, target):
        return hmac.new(self.key.encode(), text, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("system", [False, True])
def test_the_key_is_for_its_scope(cli, bucket, photo, server, system):
    values = cli.json("session", *(["--system"] if system else ["--bucket", bucket]))
    assert values["scope"] == ("-" if system else bucket)
    with Client(server) as worker:
        worker.credential = Handed(values)
        assert (worker.request("GET", f"/v1/{bucket}/scan").code == "signature_invalid") == system
        assert (worker.request("GET", "/v1/").code == "signature_invalid") != system


def example():
    """The block of docs/protocol.md that begins with this line."""
    text = (pathlib.Path(source_root()) / "docs/protocol.md").read_text()
    block = text[text.index('    eval "$(wfldb session'):]
    return "\n".join(line[4:] for line in block[:block.index("\n\n")].splitlines())


def test_the_example_of_the_protocol_page(cli, server, tmp_path):
    with Client(server) as client:
        client.make_bucket("photos")
        client.put("photos", "2026/a.txt", b"by hand")
    path = os.path.dirname(binary("wfldb")) + ":" + os.environ["PATH"]
    done = subprocess.run(["sh", "-eu", "-c", example()], env={**cli.environment, "PATH": path}, cwd=tmp_path, check=True,
                          stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"by hand"


def test_a_server_starts_with_these_variables_about(cli, bucket):
    """They are in the environment of whoever has evaluated them with `set -a`."""
    got = variables(cli.run("session", "--bucket", bucket))
    done = subprocess.run([binary("wfldb-server")], env={**cli.environment, **got}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--data" in done.stderr


def test_a_pinned_server(cli, bucket, server, tmp_path):
    with Connection(server.address) as connection:
        jwk = connection.request("GET", "/v1/-/server").json["identity"]
    (tmp_path / "right.jwk").write_text(json.dumps(jwk))
    (tmp_path / "wrong.jwk").write_text(json.dumps(Key().jwk))
    key = Key()
    (tmp_path / "key.json").write_text(key.file())
    (tmp_path / "key.json").chmod(0o600)
    (tmp_path / "packet").write_text(issue(server.root, key, [Grant()]))
    for name in ("right", "wrong"):
        subprocess.run([binary("wfldb-admin"), "credential", "key.json", "packet", "--out", f"{name}.json", "--server", f"{name}.jwk"],
                       cwd=tmp_path, check=True, timeout=60)
    cli.run("--credential", str(tmp_path / "right.json"), "session", "--bucket", bucket)
    said = cli.run("--credential", str(tmp_path / "wrong.json"), "session", "--bucket", bucket, status=1)
    assert "not signed by the server that is known" in said
