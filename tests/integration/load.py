#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many large uploads and downloads at once, and small requests beside them.

Every byte that comes back is compared; the server's own memory is watched while they are under way. The small requests
are sent by a process of their own, so that their times are the server's and not those of this program's threads.

    tests/integration/load.py --clients 64 --mib 64
"""
import argparse
import ctypes
import os
import random
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path.insert(0, os.path.join(HERE, "..", "lib", "python"))
    os.environ.setdefault("WFL_SOURCE_ROOT", os.path.dirname(os.path.dirname(HERE)))
    os.environ.setdefault("WFL_BUILD_ROOT", os.path.join(os.environ["WFL_SOURCE_ROOT"], "build"))

from wfltest import Client, Connection, Credential, Key, Grant, Server, issue, memory_bound, signed_headers  # noqa: E402
from wfltest.client import path_of  # noqa: E402
from wfltest.http2 import Connection2  # noqa: E402

MIB = 1 << 20
BUCKET = "load"
WINDOW_BYTES = 4 * MIB  # what the server holds of one body on its way in
CONSTANT_BYTES = 64 * MIB  # connections, records on their way to tables
PROBE_SECONDS = 0.01
PROBE_BYTES = 1024


class Contents:
    """As many contents as are wanted, cut from the same random bytes; no two share a chunk."""

    def __init__(self, size):
        self.size = size
        once = os.urandom(size)
        self.bytes = once + once

    def at(self, number):
        return (number + 1) * 12345 % self.size

    def view(self, number):
        return memoryview(self.bytes)[self.at(number):self.at(number) + self.size]

    def agrees(self, number, offset, data):
        return self.bytes.startswith(data, self.at(number) + offset)


class Transfers:
    """Threads that each send one request; the first failure is told."""

    def __init__(self):
        self.threads, self.failures = [], []

    def start(self, run, *arguments):
        def guarded():
            try:
                run(*arguments)
            except BaseException as failure:  # told by the main thread
                self.failures.append(f"{run.__name__}{arguments}: {failure!r}")
        self.threads.append(threading.Thread(target=guarded, daemon=True))
        self.threads[-1].start()

    def alive(self):
        return any(thread.is_alive() for thread in self.threads)

    def check(self):
        assert not self.failures, "; ".join(self.failures[:3])


class Load:
    def __init__(self, server, size, timeout=120):
        self.server, self.contents, self.timeout = server, Contents(size), timeout
        self.key = Key()
        self.credential = Credential(self.key, issue(server.root, self.key, [Grant()]))

    def headers(self, method, target, **sign):
        return signed_headers(self.credential, method, target, self.server.address, **sign)

    def upload(self, number):
        """Odd ones by HTTP/2, of unknown length."""
        target, view = path_of(BUCKET, f"{number:04}"), self.contents.view(number)
        headers = self.headers("PUT", target, body=b"", content="unsigned")
        if number % 2:
            with Connection2(self.server.address, self.timeout) as connection:
                stream = connection.send_head("PUT", target, headers)
                connection.send_body(stream, view)
                answer = connection.finish(stream)
        else:
            with Connection(self.server.address, self.timeout) as connection:
                connection.send_head("PUT", target, [*headers, ("Content-Length", len(view))])
                connection.send(view)
                answer = connection.read()
        assert answer.status == 201, answer
        assert answer.json["size"] == len(view)

    def download(self, number):
        target = path_of(BUCKET, f"{number:04}")
        headers = self.headers("GET", target)
        with (Connection2 if number % 2 else Connection)(self.server.address, self.timeout) as connection:
            at = 0
            for data in self.pieces2(connection, target, headers) if number % 2 else self.pieces1(connection, target, headers):
                assert self.contents.agrees(number, at, data), f"other bytes within {len(data)} at {at}"
                at += len(data)
            assert at == self.contents.size, f"{at} bytes"

    @staticmethod
    def pieces1(connection, target, headers):
        connection.send_head("GET", target, headers)
        answer = connection.read_head()
        assert answer.status == 200, answer
        left = int(answer.header("content-length"))
        while left > 0:
            data = connection._exactly(min(left, 256 << 10))
            left -= len(data)
            yield data

    @staticmethod
    def pieces2(connection, target, headers):
        stream = connection.start("GET", target, headers)
        while stream not in connection.ended or connection.answers[stream].body:
            answer = connection.answers.get(stream)
            if answer is not None and answer.body:
                assert answer.status == 200, answer
                yield bytes(answer.body)
                answer.body.clear()
            else:
                assert stream not in connection.reset and connection.pump()

    # ---- all at once

    def run(self, clients):
        """{figures} of `clients` uploads beside as many downloads."""
        with Client(self.server, key=self.key) as client:
            client.make_bucket(BUCKET)
            client.put(BUCKET, "probe", os.urandom(PROBE_BYTES))
        before = Transfers()
        for number in range(clients):
            before.start(self.upload, number)
        for thread in before.threads:
            thread.join()
        before.check()
        began = time.monotonic()
        calm = self.probe(lambda: time.monotonic() - began < 1)
        at_rest = peak = self.server.anonymous_bytes()
        transfers, began = Transfers(), time.monotonic()
        for number in range(clients):
            transfers.start(self.upload, clients + number)
            transfers.start(self.download, number)

        def under_way():
            nonlocal peak
            peak = max(peak, self.server.anonymous_bytes())
            return transfers.alive()

        beside = self.probe(under_way)
        seconds = time.monotonic() - began
        transfers.check()
        check = Transfers()  # what came in beside all that
        for number in range(clients, 2 * clients):
            check.start(self.download, number)
        for thread in check.threads:
            thread.join()
        check.check()
        return {"seconds": seconds, "mib_per_second": 2 * clients * self.contents.size / MIB / seconds, "at_rest": at_rest, "peak": peak,
                "bound": memory_bound(clients * WINDOW_BYTES + CONSTANT_BYTES), "calm_ms": calm, "beside_ms": beside}

    def probe(self, go_on):
        """Small requests while it goes on: their times in milliseconds."""
        process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--probe", self.server.address],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env={**os.environ, "PYTHONPATH": os.path.join(HERE, "..", "lib", "python")})
        process.stdin.write(f"{self.key.seed.hex()} {self.credential.packet}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "begun\n"
        while go_on():
            threading.Event().wait(0.005)
        out, _ = process.communicate(timeout=self.timeout)
        assert process.returncode == 0
        times = sorted(float(word) for word in out.split())
        return times


def quantile(times, q):
    return times[min(len(times) - 1, int(q * len(times)))]


def be_prompt():
    """What is measured is the server: the probe asks for the processor as one does that has its own. (The kernel's call for it;
    where it is refused the figures hold the probe's own waiting too.)"""
    short = struct.pack("IIQiIQQQ", 48, 0, 0, -15 if os.geteuid() == 0 else 0, 0, 100_000, 0, 0)  # a slice of 100 us
    ctypes.CDLL(None, use_errno=True).syscall(314, 0, short, 0)


def probe_until_stdin_ends(address):
    be_prompt()
    seed, packet = sys.stdin.readline().split()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    credential, content, times, number = Credential(Key(bytes.fromhex(seed)), packet), os.urandom(PROBE_BYTES), [], 0
    target = path_of(BUCKET, "probe")
    print("begun", flush=True)
    with Connection(address, 60) as connection:
        while not ended.wait(PROBE_SECONDS):
            method, body = ("GET", None) if number % 2 else ("PUT", content)
            headers = signed_headers(credential, method, target, address, (), body)
            began = time.perf_counter()
            answer = connection.request(method, target, headers, body)
            times.append(1000 * (time.perf_counter() - began))
            assert answer.status == 200, answer
            number += 1
    print(*(f"{t:.3f}" for t in times))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--probe", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        probe_until_stdin_ends(options.probe)
        return
    with Server() as server:
        figures = Load(server, options.mib * MIB, timeout=600).run(options.clients)
    print(f"{options.clients} uploads and {options.clients} downloads of {options.mib} MiB at once: all right, "
          f"{figures['seconds']:.1f} s, {figures['mib_per_second']:.0f} MiB/s together")
    print(f"server's own memory: {figures['at_rest'] / MIB:.0f} MiB at rest, {figures['peak'] / MIB:.0f} MiB at the most, "
          f"{figures['bound'] / MIB:.0f} MiB more allowed")
    for name, times in (("alone", figures["calm_ms"]), ("beside them", figures["beside_ms"])):
        print(f"PUT and GET of 1 KiB {name}: p50 {quantile(times, 0.5):.2f} ms, p95 {quantile(times, 0.95):.2f} ms, "
              f"p99 {quantile(times, 0.99):.2f} ms, most {times[-1]:.2f} ms, {len(times)} requests")
    assert figures["peak"] - figures["at_rest"] < figures["bound"], "the server holds more than its windows"


if __name__ == "__main__":
    main()
