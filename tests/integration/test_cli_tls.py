# SPDX-License-Identifier: Apache-2.0
"""wfldb and wfldb-admin over https: whom they take for their server, and what they say when it is another."""
import filecmp
import json
import os
import socket
import subprocess

import pytest

from wfltest import Client, Grant, Key, Server, issue, wait_until
from wfltest.programs import Cli, FakeServer, Program
from wfltest.relay import Relay
from wfltest.tls import Certificate

MIB = 1 << 20


@pytest.fixture(scope="module")
def ca():
    return Certificate("test authority", ca=True)


@pytest.fixture(scope="module")
def folder(ca, tmp_path_factory):
    """ca.pem, other.pem (an authority that vouches for nothing here)."""
    made = tmp_path_factory.mktemp("tls")
    ca.write(made, "ca")
    Certificate("another authority", ca=True).write(made, "other")
    return made


@pytest.fixture(scope="module")
def certificate(ca):
    return Certificate("server", ca)


@pytest.fixture(scope="module")
def server(certificate, folder):
    cert, key = certificate.write(folder, "server")
    with Server(tls_listen="127.0.0.1:0", tls_cert=cert, tls_key=key) as running:
        yield running


@pytest.fixture
def cli(server, folder, tmp_path):
    made = Cli(server, tmp_path, server.tls_address)
    made.environment["WFLDB_ENDPOINT"] = f"https://{server.tls_address}"
    made.environment["WFLDB_CA"] = str(folder / "ca.pem")
    made.environment["XDG_STATE_HOME"] = str(tmp_path / "state")
    return made


def test_all_of_it_over_tls(cli, server, bucket, tmp_path):
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(os.urandom(9 * MIB + 17))
    for name in ("small", "large"):
        cli.run("put", name, f"{bucket}/{name}")
        cli.run("get", f"{bucket}/{name}", f"back-{name}")
        assert filecmp.cmp(tmp_path / name, tmp_path / f"back-{name}", shallow=False)
    cli.run("put", "--part-size", "1M", "--parallel", "4", "large", f"{bucket}/parts")
    cli.run("get", "--part-size", "1M", f"{bucket}/parts", "back")
    assert filecmp.cmp(tmp_path / "large", tmp_path / "back", shallow=False)
    cli.run("put", "-", f"{bucket}/piped", stdin=b"p" * 3_000_000)
    assert cli.run("cat", f"{bucket}/piped", text=False) == b"p" * 3_000_000
    cli.run("mv", f"{bucket}/piped", f"{bucket}/moved")
    assert cli.run("ls", bucket).split() == ["large", "moved", "parts", "small"]
    cli.run("rm", f"{bucket}/small")
    assert "(key_not_found" in cli.run("cat", f"{bucket}/small", status=4)
    assert server.metrics()["tls_handshakes_total"] > 0


def test_a_stream_of_changes_goes_on_over_a_cut(cli, server, bucket, tmp_path):
    with Relay(server.tls_address) as relay, Client(server) as writer:
        with open(tmp_path / "out", "wb") as out:
            process = cli.start("--endpoint", f"https://{relay.address}", "--json", "watch", bucket, stdout=out)
        try:
            for number in range(6):
                writer.put(bucket, f"k{number}", b"x")
                wait_until(lambda: f'"k{number}"' in (tmp_path / "out").read_text(), "seen")
                if number % 2:
                    relay.release()
        finally:
            process.terminate()
            process.wait(30)
        assert [json.loads(line)["key"] for line in (tmp_path / "out").read_text().splitlines()] == [f"k{n}" for n in range(6)]


# ---- whom it trusts

def trusted(cli, *options, environment=(), status=0):
    return cli.run(*options, "ls", status=status, environment=environment)


