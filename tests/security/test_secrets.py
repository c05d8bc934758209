# SPDX-License-Identifier: Apache-2.0
"""What must not leave its place: private keys, packets and signatures, in answers, logs and files."""
import json
import os
import subprocess
import time

import pytest

from wfltest import Client, Grant, Key, Server, binary, issue, link
from wfltest.keys import b64u


def logged(server, request_id):
    """All lines, once that of this request is among them."""
    end = time.monotonic() + 20
    while not any(e.get("request_id") == request_id for e in server.entries()):
        assert time.monotonic() < end, "the request was not logged"
    return "".join(server.log)


def test_no_answer_and_no_log_line_repeats_a_credential(tmp_path):
    """Everything that a client sends to prove itself, wrong in every way, is looked for in all that comes back."""
    root, key, other = Key(), Key(), Key()
    said, secrets = [], {b64u(k.seed) for k in (root, key, other)} | {k.seed.hex() for k in (root, key, other)}
    with Server(str(tmp_path), root=root) as server:
        good = issue(root, key, [Grant("abc")])
        packets = [good, issue(other, key, [Grant("abc")]), link(root, key, [Grant("abc")], signature=bytes(64)),
                   issue(root, key, [Grant("abc")], iat=1000, exp=2000), good[:-1], good + "~" + good, good + "x",
                   link(root, key, [Grant("abc")], payload={"cnf": {"jwk": {**key.jwk, "d": b64u(key.seed)}}})]
        last = None
        for packet in packets:
            for part in packet.replace("~", ".").split("."):
                secrets.add(part)
            with Client(server, key=key, packet=packet) as client:
                for change in (None, "X-WflDB-Signature", "X-WflDB-Timestamp", "X-WflDB-Nonce", "Authorization"):
                    for target in ("/v1/abc/k", f"/v1/abc/k?wfl-packet={packet}&wfl-signature=abc", "/v1/A/k", "/v1/abc/%zz"):
                        headers = client.headers("GET", target)
                        secrets.add(dict(headers)["X-WflDB-Signature"])
                        headers = [(n, v[:-1] + "~" if n == change else v) for n, v in headers]
                        last = client.connect().request("GET", target, headers)
                        said.append(repr(last))
        lines = logged(server, last.json["request_id"])
    secrets = {s for s in secrets if len(s) > 20}
    assert len(secrets) > 100 and len(said) > 100
    header = good.split(".")[0]  # says only who signed, as the log's thumbprints do
    for secret in secrets - {header}:
        assert not any(secret in text for text in said), secret
        assert secret not in lines
        assert secret[:24] == header[:24] or secret[-24:] not in lines


def test_the_log_says_who_and_never_the_query(tmp_path):
    with Server(str(tmp_path)) as server, Client(server, [Grant("abc")]) as client:
        answer = client.request("GET", "/v1/abc/k?look=here")
        lines = logged(server, answer.json["request_id"])
        entry = next(e for e in server.entries() if e.get("request_id") == answer.json["request_id"])
        assert entry["client"] == client.key.thumb
        assert entry["path"] == "/v1/abc/k" and "look=here" not in lines


def test_a_log_line_stays_one_line(tmp_path):
    with Server(str(tmp_path)) as server, Client(server) as client:
        answer = client.request("GET", "/v1/abc/%0A%0D%22%7B%7D%1B%5B31m")
        logged(server, answer.json["request_id"])
        quoted = client.request("GET", "/v1/abc/k?%0A%22x%7D=1")
        assert quoted.json["detail"].isprintable()
        logged(server, quoted.json["request_id"])
        assert all(json.loads(line) for line in server.log if line.strip())


