#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Objects of 1 GiB and of 1 MiB beside nginx and fio: same machine, same disk, same minute, same client.

GET beside nginx sending the same file by sendfile, over HTTP/1.1 and HTTP/2, both from a warm page cache;
durable PUT beside fio writing as much in order, 1 MiB at a time, with an fsync at the end. Signatures and
hashes are made before the clock runs. Pair by pair in several rounds, as in run.py; reported are medians of
ratios within a round. Everything started here is ended here. Any wrong answer fails the run.
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from run import fail, processor_ns, start_nginx, start_wfldb

GIB, MIB = 1 << 30, 1 << 20
COMMAND_SECONDS_MAX = 60
RUN_SECONDS_MAX = 290
ROUNDS_SECONDS_MAX = 200  # no round begins later
SMALL_CONNECTIONS = 16
SMALL_FILES = 64
KEY_BIG, KEY_SMALL, KEY_PUT = 1000, 2000, 100_000  # behind run.py's own
TARGETS = {"GET 1 GiB": 0.9, "PUT 1 GiB": 0.8}


class Bench:
    def __init__(self, arguments, folder):
        self.build, self.folder = os.path.abspath(arguments.build), folder
        self.big = arguments.mib * MIB
        self.addresses, self.pids, self.credential = {}, {}, None
        self.next_put, self.seed = KEY_PUT, 0

    def load(self, peer, op, size, requests, connections, first_key, *more):
        self.seed += 1
        address = self.addresses["nginx http2" if peer == "nginx" and "--http2" in more else peer]
        command = [f"{self.build}/bench/load", "--peer", {"nginx": "http"}.get(peer, peer),
                   "--connect", address, "--op", op, "--connections", str(connections),
                   "--seconds", str(COMMAND_SECONDS_MAX), "--requests", str(requests), "--bytes", str(size),
                   "--first-key", str(first_key), "--in-order", *more]
        if "--seed" not in more:
            command += ["--seed", str(self.seed)]
        if peer == "wfldb":
            command += ["--credential", self.credential]
        before = processor_ns(self.pids[peer])
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX)
        if done.returncode != 0:
            fail(f"{peer} {op} of {size} bytes: {done.stderr.strip()}")
        got = json.loads(done.stdout)
        processor = processor_ns(self.pids[peer]) - before
        return {"bytes_per_second": got["per_second"] * size,
                "processor_seconds_per_gib": processor / 1e9 / (got["sent"] * size / GIB)}

    # ---- what is measured

    def get_big(self, peer):
        return self.load(peer, "get", self.big, 1, 1, KEY_BIG, "--keys", "1")

    def get_big_http2(self, peer):
        return self.load(peer, "get", self.big, 1, 1, KEY_BIG, "--keys", "1", "--http2")

    def get_small(self, peer):
        return self.load(peer, "get", MIB, self.big // MIB, SMALL_CONNECTIONS, KEY_SMALL, "--keys", str(SMALL_FILES))

    def put(self, size, requests, connections, *more):
        first, self.next_put = self.next_put, self.next_put + requests
        return self.load("wfldb", "put", size, requests, connections, first,
                         "--keys", str(requests), "--contents", str(requests), *more)

    def put_big(self, peer):
        if peer == "fio":
            return self.fio()
        got = self.put(self.big, 1, 1)
        self.last_big = self.seed
        return got

    def put_again(self, _):
        return self.put(self.big, 1, 1, "--seed", str(self.last_big))

    def put_small(self, _):
        return self.put(MIB, self.big // MIB, SMALL_CONNECTIONS)

    def fio(self):
        file = f"{self.folder}/fio"
        command = ["fio", "--name=write", f"--filename={file}", "--rw=write", "--bs=1M", f"--size={self.big}",
                   "--ioengine=psync", "--end_fsync=1", "--output-format=json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX)
        if done.returncode != 0:
            fail(f"fio: {done.stderr.strip()}")
        os.unlink(file)
        job = json.loads(done.stdout)["jobs"][0]
        seconds = job["job_runtime"] / 1000  # the fsync included
        share = (job["usr_cpu"] + job["sys_cpu"]) / 100
        return {"bytes_per_second": self.big / seconds,
                "processor_seconds_per_gib": share * seconds / (self.big / GIB)}

    # ---- the whole

    def pairs(self):
        """Name, what does it, ours and what it is put beside (its figure may be of another pair)."""
        return [("GET 1 GiB", self.get_big, "nginx"),
                ("GET 1 GiB, HTTP/2", self.get_big_http2, "nginx"),
                (f"GET 1 MiB, {SMALL_CONNECTIONS} connections", self.get_small, "nginx"),
                ("PUT 1 GiB", self.put_big, "fio"),
                ("PUT 1 GiB, content is there", self.put_again, None),
                (f"PUT 1 MiB, {SMALL_CONNECTIONS} connections", self.put_small, None)]

    def fill(self):
        """One big object and the small ones; nginx gets what wflDB gives back."""
        self.load("wfldb", "put", self.big, 1, 1, KEY_BIG, "--keys", "1", "--contents", "1")
        self.load("wfldb", "put", MIB, SMALL_FILES, SMALL_CONNECTIONS, KEY_SMALL, "--keys", str(SMALL_FILES),
                  "--contents", str(SMALL_FILES))
        for key in [KEY_BIG, *range(KEY_SMALL, KEY_SMALL + SMALL_FILES)]:
            name = f"bench/key{key:08}"
            subprocess.run([f"{self.build}/wfldb", "--credential", self.credential, "--endpoint",
                            f"http://{self.addresses['wfldb']}", "get", name, f"{self.folder}/www/{name}"],
                           check=True, timeout=COMMAND_SECONDS_MAX, stdout=subprocess.DEVNULL)
        for peer in ("wfldb", "nginx"):  # warms the page cache
            self.get_big(peer)
            self.get_small(peer)

    def run(self, rounds):
        results = {name: [] for name, _, _ in self.pairs()}
        began = time.monotonic()
        for number in range(rounds):
            if time.monotonic() - began > ROUNDS_SECONDS_MAX:
                print(f"{rounds - number} rounds left out: the machine is slow", file=sys.stderr)
                break
            for name, measure, peer in self.pairs():
                order = ["wfldb"] + ([peer] if peer else [])
                if number % 2:
                    order.reverse()
                results[name].append({p: measure(p) for p in order})
            for name, _, peer in self.pairs():
                if peer is None:
                    results[name][-1]["fio"] = results["PUT 1 GiB"][-1]["fio"]
            print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
        return results


def median(rounds, peer, figure):
    return statistics.median(r[peer][figure] for r in rounds)


def row(what, rounds, peer):
    each = [r[peer]["bytes_per_second"] / MIB for r in rounds]
    return (f"  {what:<34}{statistics.median(each):>8.0f} MiB/s"
            f"{median(rounds, peer, 'processor_seconds_per_gib'):>9.2f} s   {min(each):.0f}..{max(each):.0f}")


def report(results, bench, load):
    rounds = len(results["GET 1 GiB"])
    print(f"""
{rounds} rounds, medians; {bench.big // MIB} MiB where it says 1 GiB. One client for all: one thread, receiving into one buffer, on the
same cores as the servers. processor: seconds of the server's processor for a GiB. Load of the machine before and after:
{load[0]:.1f}, {load[1]:.1f} on {os.cpu_count()} cores; above their number the ratios are those of a busy machine.""")
    print(f"\n  {'':<34}{'rate':>14}{'processor':>11}   rates of all rounds")
    ratios = {}
    for name, of_name in results.items():
        peer = next(p for p in of_name[0] if p != "wfldb")
        each = [r["wfldb"]["bytes_per_second"] / r[peer]["bytes_per_second"] for r in of_name]
        ratios[name] = statistics.median(each)
        print(name)
        print(row("wflDB" + (", durable" if peer == "fio" else ""), of_name, "wfldb"))
        print(row("nginx, sendfile" if peer == "nginx" else "fio, sequential, fsync at the end", of_name, peer))
        print(f"  {'ratio':<34}{ratios[name]:>8.2f}          ({min(each):.2f}..{max(each):.2f})")
    return ratios


def parse(argv):
    p = argparse.ArgumentParser(prog="./dev bench large", description=__doc__.split("\n")[0])
    p.add_argument("build")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--mib", type=int, default=1024, help="size of the big object")
    p.add_argument("--reactors", type=int, default=os.cpu_count(), help="of wfldb-server, workers of nginx")
    p.add_argument("--json", metavar="FILE", help="every round's figures")
    p.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of wfldb-server")
    return p.parse_args(argv)


def main(argv):
    arguments = parse(argv)
    # Both unwind the stack below, which ends what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, lambda *_: fail(f"not done after {RUN_SECONDS_MAX} s"))
    signal.alarm(RUN_SECONDS_MAX)
    settings = {"access_log": 0, **dict(s.split("=", 1) for s in arguments.set)}
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="run-", dir=f"{os.path.abspath(arguments.build)}/bench")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bench = Bench(arguments, folder)
        bench.addresses["nginx"], bench.addresses["nginx http2"], bench.pids["nginx"] = start_nginx(
            stack, folder, arguments.reactors)
        bench.addresses["wfldb"], bench.pids["wfldb"], bench.credential, _ = start_wfldb(
            stack, bench.build, folder, arguments.reactors, settings)
        bench.fill()
        load = [os.getloadavg()[0]]
        results = bench.run(arguments.rounds)
        load.append(os.getloadavg()[0])
    signal.alarm(0)
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(results, out, indent=1)
    ratios = report(results, bench, load)
    print()
    for name, target in TARGETS.items():
        print(f"target: {name} at least {target} x its peer: "
              f"{'reached' if ratios[name] >= target else 'MISSED'} ({ratios[name]:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
