# SPDX-License-Identifier: Apache-2.0
"""libwfldb as its users meet it: wfldb.h and a server, with every allocation refused once."""
import re
import subprocess

from wfltest import Grant, Key, Server, binary, issue


def test_every_call_with_every_allocation_refused_once(tmp_path):
    key = Key()
    with Server(access_log=0) as server:
        credential = key.file(issue(server.root, key, [Grant()]))
        done = subprocess.run([binary("tests/client/library_sweep"), f"http://{server.address}"], input=credential.encode(),
                              capture_output=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done
    assert int(re.match(r"(\d+) refusals\n", done.stdout.decode())[1]) > 100
    assert list(tmp_path.iterdir()) == []
