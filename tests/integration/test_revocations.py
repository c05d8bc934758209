# SPDX-License-Identifier: Apache-2.0
"""Revocations over real sockets: who may make them, what they end, and how soon (protocol, Revocation)."""
import json
import os
import threading

import pytest

from wfltest import Client, Grant, Key, Server, issue, link, wait_until
from wfltest.changes import EVENTS, LINES, Stream, target_of
from wfltest.keys import ALL_OPS, ulid
from wfltest.programs import Program

REVOCATIONS = "/v1/-/revocations"


def revoke(client, status=201, **body):
    return client.expect(status, "POST", REVOCATIONS, body=json.dumps(body).encode()).json


@pytest.fixture
def admin(server):
    with Client(server, [Grant(ops=ALL_OPS)]) as made:
        yield made


class Chain:
    """A packet of three links, root to client, with everything that can be revoked of it at hand."""

    def __init__(self, root):
        self.keys = [root, Key(), Key(), Key()]
        self.jtis = [ulid() for _ in range(3)]
        self.links = [link(self.keys[i], self.keys[i + 1], [Grant()], delegate=2 - i, jti=self.jtis[i]) for i in range(3)]
        self.packet = "~".join(self.links)

    def client(self, server, length=3, **options):
        return Client(server, key=self.keys[length], packet="~".join(self.links[:length]), **options)


@pytest.mark.parametrize("http", [1, 2])
@pytest.mark.parametrize("what", ["jti 0", "jti 1", "jti 2", "kid 1", "kid 2", "kid 3", "link 1", "link 2"])
def test_what_each_ends(server, admin, bucket, what, http):
    kind, i = what.split()[0], int(what.split()[1])
    chain = Chain(server.root)
    clients = [chain.client(server, length, http=http) for length in (1, 2, 3)]
    for client in clients:
        client.put(bucket, "k", b"x")  # the packets are known, the connections open
    if kind == "jti":
        entry = revoke(admin, jti=chain.jtis[i], reason="lost")
        assert entry["jti"] == chain.jtis[i] and entry["reason"] == "lost" and entry["by"] == admin.key.thumb
    elif kind == "kid":
        assert revoke(admin, kid=chain.keys[i].thumb)["kid"] == chain.keys[i].thumb
    else:
        entry = revoke(clients[i - 1], link=chain.links[i])
        assert (entry["jti"], entry["issuer"], entry["by"]) == (chain.jtis[i], chain.keys[i].thumb, chain.keys[i].thumb)
    # Link i is the one that names the jti; the key is the holder of link i - 1 and the signer of link i.
    first = i - 1 if kind == "kid" else i
    for length, client in enumerate(clients):
        answer = client.request("GET", f"/v1/{bucket}/k")
        assert (answer.status, answer.code if answer.status != 200 else None) == \
            ((401, "packet_revoked") if length >= first else (200, None)), length
        client.close()


def test_a_roots_own_key_can_be_revoked():
    with Server() as server:
        with Client(server, [Grant(ops=ALL_OPS)]) as admin:
            revoke(admin, kid=server.root.thumb)
            answer = admin.request("GET", "/v1/")
            assert (answer.status, answer.code) == (401, "packet_revoked")
        with Client(server) as other:
            assert other.request("GET", "/v1/").code == "packet_revoked"


class TestWho:
    def test_without_admin_a_jti_or_kid_is_forbidden(self, server, client, admin, bucket):
        for body in ({"jti": ulid()}, {"kid": client.key.thumb}):
            assert client.expect(403, "POST", REVOCATIONS, body=json.dumps(body).encode()).code == "forbidden"
        assert client.expect(403, "GET", REVOCATIONS).code == "forbidden"
        client.put(bucket, "k", b"x")

    def test_a_stranger_cannot_take_back_a_link(self, server, client, admin, bucket):
        chain = Chain(server.root)
        for one in (client, admin, chain.client(server, 3)):  # nor an administrator, nor who holds it
            assert one.expect(403, "POST", REVOCATIONS,
                              body=json.dumps({"link": chain.links[1]}).encode()).code == "forbidden"
        chain.client(server).put(bucket, "k", b"x")

    def test_a_link_of_ones_own_with_anothers_jti_ends_only_ones_own(self, server, client, bucket):
        victim, evil = Chain(server.root), Chain(server.root)
        mine = link(evil.keys[1], evil.keys[2], [Grant()], delegate=1, jti=victim.jtis[1])
        with evil.client(server, 1) as thief, victim.client(server) as other:
            revoke(thief, link=mine)
            other.put(bucket, "k", b"x")
            with Client(server, key=evil.keys[2], packet=f"{evil.links[0]}~{mine}") as held:
                assert held.request("GET", "/v1/").code == "packet_revoked"

    def test_a_link_whose_signature_is_forged_is_forbidden(self, server, client):
        forged = link(client.key, Key(), [Grant()], signature=bytes(64))
        assert client.expect(403, "POST", REVOCATIONS, body=json.dumps({"link": forged}).encode()).code == "forbidden"


