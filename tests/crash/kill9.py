#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kill -9 under write load, again and again, and hold the server to its promises (protocol, Promises).

Writers send over real sockets; an oracle notes what was begun and what was acknowledged. At a random moment the server
is killed, started on what it left, and everything is compared:

  - an acknowledged change is there, byte for byte;
  - an unanswered change happened whole or not at all;
  - a chain of conditional puts lost no acknowledged link, and no two puts won on the same version;
  - objects, bytes and last version of the bucket are what a full scan counts;
  - versions ascend, across restarts too: what begins after an answer gets a greater version.

A change is an Attempt: what it does to which keys, all or nothing, and how to send it. So a new kind of write is one
more method of Writer that makes an Attempt, and a row in Writer.KINDS.

    tests/crash/kill9.py --cycles 50 --seed 7
"""
import argparse
import hashlib
import os
import random
import shutil
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path.insert(0, os.path.join(HERE, "..", "lib", "python"))
    os.environ.setdefault("WFL_SOURCE_ROOT", os.path.dirname(os.path.dirname(HERE)))
    os.environ.setdefault("WFL_BUILD_ROOT", os.path.join(os.environ["WFL_SOURCE_ROOT"], "build"))

from wfltest import Client, Key, Grant, Server, issue  # noqa: E402
from wfltest.client import path_of  # noqa: E402

BUCKET = "crash"
SIZES = [0, 1, 1 << 10, (1 << 10) + 1, 4 << 10, 64 << 10, 1 << 20]
SIZE_WEIGHTS = [2, 2, 6, 4, 6, 3, 1]
KEYS_PER_WRITER = 24
CHAINS = 2


class Broken(AssertionError):
    """A promise that did not hold."""


def check(holds, text):
    if not holds:
        raise Broken(text)


class Content:
    """What a key holds: enough to know it again, without keeping a copy."""

    def __init__(self, data):
        self.size, self.digest = len(data), hashlib.sha256(data).digest()

    def is_of(self, data):
        return len(data) == self.size and hashlib.sha256(data).digest() == self.digest


class Attempt:
    """One change: {key: Content or None for removed}. Whole or not at all."""

    def __init__(self, changes):
        self.changes = changes


class Oracle:
    """What must be true. `state` is only touched by the writer that owns the key, or between load and load."""

    def __init__(self):
        self.lock = threading.Lock()
        self.moved = threading.Condition(self.lock)
        self.state = {}       # key: Content, acknowledged; absent: no object
        self.unanswered = []  # attempts whose answer never came
        self.newest = ""      # the greatest version that any answer named
        self.begun = self.acknowledged = 0
        self.faults = []

    def begin(self):
        """Counted before the first byte is sent; the floor for the version of the answer."""
        with self.lock:
            self.begun += 1
            self.moved.notify_all()
            return self.newest

    def commit(self, attempt, floor, versions):
        with self.lock:
            self.acknowledged += 1
            for key, content in attempt.changes.items():
                if content is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = content
            for version in filter(None, versions):
                if not version > floor:
                    self.faults.append(f"{version} was given after {floor} had been answered")
                self.newest = max(self.newest, version)
            self.moved.notify_all()

    def lost(self, attempt):
        with self.lock:
            self.unanswered.append(attempt)

    def wait_for(self, what, count, alive):
        """Until `what` (begun or acknowledged) has grown by `count`, or nobody is left to make it grow."""
        with self.moved:
            goal = getattr(self, what) + count
            while getattr(self, what) < goal and alive():
                self.moved.wait(1)


class Chain:
    """Puts with If-Match on one key. A content names itself and the content that it replaced."""

    def __init__(self, key):
        self.key = key
        self.lock = threading.Lock()
        self.begun = {}            # name: name of the one before
        self.acknowledged = set()

    def verify(self, data):
        """From the link that is there, back to the beginning: every acknowledged one must be on the way."""
        link, seen = data.decode().split(" ")[0] if data else "start", set()
        while link != "start":
            check(link in self.begun, f"{self.key}: {link} was never sent")
            check(link not in seen, f"{self.key}: {link} comes twice")
            seen.add(link)
            link = self.begun[link]
        check(self.acknowledged <= seen, f"{self.key}: lost {sorted(self.acknowledged - seen)[:5]}")


class Writer(threading.Thread):
    def __init__(self, number, run):
        super().__init__(name=f"writer-{number}", daemon=True)
        self.number, self.run_, self.oracle = number, run, run.oracle
        self.random = random.Random(f"{run.seed}-{run.cycle}-{number}")
        self.keys = [f"w{number}/{'deep/' * (i % 3)}{i}" for i in range(KEYS_PER_WRITER)]
        self.client = run.client(http=1 + number % 2)

    def run(self):
        kinds, weights = [kind for kind, _ in self.KINDS], [weight for _, weight in self.KINDS]
        try:
            while True:
                self.random.choices(kinds, weights)[0](self)
        except (OSError, EOFError):
            pass  # the server is gone: what was under way is in `unanswered`
        except Exception as fault:  # told by the main thread
            with self.oracle.lock:
                self.oracle.faults.append(f"{self.name}: {fault!r}")
        finally:
            self.client.close()
            with self.oracle.moved:
                self.oracle.moved.notify_all()

    def send(self, attempt, good, *request, refused=(), by="request"):
        """The answer, or the exception of a connection that broke. Statuses in `refused` change nothing."""
        floor = self.oracle.begin()
        try:
            answer = getattr(self.client, by)(*request)
        except (OSError, EOFError):
            self.oracle.lost(attempt)
            raise
        if answer.status in good:
            self.oracle.commit(attempt, floor, [answer.header("x-wfldb-version")])
        else:
            check(answer.status in refused, f"{request[:2]}: {answer}")
        return answer

    def content(self):
        size = self.random.choices(SIZES, SIZE_WEIGHTS)[0]
        head = f"{self.name} {self.run_.cycle} {self.random.random()} ".encode()
        return (head + self.random.randbytes(size))[:size]

    # ---- the kinds of writes

    def put(self):
        key, data = self.random.choice(self.keys), self.content()
        self.send(Attempt({key: Content(data)}), (200, 201), "PUT", path_of(BUCKET, key), (), data)

    def create(self):
        """If-None-Match: *: only where there is nothing, and the oracle knows whether there is."""
        key, data = self.random.choice(self.keys), self.content()
        there = key in self.oracle.state
        answer = self.send(Attempt({} if there else {key: Content(data)}), () if there else (201,), "PUT",
                           path_of(BUCKET, key), [("If-None-Match", "*")], data, refused=(412,) if there else ())
        check(answer.status == (412 if there else 201), f"{key}: {answer}")

    def delete(self):
        key = self.random.choice(self.keys)
        there = key in self.oracle.state
        self.send(Attempt({key: None} if there else {}), (204,) if there else (), "DELETE", path_of(BUCKET, key),
                  refused=() if there else (404,))

    def get(self):
        """A read sees every write that was acknowledged before it."""
        key = self.random.choice(self.keys)
        self.run_.verify_key(self.client, key, self.oracle.state.get(key))

    def extend_chain(self):
        chain = self.random.choice(self.run_.chains)
        now = self.client.request("GET", path_of(BUCKET, chain.key))
        check(now.status == 200, f"{chain.key}: {now}")
        before = now.body.decode().split(" ")[0] if now.body else "start"
        name = f"{self.run_.cycle}.{self.number}.{self.random.getrandbits(64):x}"
        with chain.lock:
            chain.begun[name] = before
        answer = self.send(Attempt({}), (200,), "PUT", path_of(BUCKET, chain.key),
                           [("If-Match", now.header("etag"))], f"{name} {before}".encode(), refused=(412,))
        if answer.status == 200:
            with chain.lock:
                chain.acknowledged.add(name)

    KINDS = [(put, 8), (create, 3), (delete, 3), (get, 3), (extend_chain, 3)]


class Run:
    """Cycles of load, kill, start, verify. `report` gets a line a cycle."""

    WRITER = Writer
    SETTINGS = {}

    def __init__(self, seed, writers=6, changes=(40, 400), report=None):
        self.seed, self.writer_count, self.change_range = seed, writers, changes
        self.random = random.Random(seed)
        self.report = report or (lambda text: None)
        self.oracle = Oracle()
        self.chains = [Chain(f"chain/{i}") for i in range(CHAINS)]
        self.folder = tempfile.mkdtemp(prefix="wfl-kill9-")
        self.server = Server(self.folder, **self.SETTINGS)
        self.key = Key()
        self.packet = issue(self.server.root, self.key, [Grant()], ttl=86400)
        self.cycle = 0
        self.half_done = 0  # unanswered changes that turned out to have happened
        self.not_done = 0

    def client(self, http=1):
        return Client(self.server, key=self.key, packet=self.packet, http=http)

    def __enter__(self):
        self.server.start()
        with self.client() as client:
            client.make_bucket(BUCKET)
            for chain in self.chains:
                client.put(BUCKET, chain.key, b"")
        return self

    def __exit__(self, kind, *_):
        self.server.kill()
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            self.report(f"seed {self.seed}, cycle {self.cycle}: the data is kept in {self.folder}")

    def one_cycle(self):
        self.cycle += 1
        oracle = self.oracle
        begun, acknowledged = oracle.begun, oracle.acknowledged
        self.load_and_kill()
        self.inspect()
        started = time.monotonic()
        self.server.log.clear()
        self.server.start()
        recovered = time.monotonic() - started
        check(not oracle.faults, "; ".join(oracle.faults[:5]))
        check(oracle.acknowledged > acknowledged, "nothing was acknowledged")
        open_ones = len(oracle.unanswered)
        self.verify()
        self.report(f"cycle {self.cycle}: {oracle.begun - begun} begun, {oracle.acknowledged - acknowledged} acknowledged, "
                    f"{open_ones} open at the kill; up again after {recovered:.2f} s; {len(oracle.state)} objects verified")

    def load_and_kill(self):
        """The moment is a random number of beginnings or of answers, so that it falls into every phase of a write."""
        writers = [self.WRITER(i, self) for i in range(self.writer_count)]
        for writer in writers:
            writer.start()
        self.oracle.wait_for(self.random.choice(["begun", "acknowledged"]), self.random.randint(*self.change_range),
                             lambda: all(writer.is_alive() for writer in writers))
        status = self.server.process.poll()
        check(status is None, f"the server ended by itself with {status}: {''.join(self.server.log[-20:])}")
        self.server.kill()
        for writer in writers:
            writer.join(60)
            check(not writer.is_alive(), f"{writer.name} hangs")

    def inspect(self):
        """What lies on the disk, before anything is started on it."""

    # ---- after the kill

    def verify(self):
        with self.client() as client:
            gone_unseen = self.settle(client)
            self.verify_objects(client, gone_unseen)

    def verify_objects(self, client, gone_unseen):
        for key in sorted({key for i in range(self.writer_count) for key in self.WRITER(i, self).keys}):
            self.verify_key(client, key, self.oracle.state.get(key))
        sizes = {key: content.size for key, content in self.oracle.state.items()}
        for chain in self.chains:
            data = client.get(BUCKET, chain.key).body
            chain.verify(data)
            sizes[chain.key] = len(data)
        self.recount(client, sizes, gone_unseen)

    def settle(self, client):
        """Each unanswered attempt against what is there: whole or not at all; then it is part of the state. True where
        one of them was a delete that happened: then the newest version is one that no object shows."""
        gone = False
        for attempt in self.oracle.unanswered:
            done, undone = [], []
            for key, content in attempt.changes.items():
                answer = client.request("GET", path_of(BUCKET, key))
                check(answer.status in (200, 404), f"{key}: {answer}")
                before = self.oracle.state.get(key)
                is_new = answer.status == 404 if content is None else answer.status == 200 and content.is_of(answer.body)
                is_old = answer.status == 404 if before is None else answer.status == 200 and before.is_of(answer.body)
                check(is_new or is_old, f"{key}: neither what was there nor what was sent: {answer}")
                if is_new and not is_old:
                    done.append(key)
                elif is_old and not is_new:
                    undone.append(key)
            check(not done or not undone, f"half of a change happened: {done} but not {undone}")
            if done:
                for key, content in attempt.changes.items():
                    gone = gone or content is None
                    self.oracle.state.pop(key, None)
                    if content is not None:
                        self.oracle.state[key] = content
            self.half_done += bool(done)
            self.not_done += bool(undone)
        self.oracle.unanswered.clear()
        return gone

    def verify_key(self, client, key, content):
        answer = client.request("GET", path_of(BUCKET, key))
        if content is None:
            check(answer.status == 404, f"{key} should be gone: {answer}")
            return
        check(answer.status == 200, f"{key} is lost: {answer}")
        check(content.is_of(answer.body), f"{key}: {len(answer.body)} bytes are not the {content.size} acknowledged ones")

    def recount(self, client, sizes, gone_unseen):
        items, _ = client.scan(BUCKET, limit=1000)
        check([item["key"] for item in items] == sorted(sizes), "the listing has other keys than were acknowledged")
        for item in items:
            check(item["size"] == sizes[item["key"]], f"the listing gives {item['key']} another size")
        document = client.expect(200, "GET", path_of(BUCKET)).json
        counted = {"objects": len(items), "bytes": sum(sizes.values())}
        check({name: document[name] for name in counted} == counted, f"{document} but a scan counts {counted}")
        newest = max([self.oracle.newest] + [item["version"] for item in items])
        check(document["version"] == newest or (gone_unseen and document["version"] > newest),
              f"the bucket's last version is {document['version']}, the newest seen is {newest}")
        self.oracle.newest = document["version"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--writers", type=int, default=6)
    options = parser.parse_args()
    print(f"{options.cycles} cycles, seed {options.seed}", flush=True)
    with Run(options.seed, options.writers, changes=(40, 1500), report=lambda text: print(text, flush=True)) as run:
        for _ in range(options.cycles):
            run.one_cycle()
        print(f"{run.oracle.acknowledged} changes acknowledged, none lost; of those unanswered {run.half_done} had happened, "
              f"{run.not_done} had not", flush=True)


if __name__ == "__main__":
    main()
