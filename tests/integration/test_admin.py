# SPDX-License-Identifier: Apache-2.0
"""wfldb-admin: keys and packets (protocol, Keys, Key packets and Programs). It works on files; what it issues is used
on a real server and read by the tests' own implementation."""
import base64
import json
import os
import stat
import subprocess

import pytest

from wfltest import Client, Grant, Key, binary, issue
from wfltest.programs import Program


class Admin(Program):
    def __init__(self, folder):
        super().__init__("wfldb-admin", folder)

    def file(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return name

    def key(self, name="key.json"):
        key = Key()
        self.file(name, key.file())
        return key

    def json(self, *words):
        return json.loads(self.run(*words, "--json"))


@pytest.fixture
def admin(tmp_path):
    return Admin(tmp_path)


def payload(packet, index=-1):
    part = packet.strip().split("~")[index].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# ---- the program

def test_help_and_version(admin):
    text = admin.run("--help")
    for word in ("keygen", "public", "issue", "inspect", "--grant", "--parent", "--root", "Exit codes"):
        assert word in text
    assert admin.run("issue", "--help") == text
    assert admin.run("--version").startswith("wfldb-admin ")
    with open("/dev/full", "wb") as full:
        assert "No space left" in admin.run("--help", stdout=full, status=1)


@pytest.mark.parametrize("words, says", [
    ([], "name a command"), (["fly"], "'fly' is no command"), (["keygen", "x"], "--out FILE"), (["keygen", "--fly"], "--fly is no option"),
    (["public"], "one key file"), (["public", "a", "b"], "one key file"), (["inspect"], "one packet file"), (["issue"], "--key FILE"),
    (["issue", "--key", "key.json"], "--to JWK-FILE"), (["issue", "--key", "key.json", "--to", "to.json"], "--grant"),
    (["issue", "--key", "a", "--key", "b"], "--key is given twice"), (["issue", "word"], "'word' is not expected"), (["credential", "a", "b"], "--out FILE"),
    (["credential", "a", "--out", "b"], "KEY-FILE PACKET-FILE"),
])
def test_used_wrongly_is_2_and_says_how_it_is_done(admin, words, says):
    assert says in admin.run(*words, status=2)


@pytest.mark.parametrize("option, value, says", [
    ("--grant", "bucket", "BUCKET[:PREFIX]=OP"), ("--grant", "bucket=", "BUCKET"), ("--grant", "bucket=fly", "ops"), ("--grant", "b!=get", "BUCKET"),
    ("--grant", "bucket=get,get", "BUCKET"), ("--grant", "bucket=*", "BUCKET"), ("--grant", "=get", "BUCKET"), ("--ttl", "soon", "30d"), ("--ttl", "0", "30d"),
    ("--ttl", "-1d", "30d"), ("--ttl", "1w", "30d"), ("--ttl", "99999999999999999999d", "30d"), ("--delegate", "5", "0 to 4"),
    ("--delegate", "-1", "0 to 4"), ("--limit", "speed=1", "NAME=N"), ("--limit", "requests_per_second=0", "NAME=N"),
    ("--limit", "max_object_bytes", "NAME=N"), ("--endpoint", "http://h", "--credential"), ("--credential", None, "--out FILE"),
])
def test_a_wrong_option_of_issue(admin, option, value, says):
    admin.key("key.json"), admin.key("to.json")
    words = ["issue", "--key", "key.json", "--to", "to.json", option] + ([value] if value else [])
    if option != "--grant":
        words += ["--grant", "bucket=get"]
    assert says in admin.run(*words, status=2)


# ---- keygen and public

def test_keygen_makes_a_key_that_only_its_owner_reads(admin):
    thumb = admin.run("keygen", "--out", "new.json").strip()
    made = json.loads((admin.folder / "new.json").read_text())
    seed = base64.urlsafe_b64decode(made["d"] + "=")
    key = Key(seed)
    assert made == {**key.jwk, "d": made["d"], "kid": key.thumb} and thumb == key.thumb
    assert mode(admin.folder / "new.json") == 0o600
    said = admin.json("keygen", "--out", "other.json")
    assert said["file"] == "other.json" and said["jwk"]["x"] != made["x"] and "d" not in said["jwk"]
    assert len(said["thumbprint"]) == 43


def test_keygen_without_a_name_takes_the_thumbprint(admin):
    said = admin.json("keygen")
    assert said["thumbprint"] in said["file"] and not said["file"].startswith("-")
    assert os.listdir(admin.folder) == [said["file"]]
    assert admin.run("public", said["file"])


@pytest.mark.parametrize("what", ["file", "link", "dangling", "folder"])
def test_a_key_file_never_replaces_anything(admin, what):
    target = admin.folder / "there.json"
    if what == "file":
        target.write_text("precious")
    elif what == "folder":
        target.mkdir()
    else:
        target.symlink_to("other")
        if what == "link":
            admin.file("other", "precious")
    admin.key("key.json")
    admin.key("to.json")
    issue_words = ["issue", "--key", "key.json", "--to", "to.json", "--grant", "bucket=get", "--out", "there.json"]
    for words in (["keygen", "--out", "there.json"], issue_words, issue_words + ["--credential"]):
        assert "there.json" in admin.run(*words, status=1)
    if what != "folder":
        assert (admin.folder / "other").exists() == (what == "link")
        assert what == "dangling" or target.read_text() == "precious"


def test_where_nothing_can_be_written_it_fails(admin):
    admin.key("key.json")
    for words in (["keygen"], ["issue", "--key", "key.json", "--to", "key.json", "--grant", "bucket=get"]):
        assert "No such file" in admin.run(*words, "--out", "no/such/folder", status=1)


def test_public_shows_the_public_half_alone(admin):
    key = admin.key("key.json")
    assert json.loads(admin.run("public", "key.json")) == key.jwk
    admin.file("public.json", admin.run("public", "key.json"), 0o644)
    assert json.loads(admin.run("public", "public.json")) == key.jwk
    admin.file("credential.json", key.file("packet"))
    assert json.loads(admin.run("public", "credential.json")) == key.jwk
    with open("/dev/full", "wb") as full:
        assert "No space left" in admin.run("public", "key.json", stdout=full, status=1)


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"{}", b"\0", b"x" * 70000, b'{"kty":"OKP","crv":"Ed25519","x":"AA"}', b'{"kty":"OKP","crv":"X25519","x":"%s"}' % (b"A" * 43),
    b'{"kty":"OKP","crv":"Ed25519","x":"%s"}' % (b"A" * 43), b'{"kty":"OKP","kty":"OKP","crv":"Ed25519","x":"%s"}' % Key().jwk["x"].encode(),
], ids=["empty", "cut", "array", "nothing", "nul", "huge", "short", "other-curve", "small-order", "twice"])
def test_what_is_no_key_is_refused(admin, text):
    admin.file("bad.json", text)
    admin.key("key.json")
    for words in (["public", "bad.json"], ["issue", "--key", "bad.json", "--to", "key.json", "--grant", "bucket=get"],
                  ["issue", "--key", "key.json", "--to", "bad.json", "--grant", "bucket=get"]):
        assert "bad.json" in admin.run(*words, status=1)
    assert "none.json" in admin.run("public", "none.json", status=4)