BAD = [
    (b"", "invalid_json"), (b"{", "invalid_json"), (b'{"jti":"a","jti":"b"}', "invalid_json"), (b"\xff", "invalid_json"),
    (b"[]", "invalid_request"), (b"{}", "invalid_request"), (b'"jti"', "invalid_request"),
    (b'{"jti":"01JDFJ7Z7Q2S4T6V8X0A2C4E6"}', "invalid_request"), (b'{"jti":"01jdfj7z7q2s4t6v8x0a2c4e6g"}', "invalid_request"),
    (b'{"jti":1}', "invalid_request"), (b'{"kid":"short"}', "invalid_request"),
    (b'{"kid":"0FPtKLJ7zoyzH5rwvGPCFFUpZPzjzs1TkiMYcsBCDOF"}', "invalid_request"),  # its last bits are not zero
    (b'{"reason":"only"}', "invalid_request"), (b'{"link":""}', "invalid_request"), (b'{"link":"a.b.c"}', "invalid_request"),
    (b'{"jti":"01JDFJ7Z7Q2S4T6V8X0A2C4E6G","kid":"0FPtKLJ7zoyzH5rwvGPCFFUpZPzjzs1TkiMYcsBCDOE"}', "invalid_request"),
    (b'{"jti":"01JDFJ7Z7Q2S4T6V8X0A2C4E6G","until":"never"}', "invalid_request"),
    (b'{"jti":"01JDFJ7Z7Q2S4T6V8X0A2C4E6G","reason":"a\\nb"}', "invalid_request"),
    (b'{"jti":"01JDFJ7Z7Q2S4T6V8X0A2C4E6G","reason":"%s"}' % (b"r" * 257), "invalid_request"),
    (b" " * 17000, "object_too_large"),
]


@pytest.mark.parametrize("body, code", BAD, ids=range(len(BAD)))
def test_anything_else_is_refused(admin, body, code):
    answer = admin.request("POST", REVOCATIONS, body=body)
    assert answer.code == code and answer.status == (413 if code == "object_too_large" else 400)


def test_a_chain_is_no_link(server):
    chain = Chain(server.root)
    with chain.client(server, 2) as client:
        body = json.dumps({"link": chain.packet}).encode()
        assert client.expect(400, "POST", REVOCATIONS, body=body).code == "invalid_request"


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=", "cursor=x", "after=1"])
def test_a_listing_knows_its_parameters(admin, query):
    assert admin.expect(400, "GET", f"{REVOCATIONS}?{query}").code == "invalid_query"


def test_other_methods(admin):
    assert admin.expect(405, "DELETE", REVOCATIONS).header("allow") == "GET, POST"


def test_twice_is_the_first_entry_again(admin):
    jti = ulid()
    first = revoke(admin, jti=jti, reason="one")
    assert revoke(admin, status=200, jti=jti, reason="two") == first


def test_the_listing_has_all_of_them_and_they_outlive_a_kill():
    with Server() as server:
        chain, made = Chain(server.root), []
        with Client(server, [Grant(ops=ALL_OPS)]) as admin, chain.client(server, 1) as issuer:
            issuer.make_bucket("abc")
            made += [revoke(admin, jti=ulid(), reason="ä \U0001f512") for _ in range(3)]
            made += [revoke(admin, kid=Key().thumb), revoke(issuer, link=chain.links[1])]
            server.kill()
            server.start()
        with Client(server, [Grant(ops=ALL_OPS)]) as admin:
            found, target = [], f"{REVOCATIONS}?limit=2"
            while target:
                page = admin.expect(200, "GET", target).json
                found += page["revocations"]
                assert len(page["revocations"]) == 2 or "cursor" not in page
                target = f"{REVOCATIONS}?limit=2&cursor={page['cursor']}" if "cursor" in page else None
            assert sorted(found, key=json.dumps) == sorted(made, key=json.dumps)
        with chain.client(server) as gone, chain.client(server, 1) as issuer:
            assert gone.request("GET", "/v1/").code == "packet_revoked"
            issuer.put("abc", "k", b"x")


# ---- what is under way

@pytest.fixture
def waiting(server):
    def wait(count):
        wait_until(lambda: server.metrics()["watchers"] == count, f"{count} watchers")
    wait(0)
    return wait


@pytest.mark.parametrize("http", [1, 2])
@pytest.mark.parametrize("accept", [EVENTS, LINES])
def test_streams_end_by_themselves(server, admin, bucket, waiting, accept, http):
    chain = Chain(server.root)
    with chain.client(server, http=http) as client, chain.client(server, 1, http=http) as other:
        with Stream(client, bucket, accept) as stream, Stream(other, bucket, accept) as stays:
            waiting(2)
            revoke(admin, jti=chain.jtis[1])
            assert stream._more() is False  # ended as streams should, with no event to wake it
            other.put(bucket, "k", b"x")
            while b'"k"' not in stays.text:
                assert stays._more()
    waiting(0)


