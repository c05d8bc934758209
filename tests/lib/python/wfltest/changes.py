# SPDX-License-Identifier: Apache-2.0
"""Readers of the change stream in its three shapes (protocol, Changes)."""
import json
from urllib.parse import quote

from .http1 import Connection
from .http2 import Connection2

EVENTS, LINES = "text/event-stream", "application/x-ndjson"


def target_of(bucket, **parameters):
    query = "&".join(f"{n}={quote(str(v), safe='')}" for n, v in parameters.items())
    return f"/v1/{bucket}/changes" + (f"?{query}" if query else "")


class Stream:
    """An answer without an end, on a connection of its own, read piece by piece."""

    def __init__(self, client, bucket, accept, headers=(), connection=None, **parameters):
        self.accept, self.http = accept, client.http
        target = target_of(bucket, **parameters)
        signed = client.headers("GET", target, [("Accept", accept), *headers])
        self.connection = connection or (Connection if self.http == 1 else Connection2)(client.address, tls=client.tls)
        self.text = b""
        self.ended = False
        self.comments = 0
        self.last_id = None
        if self.http == 1:
            self.connection.send_head("GET", target, signed)
        else:
            self.stream = self.connection.start("GET", target, signed)

    def head(self):
        """Wait for status and headers."""
        if self.http == 1:
            self.response = self.connection.read_head()
        else:
            while self.stream not in self.connection.answers:
                if self.stream in self.connection.reset or not self.connection.pump():
                    raise EOFError("the stream ended before its head")
            self.response = self.connection.answers[self.stream]
        assert self.response.status == 200, self.response
        assert self.response.header("content-type") == self.accept
        return self

    def __enter__(self):
        return self.head()

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def _more(self):
        """Wait for bytes. False: the stream has ended, as streams should."""
        if self.ended:
            return False
        if self.http == 1:
            size = int(self.connection._line(), 16)
            self.text += self.connection._exactly(size)
            assert self.connection._exactly(2) == b"\r\n"
            self.ended = size == 0
        else:
            body = self.response.body
            while not body and self.stream not in self.connection.ended:
                if self.stream in self.connection.reset or not self.connection.pump():
                    raise EOFError("the stream was broken off")
            self.text += bytes(body)
            self.ended = not body
            body.clear()
        return not self.ended

    def _block(self):
        """Up to the empty line; None at the end."""
        separator = b"\n\n" if self.accept == EVENTS else b"\n"
        while separator not in self.text:
            if not self._more():
                assert self.text == b"", self.text
                return None
        block, _, self.text = self.text.partition(separator)
        return block.decode()

    def _event(self, block):
        fields = {}
        for line in block.split("\n"):
            if line.startswith(":"):
                self.comments += 1
                continue
            name, _, value = line.partition(": ")
            assert name in ("id", "event", "data") and name not in fields, block
            fields[name] = value
        self.last_id = fields.get("id", self.last_id)
        if "data" not in fields:
            return None
        change = json.loads(fields["data"])
        assert fields["id"] == change["version"] and fields["event"] == change["op"]
        return change

    def next(self):
        """The next change; None at the end of the stream."""
        while True:
            block = self._block()
            if block is None:
                return None
            change = self._event(block) if self.accept == EVENTS else json.loads(block)
            if change is not None:
                return change

    def next_comment(self):
        """Wait for one; nothing else may come."""
        before = self.comments
        while self.comments == before:
            block = self._block()
            assert block is not None and self._event(block) is None, block

    def take(self, count):
        return [self.next() for _ in range(count)]


class Follower:
    """Follows a bucket from a position on, comes back wherever it is broken off, keeps what it saw."""

    def __init__(self, client, bucket, shape, after=None, **parameters):
        self.client, self.bucket, self.shape, self.parameters = client, bucket, shape, parameters
        self.position = after
        self.seen = []
        self.breaks = 0

    def _stream(self):
        parameters, headers = dict(self.parameters), []
        if self.position is not None and self.shape == EVENTS:
            headers = [("Last-Event-ID", self.position)]
        elif self.position is not None:
            parameters["after"] = self.position
        with Stream(self.client, self.bucket, self.shape, headers, **parameters) as stream:
            while (change := stream.next()) is not None:
                self.seen.append(change)
                self.position = change["version"]
                yield

    def _pages(self):
        while True:
            parameters = {**self.parameters, "wait": 60}
            if self.position is not None:
                parameters["after"] = self.position
            page = self.client.expect(200, "GET", target_of(self.bucket, **parameters)).json
            self.seen += page["changes"]
            self.position = page["next"]
            yield

    def follow(self, until, again):
        """Until `until(self)`; `again()` waits for the server to be there again."""
        while not until(self):
            try:
                for _ in self._stream() if self.shape in (EVENTS, LINES) else self._pages():
                    if until(self):
                        return
            except (OSError, EOFError):
                self.breaks += 1
                self.client.close()
            again()