# ---- issue

def test_issue_writes_what_the_options_say(admin):
    root, holder = admin.key("root.json"), admin.key("holder.json")
    packet = admin.run("issue", "--key", "root.json", "--to", "holder.json", "--grant", "photos:2026/=get,put", "--grant", "logs*=scan",
                       "--grant", "a-b.c:x:y=z=delete,watch", "--ttl", "12h", "--delegate", "2", "--sub", "alice@laptop", "--aud", "prod-eu",
                       "--limit", "max_object_bytes=1048576", "--limit", "requests_per_second=50")
    body = payload(packet)
    assert body["exp"] - body["iat"] == 12 * 3600
    assert (body["sub"], body["aud"], body["cnf"]) == ("alice@laptop", "prod-eu", {"jwk": holder.jwk})
    assert body["wfl"]["delegate"] == 2 and body["wfl"]["limits"] == {"max_object_bytes": 1048576, "requests_per_second": 50}
    grants = [(g["bucket"], g.get("prefix", ""), sorted(g["ops"])) for g in body["wfl"]["grants"]]
    assert grants == [("photos", "2026/", ["get", "put"]), ("logs*", "", ["scan"]), ("a-b.c", "x:y=z", ["delete", "watch"])]
    assert packet.count("\n") == 1 and packet.count("~") == 0
    default = payload(admin.run("issue", "--key", "root.json", "--to", "holder.json", "--grant", "*=get"))
    assert default["exp"] - default["iat"] == 30 * 86400 and default["wfl"].get("delegate", 0) == 0
    said = admin.json("issue", "--key", "root.json", "--to", "holder.json", "--grant", "*=get", "--out", "it.packet")
    assert said["packet"] == (admin.folder / "it.packet").read_text().strip() and said["file"] == "it.packet"
    assert (said["jti"], said["exp"], said["holder"]) == (payload(said["packet"])["jti"], payload(said["packet"])["exp"], holder.thumb)


