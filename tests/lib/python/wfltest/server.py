# SPDX-License-Identifier: Apache-2.0
"""The real server in a folder of its own, on ports that the system picks."""
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from .http1 import Connection
from .keys import Key


def binary(name):
    return os.path.join(os.environ["WFL_BUILD_ROOT"], name)


def wait_until(holds, what, seconds=60):
    """Ask until it holds; the pause between two questions only leaves the processor to the others."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s: {what() if callable(what) else what}"
        select.select([], [], [], 0.01)


def source_root():
    return os.environ["WFL_SOURCE_ROOT"]


def memory_bound(size):
    """How much `size` bytes of growth may look like: sanitizers keep freed memory back for a while."""
    sanitized = any(os.environ["WFL_BUILD_ROOT"].endswith(kind) for kind in ("-asan", "-tsan"))
    return size * (10 if sanitized else 1)


class Server:
    """`start` waits for the ready line; what the server logs is kept in `log` as it comes."""

    def __init__(self, folder=None, root=None, **settings):
        self.folder = folder or tempfile.mkdtemp(prefix="wfl-server-")
        self.own_folder = folder is None
        self.root = root or Key()
        self.settings = settings
        self.process = None
        self.environment = {}  # beside this process's own
        self.log = []
        with open(os.path.join(self.folder, "root.jwk"), "w") as out:
            json.dump(self.root.jwk, out)

    def command(self):
        args = [binary("wfldb-server"), "--data", os.path.join(self.folder, "data"),
                "--root", os.path.join(self.folder, "root.jwk"),
                "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]
        for name, value in self.settings.items():
            args += ["--set", f"{name}={value}"]
        return args

    def start(self, timeout=60):
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        env={**os.environ, **self.environment})
        self.ready, self.told = None, threading.Event()
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self.reader.start()
        if not self.told.wait(timeout):
            self.kill()
            raise AssertionError(f"the server is not ready after {timeout} s: {self.log}")
        if self.ready is None:
            raise AssertionError(f"the server ended with {self.process.wait()}: {self.log}")
        self.address, self.tls_address = ((self.ready[name] or [None])[0] for name in ("listen", "tls_listen"))
        self.ops = self.ready["ops_listen"]
        return self

    @staticmethod
    def _entry(line):
        try:
            return json.loads(line)
        except ValueError:
            return {}

    def _read(self, stream):
        for line in stream:
            self.log.append(line.decode("utf-8", "replace"))
            if self.ready is None and self._entry(self.log[-1]).get("event") == "ready":
                self.ready = self._entry(self.log[-1])
                self.told.set()
        self.told.set()

    def entries(self):
        return [self._entry(line) for line in self.log]

    def _ended(self):
        status = self.process.wait(timeout=30)
        self.reader.join(timeout=30)
        self.process.stderr.close()
        self.process = None
        return status

    def kill(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self._ended()

    def stop(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def anonymous_bytes(self):
        """Resident memory that is no file's: what the server has taken, not what it reads."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

    def metrics(self):
        """{name without wfldb_: value}"""
        with Connection(self.ops) as connection:
            text = connection.request("GET", "/metrics").body.decode()
        rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
        return {name.removeprefix("wfldb_"): int(value) for name, value in rows}

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        alive = self.process is not None and self.process.poll() is None
        status = self.stop() if alive else (self.process.returncode if self.process is not None else 0)
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None:
            assert status == 0, f"the server ended with {status}: {''.join(self.log[-40:])}"
