# SPDX-License-Identifier: Apache-2.0
"""Buckets: made, shown, listed, counted, removed (protocol, Endpoints)."""
import json

import pytest

from wfltest import Client, Grant


def test_a_bucket_is_made_once(client):
    name = f"once-{client.http}"
    made = client.make_bucket(name)
    assert made.json["name"] == name
    assert (made.json["objects"], made.json["bytes"]) == (0, 0)
    assert client.request("PUT", f"/v1/{name}", body=b"").code == "bucket_exists"
    assert client.request("PUT", f"/v1/{name}").code == "bucket_exists"  # no body at all


def test_settings_are_kept(client):
    name = f"settings-{client.http}"
    made = client.make_bucket(name, json.dumps({"versions": 0, "quota_bytes": 5000, "max_object_bytes": 1000}).encode())
    shown = client.expect(200, "GET", f"/v1/{name}").json
    assert shown == made.json
    assert shown["settings"]["quota_bytes"] == 5000
    assert shown["settings"]["max_object_bytes"] == 1000


def test_quotas_and_sizes_hold(client):
    name = f"quotas-{client.http}"
    client.make_bucket(name, b'{"quota_bytes":100,"quota_objects":2,"max_object_bytes":80}')
    client.put(name, "a", b"x" * 80)
    assert client.put(name, "b", b"x" * 81, status=413).code == "object_too_large"
    assert client.put(name, "b", b"x" * 21, status=507).code == "quota_exceeded"
    client.put(name, "b", b"x" * 20)
    assert client.put(name, "c", b"", status=507).code == "quota_exceeded"
    client.put(name, "a", b"")  # replacing makes room
    client.delete(name, "b")
    client.put(name, "c", b"x" * 80)
    assert client.expect(200, "GET", f"/v1/{name}").json["bytes"] == 80


def test_counters_follow_every_write(client, bucket):
    def info():
        got = client.expect(200, "GET", f"/v1/{bucket}").json
        return got["objects"], got["bytes"], got["version"]
    first = client.put(bucket, "a", b"12345").json["version"]
    assert info() == (1, 5, first)
    client.put(bucket, "b", b"1" * 70_000)
    last = client.put(bucket, "a", b"123").json["version"]
    assert info() == (2, 70_003, last)
    gone = client.delete(bucket, "b").header("x-wfldb-version")
    assert info() == (1, 3, gone)


def test_a_bucket_goes_when_empty(client, bucket):
    client.put(bucket, "k", b"x")
    refused = client.request("DELETE", f"/v1/{bucket}")
    assert (refused.status, refused.code) == (409, "bucket_not_empty")
    client.delete(bucket, "k")
    client.expect(204, "DELETE", f"/v1/{bucket}")
    assert client.request("DELETE", f"/v1/{bucket}").code == "bucket_not_found"
    assert client.put(bucket, "k", b"x", status=404).code == "bucket_not_found"
    client.make_bucket(bucket)
    assert client.page(bucket)["items"] == []


def test_the_list_has_what_the_packet_reaches(server):
    with Client(server) as all_of_them:
        for name in ("reach-a", "reach-b", "other"):
            all_of_them.make_bucket(name)
        names = [b["name"] for b in all_of_them.expect(200, "GET", "/v1/").json["buckets"]]
        assert names == sorted(names)
        assert {"reach-a", "reach-b", "other"} <= set(names)
    with Client(server, [Grant("reach-*", "x/", ["get"])]) as some:
        assert [b["name"] for b in some.expect(200, "GET", "/v1/").json["buckets"]] == ["reach-a", "reach-b"]


@pytest.mark.parametrize("name", ["ab", "-ab", "ab-", "a..b", "AB", "a_b", "a" * 64, "%C3%A4bc", "a%20b"])
def test_what_is_no_name_is_no_bucket(client, name):
    assert client.request("PUT", f"/v1/{name}", body=b"").code == "invalid_bucket"


@pytest.mark.parametrize("body, code", [
    (b"{", "invalid_json"), (b"[]", "invalid_json"), (b'{"versions":1,"versions":2}', "invalid_json"),
    (b"\xff", "invalid_json"), (b'{"colour":1}', "invalid_setting"), (b'{"versions":"1"}', "invalid_setting"),
    (b'{"quota_bytes":-2}', "invalid_setting"), (b'{"max_object_bytes":1.5}', "invalid_setting"),
])
def test_settings_that_are_none_make_no_bucket(client, body, code):
    assert client.request("PUT", "/v1/never-made", body=body).code == code
    assert client.request("GET", "/v1/never-made").code == "bucket_not_found"


def test_the_server_tells_who_it_is(client, server):
    told = client.connect().request("GET", "/v1/-/server")
    assert told.status == 200
    assert {"name", "version", "time", "identity", "limits"} <= set(told.json)
    assert told.json["identity"]["kty"] == "OKP" and "d" not in told.json["identity"]