def test_the_authority_by_option_environment_or_credential(cli, server, folder, tmp_path):
    ca, other = str(folder / "ca.pem"), str(folder / "other.pem")
    trusted(cli)
    trusted(cli, "--ca", ca, environment={"WFLDB_CA": other})
    assert "not to be trusted" in trusted(cli, "--ca", other, status=1)
    key = Key()
    content = json.loads(key.file(issue(server.root, key, [Grant()])))
    for member, status in ((ca, 0), (other, 1), (None, 1)):
        (tmp_path / "own.json").write_text(json.dumps({**content, **({"ca": member} if member else {})}))
        (tmp_path / "own.json").chmod(0o600)
        trusted(cli, "--credential", "own.json", environment={"WFLDB_CA": None}, status=status)
        trusted(cli, "--credential", "own.json", environment={"WFLDB_CA": ""}, status=status)
    trusted(cli, "--credential", "own.json", "--ca", ca, environment={"WFLDB_CA": None})


def test_the_systems_authorities_do_not_know_ours(cli):
    line = trusted(cli, environment={"WFLDB_CA": None}, status=1)
    assert ("not to be trusted" in line or "no certificates of authorities" in line) and "--ca FILE" in line
    assert line.endswith("(certificate)")


@pytest.mark.parametrize("name, words", [
    ("expired", "expir"), ("future", "not to be trusted"), ("other name", "name"), ("unknown", "not to be trusted"), ("own", "not to be trusted"),
])
def test_others_are_refused(cli, ca, folder, tmp_path, name, words):
    made = {
        "expired": lambda: Certificate("late", ca, days=(-9, -1)), "future": lambda: Certificate("early", ca, days=(5, 9)),
        "other name": lambda: Certificate("elsewhere", ca, hosts=("elsewhere.example", "127.0.0.2")),
        "unknown": lambda: Certificate("server", Certificate("someone", ca=True)), "own": lambda: Certificate("server"),
    }[name]()
    cert, key = made.write(tmp_path, "made")
    with Server(tls_listen="127.0.0.1:0", tls_cert=cert, tls_key=key) as server:
        line = trusted(cli, "--endpoint", f"https://{server.tls_address}", status=1)
        assert words in line and line.endswith("(certificate)"), line
        if name == "own":  # it is its own authority, where somebody says so
            other = Cli(server, tmp_path, server.tls_address)
            trusted(other, "--endpoint", f"https://{server.tls_address}", "--ca", cert)


def test_a_pin_by_option_environment_or_credential(cli, server, certificate, tmp_path):
    good, bad = certificate.pin, Certificate("x").pin
    assert next(e for e in server.entries() if e.get("event") == "tls_certificate")["pin"] == good
    trusted(cli, "--pin", good)
    trusted(cli, "--pin", f"{bad};{good}")
    trusted(cli, environment={"WFLDB_PIN": good})
    trusted(cli, "--pin", good, environment={"WFLDB_PIN": bad})
    for refused in (trusted(cli, "--pin", bad, status=1), trusted(cli, environment={"WFLDB_PIN": bad}, status=1)):
        assert "another key than the one that is pinned" in refused and refused.endswith("(certificate)")
    key = Key()
    content = json.loads(key.file(issue(server.root, key, [Grant()])))
    for pin, status in ((good, 0), (bad, 1)):
        (tmp_path / "own.json").write_text(json.dumps({**content, "pin": pin}))
        (tmp_path / "own.json").chmod(0o600)
        trusted(cli, "--credential", "own.json", status=status)
    # A pin comes besides the authorities, not instead of them.
    assert "not to be trusted" in trusted(cli, "--pin", good, environment={"WFLDB_CA": None}, status=1) or not os.path.exists("/etc/ssl/certs")


@pytest.mark.parametrize("pin", ["", "sha256//", "sha256/AAAA", "md5//" + "A" * 44, "sha256//" + "A" * 44, "sha256//" + "A" * 42 + "=",
                                 "/etc/passwd", "sha256//" + "A" * 43 + "=;", "sha256//" + "!" * 43 + "="], ids=str)