def test_the_data_folder_is_its_owners(tmp_path):
    old = os.umask(0)
    try:
        with Server(str(tmp_path)) as server:
            assert server.address
    finally:
        os.umask(old)
    data = tmp_path / "data"
    assert data.stat().st_mode & 0o077 == 0
    assert (data / "identity.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602])
def test_an_identity_that_others_can_read_stops_the_start(tmp_path, mode):
    with Server(str(tmp_path)) as server:
        command = server.command()
    identity = tmp_path / "data" / "identity.json"
    seed = json.loads(identity.read_text())["d"]
    identity.chmod(mode)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "chmod 600" in ended.stderr
    assert seed not in ended.stderr


@pytest.mark.parametrize("change", [{"d": None}, {"d": "x"}, {"x": "x"}, {"kid": "x"}, {"kty": "EC"}, {"d": b64u(bytes(32))}])
def test_an_identity_that_is_none_stops_the_start(tmp_path, change):
    with Server(str(tmp_path)) as server:
        command = server.command()
    identity = tmp_path / "data" / "identity.json"
    seed = json.loads(identity.read_text())["d"]
    text = {n: v for n, v in {**json.loads(identity.read_text()), **change}.items() if v is not None}
    identity.write_text(json.dumps(text))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "identity" in ended.stderr and seed not in ended.stderr


def test_the_identity_stays_the_same(tmp_path):
    with Server(str(tmp_path)) as server, Client(server) as client:
        first = client.connect().request("GET", "/v1/-/server").json["identity"]
    with Server(str(tmp_path)) as server, Client(server) as client:
        assert client.connect().request("GET", "/v1/-/server").json["identity"] == first
    assert "d" not in first


def test_of_a_roots_key_file_only_the_public_half_is_read(tmp_path):
    """It may be the root's own file; what matters is that nothing of its private half comes out."""
    server = Server(str(tmp_path))
    (tmp_path / "root.jwk").write_text(server.root.file())
    with server, Client(server) as client:
        assert client.request("GET", "/v1/").status == 200
    assert b64u(server.root.seed) not in "".join(server.log)
    for folder, _, names in os.walk(tmp_path / "data"):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                content = file.read()
            assert server.root.seed not in content and b64u(server.root.seed).encode() not in content


@pytest.mark.parametrize("text", ["", "x", "[]", '{"kty":"OKP","crv":"Ed25519"}',
                                  '{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'])
def test_a_root_that_is_no_key_stops_the_start(tmp_path, text):
    server = Server(str(tmp_path))
    (tmp_path / "root.jwk").write_text(text)
    ended = subprocess.run(server.command(), capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0 and "root" in ended.stderr


def admin(*args):
    return subprocess.run([binary("wfldb-admin"), *args], capture_output=True, text=True, timeout=60)


def test_keys_are_made_for_their_owner_and_never_replaced(tmp_path):
    path = str(tmp_path / "key.json")
    old = os.umask(0)
    try:
        assert admin("keygen", "--out", path).returncode == 0
    finally:
        os.umask(old)
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path) as file:
        before = file.read()
    again = admin("keygen", "--out", path)
    assert again.returncode == 1
    with open(path) as file:
        assert file.read() == before
    public = admin("public", path)
    assert public.returncode == 0 and "d" not in json.loads(public.stdout)
    assert json.loads(before)["d"] not in public.stdout + again.stdout + again.stderr


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_signs_nothing(tmp_path, mode):
    key, holder = tmp_path / "key.json", tmp_path / "holder.jwk"
    key.write_text(Key().file())
    holder.write_text(json.dumps(Key().jwk))
    key.chmod(mode)
    refused = admin("issue", "--key", str(key), "--to", str(holder), "--grant", "abc=get")
    assert refused.returncode == 1 and refused.stdout == ""
    assert "chmod 600" in refused.stderr
    assert json.loads(key.read_text())["d"] not in refused.stderr
    key.chmod(0o600)
    issued = admin("issue", "--key", str(key), "--to", str(holder), "--grant", "abc=get")
    assert issued.returncode == 0 and issued.stdout.count(".") == 2


def test_a_credential_that_others_can_read_is_not_used(server, tmp_path):
    key = Key()
    path = tmp_path / "credential.json"
    path.write_text(key.file(issue(server.root, key, [Grant()]), f"http://{server.address}"))
    path.chmod(0o644)
    refused = subprocess.run([binary("wfldb"), "--credential", str(path), "ls"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "chmod 600" in refused.stderr
    path.chmod(0o600)
    used = subprocess.run([binary("wfldb"), "--credential", str(path), "ls"], capture_output=True, text=True, timeout=60)
    assert used.returncode == 0, used.stderr
