# SPDX-License-Identifier: Apache-2.0
"""Sessions (protocol, Sessions), with X25519 from cryptography and HKDF from hmac."""
import hashlib
import hmac
import itertools
import json
import os

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from .client import Client
from .keys import b64u, unb64u

TARGET = "/v1/-/session"


def _hmac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def transcript(session, client_x25519, server_x25519, expires, packet):
    return (f"WFLDB1 session\n{session}\n{client_x25519}\n{server_x25519}\n{expires}\n"
            f"{hashlib.sha256(packet.encode()).hexdigest()}\n").encode()


def scope_of(target):
    """The bucket of a target, or "-"."""
    parts = target.partition("?")[0].split("/")
    return (parts[2] if len(parts) > 2 else "") or "-"


class Ephemeral:
    """One side's key of an exchange."""

    def __init__(self, private=None):
        self.private = X25519PrivateKey.from_private_bytes(private or os.urandom(32))
        self.text = b64u(self.private.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw))

    def prk(self, other, transcript_text):
        shared = self.private.exchange(X25519PublicKey.from_public_bytes(unb64u(other)))
        return _hmac(hashlib.sha256(transcript_text).digest(), shared)


def mac_key(prk, scope):
    return _hmac(prk, b"WFLDB1 mac\n" + scope.encode() + b"\n\x01").hex()


class Session:
    """An open session as a credential; with `scope` one that has that scope's key only."""
    scheme = "Session"

    def __init__(self, text, prk, expires, scope=None):
        self.text, self.prk, self.expires, self.scope = text, prk, expires, scope
        self.counter = itertools.count(1)

    def next_nonce(self):
        return str(next(self.counter))

    def narrow(self, scope):
        """The same session, with the key of one scope for whatever is signed."""
        other = Session(self.text, self.prk, self.expires, scope)
        other.counter = self.counter
        return other

    def sign(self, text, target):
        key = mac_key(self.prk, self.scope or scope_of(target))
        return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def ask(client, ttl=3600, ephemeral=None, **sign):
    """The server's answer to a request for a session, and the ephemeral key."""
    ephemeral = ephemeral or Ephemeral()
    body = json.dumps({"x25519": ephemeral.text, "ttl": ttl}).encode()
    return client.request("POST", TARGET, body=body, **sign), ephemeral


def open_session(client, ttl=3600, identity=None):
    """A client that goes on in a session, over the same kind of connection. `identity`: a JWK that must have signed."""
    response, ephemeral = ask(client, ttl)
    assert response.status == 201, response
    answer = response.json
    text = transcript(answer["session"], ephemeral.text, answer["x25519"], answer["expires"], client.packet)
    if identity is not None:
        Ed25519PublicKey.from_public_bytes(unb64u(identity["x"])).verify(unb64u(answer["signature"]), text)
    other = Client(client.server, key=client.key, packet=client.packet, http=client.http)
    other.credential = Session(answer["session"], ephemeral.prk(answer["x25519"], text), answer["expires"])
    return other
