# SPDX-License-Identifier: Apache-2.0
"""The audit log: a line for what was refused and for what administrators do, that names who and what, holds no
credential, cannot be forged, and cannot be made to fill the disk."""
import json
import os
import signal
import subprocess

import pytest

from wfltest import Client, Grant, Key, Server, binary, issue, wait_until
from wfltest.keys import ulid
from wfltest.presigned import presign
from wfltest.session import open_session

STRANGERS_A_SECOND = 20


def lines(server, event="audit"):
    return [entry for entry in server.entries() if entry.get("event") == event]


def line_of(server, answer):
    """The line of the request that had this answer."""
    found = []
    request_id = answer.header("x-request-id")

    def there():
        found[:] = [entry for entry in lines(server) if entry["request_id"] == request_id]
        return found
    wait_until(there, f"an audit line of {request_id}")
    assert len(found) == 1
    return found[0]


def is_left_out(server, answer, client):
    """Lines come in the order of their requests: behind a later one's, an earlier one has none."""
    line_of(server, client.request("GET", "/v1/never-made"))
    return all(entry["request_id"] != answer.header("x-request-id") for entry in lines(server))


# ---- administrators

ADMINISTRATIVE = {
    "make a bucket": ("PUT", "/v1/{new}", b"", 201, "manage"),
    "make it again": ("PUT", "/v1/{bucket}", b"", 409, "manage"),
    "show a bucket": ("GET", "/v1/{bucket}", None, 200, "manage"),
    "change settings": ("PATCH", "/v1/{bucket}", b'{"versions":1}', 200, "manage"),
    "wrong settings": ("PATCH", "/v1/{bucket}", b'{"x":1}', 400, "manage"),
    "list uploads": ("GET", "/v1/{bucket}?uploads", None, 200, "manage"),
    "list revocations": ("GET", "/v1/-/revocations", None, 200, "admin"),
    "revoke": ("POST", "/v1/-/revocations", b'{"jti":"{ulid}"}', 201, "admin"),
    "look at the scrub": ("GET", "/v1/-/scrub", None, 200, "admin"),
}


@pytest.mark.parametrize("name", ADMINISTRATIVE)
def test_what_administrators_do(server, client, bucket, name):
    method, target, body, status, op = ADMINISTRATIVE[name]
    with Client(server, [Grant("*", ops=["manage", "admin"])], http=client.http) as administrator:
        body = body and body.replace(b"{ulid}", ulid().encode())  # each time another one
        answer = administrator.request(method, target.format(bucket=bucket, new=bucket + "-2"), body=body)
    assert answer.status == status
    line = line_of(server, answer)
    assert (line["decision"], line["status"], line["method"], line["op"]) == ("allowed", status, method, op)
    assert line["path"] == target.format(bucket=bucket, new=bucket + "-2").partition("?")[0]
    assert line["client"] == administrator.key.thumb and line["peer"].startswith("127.0.0.1")
    assert line.get("code") == (answer.code or None)


def test_others_do_leaves_none(server, client, bucket):
    for answer in (client.put(bucket, "k", b"x"), client.get(bucket, "k"), client.request("GET", f"/v1/{bucket}/none"),
                   client.request("GET", "/v1/"), client.request("GET", f"/v1/{bucket}/scan")):
        assert is_left_out(server, answer, client)


# ---- who

def test_a_chain_is_named_link_by_link(server, bucket):
    middle, last = Key(), Key()
    first = issue(server.root, middle, [Grant("*", ops=["get", "put"])], delegate=1)
    packet = issue(middle, last, [Grant(bucket, ops=["get"])], parent=first)
    with Client(server, key=last, packet=packet) as holder:
        line = line_of(server, holder.request("PUT", f"/v1/{bucket}/k", body=b"x"))
    assert (line["decision"], line["code"], line["op"], line["bucket"]) == ("refused", "forbidden", "put", bucket)
    assert [(link["signer"], link["holder"]) for link in line["chain"]] == [
        (server.root.thumb, middle.thumb), (middle.thumb, last.thumb)]
    assert all(len(link["jti"]) == 26 for link in line["chain"]) and line["client"] == last.thumb


def test_a_session_is_named(server, client, bucket):
    with open_session(client) as session:
        line = line_of(server, session.request("GET", f"/v1/{bucket}"))
        assert line["session"] == session.credential.text and line["client"] == client.key.thumb


def test_what_is_not_proved_is_a_claim(server, client, bucket):
    answer = client.request("GET", f"/v1/{bucket}/k", at=1_000_000_000)
    assert answer.code == "timestamp_skew"
    line = line_of(server, answer)
    assert line["claimed_client"] == client.key.thumb and len(line["claimed_jti"]) == 26
    assert "client" not in line and "chain" not in line
    stranger = Key()
    with Client(server, key=stranger, packet=issue(Key(), stranger, [Grant()])) as other:
        line = line_of(server, other.request("GET", f"/v1/{bucket}/k"))
    assert line["code"] == "packet_untrusted" and line["claimed_client"] == stranger.thumb
    answer = client.connect().request("GET", f"/v1/{bucket}/k", [])
    assert answer.code == "credential_missing"
    assert not {"client", "claimed_client", "chain"} & set(line_of(server, answer))


