#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""GET and PUT of 4 KiB beside nginx and Redis: same machine, same disk, same minute, same client.

Starts wfldb-server, nginx and redis-server on loopback with data in one folder below the build folder,
fills them, then measures pair by pair in several rounds. Within a pair the order alternates, and a ratio is
taken within its round: what disturbs the machine for seconds disturbs both. Reported are medians.
Everything started here is ended here. Any wrong answer fails the run.
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib", "python"))

OBJECT_BYTES = 4096
GET_KEYS = 1000
PUT_KEYS = 100_000
START_SECONDS_MAX = 20
LOAD_SECONDS_MAX = 60
RUN_SECONDS_MAX = 290
TARGET = 0.4  # PUT with 64 connections beside Redis' SET

# name of a pair: ours, the peer's, connections
PAIRS = [
    ("GET, 1 connection", "get", "nginx", 1),
    ("GET, 64 connections", "get", "nginx", 64),
    ("PUT, 1 connection", "put", "redis", 1),
    ("PUT, 64 connections", "put", "redis", 64),
]
OURS = {"wfldb": "Ed25519 each", "session": "in a session"}
PEERS = {"nginx": "nginx, static file", "redis": "Redis SET, appendfsync always"}


def fail(text):
    raise SystemExit(f"bench: {text}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def processor_ns(pid):
    """What the process, its threads and its children have used."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
            total += int(stat.read().split()[0])
        with open(f"/proc/{pid}/task/{task}/children") as children:
            total += sum(processor_ns(child) for child in children.read().split())
    return total


def start(stack, command, port, log):
    """Run it and wait until it takes connections."""
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    stack.callback(stop, process)
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return process
        time.sleep(0.02)
    with open(log, errors="replace") as text:
        fail(f"{command[0]} does not serve: {text.read()[-2000:]}")


NGINX = """
{user} daemon off; master_process on; worker_processes {workers};
pid {folder}/nginx.pid; error_log {folder}/nginx.error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush off; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 300s;
  open_file_cache max=4000 inactive=300s; open_file_cache_valid 300s;
  default_type application/octet-stream; etag on;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{port} reuseport backlog=1024; listen 127.0.0.1:{port_http2} http2 reuseport;
    root {folder}/www;
  }}
}}
"""


def start_nginx(stack, folder, reactors):
    os.makedirs(f"{folder}/www/bench")
    for i in range(GET_KEYS):
        with open(f"{folder}/www/bench/key{i:08}", "wb") as out:
            out.write(os.urandom(OBJECT_BYTES))
    port, port_http2 = free_port(), free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    with open(f"{folder}/nginx.conf", "w") as conf:
        conf.write(NGINX.format(user=user, workers=reactors, folder=folder, port=port,
                                port_http2=port_http2))
    master = start(stack, ["nginx", "-p", folder, "-e", f"{folder}/nginx.start.log", "-c", f"{folder}/nginx.conf"],
                   port, f"{folder}/nginx.log")
    return f"127.0.0.1:{port}", f"127.0.0.1:{port_http2}", master.pid


def start_redis(stack, folder):
    os.makedirs(f"{folder}/redis")
    port = free_port()
    process = start(stack, ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", f"{folder}/redis",
                            "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                            "--auto-aof-rewrite-percentage", "0", "--daemonize", "no"], port, f"{folder}/redis.log")
    return f"127.0.0.1:{port}", process.pid


def start_wfldb(stack, build, folder, reactors, settings):
    os.environ["WFL_BUILD_ROOT"] = build
    from wfltest import Client, Grant, Key, Server, issue
    from wfltest.session import open_session

    os.makedirs(f"{folder}/wfldb")
    server = Server(folder=f"{folder}/wfldb", reactors=reactors, **settings)
    stack.callback(lambda: server.process and stop(server.process))
    server.start()
    key = Key()
    packet = issue(server.root, key, [Grant("bench", ops=("get", "put", "manage"))])
    credential = f"{folder}/credential.json"
    with open(os.open(credential, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
        out.write(key.file(packet))
    with Client(server, key=key, packet=packet) as client:
        client.expect(201, "PUT", "/v1/bench")

    def new_session():
        """The path of a session that nothing was sent in yet, for bench/load."""
        path = f"{folder}/session"
        with Client(server, key=key, packet=packet) as client, open_session(client) as session:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                out.write(f"{session.credential.text} {session.credential.prk.hex()}")
        return path

    return server.address, server.process.pid, credential, new_session


class Bench:
    def __init__(self, arguments):
        self.build = os.path.abspath(arguments.build)
        self.seconds, self.rounds = arguments.seconds, arguments.rounds
        self.reactors = arguments.reactors
        self.addresses, self.pids, self.credential = {}, {}, None
        self.new_session = None
        self.rate = {}  # last seen, per peer, operation and connections: how many requests to prepare
        self.seed = 1

    def load(self, peer, op, connections, seconds, warm, requests, keys, *more):
        self.seed += 1
        command = [f"{self.build}/bench/load", "--peer", {"nginx": "http", "session": "wfldb"}.get(peer, peer),
                   "--connect", self.addresses[peer], "--op", op, "--connections", str(connections),
                   "--seconds", str(seconds), "--warm", str(warm), "--requests", str(requests),
                   "--keys", str(keys), "--bytes", str(OBJECT_BYTES), "--seed", str(self.seed), *more]
        if peer in OURS:
            command += ["--credential", self.credential]
        if peer == "session":
            command += ["--session", self.new_session()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECONDS_MAX)
        if done.returncode != 0:
            fail(f"{peer} {op} with {connections}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def measure(self, peer, op, connections):
        keys = GET_KEYS if op == "get" else PUT_KEYS
        case = (peer, op, connections)
        warm = min(0.3, self.seconds / 4)
        if case not in self.rate:
            self.rate[case] = self.load(peer, op, connections, 0.3, 0, 8000, keys)["per_second"]
        # The others' cost nothing to make, and on a busy machine the last rate may have been a poor one.
        requests = int(self.rate[case] * (self.seconds + warm) * 1.4) + (2000 if peer in OURS else 30000)
        before = processor_ns(self.pids[peer])
        got = self.load(peer, op, connections, self.seconds, warm, requests, keys)
        got["processor_us"] = (processor_ns(self.pids[peer]) - before) / 1000 / got["sent"]
        self.rate[case] = got["per_second"]
        return got

    def run(self):
        results = {pair[0]: [] for pair in PAIRS}
        for number in range(self.rounds):
            for name, op, peer, connections in PAIRS:
                order = [*OURS, peer] if number % 2 == 0 else [peer, *reversed(list(OURS))]
                results[name].append({p: self.measure(p, op, connections) for p in order})
            print(f"round {number + 1} of {self.rounds} done", file=sys.stderr, flush=True)
        return results

    def fill(self):
        for peer in ("wfldb", "redis"):
            self.load(peer, "put", 64, 60, 0, GET_KEYS, GET_KEYS, "--in-order")


def median(rounds, peer, figure):
    return statistics.median(r[peer][figure] for r in rounds)


def row(what, rounds, peer):
    us = [median(rounds, peer, f"{q}_us") for q in ("p50", "p95", "p99", "max")]
    spread = [r[peer]["per_second"] for r in rounds]
    return (f"  {what:<30}{median(rounds, peer, 'per_second'):>8.0f} /s "
            + "".join(f"{u / 1000:>9.3f}" for u in us) + f"{median(rounds, peer, 'processor_us'):>9.0f}"
            + f"   {min(spread):.0f}..{max(spread):.0f}")


def report(results, bench, load):
    print(f"""
{OBJECT_BYTES} bytes an object, {bench.rounds} rounds of {bench.seconds} s each, medians. Access logs off;
{bench.reactors} reactors, {bench.reactors} nginx workers. One client for all: one thread, closed loop, on the same cores as the
servers. wflDB's requests are signed before the clock runs. processor: microseconds that the server's process
and its children used for each request. Load of the machine before and after: {load[0]:.1f}, {load[1]:.1f} on
{os.cpu_count()} cores; above their number the ratios are those of a busy machine.""")
    print(f"\n  {'':<30}{'rate':>8}    {'p50 ms':>9}{'p95':>9}{'p99':>9}{'max':>9}{'processor':>10}"
          "  rates of all rounds")
    ratios = {}
    for name, op, peer, _ in PAIRS:
        rounds = results[name]
        print(f"{name}")
        for ours, text in OURS.items():
            print(row(f"wflDB, {text}", rounds, ours))
        print(row(PEERS[peer], rounds, peer))
        for ours, text in OURS.items():
            each = [r[ours]["per_second"] / r[peer]["per_second"] for r in rounds]
            ratios[name, ours] = statistics.median(each)
            print(f"  {'ratio, ' + text:<30}{ratios[name, ours]:>8.2f}    ({min(each):.2f}..{max(each):.2f})")
    return ratios


def parse(argv):
    p = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    p.add_argument("build")
    p.add_argument("--quick", action="store_true", help="one minute instead of three")
    p.add_argument("--seconds", type=float, help="of each measurement")
    p.add_argument("--rounds", type=int)
    p.add_argument("--reactors", type=int, default=os.cpu_count(), help="of wfldb-server, workers of nginx")
    p.add_argument("--json", metavar="FILE", help="every round's figures")
    p.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of wfldb-server")
    a = p.parse_args(argv)
    a.seconds = a.seconds or (0.6 if a.quick else 1.6)
    a.rounds = a.rounds or (3 if a.quick else 5)
    return a


def main(argv):
    arguments = parse(argv)
    # Both unwind the stack below, which ends what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, lambda *_: fail(f"not done after {RUN_SECONDS_MAX} s"))
    signal.alarm(RUN_SECONDS_MAX)
    bench = Bench(arguments)
    settings = {"access_log": 0, **dict(s.split("=", 1) for s in arguments.set)}
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="run-", dir=f"{bench.build}/bench")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bench.addresses["nginx"], _, bench.pids["nginx"] = start_nginx(stack, folder, bench.reactors)
        bench.addresses["redis"], bench.pids["redis"] = start_redis(stack, folder)
        bench.addresses["wfldb"], bench.pids["wfldb"], bench.credential, bench.new_session = start_wfldb(
            stack, bench.build, folder, bench.reactors, settings)
        bench.addresses["session"], bench.pids["session"] = bench.addresses["wfldb"], bench.pids["wfldb"]
        bench.fill()
        load = [os.getloadavg()[0]]
        results = bench.run()
        load.append(os.getloadavg()[0])
    signal.alarm(0)
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(results, out, indent=1)
    ratios = report(results, bench, load)
    name = "PUT, 64 connections"
    print()
    for ours, text in OURS.items():
        ratio = ratios[name, ours]
        print(f"target: {name}, {text}, at least {TARGET} x Redis: {'reached' if ratio >= TARGET else 'MISSED'} ({ratio:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
