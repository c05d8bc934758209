#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes through libwfldb and `wfldb` while connections are cut at random and the server is killed (protocol, Replay).

Each worker drives a handle of the library, with sessions, and sometimes the command; all go through a relay that cuts
every connection after a random number of bytes in either direction. After so many acknowledged writes the server is
killed with -9 and started on what it left. No worker repeats anything itself: a write that the library does not bring to
an answer is a failure of the run. What a write that was done twice, or not at all, would leave:

  - every put has a content of its own, and the bucket keeps all versions: a key's contents, oldest first, must be those
    that were put, in their order, each once;
  - a removal or a creation that was done twice is refused the second time;
  - the change stream has as many changes of each key as there were writes.

    tests/crash/exactly_once.py --writes 5000 --kills 20 --seed 7
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path.insert(0, os.path.join(HERE, "..", "lib", "python"))
    os.environ.setdefault("WFL_SOURCE_ROOT", os.path.dirname(os.path.dirname(HERE)))
    os.environ.setdefault("WFL_BUILD_ROOT", os.path.join(os.environ["WFL_SOURCE_ROOT"], "build"))

from wfltest import Client, Grant, Key, Server, binary, issue  # noqa: E402
from wfltest.client import path_of  # noqa: E402
from wfltest.relay import Relay  # noqa: E402

BUCKET = "photos"  # the driver's
KEYS = 10          # of a worker
CUT_BYTES = (2_000, 60_000)


class Worker(threading.Thread):
    """Its own keys, one write after the other, so their order is known. `history`: of a key, contents; None: removed."""

    def __init__(self, run, number):
        super().__init__(daemon=True)
        self.run_, self.number, self.random = run, number, random.Random(f"{run.seed}-{number}")
        self.history = {f"w{number}/{i}": [] for i in range(KEYS)}
        self.fault = None
        self.driver = subprocess.Popen([binary("tests/client/session_driver"), f"http://{run.relay.address}", run.credential, "0"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self):
        try:
            for n in iter(self.run_.take, None):
                self.write(n)
                self.run_.acknowledge()
        except Exception as error:  # told by the run
            self.fault = f"worker {self.number}: {error!r}"
            self.run_.acknowledge()

    def write(self, n):
        key = self.random.choice(sorted(self.history))
        done, value = self.history[key], f"{self.number}-{n}"
        is_there = bool(done) and done[-1] is not None
        kind = self.random.choice(["put", "put", "put", "rm" if is_there else "new", "command"])
        if kind == "command":
            self.command(key, value)
        else:
            self.library(f"{kind} {key} {value}" if kind != "rm" else f"rm {key}")
        done.append(None if kind == "rm" else value)

    def library(self, line):
        self.driver.stdin.write(line + "\n")
        self.driver.stdin.flush()
        said = self.driver.stdout.readline().strip()
        assert said == "ok", f"{line}: {said}"

    def command(self, key, value):
        words = [binary("wfldb"), "--endpoint", f"http://{self.run_.relay.address}", "--credential", self.run_.credential]
        path = os.path.join(self.run_.folder, f"content-{self.number}")
        with open(path, "w") as out:
            out.write(value)
        done = subprocess.run([*words, "put", path, f"{BUCKET}/{key}"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"put {key}: {done}"

    def close(self):
        self.driver.stdin.close()
        self.driver.stdout.close()
        assert self.driver.wait(60) == 0


class Run:
    def __init__(self, writes, kills, seed, workers=4, report=print):
        self.writes, self.kills, self.seed, self.report = writes, kills, seed, report
        self.random = random.Random(seed)
        self.folder = tempfile.mkdtemp(prefix="wfl-once-")
        self.root, self.key = Key(), Key()
        self.moved = threading.Condition()
        self.taken = self.acknowledged = 0
        os.mkdir(os.path.join(self.folder, "server"))
        self.server = Server(os.path.join(self.folder, "server"), root=self.root)
        self.worker_count = workers

    def take(self):
        """The next write's number; None: all are taken."""
        with self.moved:
            if self.taken == self.writes:
                return None
            self.taken += 1
            return self.taken

    def acknowledge(self):
        with self.moved:
            self.acknowledged += 1
            self.moved.notify_all()

    def wait_acknowledged(self, count, alive):
        with self.moved:
            while self.acknowledged < count and alive():
                self.moved.wait(1)

    def go(self):
        self.server.start()
        with Relay(self.server.address) as self.relay:
            try:
                self.work()
                self.verify()
            finally:
                self.server.stop()
                shutil.rmtree(self.folder)

    def work(self):
        packet = issue(self.root, self.key, [Grant()])
        self.credential = os.path.join(self.folder, "credential.json")
        with open(os.open(self.credential, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
            out.write(self.key.file(packet))
        with Client(self.server, key=self.key, packet=packet) as client:
            client.make_bucket(BUCKET, b'{"versions":-1}')
        self.packet = packet
        self.relay.cut_next = lambda: self.random.randint(*CUT_BYTES)
        self.relay.cut_every = self.relay.cut_next()
        self.workers = [Worker(self, n) for n in range(self.worker_count)]
        self.relay.look_for = b"x-wfldb-replayed"
        begun = time.monotonic()
        for worker in self.workers:
            worker.start()
        for n in range(self.kills):
            self.wait_acknowledged((n + 1) * self.writes // (self.kills + 1), self.is_working)
            self.server.kill()
            self.server.start()
            self.relay.target = self.server.address
        for worker in self.workers:
            worker.join()
            worker.close()
        faults = [worker.fault for worker in self.workers if worker.fault]
        assert not faults, faults
        self.seconds = time.monotonic() - begun

    def is_working(self):
        return any(worker.is_alive() for worker in self.workers)

    def verify(self):
        with Client(self.server, key=self.key, packet=self.packet) as client:
            changed = self.changes(client)
            versions = 0
            for worker in self.workers:
                for key, done in worker.history.items():
                    found = self.contents(client, key) if done else []
                    assert found == done, f"{key}: {found} instead of {done}"
                    assert changed.get(key, 0) == len(done), f"{key}: {changed.get(key)} changes of {len(done)} writes"
                    versions += len(found)
        assert versions == self.writes, f"{versions} versions of {self.writes} writes"
        self.report(f"{self.writes} writes, {self.kills} kills, {self.relay.cuts} cuts, seed {self.seed}: each was done once, "
                    f"{self.relay.found} were answered again; {self.seconds:.1f} s")

    @staticmethod
    def contents(client, key):
        """Of all versions, oldest first; None for a removal."""
        found, cursor = [], ""
        while True:
            page = client.expect(200, "GET", path_of(BUCKET, key) + f"?versions{cursor}").json
            for version in page["versions"]:
                gone = version["op"] == "delete"
                found.append(None if gone else client.expect(
                    200, "GET", path_of(BUCKET, key) + f"?version={version['version']}").body.decode())
            if "cursor" not in page:
                return found[::-1]
            cursor = f"&cursor={page['cursor']}"

    @staticmethod
    def changes(client):
        """How many there were of each key."""
        counts, after = {}, ""
        while True:
            page = client.expect(200, "GET", path_of(BUCKET) + f"/changes?limit=1000{after}").json
            for change in page["changes"]:
                counts[change["key"]] = counts.get(change["key"], 0) + 1
            if not page["changes"]:
                return counts
            after = f"&after={page['next']}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--writes", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    o = parser.parse_args()
    print(f"seed {o.seed}", flush=True)
    Run(o.writes, o.kills, o.seed).go()


if __name__ == "__main__":
    main()
