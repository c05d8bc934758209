# SPDX-License-Identifier: Apache-2.0
"""Who looks on while a server is attacked: is it up, right for others, as large as before, and is what it stores as it was?"""
import os

from .client import Client
from .http1 import Connection
from .keys import ALL_OPS, Grant
from .server import memory_bound, wait_until

FILES_SPARE = 16          # segments that the store opened meanwhile
MEMORY_SPARE = 192 << 20  # caches fill up once; an attack that leaks grows past any bound
BUCKET, KEY, CONTENT = "witness", "k", b"as it was" * 100


def open_files(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


class Witness:
    def __init__(self, server):
        self.server = server
        with self.reader() as maker:
            maker.make_bucket(BUCKET)
            maker.put(BUCKET, KEY, CONTENT)
        self.before = self.state(BUCKET)
        self.files, self.memory = open_files(server), server.anonymous_bytes()

    def reader(self):
        """A new one each time: a server may remember few nonces of one client."""
        return Client(self.server, [Grant(ops=ALL_OPS)])

    def state(self, *buckets):
        """All that a reader can see of these buckets, or of all: listings, uploads, change streams, counts."""
        out = {}
        with self.reader() as reader:
            for bucket in buckets or [b["name"] for b in reader.expect(200, "GET", "/v1/").json["buckets"]]:
                document = reader.expect(200, "GET", f"/v1/{bucket}").json
                uploads = reader.expect(200, "GET", f"/v1/{bucket}?uploads").json
                changes, after = [], ""
                while (page := reader.expect(200, "GET", f"/v1/{bucket}/changes?limit=1000{after}").json)["changes"]:
                    changes += [(c["version"], c["op"], c["key"]) for c in page["changes"]]
                    after = f"&after={page['next']}"
                out[bucket] = (document, reader.scan(bucket, limit=1000), uploads, changes)
        return out

    def check(self):
        """Once the attackers' connections are gone: everything is as good as before they came."""
        assert self.server.process.poll() is None, f"the server has ended: {self.server.log[-20:]}"
        assert self.state(BUCKET) == self.before
        for http in (1, 2):
            with Client(self.server, http=http) as other:
                assert other.get(BUCKET, KEY).body == CONTENT
                assert other.put(BUCKET, "later", b"x").status in (200, 201)
                other.delete(BUCKET, "later")
        self.before = self.state(BUCKET)
        wait_until(lambda: self.server.metrics()["connections"] == 0, self.server.metrics)
        wait_until(lambda: open_files(self.server) <= self.files + FILES_SPARE, lambda: (self.files, open_files(self.server)))
        grown = self.server.anonymous_bytes() - self.memory
        assert grown < memory_bound(MEMORY_SPARE), f"{grown} bytes more than before"


def serves(server):
    """A stranger's question is answered, on a connection of its own."""
    with Connection(server.address) as connection:
        return connection.request("GET", "/v1/-/server").status == 200
