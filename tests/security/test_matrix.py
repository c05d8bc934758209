# SPDX-License-Identifier: Apache-2.0
"""Every endpoint by every grant: who lacks the one op that it needs is refused, with exactly `forbidden`, nothing changed and
nothing told; who has that op and no other is let in. Generated, for two tenants (protocol, Endpoints)."""
import itertools
import json

import pytest

from wfltest import Client, Grant, Key, link
from wfltest.keys import ALL_OPS, ulid

TENANTS = ("north", "south")
ULID = ulid(0)
KEY_OPS = ["get", "put", "delete", "scan", "watch"]


def ops(*many):
    return json.dumps({"ops": many}).encode()


BUCKET_OPS = {  # op of a batch: (ops that it needs, the op)
    "put": ({"put"}, {"op": "put", "key": "{p}k", "value": "x", "if": ULID}), "delete": ({"delete"}, {"op": "delete", "key": "{p}k", "if": ULID}),
    "check": ({"get"}, {"op": "check", "key": "{p}k", "if": ULID}), "copy": ({"get", "put"}, {"op": "copy", "from": "{p}k", "key": "{p}l", "if": ULID}),
}

# name: (ops that it needs, method, target behind /v1/, body, status where they are granted). {b}: bucket, {p}: prefix.
# Chosen so that even what is granted changes nothing: conditions fail, uploads are not known, the jti is nobody's.
ENDPOINTS = {
    "make a bucket": ({"manage"}, "PUT", "{b}", b"", 409),
    "show a bucket": ({"manage"}, "GET", "{b}", None, 200),
    "change a bucket": ({"manage"}, "PATCH", "{b}", b"{}", 200),
    "remove a bucket": ({"manage"}, "DELETE", "{b}", None, 409),
    "list uploads": ({"manage"}, "GET", "{b}?uploads", None, 200),
    "put": ({"put"}, "PUT", "{b}/{p}k", b"x", 412),
    "get": ({"get"}, "GET", "{b}/{p}k", None, 200),
    "head": ({"get"}, "HEAD", "{b}/{p}k", None, 200),
    "get a version": ({"get"}, "GET", "{b}/{p}k?version=" + ULID, None, 404),
    "get as of a moment": ({"get"}, "GET", "{b}/{p}k?at=2020-01-01T00:00:00Z", None, (404, 410)),
    "list versions": ({"get"}, "GET", "{b}/{p}k?versions", None, 200),
    "delete": ({"delete"}, "DELETE", "{b}/{p}k", None, 412),
    "erase a version": ({"delete"}, "DELETE", "{b}/{p}k?version=" + ULID, None, 404),
    "scan": ({"scan"}, "GET", "{b}/scan?prefix={p}", None, 200),
    "scan with contents": ({"scan"}, "GET", "{b}/scan?prefix={p}&include=value,meta,tags", None, 200),
    "scan as of a moment": ({"scan"}, "GET", "{b}/scan?prefix={p}&at=2020-01-01T00:00:00Z", None, 200),
    "query": ({"scan"}, "GET", "{b}/query?tag.a=b&prefix={p}", None, 200),
    "changes": ({"watch"}, "GET", "{b}/changes?prefix={p}", None, 200),
    "upload a part": ({"put"}, "PUT", "{b}/{p}k?upload=" + ULID + "&part=1", b"x", 404),
    "list parts": ({"put"}, "GET", "{b}/{p}k?upload=" + ULID, None, 404),
    "complete an upload": ({"put"}, "POST", "{b}/{p}k?upload=" + ULID, b'{"parts":[]}', (400, 404)),
    "abort an upload": ({"put"}, "DELETE", "{b}/{p}k?upload=" + ULID, None, 404),
    "list revocations": ({"admin"}, "GET", "-/revocations", None, 200),
    "revoke": ({"admin"}, "POST", "-/revocations", b'{"jti":"%s"}' % ULID.encode(), (200, 201)),
    **{f"batch: {name}": (needs, "POST", "{b}/batch", ops(op), 412) for name, (needs, op) in BUCKET_OPS.items()},
    **{f"batch of buckets: {name}": (needs, "POST", "-/batch", ops({**op, "bucket": "{b}"}), 412) for name, (needs, op) in BUCKET_OPS.items()},
    "batch: the second op": ({"get", "put"}, "POST", "{b}/batch", ops(BUCKET_OPS["check"][1], {**BUCKET_OPS["put"][1], "key": "{p}l"}), 412),
}
CONDITION = [("If-Match", f'"{ULID}"')]


@pytest.fixture(scope="module", autouse=True)
def filled(server, witness):
    with Client(server) as maker:
        for tenant in TENANTS:
            maker.make_bucket(f"{tenant}-data")
            for key in ("k", "p/k"):
                maker.put(f"{tenant}-data", key, tenant.encode(), [("X-WflDB-Tag-A", "b")])
    before = witness.state()
    yield
    assert witness.state() == before


def run(client, name, bucket, prefix=""):
    _, method, target, body, _ = ENDPOINTS[name]
    if body is not None:
        body = body.replace(b"{b}", bucket.encode()).replace(b"{p}", prefix.encode())
    headers = CONDITION if name in ("put", "delete") else []
    return client.request(method, "/v1/" + target.format(b=bucket, p=prefix), headers, body)


def granted(answer, name):
    status = ENDPOINTS[name][4]
    return answer.status in (status if isinstance(status, tuple) else (status,))