# ---- no credential, nothing forged

def test_no_line_holds_a_credential(server, client, bucket):
    with Client(server, [Grant(bucket, ops=["get"])]) as holder:
        url = presign(holder, "PUT", f"/v1/{bucket}/k")
        headers = holder.headers("PUT", f"/v1/{bucket}/k", [], b"x")
        answers = [holder.connect().request("PUT", f"/v1/{bucket}/k", headers, b"x"), holder.connect().request("PUT", url, []),
                   holder.connect().request("GET", url[:-3] + "abc", [])]
        secrets = [holder.packet, *(part for part in holder.packet.split("~"))] + [
            value for name, value in headers if name.lower() in ("authorization", "x-wfldb-signature")]
        for answer in answers:
            assert line_of(server, answer)["status"] in (401, 403)
    whole = "".join(server.log)
    assert not any(secret in whole for secret in secrets) and "wfl-signature" not in whole and "wfl-packet" not in whole


@pytest.mark.parametrize("path", ["/v1/%0A%22event%22:%22audit%22/k", "/v1/abc/%22%7D%0A%7B", "/v1/abc/\u00e9\u2028".encode().decode("latin-1"),
                                  "/v1/abc/" + "x" * 4000, "/v1/abc/%1B[2J"], ids=["line feed", "quotes", "bytes", "long", "escape"])
def test_no_input_makes_a_line_of_its_own(server, client1, path):
    with Client(server, [Grant("nothing", ops=["get"])]) as holder:
        before = len(server.log)
        answer = holder.request("DELETE", path)
        assert answer.status in (400, 403)
        line_of(server, holder.request("GET", "/v1/elsewhere/k"))
    for text in server.log[before:]:
        assert json.loads(text)["event"] in ("audit", "request", "audit_left_out")
        assert text.count("\n") == 1 and len(text) < 16384 and not any(ord(c) < 0x20 for c in text[:-1])


# ---- how many

def test_strangers_cannot_fill_the_disk(bucket, server):
    with Server() as own, Client(own) as client:
        own_connection = client.connect()
        for _ in range(500):
            assert own_connection.request("GET", "/v1/x/y", []).status == 401

        def all_told():
            client.request("GET", "/v1/never-made")  # with it a count of the second before comes out
            told = sum(entry["strangers"] for entry in lines(own, "audit_left_out"))
            return told + sum(entry["status"] == 401 for entry in lines(own)) == 500
        wait_until(all_told, "500 refusals, written or counted")
        assert sum(entry["status"] == 401 for entry in lines(own)) < 500
        for number in range(2 * STRANGERS_A_SECOND):  # administrators are never left out
            line_of(own, client.request("PUT", f"/v1/bucket-{number}", body=b""))


# ---- where

def test_a_file_of_its_own_that_can_be_moved_away(tmp_path):
    path = tmp_path / "audit.log"
    with Server(audit_log=str(path)) as own, Client(own) as client:
        def is_in(file, answer):
            return file.exists() and answer.header("x-request-id") in file.read_text()
        first = client.request("PUT", "/v1/first-bucket", body=b"")
        wait_until(lambda: is_in(path, first), "the first line in the file")
        assert path.stat().st_mode & 0o777 == 0o600
        moved = tmp_path / "audit.log.1"
        path.rename(moved)
        own.process.send_signal(signal.SIGHUP)
        wait_until(path.exists, "a new file")
        second = client.request("PUT", "/v1/second-bucket", body=b"")
        wait_until(lambda: is_in(path, second) or is_in(moved, second), "the second line")
        third = client.request("PUT", "/v1/third-bucket", body=b"")
        wait_until(lambda: is_in(path, third), "the third line in the new file")
        assert not is_in(moved, third) and not lines(own)
        own.stop()
        for line in (moved.read_text() + path.read_text()).splitlines():
            assert json.loads(line)["event"] == "audit"


def test_off():
    with Server(audit_log="off") as own, Client(own) as client:
        assert client.request("PUT", "/v1/some-bucket", body=b"").status == 201
        assert client.connect().request("GET", "/v1/x/y", []).status == 401
        wait_until(lambda: len(lines(own, "request")) == 2, "the lines of both requests")
        assert not lines(own)


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path):
    root = tmp_path / "root.jwk"
    root.write_text(json.dumps(Key().jwk))
    done = subprocess.run([binary("wfldb-server"), "--data", str(tmp_path / "data"), "--root", str(root), "--listen", "127.0.0.1:0",
                           "--ops-listen", "127.0.0.1:0", "--set", f"audit_log={tmp_path}/none/audit.log"],
                          capture_output=True, text=True, timeout=30, env={**os.environ})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("wfldb-server: audit_log ") and "No such file" in done.stderr
