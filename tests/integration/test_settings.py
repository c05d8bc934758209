# SPDX-License-Identifier: Apache-2.0
"""Settings of a bucket that are changed later, objects that expire, buckets that everybody may read."""
import itertools
import json
import threading

import pytest

from wfltest import Client, Connection, Grant, wait_until
from wfltest.client import path_of

names = (f"set-{n}" for n in itertools.count(1))


def settings_of(client, bucket):
    return client.expect(200, "GET", path_of(bucket)).json["settings"]


def patch(client, bucket, status=200, **members):
    return client.expect(status, "PATCH", path_of(bucket), body=json.dumps(members).encode())


# ---- PATCH

def test_a_patch_changes_what_it_names_and_null_takes_back(client):
    bucket = next(names)
    plain = client.make_bucket(bucket).json["settings"]
    client.put(bucket, "k", b"12345")
    before = client.expect(200, "GET", path_of(bucket)).json
    answer = patch(client, bucket, versions=3, retain_seconds=60, quota_objects=9, public_read=True).json
    assert answer == before | {"settings": plain | {"versions": 3, "retain_seconds": 60, "quota_objects": 9, "public_read": True}}
    assert patch(client, bucket).json == answer
    assert patch(client, bucket, versions=-1, quota_objects=None).json["settings"] == \
        plain | {"versions": -1, "retain_seconds": 60, "public_read": True}
    assert patch(client, bucket, versions=None, retain_seconds=None, quota_objects=None, public_read=None).json["settings"] == plain
    assert settings_of(client, bucket) == plain


@pytest.mark.parametrize("body, code", [
    (b"", "invalid_json"), (b"{", "invalid_json"), (b"[]", "invalid_json"), (b"null", "invalid_json"), (b"7", "invalid_json"),
    (b'{"versions":1,"versions":2}', "invalid_json"), (b'{"versions":1}x', "invalid_json"), (b"\xff", "invalid_json"),
    (b'{"colour":1}', "invalid_setting"), (b'{"colour":null}', "invalid_setting"), (b'{"versions":9,"colour":1}', "invalid_setting"),
    (b'{"versions":"1"}', "invalid_setting"), (b'{"versions":1.5}', "invalid_setting"), (b'{"versions":-2}', "invalid_setting"),
    (b'{"versions":true}', "invalid_setting"), (b'{"versions":{}}', "invalid_setting"), (b'{"retain_seconds":-1}', "invalid_setting"),
    (b'{"expire_seconds":0}', "invalid_setting"), (b'{"public_read":1}', "invalid_setting"), (b'{"public_read":"true"}', "invalid_setting"),
    (b'{"quota_bytes":9007199254740993}', "invalid_setting"), (b'{"Versions":1}', "invalid_setting"), (b'{"":1}', "invalid_setting"),
])
def test_a_patch_that_is_refused_changes_nothing(client, body, code):
    bucket = next(names)
    before = client.make_bucket(bucket, b'{"versions":5,"quota_bytes":100}').json
    answer = client.request("PATCH", path_of(bucket), body=body)
    assert (answer.status, answer.code) == (400, code)
    assert client.expect(200, "GET", path_of(bucket)).json == before


def test_a_patch_needs_manage_and_a_bucket(client, server):
    bucket = next(names)
    client.make_bucket(bucket)
    assert client.request("PATCH", path_of("no-such-bucket"), body=b"{}").code == "bucket_not_found"
    with Client(server, [Grant(bucket, "", ["get", "put", "delete", "scan", "watch"])], http=client.http) as user:
        for name in (bucket, "no-such-bucket"):
            assert user.request("PATCH", path_of(name), body=b'{"versions":1}').code == "forbidden"
    assert settings_of(client, bucket).get("versions", 0) == 0


def test_patches_of_different_members_at_once_all_hold(server):
    members = ["versions", "retain_seconds", "quota_bytes", "quota_objects", "max_object_bytes", "expire_seconds"]
    bucket = next(names)
    with Client(server) as owner:
        owner.make_bucket(bucket)

        def turn(name):
            with Client(server) as one:
                for value in range(1001, 1021):
                    patch(one, bucket, **{name: value})
        threads = [threading.Thread(target=turn, args=(name,)) for name in members]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        settings = settings_of(owner, bucket)
        assert {name: settings[name] for name in members} == dict.fromkeys(members, 1020)


# ---- expiry; the clock is the system's here, so what is about to come is waited for

def test_an_object_vanishes_for_every_reader(client):
    bucket = next(names)
    client.make_bucket(bucket, b'{"expire_seconds":1,"versions":-1}')
    version = client.put(bucket, "k", b"x" * 2000, [("X-WflDB-Tag-A", "1")]).json["version"]
    wait_until(lambda: client.request("GET", path_of(bucket, "k")).status == 404, "the object expires")
    assert client.get(bucket, "k", 404).code == "key_not_found"
    assert client.get(bucket, "k", 404, method="HEAD").body == b""
    assert client.scan(bucket) == ([], [])
    assert client.expect(200, "GET", f"/v1/{bucket}/query?tag.a=1").json["items"] == []
    assert client.expect(404, "GET", path_of(bucket, "k") + f"?version={version}").code == "version_not_found"
    check = json.dumps({"ops": [{"op": "check", "key": "k", "if": None}]}).encode()
    assert client.expect(200, "POST", f"/v1/{bucket}/batch", body=check).json["results"]
    assert client.request("PUT", path_of(bucket, "k"), [("If-Match", f'"{version}"')], b"y").code == "precondition_failed"
    assert client.put(bucket, "k", b"y", [("If-None-Match", "*")]).status == 201