def refused(answer, method):
    return answer.status == 403 and (method == "HEAD" or answer.code == "forbidden")


def grants(bucket, allowed):
    """Grants of all these ops; admin is of every bucket."""
    out = [Grant(bucket, ops=[op for op in allowed if op != "admin"])] if set(allowed) - {"admin"} else []
    return out + ([Grant("*", ops=["admin"])] if "admin" in allowed else [])


CASES = list(itertools.product(ENDPOINTS, ALL_OPS))


@pytest.mark.parametrize("name, op", CASES, ids=[f"{n}, without {o}" for n, o in CASES])
def test_each_endpoint_without_one_op(server, name, op):
    with Client(server, grants("north-data", [o for o in ALL_OPS if o != op])) as client:
        answer = run(client, name, "north-data")
        assert refused(answer, ENDPOINTS[name][1]) if op in ENDPOINTS[name][0] else granted(answer, name), answer


@pytest.mark.parametrize("name, op", CASES, ids=[f"{n}, with {o} alone" for n, o in CASES])
def test_each_endpoint_with_one_op(server, name, op):
    with Client(server, grants("north-data", [op])) as client:
        answer = run(client, name, "north-data")
        assert granted(answer, name) if ENDPOINTS[name][0] <= {op} else refused(answer, ENDPOINTS[name][1]), answer


OF_A_BUCKET = [n for n in ENDPOINTS if "admin" not in ENDPOINTS[n][0]]
OF_KEYS = [n for n in OF_A_BUCKET if "manage" not in ENDPOINTS[n][0]]


@pytest.mark.parametrize("name", OF_A_BUCKET)
@pytest.mark.parametrize("mine, other", itertools.permutations(TENANTS), ids=TENANTS)
def test_each_endpoint_in_another_ones_bucket(server, name, mine, other):
    """All grants, but of one's own bucket; of what is not there the same is told."""
    with Client(server, [Grant(f"{mine}-data", ops=ALL_OPS[:-1]), Grant(f"{mine}-*", ops=ALL_OPS[:-1])]) as client:
        assert granted(run(client, name, f"{mine}-data"), name)
        answers = [run(client, name, bucket, prefix) for bucket in (f"{other}-data", "none", mine) for prefix in ("", "p/")]
        assert all(refused(answer, ENDPOINTS[name][1]) for answer in answers), answers
        details = {answer.json["detail"] for answer in answers if answer.body}
        assert len(details) <= 1, details


@pytest.mark.parametrize("name", OF_KEYS)
@pytest.mark.parametrize("prefix", ["", "p", "q/", "P/", "p%2F", "/p/"], ids=["none", "shorter", "another", "upper case", "encoded", "slash before"])
def test_each_endpoint_outside_of_its_prefix(server, name, prefix):
    with Client(server, [Grant("north-data", "p/", KEY_OPS)]) as client:
        assert granted(run(client, name, "north-data", "p/"), name)
        if name.startswith(("batch", "scan", "query", "changes")) and prefix == "p%2F":
            return  # in JSON it is a text like another; in a query's value it is the prefix itself
        answer = run(client, name, "north-data", prefix)
        if prefix == "p%2F":
            assert answer.status == 400 and (not answer.body or answer.code == "invalid_key"), answer
        else:
            assert refused(answer, ENDPOINTS[name][1]), answer


@pytest.mark.parametrize("name", OF_A_BUCKET)
def test_each_endpoint_without_any_credential(server, name):
    with Client(server) as client:
        _, method, target, body, _ = ENDPOINTS[name]
        headers = [("X-WflDB-Content-SHA256", "unsigned")] if body else []
        for bucket in ("north-data", "none"):
            answer = client.connect().request(method, "/v1/" + target.format(b=bucket, p=""), headers, body)
            assert answer.status == 401 and answer.header("www-authenticate") == "Bearer"
            assert method == "HEAD" or answer.code == "credential_missing"
            client.close()


@pytest.mark.parametrize("name", OF_KEYS)
def test_each_endpoint_through_a_chain_that_lost_the_op_on_its_way(server, name):
    """The first link grants all, the second all but what is needed: the last one counts."""
    middle, last = Key(), Key()
    left = [op for op in KEY_OPS if op not in ENDPOINTS[name][0]]
    packet = link(server.root, middle, [Grant("*", ops=KEY_OPS)], delegate=1) + "~" + link(middle, last, [Grant("north-data", ops=left)])
    with Client(server, key=last, packet=packet) as client:
        assert refused(run(client, name, "north-data"), ENDPOINTS[name][1])


@pytest.mark.parametrize("op", [op for op in ALL_OPS if op != "put"])
def test_an_upload_is_not_started_without_put(server, op):
    """The one endpoint that changes something wherever it is granted."""
    with Client(server, grants("north-data", [o for o in ALL_OPS if o != "put"])) as client:
        assert client.request("POST", "/v1/north-data/k?multipart=start").code == "forbidden"
    with Client(server, grants("north-data", [op])) as client:
        for bucket in ("north-data", "south-data", "none"):
            assert client.request("POST", f"/v1/{bucket}/k?multipart=start").code == "forbidden"


def test_the_matrix_has_every_endpoint():
    assert len(ENDPOINTS) >= 30 and set(ALL_OPS) == set().union(*(needs for needs, *_ in ENDPOINTS.values()))
