# SPDX-License-Identifier: Apache-2.0
"""Real input: what lies below /usr/share/doc goes in under its paths and comes out the same, before and after kill -9."""
import os
import queue
import stat
import threading

import pytest

from wfltest import Client, Grant, Key, Server, issue

TOP = "/usr/share/doc"
BYTES_MAX = 1 << 20
CONNECTIONS = 4


def regular_files():
    """{key: path} of the regular files of at most BYTES_MAX below TOP; no symlink is followed."""
    found = {}
    for folder, _, names in os.walk(os.fsencode(TOP)):
        for name in names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            key = os.path.relpath(path, os.path.dirname(os.fsencode(TOP)))
            try:
                key = key.decode()
            except UnicodeDecodeError:
                continue  # keys are UTF-8
            if stat.S_ISREG(status.st_mode) and status.st_size <= BYTES_MAX and len(key.encode()) <= 1024:
                found[key] = path
    return found


def content(path):
    with open(path, "rb") as file:
        return file.read()


class Site:
    """A server with the files in it; `each` works them off over several connections."""

    def __init__(self):
        self.server = Server(access_log=0).start()
        self.key = Key()
        self.packet = issue(self.server.root, self.key, [Grant()])
        self.files = regular_files()
        self.size = {key: os.path.getsize(path) for key, path in self.files.items()}
        with self.client() as client:
            client.make_bucket("docs")
        self.each(1, lambda client, key, path: client.put("docs", key, content(path), status=201))

    def client(self, http=1):
        return Client(self.server, key=self.key, packet=self.packet, http=http)

    def each(self, http, act):
        work, faults = queue.SimpleQueue(), []
        for item in self.files.items():
            work.put(item)

        def run():
            with self.client(http) as client:
                while not faults:
                    try:
                        key, path = work.get_nowait()
                    except queue.Empty:
                        return
                    try:
                        act(client, key, path)
                    except Exception as fault:
                        faults.append((key, fault))

        threads = [threading.Thread(target=run) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults, faults[0]

    def restart_after_kill(self):
        self.server.kill()
        self.server.start()

    def read_back(self, http):
        def same(client, key, path):
            answer = client.get("docs", key)
            assert answer.body == content(path), f"{key}: {len(answer.body)} bytes, not those of the file"
        self.each(http, same)

    def below(self, prefix):
        return sorted((key for key in self.files if key.startswith(prefix)), key=str.encode)

    def compare_listings(self):
        with self.client() as client:
            items, _ = client.scan("docs", limit=1000)
            assert [item["key"] for item in items] == self.below("")
            assert {item["key"]: item["size"] for item in items} == self.size
            assert [item["key"] for item in client.scan("docs", limit=1000, reverse="true")[0]] == self.below("")[::-1]
            for prefix in ("doc/lib", "doc/lib/", "doc/python3", "doc/gcc-12-base/", "doc/a", "doc/none", "x"):
                assert [item["key"] for item in client.scan("docs", prefix=prefix, limit=7)[0]] == self.below(prefix)

    def compare_tree(self):
        """Every folder of the tree, level by level as the listing itself gives them, and none that is not."""
        folders, seen = [""], 0
        with self.client() as client:
            while folders:
                prefix = folders.pop()
                seen += 1
                items, prefixes = client.scan("docs", prefix=prefix, delimiter="/", limit=1000)
                got = [item["key"] for item in items], prefixes
                assert got == self.tree[prefix], prefix
                folders += prefixes
        assert seen == len(self.tree)

    @property
    def tree(self):
        """{folder: (files, folders)}, made once from the paths alone."""
        if not hasattr(self, "_tree"):
            self._tree = {}
            for key in self.below(""):
                parts = key.split("/")
                for depth in range(len(parts)):
                    files, folders = self._tree.setdefault("".join(part + "/" for part in parts[:depth]), ([], []))
                    if depth == len(parts) - 1:
                        files.append(key)
                    else:
                        folder = "".join(part + "/" for part in parts[:depth + 1])
                        if folder not in folders[-1:]:
                            folders.append(folder)
        return self._tree


@pytest.fixture(scope="module")
def site():
    made = Site()
    yield made
    assert made.server.stop() == 0


def test_there_is_something_to_put(site):
    assert len(site.files) >= 100, f"too few files below {TOP} to say anything"
    print(f"{len(site.files)} files, {sum(site.size.values()) / 1e6:.1f} MB")


@pytest.mark.parametrize("killed", [False, True], ids=["as-stored", "after-kill-9"])
def test_everything_comes_back(site, killed):
    if killed:
        site.restart_after_kill()
    site.read_back(1)
    site.read_back(2)
    site.compare_listings()
    site.compare_tree()
    with site.client() as client:
        document = client.expect(200, "GET", "/v1/docs").json
    assert (document["objects"], document["bytes"]) == (len(site.files), sum(site.size.values()))
