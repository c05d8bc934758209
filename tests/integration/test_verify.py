# SPDX-License-Identifier: Apache-2.0
"""wfldb-admin verify: a folder is recounted, whoever left it and however."""
import json
import os
import subprocess

from wfltest import Client, Server, binary


def verify(folder, *options):
    return subprocess.run([binary("wfldb-admin"), "verify", folder, *options], capture_output=True, text=True,
                          timeout=120)


def test_a_store_that_was_killed_counts_right():
    with Server(segment_bytes=8 << 20) as server:
        with Client(server) as client:
            client.make_bucket("counted")
            for i in range(30):
                client.put("counted", f"{i}", os.urandom(3000 * (i + 1)) + b"x" * (i << 17))
            for i in range(0, 30, 3):
                client.delete("counted", f"{i}")
            upload = client.request("POST", "/v1/counted/parts?multipart=start").json["upload"]
            client.request("PUT", f"/v1/counted/parts?upload={upload}&part=1", [], os.urandom(2 << 20))
        data = os.path.join(server.folder, "data")
        busy = verify(data)
        assert busy.returncode == 1 and "in use" in busy.stderr
        server.kill()
        found = verify(data)
        assert (found.returncode, found.stdout) == (0, "0 differences\n"), found.stdout + found.stderr
        assert json.loads(verify(os.path.join(data, "records"), "--json").stdout) == {"differences": []}
        server.start()


def test_a_missing_segment_is_told():
    with Server() as server:
        with Client(server) as client:
            client.make_bucket("counted")
            client.put("counted", "k", os.urandom(300_000))
        data = os.path.join(server.folder, "data")
        assert server.stop() == 0
        segments = os.path.join(data, "records", "segments")
        for name in os.listdir(segments):
            os.rename(os.path.join(segments, name), os.path.join(server.folder, name))
        found = verify(data)
        assert found.returncode == 1 and "segment" in found.stderr and found.stderr.count("\n") == 1
        for name in os.listdir(server.folder):
            if name.endswith(".seg"):
                os.rename(os.path.join(server.folder, name), os.path.join(segments, name))
        assert verify(data).returncode == 0
        server.start()


def test_a_folder_without_a_store_is_none(tmp_path):
    nothing = verify(str(tmp_path))
    assert nothing.returncode == 4 and nothing.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # and none is made
    assert subprocess.run([binary("wfldb-admin"), "verify"], capture_output=True).returncode == 2
