# SPDX-License-Identifier: Apache-2.0
"""Three outside implementations of JOSE that know nothing of us: what wfldb-admin issues they accept, what they issue the
server accepts, link by link and mixed in one chain, and what is spoiled both sides refuse (protocol, Key packets)."""
import base64
import hashlib
import hmac
import itertools
import json
import os
import subprocess
import time

import jwt
import pytest
from jwt.algorithms import OKPAlgorithm

from wfltest import Client, Grant, Key, binary
from wfltest.keys import b64u, ulid

HERE = os.path.dirname(os.path.abspath(__file__))
TYP = "wfl-packet+jwt"


class Refused(Exception):
    """An implementation does not accept the token."""


def private(key):
    return {**key.jwk, "d": b64u(key.seed)}


class PyJwt:
    def sign(self, key, header, payload):
        return jwt.encode(payload, OKPAlgorithm.from_jwk(json.dumps(private(key))), algorithm="EdDSA", headers=header)

    def verify(self, jwk, token):
        try:
            payload = jwt.decode(token, OKPAlgorithm.from_jwk(json.dumps(jwk)), algorithms=["EdDSA"], options={"verify_aud": False})
            return jwt.get_unverified_header(token), payload
        except jwt.PyJWTError as error:
            raise Refused from error


class Npm:
    def __init__(self):
        assert os.path.isdir(os.path.join(HERE, "node_modules", "jose")), "npm ci in tests/jose; ./dev test does it"

    def _ask(self, **request):
        done = subprocess.run(["node", os.path.join(HERE, "jose.mjs")], input=json.dumps(request), capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            assert "JWS" in done.stderr or "JWT" in done.stderr or "JOSE" in done.stderr, done.stderr
            raise Refused(done.stderr)
        return json.loads(done.stdout)

    def sign(self, key, header, payload):
        return self._ask(do="sign", key=private(key), header=header, payload=payload)["token"]

    def verify(self, jwk, token):
        answer = self._ask(do="verify", key=jwk, token=token, typ=TYP)
        return answer["header"], answer["payload"]


class Rhonabwy:
    def __init__(self, folder):
        self.program = str(folder / "rhonabwy")
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "librhonabwy"], capture_output=True, text=True, check=True).stdout.split()
        subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-o", self.program, os.path.join(HERE, "rhonabwy.c"), *flags], check=True, timeout=120)

    def _run(self, *words):
        done = subprocess.run([self.program, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode in (0, 1), done
        if done.returncode == 1:
            raise Refused
        return done.stdout

    def sign(self, key, header, payload):
        return self._run("sign", json.dumps({**private(key), "alg": "EdDSA"}), json.dumps(header), json.dumps(payload)).strip()

    def verify(self, jwk, token):
        header, payload = self._run("verify", json.dumps(jwk), token).splitlines()
        return json.loads(header), json.loads(payload)


NAMES = ["python3-jwt", "jose", "librhonabwy"]


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    return {"python3-jwt": PyJwt(), "jose": Npm(), "librhonabwy": Rhonabwy(tmp_path_factory.mktemp("rhonabwy"))}


@pytest.fixture(scope="module")
def files(server, tmp_path_factory):
    """The root's key file, and wfldb-admin on it."""
    folder = tmp_path_factory.mktemp("admin")
    return folder


def write(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def admin(*words):
    done = subprocess.run([binary("wfldb-admin"), *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout.strip()


def issued(files, signer, holder, *grants, parent=None, **options):
    """By wfldb-admin, from key files."""
    words = ["issue", "--key", write(files / "signer.json", signer.file()), "--to", write(files / "holder.jwk", json.dumps(holder.jwk))]
    for grant in grants:
        words += ["--grant", grant]
    if parent is not None:
        words += ["--parent", write(files / "parent.packet", parent)]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return admin(*words)


def claims(holder, *grants, delegate=0, **more):
    now = int(time.time())
    return {"jti": ulid(), "iat": now, "exp": now + 3600, "cnf": {"jwk": holder.jwk},
            "wfl": {"v": 1, "delegate": delegate, "grants": list(grants) or [Grant()]}, **more}


def head(signer):
    return {"alg": "EdDSA", "typ": TYP, "kid": signer.thumb}


@pytest.mark.parametrize("name", NAMES)
def test_what_wfldb_admin_issues_they_accept(server, files, outside, name):
    holder = Key()
    packet = issued(files, server.root, holder, "photos:2026/=get,put", "*=scan", sub="alice@\u00e4", ttl="1h", delegate=2)
    header, payload = outside[name].verify(server.root.jwk, packet)
    assert header == head(server.root)
    assert payload["sub"] == "alice@\u00e4" and payload["exp"] - payload["iat"] == 3600
    assert payload["cnf"] == {"jwk": holder.jwk}
    assert payload["wfl"] == {"v": 1, "delegate": 2, "grants": [{"bucket": "photos", "prefix": "2026/", "ops": ["get", "put"]}, {"bucket": "*", "ops": ["scan"]}]}


@pytest.mark.parametrize("name", NAMES)
def test_each_link_of_a_chain_is_a_jwt_of_its_own(server, files, outside, name):
    keys = [server.root, Key(), Key(), Key()]
    packet = None
    for i in range(3):
        packet = issued(files, keys[i], keys[i + 1], "photos=get,put", parent=packet, delegate=2 - i)
    for i, link in enumerate(packet.split("~")):
        header, payload = outside[name].verify(keys[i].jwk, link)
        assert header["kid"] == keys[i].thumb and payload["cnf"]["jwk"] == keys[i + 1].jwk


@pytest.mark.parametrize("name", NAMES)
def test_what_they_issue_we_accept(server, files, outside, name):
    holder = Key()
    packet = outside[name].sign(server.root, head(server.root), claims(holder, Grant("*", ops=["get", "put", "manage"]), sub="bob", nbf=int(time.time())))
    with Client(server, key=holder, packet=packet) as client:
        bucket = name.replace("3", "-")
        client.make_bucket(bucket)
        client.put(bucket, "k", b"x")
        assert client.get(bucket, "k").body == b"x"
        assert client.request("GET", f"/v1/{bucket}/scan").code == "forbidden"
    said = admin("inspect", write(files / "their.packet", packet), "--root", write(files / "root.jwk", json.dumps(server.root.jwk)))
    assert "bob" in said


@pytest.mark.parametrize("first, second", itertools.product([*NAMES, "wfldb-admin"], repeat=2))
def test_links_of_all_makers_make_one_chain(server, files, outside, first, second):
    middle, last = Key(), Key()
    if first == "wfldb-admin":
        packet = issued(files, server.root, middle, "*=get,scan", delegate=1)
    else:
        packet = outside[first].sign(server.root, head(server.root), claims(middle, Grant("*", ops=["get", "scan"]), delegate=1))
    if second == "wfldb-admin":
        packet = issued(files, middle, last, "witness*=get", parent=packet)
    else:
        packet += "~" + outside[second].sign(middle, head(middle), claims(last, Grant("witness*", ops=["get"])))
    with Client(server, key=last, packet=packet) as client:
        assert client.request("GET", "/v1/witness/none").code == "bucket_not_found"
        assert client.request("GET", "/v1/others/none").code == "forbidden"


def part(data):
    return b64u(data if isinstance(data, bytes) else json.dumps(data).encode())


def resigned(token, header, key_bytes, digest=hashlib.sha256):
    """The same payload under HMAC: a public key taken for a secret."""
    text = part(header) + "." + token.split(".")[1]
    return text + "." + b64u(hmac.new(key_bytes, text.encode(), digest).digest())


def altered(token, **members):
    header, payload, signature = token.split(".")
    changed = {**json.loads(base64.urlsafe_b64decode(payload + "==")), **members}
    return f"{header}.{part(changed)}.{signature}"


def flipped(token, at):
    text, signature = token.rsplit(".", 1)
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[at] ^= 1
    return f"{text}.{b64u(bytes(raw))}"


ORDER = 2 ** 252 + 27742317777372353535851937790883648493


def malleable(token):
    text, signature = token.rsplit(".", 1)
    raw = base64.urlsafe_b64decode(signature + "==")
    return f"{text}.{b64u(raw[:32] + (int.from_bytes(raw[32:], 'little') + ORDER).to_bytes(32, 'little'))}"


SPOILED = {  # what becomes of a good token, and what we say to it
    "a payload altered": (lambda t, k: altered(t, sub="mallory"), "packet_signature"),
    "an expiry put off": (lambda t, k: altered(t, exp=2 ** 40), "packet_signature"),
    "R flipped": (lambda t, k: flipped(t, 0), "packet_signature"),
    "S flipped": (lambda t, k: flipped(t, 40), "packet_signature"),
    "S plus the order": (lambda t, k: malleable(t), "packet_signature"),
    "no signature": (lambda t, k: t.rsplit(".", 1)[0] + ".", "packet_malformed"),
    "zeros for a signature": (lambda t, k: t.rsplit(".", 1)[0] + "." + b64u(bytes(64)), "packet_signature"),
    "alg none": (lambda t, k: part({**head(k), "alg": "none"}) + "." + t.split(".")[1] + ".", "packet_malformed"),
    "alg HS256 under the public key": (lambda t, k: resigned(t, {**head(k), "alg": "HS256"}, k.public), "packet_malformed"),
    "alg HS256 under the public key's text": (lambda t, k: resigned(t, {**head(k), "alg": "HS256"}, json.dumps(k.jwk).encode()), "packet_malformed"),
    "signed by another": (lambda t, k: (lambda text: text + "." + b64u(Key().sign(text.encode())))(t.rsplit(".", 1)[0]), "packet_signature"),
}


@pytest.mark.parametrize("what", SPOILED)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_spoiled_both_refuse(server, outside, name, what):
    holder = Key()
    token = PyJwt().sign(server.root, head(server.root), claims(holder))
    spoil, code = SPOILED[what]
    bad = spoil(token, server.root)
    with pytest.raises(Refused):
        outside[name].verify(server.root.jwk, bad)
    with Client(server, key=holder, packet=bad) as client:
        assert client.request("GET", "/v1/").code == code