@pytest.mark.parametrize("ttl, seconds", [("90", 90), ("90s", 90), ("5m", 300), ("1d", 86400), ("3650d", 3650 * 86400)])
def test_a_time_to_live(admin, ttl, seconds):
    admin.key("key.json")
    body = payload(admin.run("issue", "--key", "key.json", "--to", "key.json", "--grant", "*=get", "--ttl", ttl))
    assert body["exp"] - body["iat"] == seconds


def test_a_credential_is_key_and_packet_in_one(admin, server):
    admin.file("root.json", server.root.file())
    holder = admin.key("holder.json")
    words = ["issue", "--key", "root.json", "--to", "holder.json", "--grant", "*=get,put,manage", "--credential", "--out", "credential.json"]
    admin.run(*words, "--endpoint", "http://127.0.0.1:1")
    made = json.loads((admin.folder / "credential.json").read_text())
    assert made == json.loads(holder.file(made["packet"], "http://127.0.0.1:1"))
    assert mode(admin.folder / "credential.json") == 0o600
    with Client(server, key=holder, packet=made["packet"]) as client:
        client.make_bucket("made-by-admin")
    admin.file("public.json", json.dumps(holder.jwk))
    said = admin.run("issue", "--key", "root.json", "--to", "public.json", "--grant", "*=get", "--credential", "--out", "no.json", status=1)
    assert "credential" in said and not (admin.folder / "no.json").exists()


def test_a_guest_joins_its_key_and_the_packet(admin, server):
    """The key was never in the issuer's hands; `credential` puts both into the file that clients use."""
    admin.file("root.json", server.root.file())
    guest = admin.key("guest.json")
    admin.file("guest.pub.json", admin.run("public", "guest.json"))
    admin.run("issue", "--key", "root.json", "--to", "guest.pub.json", "--grant", "guests=manage,put", "--out", "guest.packet")
    words = ["credential", "guest.json", "guest.packet", "--out", "credential.json"]
    assert admin.run(*words, "--endpoint", f"http://{server.address}") == ""
    assert mode(admin.folder / "credential.json") == 0o600
    client = Program("wfldb", admin.folder)
    client.run("--credential", "credential.json", "mb", "guests")
    assert json.loads((admin.folder / "credential.json").read_text())["kid"] == guest.thumb

    assert "exists" in admin.run(*words, status=1)
    admin.key("other.json")
    assert "another key" in admin.run("credential", "other.json", "guest.packet", "--out", "no.json", status=1)
    assert "none" in admin.run("credential", "none", "guest.packet", "--out", "no.json", status=4)
    assert "none" in admin.run("credential", "guest.json", "none", "--out", "no.json", status=4)
    admin.file("bad", "a.b.c")
    assert "credential" in admin.run("credential", "guest.json", "bad", "--out", "no.json", status=1)
    (admin.folder / "guest.json").chmod(0o644)
    assert "chmod 600" in admin.run("credential", "guest.json", "guest.packet", "--out", "no.json", status=1)
    assert not (admin.folder / "no.json").exists()


