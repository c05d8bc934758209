# SPDX-License-Identifier: Apache-2.0
"""Signed requests to a server, over HTTP/1.1 or HTTP/2, on a connection that is kept."""
from urllib.parse import quote

from .http1 import Connection
from .http2 import Connection2
from .keys import Grant, Key, issue
from .signing import Credential, signed_headers


class ProtocolError(AssertionError):
    pass


def path_of(bucket, key=None):
    return f"/v1/{bucket}" if key is None else f"/v1/{bucket}/{quote(key.encode() if isinstance(key, str) else key, safe='/')}"


class Client:
    def __init__(self, server, grants=None, *, key=None, packet=None, http=1, tls=None, **issue_options):
        self.server, self.http, self.tls = server, http, tls
        self.through = None  # an address before the server's own
        self.key = key or Key()
        self.packet = packet or issue(server.root, self.key, grants or [Grant()], **issue_options)
        self.credential = Credential(self.key, self.packet)
        self.connection = None

    @property
    def address(self):
        return self.through or (self.server.tls_address if self.tls else self.server.address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def connect(self):
        if self.connection is None:
            self.connection = (Connection if self.http == 1 else Connection2)(self.address, tls=self.tls)
        return self.connection

    def headers(self, method, target, headers=(), body=None, **sign):
        return signed_headers(self.credential, method, target, sign.pop("authority", self.address),
                              headers, body, **sign)

    def _answer(self, send):
        """A connection that the server has closed is left behind."""
        try:
            response = send(self.connect())
        except (EOFError, OSError):
            self.close()
            raise
        if response.header("connection", "").lower() == "close":
            self.close()
        return response

    def request(self, method, target, headers=(), body=None, **sign):
        """One request, one answer."""
        signed = self.headers(method, target, headers, body, **sign)
        return self._answer(lambda connection: connection.request(method, target, signed, body))

    def stream(self, method, target, pieces, headers=(), **sign):
        """The same with a body of unknown length, sent piece by piece."""
        pieces = list(pieces)
        signed = self.headers(method, target, headers, b"".join(pieces), **sign)
        return self._answer(lambda connection: connection.stream(method, target, pieces, signed))

    def expect(self, status, method, target, headers=(), body=None, **sign):
        response = self.request(method, target, headers, body, **sign)
        if response.status != status:
            raise ProtocolError(f"{method} {target}: {response}")
        return response

    # ---- what tests do most

    def make_bucket(self, bucket, settings=b""):
        return self.expect(201, "PUT", path_of(bucket), body=settings)

    def put(self, bucket, key, body, headers=(), status=None, **sign):
        response = self.request("PUT", path_of(bucket, key), headers, body, **sign)
        if response.status not in ((200, 201) if status is None else (status,)):
            raise ProtocolError(f"PUT {bucket}/{key}: {response}")
        return response

    def get(self, bucket, key, status=200, headers=(), method="GET"):
        return self.expect(status, method, path_of(bucket, key), headers)

    def delete(self, bucket, key, status=204, headers=()):
        return self.expect(status, "DELETE", path_of(bucket, key), headers)

    def page(self, bucket, **parameters):
        query = "&".join(f"{n.rstrip('_')}={quote(str(v), safe='')}" for n, v in parameters.items())
        return self.expect(200, "GET", f"/v1/{bucket}/scan" + (f"?{query}" if query else "")).json

    def scan(self, bucket, **parameters):
        """All pages: (items, prefixes)."""
        items, prefixes = [], []
        page = self.page(bucket, **parameters)
        while True:
            items += page["items"]
            prefixes += page.get("prefixes", [])
            if "cursor" not in page:
                return items, prefixes
            page = self.page(bucket, **{**parameters, "cursor": page["cursor"]})
