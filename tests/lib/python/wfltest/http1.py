# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 on a bare socket, or on TLS: what is sent is what the test wrote, what comes is read strictly."""
import json
import socket


class Response:
    def __init__(self, status, headers, body=b""):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name, default=None):
        found = [v for n, v in self.headers if n.lower() == name.lower()]
        assert len(found) < 2, f"{name} is repeated: {found}"
        return found[0] if found else default

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error code, "" for none."""
        if self.status < 400 or not self.body:
            return ""
        return self.json["code"]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


def connect(address, timeout, tls=None):
    """A socket; behind TLS where there is an SSLContext, and then an end without close_notify is an error."""
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host.strip("[]"), int(port)), timeout=timeout)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return plain
    try:
        return tls.wrap_socket(plain, server_hostname=host.strip("[]"), suppress_ragged_eofs=False)
    except OSError:
        plain.close()
        raise


class Connection:
    """One connection. Every read has a deadline, so a silent server fails a test and does not hang it."""

    def __init__(self, address, timeout=20, tls=None):
        self.address = address
        self.socket = connect(address, timeout, tls)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        data = self.socket.recv(1 << 18)
        self.buffer += data
        return bool(data)

    def _line(self):
        while b"\r\n" not in self.buffer:
            if not self._more():
                raise EOFError(f"the connection ended in a head: {self.buffer!r}")
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        assert b"\n" not in line and b"\r" not in line
        return line

    def _exactly(self, n):
        parts, have = [self.buffer[:n]], min(n, len(self.buffer))
        self.buffer = self.buffer[n:]
        while have < n:
            data = self.socket.recv(min(1 << 20, n - have))
            if not data:
                raise EOFError(f"the connection ended in a body: {have} of {n} bytes")
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def read_head(self):
        version, status, _ = self._line().decode("latin-1").split(" ", 2)
        assert version == "HTTP/1.1", version
        headers = []
        while line := self._line():
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon and name == name.strip(), line
            headers.append((name, value.strip()))
        return Response(int(status), headers)

    def read(self, method="GET"):
        """The next response; interim ones are passed over."""
        response = self.read_head()
        while 100 <= response.status < 200:
            response = self.read_head()
        if method == "HEAD" or response.status in (204, 304):
            return response
        if response.header("transfer-encoding") is not None:
            assert response.header("content-length") is None
            chunks = []
            while size := int(self._line(), 16):
                chunks.append(self._exactly(size))
                assert self._exactly(2) == b"\r\n"
            assert self._line() == b""
            response.body = b"".join(chunks)
        else:
            response.body = self._exactly(int(response.header("content-length")))
        return response

    def at_end(self):
        """True once the server has closed; waits for that or for bytes."""
        if self.buffer:
            return False
        try:
            return not self._more()
        except ConnectionResetError:
            return True

    def send_head(self, method, target, headers=(), host=None, rest=b""):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self.address}"]
        lines += [f"{n}: {v}" for n, v in headers]
        self.send("\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + rest)

    def request(self, method, target, headers=(), body=None, host=None):
        if body is not None:
            headers = [*headers, ("Content-Length", len(body))]
        self.send_head(method, target, headers, host, body or b"")
        return self.read(method)

    def stream(self, method, target, pieces, headers=(), host=None):
        """A body of unknown length, a chunk of the coding for each piece. A server may answer before all is sent."""
        self.send_head(method, target, [*headers, ("Transfer-Encoding", "chunked")], host)
        try:
            for piece in pieces:
                self.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
            self.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self.read(method)
