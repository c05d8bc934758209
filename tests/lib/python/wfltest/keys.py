# SPDX-License-Identifier: Apache-2.0
"""Ed25519 keys and key packets (protocol, Keys and Key packets)."""
import base64
import hashlib
import json
import os
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ALL_OPS = ["get", "put", "delete", "scan", "watch", "manage", "admin"]


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def ulid(ms=None):
    value = (int(time.time() * 1000) if ms is None else ms) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(CROCKFORD[value >> 5 * i & 31] for i in range(25, -1, -1))


class Key:
    def __init__(self, seed=None):
        self.seed = seed or os.urandom(32)
        self.private = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self.private.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64u(self.public)}
        text = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64u(self.public)}"}}'
        self.thumb = b64u(hashlib.sha256(text.encode()).digest())

    def sign(self, message):
        return self.private.sign(message)

    def file(self, packet=None, endpoint=None):
        """The text of a key file; with a packet, of a credential file."""
        out = {**self.jwk, "d": b64u(self.seed), "kid": self.thumb}
        if packet:
            out["packet"] = packet
        if endpoint:
            out["endpoint"] = endpoint
        return json.dumps(out)


def Grant(bucket="*", prefix=None, ops=("get", "put", "delete", "scan", "watch", "manage")):
    grant = {"bucket": bucket, "ops": list(ops)}
    if prefix is not None:
        grant["prefix"] = prefix
    return grant


def link(signer, holder, grants, *, ttl=3600, iat=None, kid=None, header=None, payload=None, wfl=None,
         delegate=0, sub=None, aud=None, nbf=None, exp=None, jti=None, limits=None, signature=None):
    """One JWT. `header`, `payload` and `wfl` update what would be written (None takes a member away)."""
    iat = int(time.time()) if iat is None else iat
    head = {"alg": "EdDSA", "typ": "wfl-packet+jwt", "kid": kid or signer.thumb}
    body = {"jti": jti or ulid(), "iat": iat, "exp": iat + ttl if exp is None else exp,
            "cnf": {"jwk": dict(holder.jwk)}, "wfl": {"v": 1, "delegate": delegate, "grants": grants}}
    for name, value in (("sub", sub), ("aud", aud), ("nbf", nbf)):
        if value is not None:
            body[name] = value
    if limits is not None:
        body["wfl"]["limits"] = limits
    for target, update in ((head, header), (body["wfl"], wfl), (body, payload)):
        for name, value in (update or {}).items():
            if value is None:
                target.pop(name, None)
            else:
                target[name] = value
    text = b64u(json.dumps(head).encode()) + "." + b64u(json.dumps(body).encode())
    return text + "." + b64u(signer.sign(text.encode()) if signature is None else signature)


def issue(signer, holder, grants, parent=None, **options):
    """A packet: one link, or a parent's packet and one more."""
    last = link(signer, holder, grants, **options)
    return f"{parent}~{last}" if parent else last
