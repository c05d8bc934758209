#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""GET over TLS beside nginx: same machine, same certificate, same client, same minute.

One big object, small ones, and handshakes, over HTTP/1.1 and HTTP/2, with TLS 1.3 and AES-256-GCM at both (what
OpenSSL's and GnuTLS' clients ask for first). The bucket is public, so that neither side checks a signature and what is
measured is TLS; the same is measured in clear. Pair by pair in several rounds; reported are medians of ratios within a
round. Everything started here is ended here. Any answer but 200 fails the run.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from run import fail, free_port, processor_ns, start, stop

GIB, MIB = 1 << 30, 1 << 20
SMALL_BYTES, SMALL_FILES, SMALL_CONNECTIONS = 4096, 64, 16
SECONDS_MAX = 60
RUN_SECONDS_MAX = 290

NGINX = """daemon off; worker_processes {workers}; pid {folder}/nginx.pid; {user}
error_log {folder}/nginx.error.log; events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; http2_max_requests 100000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5; default_type application/octet-stream;
  ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.key; ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_tickets off; ssl_session_cache off; ssl_buffer_size 16k;
  server {{ listen 127.0.0.1:{clear} reuseport; listen 127.0.0.1:{tls} ssl http2 reuseport; root {folder}/www; }}
}}
"""


class Bench:
    def __init__(self, arguments, folder):
        self.build, self.folder = os.path.abspath(arguments.build), folder
        self.big, self.requests, self.workers = arguments.mib * MIB, arguments.requests, arguments.reactors
        self.addresses, self.pids = {}, {}

    # ---- servers

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{self.folder}/tls.key",
                        "-out", f"{self.folder}/tls.pem"], check=True, capture_output=True)
        os.chmod(f"{self.folder}/tls.key", 0o600)

    def start_nginx(self, stack):
        clear, tls = free_port(), free_port()
        with open(f"{self.folder}/nginx.conf", "w") as conf:
            conf.write(NGINX.format(user="user root;" if os.geteuid() == 0 else "", workers=self.workers, folder=self.folder,
                                    clear=clear, tls=tls))
        master = start(stack, ["nginx", "-p", self.folder, "-e", f"{self.folder}/nginx.start.log", "-c", f"{self.folder}/nginx.conf"],
                       clear, f"{self.folder}/nginx.log")
        self.addresses["nginx"], self.pids["nginx"] = {"http": f"127.0.0.1:{clear}", "https": f"127.0.0.1:{tls}"}, master.pid

    def start_wfldb(self, stack):
        os.environ["WFL_BUILD_ROOT"] = self.build
        from wfltest import Client, Server

        os.makedirs(f"{self.folder}/wfldb")
        server = Server(folder=f"{self.folder}/wfldb", reactors=self.workers, access_log=0, tls_listen="127.0.0.1:0",
                        tls_cert=f"{self.folder}/tls.pem", tls_key=f"{self.folder}/tls.key")
        stack.callback(lambda: server.process and stop(server.process))
        server.start()
        self.addresses["wfldb"], self.pids["wfldb"] = {"http": server.address, "https": server.tls_address}, server.process.pid
        os.makedirs(f"{self.folder}/www/v1/bench")
        with Client(server) as client:
            client.make_bucket("bench", json.dumps({"public_read": True}).encode())
            for name, size in [("big", self.big)] + [(f"s{i}", SMALL_BYTES) for i in range(SMALL_FILES)]:
                path = f"{self.folder}/www/v1/bench/{name}"
                with open(path, "wb") as out:  # nginx has the same under the same name
                    for at in range(0, size, MIB):
                        out.write(os.urandom(min(MIB, size - at)))
                with open(path, "rb") as content:
                    client.put("bench", name, content.read())

    # ---- what is measured: (per second, processor seconds) of the unit

    def fetch(self, peer, scheme, http, names, requests, connections):
        urls = f"{self.folder}/urls"
        with open(urls, "w") as out:
            out.writelines(f"{scheme}://{self.addresses[peer][scheme]}/v1/bench/{name}\n" for name in names)
        command = ["h2load", "-n", str(requests), "-c", str(connections), "-i", urls, "-m", "8" if http == 2 else "1"]
        command += ["--h1"] if http == 1 else []
        before = processor_ns(self.pids[peer])
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)
        used = (processor_ns(self.pids[peer]) - before) / 1e9
        rate = re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)
        if done.returncode != 0 or f"{requests} succeeded" not in done.stdout or f"{requests} 2xx" not in done.stdout or not rate:
            fail(f"{peer} {scheme}: {done.stdout}{done.stderr}")
        return float(rate.group(1)), used / requests

    def big_object(self, scheme, http):
        def measure(peer):
            rate, used = self.fetch(peer, scheme, http, ["big"], 1, 1)
            return rate * self.big / MIB, used * GIB / self.big
        return measure

    def small_objects(self, scheme, http):
        return lambda peer: self.fetch(peer, scheme, http, [f"s{i}" for i in range(SMALL_FILES)], self.requests, SMALL_CONNECTIONS)

    def handshakes(self, peer):
        """Full ones, one after the other, without a request."""
        before = processor_ns(self.pids[peer])
        done = subprocess.run(["openssl", "s_time", "-connect", self.addresses[peer]["https"], "-new", "-time", "3"],
                              capture_output=True, text=True, timeout=SECONDS_MAX)
        used = (processor_ns(self.pids[peer]) - before) / 1e9
        count = re.search(r"(\d+) connections in (\d+) real seconds", done.stdout)
        if not count or int(count.group(1)) == 0:
            fail(f"{peer} handshakes: {done.stdout}{done.stderr}")
        return int(count.group(1)) / int(count.group(2)), used / int(count.group(1))

    def measures(self):
        for scheme, http in (("https", 1), ("https", 2), ("http", 1)):
            way = f"{'TLS' if scheme == 'https' else 'clear'}, HTTP/{'1.1' if http == 1 else '2'}"
            yield f"GET 1 GiB, {way}", "MiB/s", "s/GiB", 1, self.big_object(scheme, http)
            yield f"GET 4 KiB, {SMALL_CONNECTIONS} connections, {way}", "GET/s", "us", 1e6, self.small_objects(scheme, http)
        yield "handshake", "/s", "us", 1e6, self.handshakes

    def run(self, rounds):
        for peer in ("wfldb", "nginx"):  # page cache, and the hash that chunks are read with once
            self.big_object("http", 1)(peer)
        results = {name: [] for name, *_ in self.measures()}
        for number in range(rounds):
            for name, _, _, _, measure in self.measures():
                order = ["wfldb", "nginx"] if number % 2 == 0 else ["nginx", "wfldb"]
                results[name].append({peer: measure(peer) for peer in order})
            print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
        return results


