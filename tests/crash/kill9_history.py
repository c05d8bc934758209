#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill9.py's loop for a bucket that keeps its versions: money moves between keys in conditional batches.

Each batch takes from one key and gives to another, each on the condition that it is as it was read, and writes a line
into a book beside: three keys that change together or not at all. After each kill:

  - the folder as it lies there has no difference when it is recounted (wfldb-admin verify);
  - a follower of the change stream, who goes on from where it stopped, sees every acknowledged commit once and in
    order, and no half of a batch; what it has put together is the bucket;
  - the sum over all keys is the same now, and at moments between any two commits (scan?at=).

    tests/crash/kill9_history.py --cycles 50 --seed 7
"""
import argparse
import base64
import json
import os
import random
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path.insert(0, os.path.join(HERE, "..", "lib", "python"))
    os.environ.setdefault("WFL_SOURCE_ROOT", os.path.dirname(os.path.dirname(HERE)))
    os.environ.setdefault("WFL_BUILD_ROOT", os.path.join(os.environ["WFL_SOURCE_ROOT"], "build"))

from kill9 import Attempt, Run, Writer, check  # noqa: E402
from wfltest.client import path_of  # noqa: E402

BUCKET = "bank"
ACCOUNTS = [f"account/{i}" for i in range(8)]
EACH = 1000
MOMENTS = 12  # sampled after a kill
SEED_KEYS = len(ACCOUNTS)


class Follower:
    """Reads the stream of the stopped folder through the store itself, from its last position on."""

    def __init__(self, folder):
        self.folder = folder
        self.position, self.changes, self.held = None, [], {}

    def catch_up(self):
        program = os.path.join(os.environ["WFL_BUILD_ROOT"], "tests", "property", "store_driver")
        with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
            def ask(what, **arguments):
                driver.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
                driver.stdin.flush()
                return json.loads(driver.stdout.readline())

            ask("open", engine="local", path=self.folder)
            new, ended = [], False
            while not ended:
                more = {"after": self.position} if self.position else {}
                page = ask("changes", bucket=BUCKET, limit=100, **more)
                check(page["code"] == "ok", f"the stream after {self.position}: {page['code']}")
                new += page["changes"]
                self.position, ended = page["next"], page["ended"]
            driver.stdin.close()
            check(driver.wait() == 0, "the driver failed")
        self.take(new)
        return new

    def take(self, new):
        versions = [change["version"] for change in self.changes[-1:] + new]
        check(versions == sorted(set(versions)), "the stream is not in the order of commits")
        for change in new:
            if change["op"] == "put":
                self.held[change["key"]] = change["version"]
            else:
                self.held.pop(change["key"], None)
        self.changes += new


class Banker(Writer):
    def __init__(self, number, run):
        super().__init__(number, run)
        self.keys = []

    def read(self, key):
        answer = self.client.request("GET", path_of(BUCKET, key))
        check(answer.status == 200, f"{key}: {answer}")
        return int(answer.body), answer.header("x-wfldb-version")

    def move(self):
        one, other = self.random.sample(ACCOUNTS, 2)
        (of_one, seen_one), (of_other, seen_other) = self.read(one), self.read(other)
        amount = self.random.randint(1, 10)
        line = f"book/{self.number}/{self.run_.cycle}.{self.random.getrandbits(64):x}"
        ops = [{"op": "put", "key": one, "value": str(of_one - amount), "if": seen_one},
               {"op": "put", "key": other, "value": str(of_other + amount), "if": seen_other},
               {"op": "put", "key": line, "value": "0", "if": None}]
        floor = self.oracle.begin()
        with self.run_.lock:
            self.run_.sent[line] = {one, other, line}
        try:
            answer = self.client.request("POST", f"/v1/{BUCKET}/batch", (), json.dumps({"ops": ops}).encode())
        except (OSError, EOFError):
            self.oracle.lost(Attempt({}))
            raise
        if answer.status == 412:
            return
        check(answer.status == 200, f"{line}: {answer}")
        versions = {result["key"]: result["version"] for result in answer.json["results"]}
        with self.run_.lock:
            self.run_.acknowledged[line] = versions
        self.oracle.commit(Attempt({}), floor, versions.values())

    def tidy(self):
        """A line of the book that is acknowledged goes: nothing but its tombstone is left now, and all of it then."""
        with self.run_.lock:
            mine = [line for line in self.run_.acknowledged
                    if line.startswith(f"book/{self.number}/") and line not in self.run_.removed]
        if mine:
            line = self.random.choice(mine)
            with self.run_.lock:
                self.run_.removed[line] = None  # it may have been done, whatever comes
            floor = self.oracle.begin()
            answer = self.client.request("DELETE", path_of(BUCKET, line))
            check(answer.status == 204, f"{line}: {answer}")
            with self.run_.lock:
                self.run_.removed[line] = answer.header("x-wfldb-version")
            self.oracle.commit(Attempt({}), floor, [answer.header("x-wfldb-version")])

    KINDS = [(move, 6), (tidy, 1)]


class HistoryRun(Run):
    WRITER = Banker

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.lock = threading.Lock()
        self.sent = {}          # line of the book: keys of the batch
        self.acknowledged = {}  # line: {key: version}
        self.removed = {}       # line: version of the tombstone, None where the answer never came
        self.follower = Follower(os.path.join(self.server.folder, "data", "records"))

    def __enter__(self):
        self.server.start()
        with self.client() as client:
            client.make_bucket(BUCKET, b'{"versions":-1}')
            for account in ACCOUNTS:
                self.oracle.newest = client.put(BUCKET, account, str(EACH).encode()).header("x-wfldb-version")
        return self

    def inspect(self):
        program = os.path.join(os.environ["WFL_BUILD_ROOT"], "wfldb-admin")
        found = subprocess.run([program, "verify", os.path.join(self.server.folder, "data")], capture_output=True, text=True)
        check(found.returncode == 0 and found.stdout == "0 differences\n", f"verify: {found.stdout}{found.stderr}")
        self.follower.catch_up()

    def verify(self):
        self.oracle.unanswered.clear()
        self.verify_stream()
        with self.client() as client:
            self.verify_now(client)
            self.verify_past(client)
        self.oracle.newest = self.follower.changes[-1]["version"]

    # ---- what the follower has seen

    def batches(self):
        """The stream cut into commits: {line: [(key, version), ...]}; the seed and the tombstones left out."""
        out, run = {}, []
        for change in self.follower.changes[SEED_KEYS:]:
            if change["op"] == "delete":
                check(not run, f"a batch is torn apart by the removal of {change['key']}")
                continue
            run.append((change["key"], change["version"]))
            if change["key"].startswith("book/"):
                check(change["key"] not in out, f"{change['key']} comes twice")
                out[change["key"]], run = run, []
        check(not run, f"half of a batch: {run}")
        return out

    def verify_stream(self):
        seen = self.batches()
        for line, changes in seen.items():
            check(line in self.sent and {key for key, _ in changes} == self.sent[line] and len(changes) == 3,
                  f"half of a batch: {changes}")
        for line, versions in self.acknowledged.items():
            check(line in seen and dict(seen[line]) == versions, f"{line} was acknowledged and is not in the stream so")
        gone = {c["key"]: c["version"] for c in self.follower.changes if c["op"] == "delete"}
        for line, version in self.removed.items():
            check(version is None or gone.get(line) == version, f"the removal of {line} is not in the stream")
        check(set(gone) <= set(self.removed), "a line was removed by nobody")
        self.half_done += len(set(seen) - set(self.acknowledged))

    # ---- what the bucket says, now and then

    def listing(self, client, **more):
        return client.scan(BUCKET, limit=1000, include="value", **more)[0]

    def money(self, items):
        return {item["key"]: int(base64.b64decode(item["value"])) for item in items if item["key"] in ACCOUNTS}

    def verify_now(self, client):
        items = self.listing(client)
        check({item["key"]: item["version"] for item in items} == self.follower.held, "the stream does not give the bucket")
        self.check_sum(items, "now")

    def check_sum(self, items, when):
        money = self.money(items)
        check(len(money) == len(ACCOUNTS) and sum(money.values()) == EACH * len(ACCOUNTS), f"{when}: {money}")

    def verify_past(self, client):
        """At the last version of a commit all of it is there, and nothing of what came after."""
        ends = [i for i, change in enumerate(self.follower.changes)
                if i + 1 >= SEED_KEYS and (change["op"] == "delete" or not change["key"].startswith("account/") or i + 1 == SEED_KEYS)]
        for end in self.random.sample(ends, min(MOMENTS, len(ends))):
            then = {}
            for change in self.follower.changes[:end + 1]:
                then[change["key"]] = change["version"] if change["op"] == "put" else None
            moment = self.follower.changes[end]["version"]
            items = self.listing(client, at=moment)
            check({item["key"]: item["version"] for item in items} == {k: v for k, v in then.items() if v},
                  f"at {moment} another bucket is shown than the stream gives")
            self.check_sum(items, f"at {moment}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--writers", type=int, default=6)
    options = parser.parse_args()
    print(f"{options.cycles} cycles, seed {options.seed}", flush=True)
    with HistoryRun(options.seed, options.writers, changes=(20, 300), report=lambda text: print(text, flush=True)) as run:
        for _ in range(options.cycles):
            run.one_cycle()
        print(f"{len(run.acknowledged)} batches acknowledged, none lost or halved; {len(run.follower.changes)} changes followed",
              flush=True)


if __name__ == "__main__":
    main()
