#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One tenant that asks for far more than the server can do, and another beside it.

The loud one has a bucket of its own and 64 connections that each send the next request as soon as the last one is
answered (build/bench/load, requests signed before the clock runs): small PUTs, small GETs, PUTs of 1 MiB (contents old and new). The quiet one sends a
small PUT or GET every 10 ms. Printed are the quiet one's times alone, beside each kind of flood, and afterwards, and how
much memory of its own the server has. The loud one's client has the lowest priority of the processor, so that what is
measured is the server and not that client's hunger; on a machine with few cores some of it is the machine's all the same.

    tests/integration/isolation.py --seconds 10
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path.insert(0, os.path.join(HERE, "..", "lib", "python"))
    os.environ.setdefault("WFL_SOURCE_ROOT", os.path.dirname(os.path.dirname(HERE)))
    os.environ.setdefault("WFL_BUILD_ROOT", os.path.join(os.environ["WFL_SOURCE_ROOT"], "build"))

from load import BUCKET, MIB, Load, quantile  # noqa: E402
from wfltest import Client, Grant, Key, Server, binary, issue, wait_until  # noqa: E402
from wfltest.session import open_session  # noqa: E402

LOUD = "loud"
CONNECTIONS = 64
FLOODS = {  # op, bytes, in a session, requests a second at the most: so many are made beforehand
    "small PUTs, each signed": ("put", 1024, False, 16000), "small PUTs in a session": ("put", 1024, True, 30000),
    "small GETs in a session": ("get", 1024, True, 90000), "PUTs of 1 MiB": ("put", MIB, False, 1500),
    "PUTs of 1 MiB, new contents": ("put", MIB, False, 1000),
}


class Flood:
    def __init__(self, server, folder):
        self.server, self.folder, self.key = server, folder, Key()
        self.packet = issue(server.root, self.key, [Grant(LOUD, ops=("get", "put"))])
        self.credential = os.path.join(folder, "loud.json")
        self.write(self.credential, self.key.file(self.packet))
        with Client(server) as maker:
            maker.make_bucket(LOUD)

    @staticmethod
    def write(path, text):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)

    def start(self, name, seconds):
        op, size, in_session, rate = FLOODS[name]
        command = ["nice", "-n", "19", binary("bench/load"), "--peer", "wfldb", "--connect", self.server.address, "--op", op,
                   "--connections", str(CONNECTIONS), "--seconds", str(seconds), "--warm", "0", "--requests", str(int(rate * seconds)),
                   "--keys", "1000", "--bytes", str(size), "--bucket", LOUD, "--credential", self.credential]
        if name.endswith("new contents"):  # long gone when they come again
            command += ["--contents", "1800", "--in-order"]
        if in_session:
            path = os.path.join(self.folder, "session")
            with Client(self.server, key=self.key, packet=self.packet) as client, open_session(client) as session:
                self.write(path, f"{session.credential.text} {session.credential.prk.hex()}")
            command += ["--session", path]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def probe_for(load, seconds):
    began = time.monotonic()
    return load.probe(lambda: time.monotonic() - began < seconds)


def run(seconds, names=FLOODS, say=print):
    """{name: (alone, beside, after, peak of memory)}, times in ms."""
    figures = {}
    with Server(access_log=0) as server, tempfile.TemporaryDirectory() as folder:
        quiet = Load(server, 1024)
        with Client(server, key=quiet.key) as client:
            client.make_bucket(BUCKET)
            client.put(BUCKET, "probe", os.urandom(1024))
        flood = Flood(server, folder)
        with Client(server) as filler:  # what the GETs get
            filler.request("PUT", f"/v1/{LOUD}/key00000000", body=b"x" * 1024)
        for name in names:
            if FLOODS[name][0] == "get":
                fill = flood.start("small PUTs in a session", 2)
                fill.communicate(timeout=60)
            alone = probe_for(quiet, seconds / 2)
            loud, peak = flood.start(name, seconds), 0
            wait_until(lambda: loud.poll() is not None or server.metrics()["connections"] >= CONNECTIONS,
                       "a flood that has made its requests and is at it", seconds=300)

            def goes_on():
                nonlocal peak
                peak = max(peak, server.anonymous_bytes())
                return loud.poll() is None
            beside = quiet.probe(goes_on)
            out, err = loud.communicate(timeout=60)
            assert loud.returncode == 0, err
            after = probe_for(quiet, seconds / 2)
            figures[name] = alone, beside, after, peak
            say(f"{name}: {out.strip()[:90]}")
            for what, times in (("alone", alone), ("beside", beside), ("after", after)):
                say(f"  {what:<7} p50 {quantile(times, .5):7.2f} ms  p95 {quantile(times, .95):7.2f} ms  p99 {quantile(times, .99):7.2f} ms"
                    f"  {len(times)} requests")
            say(f"  p95 beside : alone {quantile(beside, .95) / quantile(alone, .95):.2f}; memory of its own at most {peak / MIB:.0f} MiB")
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    run(parser.parse_args().seconds)


if __name__ == "__main__":
    main()