def test_what_is_no_pin_is_used_wrongly(cli, pin):
    if pin == "":  # as a variable that is not set
        trusted(cli, "--pin", pin)
    else:
        assert "is no pin" in trusted(cli, "--pin", pin, status=2)


def test_a_pin_needs_tls(cli, server, certificate):
    assert "use https" in trusted(cli, "--pin", certificate.pin, "--endpoint", f"http://{server.address}", status=2)


def test_a_file_of_authorities_that_cannot_be_used(cli, tmp_path):
    assert "none.pem" in trusted(cli, "--ca", "none.pem", status=2)
    (tmp_path / "junk.pem").write_text("junk")
    line = trusted(cli, "--ca", "junk.pem", status=1)
    assert line.endswith("(certificate)"), line


def test_the_wrong_kind_of_port(cli, server):
    line = trusted(cli, "--endpoint", f"https://{server.address}", status=1)
    assert "is it an http:// port?" in line
    line = trusted(cli, "--endpoint", f"http://{server.tls_address}", status=1)
    assert "https://" in line or "connection" in line


def test_no_downgrade_by_redirect_or_old_version(cli, server, ca, folder):
    with FakeServer(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n") as fake:
        line = cli.run("--endpoint", f"https://{fake.address}", "ls", status=1)
        assert "(connection)" in line
        wait_until(lambda: fake.requests, "nothing came")  # it got TLS, and no request in clear
        assert not fake.requests[0].startswith("GET")
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    old = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(folder / "server.pem"), "-key",
                            str(folder / "server.key"), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-www"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while b"ACCEPT" not in old.stdout.readline():
            pass
        line = trusted(cli, "--endpoint", f"https://127.0.0.1:{port}", status=1)
        assert "no TLS can be agreed on" in line
    finally:
        old.kill()
        old.wait()


# ---- wfldb-admin

def test_admin_over_tls(cli, server, folder, certificate, tmp_path):
    cli.environment["WFLDB_CREDENTIAL"] = str(cli.credential("admin.json", [Grant("*", "", ["admin"])]))
    admin = Program("wfldb-admin", tmp_path, **{n: v for n, v in cli.environment.items() if n.startswith("WFLDB_")})
    assert admin.run("scrub")
    assert "another key" in admin.run("scrub", "--pin", Certificate("x").pin, status=1)
    assert "not to be trusted" in admin.run("scrub", "--ca", str(folder / "other.pem"), status=1)
    assert "not to be trusted" in admin.run("revoke", "--ca", str(folder / "other.pem"), "--kid", "A" * 43, status=1)


def test_a_credential_says_all_that_is_needed(server, folder, certificate, tmp_path):
    admin = Program("wfldb-admin", tmp_path)
    (tmp_path / "root.json").write_text(server.root.file())
    (tmp_path / "root.json").chmod(0o600)
    admin.run("keygen", "--out", "own.json")
    where = ["--endpoint", f"https://{server.tls_address}", "--ca", str(folder / "ca.pem"), "--pin", certificate.pin]
    admin.run("issue", "--key", "root.json", "--to", "own.json", "--grant", "*=get,scan", *where, "--credential", "--out", "one.json")
    admin.run("issue", "--key", "root.json", "--to", "own.json", "--grant", "*=get,scan", "--out", "packet")
    admin.run("credential", "own.json", "packet", *where, "--out", "two.json")
    for name in ("one.json", "two.json"):
        made = json.loads((tmp_path / name).read_text())
        assert (made["endpoint"], made["ca"], made["pin"]) == (where[1], where[3], where[5])
        Program("wfldb", tmp_path, WFLDB_CREDENTIAL=str(tmp_path / name)).run("ls")
    assert "--credential" in admin.run("issue", "--key", "root.json", "--to", "own.json", "--grant", "*=get", "--pin", certificate.pin,
                                       "--out", "three", status=2)
