# SPDX-License-Identifier: Apache-2.0
"""Who may do what, as a matrix of operations, grants and tenants; and that a refusal tells nothing of what is there
(protocol, Errors and Key packets)."""
import itertools

import pytest

from wfltest import Client, Grant, Key, issue
from wfltest.keys import ALL_OPS

TENANTS = ("north", "south")


@pytest.fixture(scope="module")
def filled(server):
    """Two tenants, each with a bucket of its own and one below a prefix of a bucket that both use."""
    with Client(server) as maker:
        for tenant in TENANTS:
            maker.make_bucket(f"{tenant}-data")
            maker.put(f"{tenant}-data", "k", tenant.encode())
            maker.put(f"{tenant}-data", "p/k", tenant.encode())
        maker.make_bucket("shared")
        for tenant in TENANTS:
            maker.put("shared", f"{tenant}/k", tenant.encode())
    return server


# name: (op that it needs, method, key or None for the bucket, query, body, status where it is granted)
OPERATIONS = {
    "get": ("get", "GET", "k", "", None, 200),
    "head": ("get", "HEAD", "k", "", None, 200),
    "get what is not there": ("get", "GET", "none", "", None, 404),
    "put": ("put", "PUT", "k", "", b"x", 200),
    "delete what is not there": ("delete", "DELETE", "none", "", None, 404),
    "scan": ("scan", "GET", None, "/scan?prefix={prefix}", None, 200),
    "scan with contents": ("scan", "GET", None, "/scan?prefix={prefix}&include=value,meta,tags", None, 200),
    "show the bucket": ("manage", "GET", None, "", None, 200),
    "make the bucket": ("manage", "PUT", None, "", b"", 409),
    "remove the bucket": ("manage", "DELETE", None, "", None, 409),
}


def run(client, name, bucket, prefix=""):
    _, method, key, query, body, _ = OPERATIONS[name]
    target = f"/v1/{bucket}" + (f"/{prefix}{key}" if key else query.format(prefix=prefix))
    return client.request(method, target, body=body)


@pytest.mark.parametrize("missing", ALL_OPS)
def test_each_operation_needs_its_own_grant(filled, missing):
    """All ops but one: what needs that one is refused, all else is done."""
    with Client(filled, [Grant("*", ops=[op for op in ALL_OPS if op != missing])]) as client:
        for name, (needs, *_, status) in OPERATIONS.items():
            assert run(client, name, "north-data").status == (403 if needs == missing else status), name


@pytest.mark.parametrize("only", ALL_OPS)
def test_no_grant_brings_another_one(filled, only):
    """One op: what needs it is done, all else is refused."""
    with Client(filled, [Grant("*", ops=[only])]) as client:
        for name, (needs, *_, status) in OPERATIONS.items():
            assert run(client, name, "north-data").status == (status if needs == only else 403), name


@pytest.mark.parametrize("mine, other", itertools.permutations(TENANTS))
@pytest.mark.parametrize("pattern", ["{}-data", "{}-*", "{}*"])
def test_a_tenant_reaches_its_own_bucket_only(filled, mine, other, pattern):
    ops = [op for op in ALL_OPS if op != "admin"]
    with Client(filled, [Grant(pattern.format(mine), ops=ops)]) as client:
        for name, (*_, status) in OPERATIONS.items():
            assert run(client, name, f"{mine}-data").status == status, name
            for bucket in (f"{other}-data", "shared", f"x{mine}-data", mine[:-1], "none"):
                assert run(client, name, bucket).status == 403, (name, bucket)
        assert [b["name"] for b in client.expect(200, "GET", "/v1/").json["buckets"]] == [f"{mine}-data"]


@pytest.mark.parametrize("mine, other", itertools.permutations(TENANTS))
def test_a_tenant_reaches_its_own_prefix_only(filled, mine, other):
    ops = ["get", "put", "delete", "scan"]
    with Client(filled, [Grant("shared", f"{mine}/", ops)]) as client:
        for name, (needs, *_, status) in OPERATIONS.items():
            assert run(client, name, "shared", f"{mine}/").status == (403 if needs == "manage" else status), name
            for prefix in (f"{other}/", "", f"{mine}", f"{mine.upper()}/", f"x{mine}/", f"/{mine}/", f"{mine}%00/"):
                refused = run(client, name, "shared", prefix)
                assert refused.status in (403, 400), (name, prefix)
        for climbing in (f"{mine}/../{other}/k", f"{mine}/./../{other}/k", f"{mine}/%2e%2e/{other}/k", f"{mine}%2F..%2F{other}/k"):
            assert client.request("GET", f"/v1/shared/{climbing}").code == "invalid_key"


@pytest.mark.parametrize("query", [
    "", "?prefix=", "?prefix=s", "?prefix=south/", "?delimiter=/", "?prefix=north", "?after=north/", "?after=north/k&end=south/z",
    "?reverse=true", "?prefix=&after=south/", "?prefix=NORTH/",
])
def test_a_listing_does_not_reach_over_its_prefix(filled, query):
    with Client(filled, [Grant("shared", "north/", ["scan"])]) as client:
        assert client.request("GET", f"/v1/shared/scan{query}").code == "forbidden"