def report(bench, results):
    print(f"\n{len(next(iter(results.values())))} rounds, medians; {bench.big // MIB} MiB where it says 1 GiB; processor: the server's")
    print(f"  {'':<44}{'wflDB':>18}{'nginx':>18}{'ratio':>8}   processor, wflDB and nginx")
    for name, unit, used, scale, _ in bench.measures():
        each = results[name]
        rate = {p: statistics.median(r[p][0] for r in each) for p in ("wfldb", "nginx")}
        processor = {p: statistics.median(r[p][1] for r in each) * scale for p in ("wfldb", "nginx")}
        ratio = statistics.median(r["wfldb"][0] / r["nginx"][0] for r in each)
        print(f"  {name:<44}{rate['wfldb']:>12.0f} {unit:<5}{rate['nginx']:>12.0f} {unit:<5}{ratio:>8.2f}"
              f"   {processor['wfldb']:.2f} and {processor['nginx']:.2f} {used}")


def main(argv):
    p = argparse.ArgumentParser(prog="./dev bench tls", description=__doc__.split("\n")[0])
    p.add_argument("build")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--mib", type=int, default=1024, help="size of the big object")
    p.add_argument("--requests", type=int, default=40000, help="for small ones, in each measurement")
    p.add_argument("--reactors", type=int, default=os.cpu_count(), help="of wfldb-server, workers of nginx")
    p.add_argument("--json", metavar="FILE", help="every round's figures")
    arguments = p.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, lambda *_: fail(f"not done after {RUN_SECONDS_MAX} s"))
    signal.alarm(RUN_SECONDS_MAX)
    with contextlib.ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="run-", dir=f"{os.path.abspath(arguments.build)}/bench")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bench = Bench(arguments, folder)
        bench.make_certificate()
        bench.start_wfldb(stack)
        bench.start_nginx(stack)
        results = bench.run(arguments.rounds)
    signal.alarm(0)
    if arguments.json:
        with open(arguments.json, "w") as out:
            json.dump(results, out, indent=1)
    report(bench, results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
