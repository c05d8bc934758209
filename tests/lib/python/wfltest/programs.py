# SPDX-License-Identifier: Apache-2.0
"""The command-line programs as a shell would start them, and a server that answers what a test says."""
import json
import os
import socket
import subprocess
import threading

from .keys import Grant, Key, issue
from .server import binary


class Program:
    """Runs one of our programs in a folder of its own, with an environment of its own, and holds it to what the
    protocol says of all: success says nothing on stderr, failure says one line there that begins with its name."""

    def __init__(self, name, folder, **environment):
        self.name, self.folder = name, folder
        keep = {n: v for n, v in os.environ.items() if n == "PATH" or n.endswith("SAN_OPTIONS")}
        self.environment = {**keep, "HOME": str(folder), **environment}

    def run(self, *words, status=0, stdin=b"", environment=(), stdout=None, text=True):
        """What it wrote to stdout; for a failure, its line without the name."""
        environment = {n: v for n, v in {**self.environment, **dict(environment)}.items() if v is not None}
        done = subprocess.run([binary(self.name), *words], input=stdin, stdout=stdout or subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, cwd=self.folder, env=environment)
        assert done.returncode == status, (words, done)
        if status == 0:
            assert done.stderr == b"", (words, done)
            return done.stdout.decode() if text and stdout is None else done.stdout
        line = done.stderr.decode()
        assert line.startswith(f"{self.name}: ") and line.endswith("\n") and line.count("\n") == 1, (words, done)
        assert all(ch.isprintable() for ch in line[:-1]), (words, done)
        return line[len(self.name) + 2:-1]

    def start(self, *words, **options):
        """The same in the background: the process."""
        return subprocess.Popen([binary(self.name), *words], cwd=self.folder, env=self.environment, **options)


class Cli(Program):
    """wfldb with a credential that may do everything, against a server (or what stands before it, by `address`)."""

    def __init__(self, server, folder, address=None):
        self.server = server
        super().__init__("wfldb", folder, WFLDB_ENDPOINT=f"http://{address or server.address}")
        self.environment["WFLDB_CREDENTIAL"] = str(self.credential("credential.json"))

    def credential(self, name, grants=None, mode=0o600, **options):
        key = Key()
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key.file(issue(self.server.root, key, grants or [Grant()]), **options))
        path.chmod(mode)
        return path

    def to(self, fake, *words, **options):
        """The same command against a fake server."""
        return self.run(*words, environment={"WFLDB_ENDPOINT": f"http://{fake.address}"}, **options)

    def json(self, *words):
        return json.loads(self.run("--json", *words))


class FakeServer:
    """Answers each request with the next of `answers` (bytes), then closes; the heads of requests are kept."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(30)

    def _serve(self):
        for answer in self.answers:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(30)
                data = b""
                while b"\r\n\r\n" not in data:
                    more = peer.recv(65536)
                    if not more:
                        break
                    data += more
                head, _, body = data.partition(b"\r\n\r\n")
                self.requests.append(head.decode("latin-1"))
                length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                               if line.lower().startswith(b"content-length:")), 0)
                while len(body) < length:
                    body += peer.recv(65536)
                try:
                    peer.sendall(answer)
                    peer.shutdown(socket.SHUT_WR)
                except OSError:  # who has read enough is gone
                    pass