def test_what_has_expired_is_removed_as_by_a_delete(client):
    bucket = next(names)
    client.make_bucket(bucket, b'{"expire_seconds":1}')
    for key in ("a", "b"):
        client.put(bucket, key, b"x" * 100_000)
    wait_until(lambda: client.expect(200, "GET", path_of(bucket)).json["objects"] == 0, "both are removed")
    assert client.expect(200, "GET", path_of(bucket)).json["bytes"] == 0
    assert client.request("DELETE", path_of(bucket, "a")).code == "key_not_found"
    client.expect(204, "DELETE", path_of(bucket))


def test_an_expiry_that_is_set_later_holds_for_what_is_there(client):
    bucket = next(names)
    client.make_bucket(bucket)
    client.put(bucket, "k", b"x")
    patch(client, bucket, expire_seconds=1)
    wait_until(lambda: client.expect(200, "GET", path_of(bucket)).json["objects"] == 0, "the object is removed")
    patch(client, bucket, expire_seconds=None)
    client.put(bucket, "k", b"y")
    assert client.get(bucket, "k").body == b"y"


# ---- public buckets

def ask(server, method, target, headers=(), body=None):
    content = [("X-WflDB-Content-BLAKE3", "unsigned")] if body is not None else []
    with Connection(server.address) as connection:
        return connection.request(method, target, list(headers) + content, body)


@pytest.fixture(scope="module")
def public(server):
    bucket = next(names)
    with Client(server) as owner:
        owner.make_bucket(bucket, b'{"public_read":true,"versions":-1}')
        owner.make_bucket(bucket + "-closed", b'{"public_read":false}')
        owner.put(bucket + "-closed", "k", b"secret")
        first = owner.put(bucket, "a/k", b"first").json["version"]
        owner.put(bucket, "a/k", b"second", [("X-WflDB-Meta-M", "1")])
    return bucket, first


def test_everybody_reads_the_objects_of_a_public_bucket(server, public):
    bucket, first = public
    target = path_of(bucket, "a/k")
    answer = ask(server, "GET", target)
    assert (answer.status, answer.body, answer.header("x-wfldb-meta-m")) == (200, b"second", "1")
    assert ask(server, "HEAD", target).header("content-length") == "6"
    assert ask(server, "GET", target, [("Range", "bytes=1-3")]).body == b"eco"
    assert ask(server, "GET", target, [("If-None-Match", answer.header("etag"))]).status == 304
    assert ask(server, "GET", f"{target}?version={first}").body == b"first"
    assert ask(server, "HEAD", f"{target}?at={first}").header("x-wfldb-version") == first
    assert ask(server, "GET", path_of(bucket, "none")).code == "key_not_found"


@pytest.mark.parametrize("method, rest, body", [
    ("PUT", "/a/k", b"x"), ("DELETE", "/a/k", None), ("POST", "/a/k?multipart=start", b""), ("DELETE", "/a/k?version={first}", None),
    ("GET", "/a/k?versions", None), ("GET", "/a/k?upload={first}", None), ("PUT", "/a/k?upload={first}&part=1", b"x"),
    ("GET", "/scan", None), ("GET", "/query?tag.a=1", None), ("GET", "/changes", None), ("POST", "/batch", b'{"ops":[]}'),
    ("GET", "", None), ("HEAD", "", None), ("PATCH", "", b"{}"), ("DELETE", "", None), ("GET", "?uploads", None),
    ("GET", "-closed/k", None), ("GET", "-closed/none", None), ("GET", "-missing/k", None), ("HEAD", "-missing/k", None),
])
def test_everything_else_needs_a_credential(server, public, method, rest, body):
    bucket, first = public
    answer = ask(server, method, f"/v1/{bucket}" + rest.format(first=first), body=body)
    assert answer.status == 401
    assert answer.header("www-authenticate", "").startswith("Bearer")
    if method != "HEAD":
        assert answer.code == "credential_missing"
    assert ask(server, "GET", path_of(bucket, "a/k")).body == b"second"


def test_what_is_closed_looks_like_what_is_not_there(server, public):
    bucket, _ = public

    def told(target):
        problem = ask(server, "GET", target).json
        return {n: v for n, v in problem.items() if n != "request_id"}
    assert told(f"/v1/{bucket}-closed/k") == told(f"/v1/{bucket}-missing/k") == told(f"/v1/{bucket}-closed/none")


@pytest.mark.parametrize("headers", [
    [("Authorization", "Bearer x.y.z")], [("Authorization", "Session 01ARZ3NDEKTSV4RRFFQ69G5FAV")], [("Authorization", "Basic eDp5")],
    [("Authorization", "")],
])
def test_a_wrong_credential_is_refused_in_a_public_bucket_too(server, public, headers):
    answer = ask(server, "GET", path_of(public[0], "a/k"), headers)
    assert answer.status == 401 and answer.body != b"second"


def test_a_wrong_presigned_credential_is_refused_in_a_public_bucket_too(server, public):
    target = path_of(public[0], "a/k") + "?wfl-packet=x&wfl-timestamp=2026-11-24T10:00:00Z&wfl-expires=60&wfl-signature=x"
    answer = ask(server, "GET", target)
    assert answer.status in (400, 401) and answer.body != b"second"


def test_a_packet_without_the_grant_is_refused_in_a_public_bucket_too(server, public):
    with Client(server, [Grant("elsewhere", "", ["get"])]) as other:
        assert other.request("GET", path_of(public[0], "a/k")).code == "forbidden"


def test_a_bucket_is_public_as_long_as_it_says_so(client, server):
    bucket = next(names)
    client.make_bucket(bucket)
    client.put(bucket, "k", b"x")
    for public in (True, False, True, None):
        patch(client, bucket, public_read=public)
        assert ask(server, "GET", path_of(bucket, "k")).status == (200 if public else 401)