def test_a_holder_hands_on_less_and_the_server_agrees(admin, server):
    """root -> alice (photos) -> bob (photos/2026, reading): nobody asks the server in between."""
    admin.file("root.json", server.root.file())
    alice, bob = admin.key("alice.key.json"), Key()
    admin.file("bob.pub.json", json.dumps(bob.jwk), 0o644)
    admin.run("issue", "--key", "root.json", "--to", "alice.key.json", "--grant", "hand-on:=get,put,scan,manage", "--delegate", "1", "--credential",
              "--out", "alice.json")
    packet = admin.run("issue", "--key", "alice.key.json", "--parent", "alice.json", "--to", "bob.pub.json", "--grant", "hand-on:2026/=get").strip()
    assert packet.startswith(json.loads((admin.folder / "alice.json").read_text())["packet"] + "~")
    # The same from a packet's text, and with the credential as the key.
    admin.file("alice.packet", packet.split("~")[0] + "\n")
    again = admin.run("issue", "--key", "alice.json", "--parent", "alice.packet", "--to", "bob.pub.json", "--grant", "hand-on:2026/=get").strip()
    with Client(server, key=alice, packet=packet.split("~")[0]) as client:
        client.make_bucket("hand-on")
        client.put("hand-on", "2026/a", b"hello")
        client.put("hand-on", "2027/a", b"hello")
    for text in (packet, again):
        with Client(server, key=bob, packet=text) as client:
            assert client.get("hand-on", "2026/a").body == b"hello"
            assert client.get("hand-on", "2027/a", 403).code == "forbidden"
            assert client.put("hand-on", "2026/a", b"", status=403).code == "forbidden"


