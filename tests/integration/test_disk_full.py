# SPDX-License-Identifier: Apache-2.0
"""A disk without room: writes are refused, all else goes on, and what is deleted makes room again without a restart
(protocol, Promises and Errors). The disk is a small one of memory, mounted where only the server sees it."""
import os
import random
import subprocess

import pytest

from wfltest import Client, Connection, Server, wait_until
from wfltest.client import path_of

MIB = 1 << 20
DISK_BYTES, RESERVE_BYTES, SEGMENT_BYTES = 96 * MIB, 24 * MIB, 4 * MIB
OBJECT_BYTES = 3 * MIB // 4  # five a segment
BUCKET = "full"


class SmallDisk:
    """A mount namespace with a small file system over `folder`, held by a process that waits for its end."""

    def __init__(self, folder, size):
        script = 'mount -t tmpfs -o size="$1" none "$2" && echo mounted && exec cat'
        self.holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(size), folder],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "mounted\n":
            _, why = self.holder.communicate(timeout=30)
            pytest.skip(f"no small disk can be mounted here: {why.strip()}")

    def enter(self):
        return ["nsenter", f"--target={self.holder.pid}", "--mount", "--"]

    def close(self):
        self.holder.communicate(timeout=30)


class ServerOnSmallDisk(Server):
    def __init__(self, disk=DISK_BYTES, segment=SEGMENT_BYTES, reserve=RESERVE_BYTES):
        super().__init__(segment_bytes=segment, reserve_bytes=reserve, write_buffer_bytes=8 * MIB)
        data = os.path.join(self.folder, "data")
        os.mkdir(data, 0o700)
        try:
            self.disk = SmallDisk(data, disk)
        except BaseException:
            os.rmdir(data)
            raise

    def command(self):
        return self.disk.enter() + super().command()

    def __exit__(self, *exception):
        try:
            super().__exit__(*exception)
        finally:
            self.disk.close()


class Keys:
    """What was acknowledged, and how to make it again."""

    def __init__(self, seed):
        self.random, self.contents, self.next = random.Random(seed), {}, 0

    def fill(self, client, most=1000, size=OBJECT_BYTES):
        """Until there is no room; how many went in."""
        for count in range(most):
            key, content = f"{self.next:04}", self.random.randbytes(size)
            answer = client.request("PUT", path_of(BUCKET, key), body=content)
            if answer.status != 201:
                assert (answer.status, answer.code) == (507, "disk_full"), answer
                return count
            self.contents[key] = content
            self.next += 1
        raise AssertionError("the disk is never full")

    def most(self):
        """Three of four, so that every file is left below half, and none empty."""
        return [key for n, key in enumerate(sorted(self.contents)) if n % 4]

    def delete(self, client, keys):
        for key in keys:
            client.delete(BUCKET, key)
            del self.contents[key]

    def verify(self, client):
        items, _ = client.scan(BUCKET)
        assert [item["key"] for item in items] == sorted(self.contents)
        for key, content in self.contents.items():
            assert client.get(BUCKET, key).body == content


def is_ready(server):
    with Connection(server.ops) as connection:
        answer = connection.request("GET", "/health/ready")
        assert answer.status == 200, answer
    assert server.metrics()["read_only"] == 0


def has_room(client):
    answer = client.request("PUT", path_of(BUCKET, "room"), body=b"x")
    assert answer.status in (200, 201) or answer.code == "disk_full", answer
    if answer.status < 300:
        client.delete(BUCKET, "room")
    return answer.status < 300


@pytest.fixture
def seed():
    seed = int(os.environ.get("WFL_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"WFL_SEED={seed}")
    return seed


@pytest.fixture
def full(seed):
    with ServerOnSmallDisk() as server, Client(server) as client:
        client.make_bucket(BUCKET)
        keys = Keys(seed)
        upload = client.expect(201, "POST", path_of(BUCKET, "upload") + "?multipart=start").json["upload"]
        assert keys.fill(client) * OBJECT_BYTES > (DISK_BYTES - RESERVE_BYTES) // 3
        yield server, client, keys, f"{path_of(BUCKET, 'upload')}?upload={upload}"


def test_only_what_grows_is_refused(full):
    server, client, keys, upload = full
    is_ready(server)
    keys.verify(client)
    for http in (1, 2):
        with Client(server, http=http) as other:
            for method, target, body in (("PUT", path_of(BUCKET, "large"), os.urandom(MIB)), ("PUT", path_of(BUCKET, "small"), b"x"),
                                         ("POST", path_of(BUCKET, "k") + "?multipart=start", None), ("PUT", upload + "&part=1", os.urandom(MIB))):
                answer = other.request(method, target, body=body)
                assert (answer.status, answer.code) == (507, "disk_full"), (method, target, answer)
            answer = other.stream("PUT", path_of(BUCKET, "stream"), [os.urandom(2 * MIB)])
            assert (answer.status, answer.code) == (507, "disk_full")
            keys.verify(other)
    client.expect(204, "DELETE", upload)
    victim = next(iter(keys.contents))
    keys.delete(client, [victim])
    client.get(BUCKET, victim, 404)
    keys.verify(client)
    is_ready(server)


def test_deletes_make_room_without_a_restart(full):
    """No file is free as a whole, so what lives has to be moved; again and again, so that a leak would show."""
    server, client, keys, _ = full
    for round_ in range(3):
        gone = keys.most()
        keys.delete(client, gone)
        came = 0

        def refilled():  # in as many goes as the rewriting beside it needs
            nonlocal came
            came += keys.fill(client)
            return came >= len(gone) // 2

        wait_until(refilled, lambda: f"{len(gone)} went and {came} came in round {round_}: {server.metrics()}")
        is_ready(server)
    keys.verify(client)
    keys.delete(client, list(keys.contents))
    wait_until(lambda: server.metrics()["live_bytes"] == 0, server.metrics)
    wait_until(lambda: server.metrics()["segment_bytes"] <= 2 * SEGMENT_BYTES, server.metrics)
    assert has_room(client)


def test_files_larger_than_the_reserve_are_rewritten_too(seed):
    """Little less than half of each file lives: more than the reserve that was asked for."""
    with ServerOnSmallDisk(disk=256 * MIB, segment=64 * MIB, reserve=20 * MIB) as server, Client(server) as client:
        client.make_bucket(BUCKET)
        keys = Keys(seed)
        keys.fill(client, size=2 * OBJECT_BYTES)
        keys.delete(client, [key for n, key in enumerate(sorted(keys.contents)) if n % 17 < 9])
        wait_until(lambda: has_room(client), server.metrics)
        keys.verify(client)


def test_a_full_disk_outlives_kill_9(full):
    server, client, keys, _ = full
    server.kill()
    client.close()
    server.start()
    with Client(server) as client:
        is_ready(server)
        keys.verify(client)
        keys.fill(client)  # the room that was laid out for the last file has come back; it is soon gone
        assert not has_room(client)
        keys.delete(client, keys.most())
        server.kill()
        client.close()
        server.start()
    with Client(server) as client:
        keys.verify(client)
        wait_until(lambda: has_room(client), server.metrics)
        assert keys.fill(client) > 0
        keys.verify(client)
