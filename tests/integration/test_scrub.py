# SPDX-License-Identifier: Apache-2.0
"""Damage on the disk: what is damaged is never returned, what is not is; the scrub names all of it."""
import json
import os
import random
import subprocess

import pytest

from wfltest import Client, Grant, Key, Server, binary, issue
from wfltest.keys import ALL_OPS

FLIPS = int(os.environ.get("WFL_FLIPS", "25"))  # ./dev soak takes 200
SIZES = [65_537, 100_000, 1 << 20, (1 << 20) + 5000, 3 << 20, (2 << 20) + 7000]


def segments(server):
    folder = os.path.join(server.folder, "data", "records", "segments")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


def places(server, contents):
    """Where the chunks of the contents lie: file, offset, length, key, place in the content."""
    found = []
    for path in segments(server):
        data = open(path, "rb").read()
        for key, content in contents.items():
            for at in range(0, len(content), 1 << 20):
                chunk = content[at:at + (1 << 20)]
                offset = data.find(chunk[:64])
                if offset >= 0:
                    found.append((path, offset, len(chunk), key, at))
    return found


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ (1 << random.randrange(8))]))


def reads(client, key, content):
    """True: the right bytes; False: an error. Anything else fails the test."""
    try:
        answer = client.request("GET", f"/v1/damaged/{key}")
    except (EOFError, OSError, ConnectionError):
        return False  # broken off after the head
    if answer.status == 500:
        assert answer.code == "corrupt_object"
        return False
    assert answer.status == 200 and answer.body == content, key
    return True


@pytest.mark.parametrize("http", [1, 2], ids=["http1", "http2"])
def test_damaged_chunks_are_errors_and_nothing_else_is(http):
    random.seed(int(os.environ.get("WFL_SEED", "4")) + http)
    contents = {f"{i:03}": os.urandom(SIZES[i % len(SIZES)]) for i in range(60 if FLIPS <= 50 else 3 * FLIPS)}
    with Server(segment_bytes=32 << 20) as server:
        with Client(server) as client:
            client.make_bucket("damaged")
            for key, content in contents.items():
                client.put("damaged", key, content)
        assert server.stop() == 0
        where = places(server, contents)
        assert len(where) == sum((len(c) + (1 << 20) - 1) >> 20 for c in contents.values())
        hit = random.sample(where, FLIPS)
        for path, offset, length, _, _ in hit:
            flip(path, offset + random.randrange(-64, length))  # header or content
        bad = {key for _, _, _, key, _ in hit}
        server.start()
        with Client(server, http=http) as client:
            right = {key for key, content in contents.items() if reads(client, key, content)}
            assert right == set(contents) - bad
            # A part of a damaged object that no damaged chunk touches is still right.
            for place in where:
                _, _, length, key, at = place
                if place in hit or key not in bad:
                    continue
                answer = client.request("GET", f"/v1/damaged/{key}", [("Range", f"bytes={at}-{at + length - 1}")])
                assert answer.body == contents[key][at:at + length]
        found = scrub(server, 1 << 30)
        assert found["state"] == "done"
        assert found["chunks"] == len(where)
        assert found["corrupt_chunks"] == len(hit) == len(found["corrupt"])
        assert {o["key"] for o in found["objects"]} == bad
        assert any(e.get("event") == "corrupt_chunk" for e in server.entries())


def scrub(server, rate):
    admin = Key()
    credential = os.path.join(server.folder, "admin.json")
    packet = issue(server.root, admin, [Grant("*", None, ALL_OPS)])
    with open(os.open(credential, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(admin.file(packet, f"http://{server.address}"))
    run = subprocess.run([binary("wfldb-admin"), "scrub", "--json", "--rate", str(rate), "--credential", credential],
                         capture_output=True, text=True, timeout=120)
    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    assert run.returncode == (1 if found["corrupt_chunks"] else 0), run.stderr
    return found


def test_a_clean_store_is_clean_and_the_scrub_serves_beside_it(server):
    with Client(server) as client:
        client.make_bucket("clean")
        for i in range(5):
            client.put("clean", f"{i}", os.urandom(3 << 20))
        found = scrub(server, 1 << 30)
        assert (found["state"], found["corrupt_chunks"], found["objects"]) == ("done", 0, [])
        assert found["bytes"] == 15 << 20 <= found["bytes_total"]  # which counts what lies around chunks too


def test_the_scrub_wants_admin_and_keeps_its_rate(server):
    with Client(server) as client:
        for method in ("GET", "POST", "DELETE"):
            assert client.request(method, "/v1/-/scrub").code == "forbidden"
    with Client(server, [Grant("*", None, ALL_OPS)]) as admin:
        admin.make_bucket("slow")
        admin.put("slow", "k", os.urandom(8 << 20))
        for body, code in ((b'{"bytes_per_second":1}', "invalid_setting"), (b"[]", "invalid_json"),
                           (b'{"rate":1}', "invalid_json"), (b'{"bytes_per_second":"1"}', "invalid_setting")):
            assert admin.request("POST", "/v1/-/scrub", body=body).code == code
        started = admin.request("POST", "/v1/-/scrub", body=b'{"bytes_per_second":65536}')
        assert started.status == 202 and started.json["state"] == "running"
        # At this rate it would take minutes: it is still running, and ends when told.
        assert admin.request("GET", "/v1/-/scrub").json["state"] == "running"
        admin.expect(200, "DELETE", "/v1/-/scrub")
        for _ in range(1000):
            if admin.request("GET", "/v1/-/scrub").json["state"] == "stopped":
                break
        else:
            raise AssertionError("it did not stop")
        assert admin.request("PUT", "/v1/-/scrub", body=b"").status == 405