@pytest.mark.parametrize("http", [1, 2])
def test_long_polls_are_told(server, admin, bucket, waiting, http):
    chain = Chain(server.root)
    with chain.client(server, http=http) as client:
        client.put(bucket, "k", b"x")
        answers = []
        poll = threading.Thread(target=lambda: answers.append(
            client.request("GET", target_of(bucket, after="now", wait=60))))
        poll.start()
        waiting(1)
        revoke(admin, kid=chain.keys[2].thumb)
        poll.join(timeout=20)
        assert [(a.status, a.code) for a in answers] == [(401, "packet_revoked")]


@pytest.mark.parametrize("size", [5, 3 << 20])
def test_an_upload_under_way_is_not_stored(server, admin, bucket, size):
    chain, body = Chain(server.root), os.urandom(size)
    with chain.client(server) as client:
        target = f"/v1/{bucket}/k"
        connection = client.connect()
        connection.send_head("PUT", target, client.headers("PUT", target, [], body) + [("Content-Length", str(size))])
        connection.send(body[:-1])
        wait_until(lambda: server.metrics()["requests_open"] >= 1, "the upload has begun")
        revoke(admin, jti=chain.jtis[0])
        connection.send(body[-1:])
        answer = connection.read()
        assert (answer.status, answer.code) == (401, "packet_revoked")
    with Client(server) as reader:
        reader.get(bucket, "k", status=404)


def test_a_download_under_way_is_broken_off(server, admin, bucket):
    chain, body = Chain(server.root), os.urandom(64 << 20)
    with Client(server) as writer:
        writer.put(bucket, "k", body)
    with chain.client(server) as client:
        target = f"/v1/{bucket}/k"
        connection = client.connect()
        connection.send_head("GET", target, client.headers("GET", target))
        assert connection.read_head().status == 200
        revoke(admin, jti=chain.jtis[2])
        got = 0
        with pytest.raises((EOFError, OSError)):
            while got < len(body):
                got += len(connection._exactly(1 << 16))


# ---- wfldb-admin revoke

class TestProgram:
    @pytest.fixture
    def program(self, server, tmp_path):
        made = Program("wfldb-admin", tmp_path, WFLDB_ENDPOINT=f"http://{server.address}")
        key = Key()
        (tmp_path / "admin.json").write_text(key.file(issue(server.root, key, [Grant(ops=ALL_OPS)])))
        (tmp_path / "admin.json").chmod(0o600)
        return made

    def test_by_jti_and_by_kid(self, server, program, bucket):
        for word in ("--jti", "--kid"):
            chain = Chain(server.root)
            name = chain.jtis[1] if word == "--jti" else chain.keys[2].thumb
            with chain.client(server) as client:
                client.put(bucket, "k", b"x")
                said = program.run("revoke", word, name, "--reason", "lost", "--credential", "admin.json")
                assert said.startswith(f"revoked {'link' if word == '--jti' else 'key'} {name} at ")
                assert client.request("GET", "/v1/").code == "packet_revoked"

    def test_an_issuer_by_the_file(self, server, program, tmp_path, bucket):
        chain = Chain(server.root)
        issuer = tmp_path / "issuer.json"
        issuer.write_text(chain.keys[2].file("~".join(chain.links[:2])))
        issuer.chmod(0o600)
        (tmp_path / "guest.packet").write_text(chain.packet + "\n")
        entry = json.loads(program.run("revoke", "--link", "guest.packet", "--json", "--credential", "issuer.json"))
        assert (entry["jti"], entry["issuer"]) == (chain.jtis[2], chain.keys[2].thumb)
        with chain.client(server) as client, chain.client(server, 2) as other:
            assert client.request("GET", "/v1/").code == "packet_revoked"
            other.put(bucket, "k", b"x")
        program.run("revoke", "--link", "guest.packet", "--credential", "issuer.json")  # again is no error

    def test_what_it_refuses(self, server, program, tmp_path):
        key = Key()
        (tmp_path / "user.json").write_text(key.file(issue(server.root, key, [Grant()])))
        (tmp_path / "user.json").chmod(0o600)
        assert "forbidden" in program.run("revoke", "--jti", ulid(), "--credential", "user.json", status=3)
        assert "jti is a ULID" in program.run("revoke", "--jti", "x", "--credential", "admin.json", status=3)
        program.run("revoke", "--link", "none.packet", "--credential", "admin.json", status=4)
        for words in ([], ["--jti", "a", "--kid", "b"], ["--reason", "only"], ["--jti", "a", "word"]):
            assert "use it so" in program.run("revoke", *words, status=2)