@pytest.mark.parametrize("grant, options, says", [
    ("other=get", [], "escalat"), ("photos=get", [], "escalat"), ("photos:2026/=get,put", [], "escalat"), ("*=get", [], "escalat"),
    ("photos:2026/=get", ["--delegate", "1"], "delegate"), ("photos:2026/=manage", [], "prefix"), ("photos:2026/=admin", [], "admin"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_nobody_hands_on_more_than_there_is(admin, grant, options, says):
    root, alice = admin.key("root.json"), admin.key("alice.json")
    admin.file("parent", issue(root, alice, [Grant("photos", "2026/", ["get", "scan"])], delegate=1))
    said = admin.run("issue", "--key", "alice.json", "--parent", "parent", "--to", "root.json", "--grant", grant, *options, "--out", "new", status=1)
    assert said.startswith("not issued: ")
    assert not (admin.folder / "new").exists()


def test_only_the_holder_hands_on(admin):
    root, alice = admin.key("root.json"), admin.key("alice.json")
    admin.key("mallory.json")
    admin.file("parent", issue(root, alice, [Grant()], delegate=1))
    admin.file("leaf", issue(root, alice, [Grant()]))
    words = ["--to", "mallory.json", "--grant", "*=get"]
    assert "not issued" in admin.run("issue", "--key", "mallory.json", "--parent", "parent", *words, status=1)
    assert "not issued" in admin.run("issue", "--key", "alice.json", "--parent", "leaf", *words, status=1)
    assert "none" in admin.run("issue", "--key", "alice.json", "--parent", "none", *words, status=4)
    admin.file("broken", "a.b.c")
    assert "not issued" in admin.run("issue", "--key", "alice.json", "--parent", "broken", *words, status=1)


def test_a_private_key_that_others_can_read_is_refused(admin):
    key = admin.key("key.json")
    for bits in (0o640, 0o604, 0o644, 0o660):
        (admin.folder / "key.json").chmod(bits)
        said = admin.run("issue", "--key", "key.json", "--to", "key.json", "--grant", "*=get", status=1)
        assert "chmod 600" in said and json.loads(key.file())["d"] not in said
    assert admin.run("public", "key.json")  # the public half is no secret


# ---- inspect

def test_inspect_says_it_in_words(admin):
    root, alice, bob = admin.key("root.json"), Key(), Key()
    first = issue(root, alice, [Grant("photos*", None, ["get", "scan"])], delegate=1, sub="alice", aud="prod",
                  limits={"requests_per_second": 50}, ttl=30 * 86400 + 100)
    admin.file("packet", issue(alice, bob, [Grant("photos-1", "2026/", ["get"])], parent=first) + "\n", 0o644)
    said = admin.run("inspect", "packet")
    for words in ("link 1 of 2", "link 2 of 2", "'alice'", "'prod'", root.thumb, alice.thumb, bob.thumb, "get,scan in photos*",
                  "get in photos-1 below '2026/'", "requests_per_second 50", "30 days left", "not judged", "1 more link"):
        assert words in said, words
    assert "accepted" in admin.run("inspect", "packet", "--root", "root.json", "--aud", "prod")
    document = admin.json("inspect", "packet", "--root", "root.json", "--aud", "prod")
    assert document["verdict"] == "ok"
    assert [link["holder"] for link in document["links"]] == [alice.thumb, bob.thumb]
    assert document["links"][0]["limits"] == {"requests_per_second": 50}
    assert document["links"][1]["grants"] == [{"bucket": "photos-1", "prefix": "2026/", "ops": ["get"]}]


@pytest.mark.parametrize("make, verdict", [
    (lambda root, holder: issue(Key(), holder, [Grant()]), "packet_untrusted"),
    (lambda root, holder: issue(root, holder, [Grant()], signature=b"\0" * 64), "packet_signature"),
    (lambda root, holder: issue(root, holder, [Grant()], iat=1000, ttl=1000), "packet_expired"),
    (lambda root, holder: issue(root, holder, [Grant()], nbf=4000000000, exp=4000000001), "packet_not_yet_valid"),
    (lambda root, holder: issue(root, holder, [Grant()], aud="elsewhere"), "packet_audience"),
    (lambda root, holder: issue(holder, root, [Grant()], parent=issue(root, holder, [Grant("one")], delegate=1)), "packet_escalation"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_inspect_judges_as_the_server_does(admin, make, verdict):
    root, holder = admin.key("root.json"), Key()
    admin.file("packet", make(root, holder))
    for extra in ([], ["--json"]):
        done = run_refused(admin, "inspect", "packet", "--root", "root.json", *extra)
        assert verdict in done
    assert admin.run("inspect", "packet")  # without a root nothing is judged


def run_refused(admin, *words):
    """inspect's answer is its output, also where that is a no: exit 3 and the verdict on stdout."""
    done = subprocess.run([binary("wfldb-admin"), *words], capture_output=True, cwd=admin.folder, env=admin.environment, timeout=60)
    assert done.returncode == 3, done
    assert done.stderr == b"", done
    return done.stdout.decode()


def test_inspect_of_what_is_no_packet(admin):
    admin.key("key.json")
    for text in ("", "x", "a.b.c", "~", "{}", Key().file()):
        admin.file("bad", text)
        admin.run("inspect", "bad", status=1 if text[:1] == "{" else 3)
    assert "none" in admin.run("inspect", "none", status=4)
    assert "none" in admin.run("inspect", "bad", "--root", "none", status=4)


def test_a_packet_does_not_speak_to_the_terminal(admin):
    root = Key()
    admin.file("packet", issue(root, root, [Grant("photos", "\u001b[2J\u009b1m", ["get"])], sub="a\nb\u001b]0;x\u0007", kid="\u001b[31m\nkid",
                               aud="\u007f\u0085"))
    said = admin.run("inspect", "packet")
    assert all(ch.isprintable() or ch == "\n" for ch in said)
    assert not any(line.startswith(("b", "kid")) for line in said.splitlines())
