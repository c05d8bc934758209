# SPDX-License-Identifier: Apache-2.0
"""Canonical and signed requests (protocol, Canonical request and Signed requests)."""
import hashlib
import secrets
import time
from urllib.parse import quote_from_bytes, unquote_to_bytes

from .keys import b64u

SIGNED = {"content-type", "if-match", "if-none-match", "if-range", "range"}
UNRESERVED = "-._~"


def _again(text):
    return quote_from_bytes(unquote_to_bytes(text), safe=UNRESERVED)


def canonical(method, target, authority, headers, credential):
    path, _, query = target.partition("?")
    pieces = []
    if query:
        for piece in query.split("&"):
            name, _, value = piece.partition("=")
            pieces.append((_again(name), _again(value)))
    signed = []
    for name, value in headers:
        name = name.lower()
        if name in SIGNED or (name.startswith("x-wfldb-") and name != "x-wfldb-signature"):
            signed.append(f"{name}:{value.strip(' ' + chr(9))}")
    lines = ["WFLDB1", method, "/".join(_again(part) for part in path.split("/")),
             "&".join(f"{n}={v}" for n, v in sorted(pieces) if n != "wfl-signature"),
             authority.lower(), hashlib.sha256(credential.encode()).hexdigest()]
    lines += sorted(signed, key=lambda line: line.partition(":")[0])
    return ("\n".join(lines) + "\n").encode()


def timestamp(at=None, decimals=6):
    ns = time.time_ns() if at is None else int(at * 1e9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9))
    fraction = f"{ns % 10**9:09d}"[:decimals]
    return f"{text}.{fraction}Z" if decimals else f"{text}Z"


def nonce():
    return secrets.token_hex(12)


class Credential:
    """A packet and the key that it was issued to. `Session` (session.py) has the same shape."""
    scheme = "Bearer"

    def __init__(self, key, packet):
        self.key, self.packet = key, packet

    @property
    def text(self):
        return self.packet

    def next_nonce(self):
        return nonce()

    def sign(self, text, target):
        return b64u(self.key.sign(text))


def signed_headers(credential, method, target, authority, headers=(), body=None, *, at=None, nonce_text=None,
                   content="sha256", stamp=None):
    """The whole list of headers to send. `content`: sha256, unsigned, or None for no declaration."""
    out = list(headers)
    if body is not None and content == "sha256":
        out.append(("X-WflDB-Content-SHA256", hashlib.sha256(body).hexdigest()))
    elif content == "unsigned":
        out.append(("X-WflDB-Content-SHA256", "unsigned"))
    out.append(("X-WflDB-Timestamp", stamp or timestamp(at)))
    out.append(("X-WflDB-Nonce", nonce_text or credential.next_nonce()))
    text = canonical(method, target, authority, out, credential.text)
    out.append(("Authorization", f"{credential.scheme} {credential.text}"))
    out.append(("X-WflDB-Signature", credential.sign(text, target)))
    return out