@pytest.mark.parametrize("query", ["after=a", "after=southern", "end=zzz", "reverse=true&after=zzz", "reverse=true&end=a", "delimiter=n",
                                   "delimiter=/", "include=value"])
def test_no_bound_of_a_listing_leads_out_of_its_prefix(filled, query):
    with Client(filled, [Grant("shared", "north/", ["scan"])]) as client:
        page = client.expect(200, "GET", f"/v1/shared/scan?prefix=north/&{query}").json
        for name in [i["key"] for i in page["items"]] + page.get("prefixes", []):
            assert name.startswith("north/")


def test_a_cursor_is_no_grant(filled):
    """The other tenant's cursor, and one's own made to point elsewhere."""
    with Client(filled) as maker:
        maker.put("shared", "north/l", b"")
        maker.put("shared", "south/l", b"")
        theirs = maker.page("shared", prefix="south/", limit=1)["cursor"]
        everything = maker.page("shared", limit=1)["cursor"]
    with Client(filled, [Grant("shared", "north/", ["scan"])]) as client:
        own = client.page("shared", prefix="north/", limit=1)["cursor"]
        assert [i["key"] for i in client.page("shared", prefix="north/", limit=1, cursor=own)["items"]] == ["north/l"]
        for cursor in (theirs, everything):
            refused = client.request("GET", f"/v1/shared/scan?prefix=north/&limit=1&cursor={cursor}")
            assert (refused.status, refused.code) == (400, "invalid_query")
            assert client.request("GET", f"/v1/shared/scan?limit=1&cursor={cursor}").code == "forbidden"


def test_two_grants_add_up_and_do_not_multiply(filled):
    with Client(filled, [Grant("north-data", ops=["get"]), Grant("south-data", ops=["put"])]) as client:
        assert run(client, "get", "north-data").status == 200
        assert run(client, "put", "south-data").status == 200
        assert run(client, "put", "north-data").status == 403
        assert run(client, "get", "south-data").status == 403
    with Client(filled, [Grant("shared", "north/", ["get"]), Grant("shared", "south/", ["scan"])]) as client:
        assert run(client, "get", "shared", "north/").status == 200
        assert run(client, "scan", "shared", "south/").status == 200
        assert run(client, "scan", "shared", "north/").status == 403
        assert run(client, "get", "shared", "south/").status == 403


def test_only_the_last_links_grants_count(filled):
    middle, last = Key(), Key()
    parent = issue(filled.root, middle, [Grant("*", ops=ALL_OPS)], delegate=1)
    with Client(filled, key=last, packet=issue(middle, last, [Grant("north-data", "p/", ["get"])], parent)) as client:
        for name, (needs, *_, status) in OPERATIONS.items():
            assert run(client, name, "north-data", "p/").status == (status if needs == "get" else 403), name
            assert run(client, name, "south-data").status == 403, name


# ---- a refusal tells nothing

def told(response):
    """Of an answer all that could tell something."""
    body = response.json if response.body else None
    if body is not None:
        body.pop("request_id")
    skip = ("x-request-id", "date")
    return response.status, [h for h in response.headers if h[0].lower() not in skip], body


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("http", [1, 2])
def test_forbidden_is_the_same_whatever_is_there(filled, name, http):
    """No such bucket, no such key, an empty one, a full one: one answer."""
    with Client(filled) as maker:
        made = f"empty-{http}-{list(OPERATIONS).index(name)}"
        maker.make_bucket(made)
    with Client(filled, [Grant("elsewhere", ops=[o for o in ALL_OPS if o != "admin"])], http=http) as client:
        answers = [told(run(client, name, bucket, prefix)) for bucket in ("north-data", "none", made) for prefix in ("", "p/", "none/")]
        assert answers[0][0] == 403
        assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("headers", [[("If-Match", "*")], [("If-None-Match", "*")], [("Range", "bytes=0-0")], [("Range", "bytes=99999-")],
                                     [("If-Match", '"01JDFJ7Z7Q2S4T6V8X0A2C4E6G"')]])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_no_condition_and_no_range_asks_around_a_grant(filled, headers, method):
    body = b"x" if method == "PUT" else None
    with Client(filled, [Grant("north-data", "other/", ["get", "put", "delete", "scan"])]) as client:
        answers = [told(client.request(method, f"/v1/north-data/{key}", headers, body)) for key in ("k", "none", "p/k")]
        assert answers[0][0] == 403 and answers[1:] == answers[:1] * 2


def test_a_refused_upload_is_not_awaited(filled):
    """The answer comes before the body: nothing of it is taken from who may not write."""
    with Client(filled, [Grant("north-data", ops=["get"])]) as client:
        target = "/v1/north-data/k"
        headers = client.headers("PUT", target, content="unsigned")
        connection = client.connect()
        head = [f"PUT {target} HTTP/1.1", f"Host: {filled.address}", "Content-Length: 1000000", "Expect: 100-continue"]
        connection.send("\r\n".join(head + [f"{n}: {v}" for n, v in headers]).encode() + b"\r\n\r\n")
        assert connection.read_head().status == 403  # and no 100 before it
