# SPDX-License-Identifier: Apache-2.0
"""A data folder that the release before this one has written: everything in it is read, found, and changed; what that
release did not keep is said not to be there."""
import hashlib
import importlib.util
import json
import os
import subprocess
import tarfile
from urllib.parse import quote

import pytest

from wfltest import Client, Key, Server, binary
from wfltest.client import path_of

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
SPEC = importlib.util.spec_from_file_location("make_format1", os.path.join(FIXTURES, "make_format1.py"))
MADE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MADE)
CONTENTS = MADE.contents()
LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture
def folder(tmp_path):
    with tarfile.open(os.path.join(FIXTURES, "format1.tar.xz")) as tar:
        tar.extractall(tmp_path)
    return str(tmp_path)


def open_on(folder):
    return Server(folder=folder, root=Key(hashlib.sha256(b"format1").digest()))


def read_all(client, contents):
    names = [b["name"] for b in client.expect(200, "GET", "/v1/").json["buckets"]]
    assert names == sorted(contents)
    for bucket, objects in contents.items():
        items = {i["key"]: i for i in client.scan(bucket, include="meta,tags", limit=1000)[0]}
        assert sorted(items) == sorted(objects)
        for key, (content, kind, meta, tags) in objects.items():
            item = items[key]
            assert (item["size"], item["content_type"], item["meta"], item["tags"]) == (len(content), kind, meta, tags)
            answer = client.get(bucket, key)
            assert answer.body == content and answer.header("content-type") == kind
            assert answer.header("x-wfldb-version") == item["version"]
        info = client.expect(200, "GET", path_of(bucket)).json
        assert (info["objects"], info["bytes"]) == (len(objects), sum(len(o[0]) for o in objects.values()))


def find_all(client, contents):
    """By each tag and value that there is: exactly those that have it."""
    for bucket, objects in contents.items():
        wanted = {}
        for key, (_, _, _, tags) in objects.items():
            for tag in tags.items():
                wanted.setdefault(tag, []).append(key)
        for name, value in list(wanted) + [("third", "old"), ("parity", "old")]:
            page = client.expect(200, "GET", f"/v1/{bucket}/query?tag.{name}={quote(value)}&limit=1000").json
            assert [i["key"] for i in page["items"]] == sorted(wanted.get((name, value), []))


def assert_verified(folder):
    done = subprocess.run([binary("wfldb-admin"), "verify", os.path.join(folder, "data")], capture_output=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, b"0 differences\n"), done


def test_everything_is_read_and_found_after_each_start(folder):
    for _ in range(2):
        with open_on(folder) as server, Client(server) as client:
            read_all(client, CONTENTS)
            find_all(client, CONTENTS)
            settings = client.expect(200, "GET", path_of("sizes")).json["settings"]
            assert settings == MADE.SETTINGS
        assert_verified(folder)


def test_it_is_recounted_without_a_start(folder):
    assert_verified(folder)


def test_a_server_that_is_killed_at_its_first_start_starts_again(folder):
    server = open_on(folder).start()
    server.kill()
    with open_on(folder) as server, Client(server) as client:
        find_all(client, CONTENTS)
    assert_verified(folder)


def test_what_was_not_kept_is_told(folder):
    with open_on(folder) as server, Client(server) as client:
        for bucket, key in (("small", "0/000"), ("sizes", "of/1048576")):
            version = client.get(bucket, key).header("x-wfldb-version")
            assert client.expect(410, "GET", f"{path_of(bucket, key)}?at={LONG_AGO}").code == "cursor_expired"
            assert client.expect(410, "GET", f"/v1/{bucket}/scan?at={LONG_AGO}").code == "cursor_expired"
            rows = client.expect(200, "GET", path_of(bucket, key) + "?versions").json["versions"]
            assert [r["version"] for r in rows] == [version]
            assert client.get(bucket, key).body == client.expect(
                200, "GET", f"{path_of(bucket, key)}?version={version}").body


def test_it_is_written_to(folder):
    live = {bucket: dict(objects) for bucket, objects in CONTENTS.items()}
    with open_on(folder) as server, Client(server) as client:
        for bucket in ("sizes", "tagged"):
            client.expect(200, "PATCH", path_of(bucket), body=b'{"versions":-1,"max_object_bytes":null}')
        for i, key in enumerate(sorted(live["tagged"])):
            if i % 4 == 0:
                client.delete("tagged", key)
                del live["tagged"][key]
            elif i % 4 == 1:
                client.put("tagged", key, b"new", [("Content-Type", "a/b"), ("X-WflDB-Tag-Third", "new")])
                live["tagged"][key] = (b"new", "a/b", {}, {"third": "new"})
        ops = []
        for key in sorted(live["sizes"]):
            ops += [{"op": "copy", "from": key, "key": "copy/" + key, "if": None}, {"op": "delete", "key": key, "if": "*"}]
            live["sizes"]["copy/" + key] = live["sizes"].pop(key)
        client.expect(200, "POST", "/v1/sizes/batch", body=json.dumps({"ops": ops}).encode())
        large = MADE.body("large", 3 << 20)
        client.put("sizes", "large", large)
        live["sizes"]["large"] = (large, "application/octet-stream", {}, {})
        for key in live["small"]:
            client.delete("small", key)
        client.expect(204, "DELETE", path_of("small"))
        del live["small"]
        read_all(client, live)
        find_all(client, live)
        versions = client.expect(200, "GET", path_of("sizes", "of/65537") + "?versions").json["versions"]
        assert [v["op"] for v in versions] == ["delete", "put"]
        old = client.expect(200, "GET", f"{path_of('sizes', 'of/65537')}?version={versions[1]['version']}")
        assert old.body == CONTENTS["sizes"]["of/65537"][0]
    assert_verified(folder)
    with open_on(folder) as server, Client(server) as client:
        read_all(client, live)
        find_all(client, live)
