# SPDX-License-Identifier: Apache-2.0
"""The change stream over real sockets: pages, long polls, streams (protocol, Changes)."""
import itertools
import random
import resource
import threading

import pytest

from wfltest import Client, Connection, Grant, Server, wait_until, wire
from wfltest.changes import EVENTS, LINES, Follower, Stream, target_of
from wfltest.client import path_of
from wfltest.http2 import Connection2
from wfltest.keys import CROCKFORD

ZERO = "0" * 26
SHAPES = [EVENTS, LINES]


def changes(client, bucket, **parameters):
    return client.expect(200, "GET", target_of(bucket, **parameters)).json


def put(client, bucket, key, body=b"x", headers=()):
    return client.put(bucket, key, body, headers).json["version"]


def wait_for_watchers(server, count):
    wait_until(lambda: server.metrics()["watchers"] == count, lambda: f"{count} watchers, not {server.metrics()['watchers']}")


def before(version):
    """The greatest position below a version."""
    value = sum(CROCKFORD.index(c) << 5 * i for i, c in enumerate(reversed(version))) - 1
    return "".join(CROCKFORD[value >> 5 * i & 31] for i in range(25, -1, -1))


class LongPoll:
    """A request sent; its answer is for later."""

    def __init__(self, client, bucket, headers=(), **parameters):
        self.http = client.http
        target = target_of(bucket, **parameters)
        self.connection = (Connection if client.http == 1 else Connection2)(client.server.address)
        if client.http == 1:
            self.connection.send_head("GET", target, client.headers("GET", target, headers))
        else:
            self.stream = self.connection.start("GET", target, client.headers("GET", target, headers))

    def answer(self):
        try:
            return self.connection.read() if self.http == 1 else self.connection.finish(self.stream)
        finally:
            self.connection.close()


class TestPages:
    def test_what_a_change_says(self, server, client, bucket):
        made = client.put(bucket, "ä/1", b"hello", [("X-WflDB-Tag-Colour", "red"), ("X-WflDB-Tag-Year", "2026")])
        gone = client.delete(bucket, "ä/1").header("x-wfldb-version")
        page = changes(client, bucket)
        jti = page["changes"][0]["jti"]
        assert page == {"next": gone, "changes": [
            {"version": made.json["version"], "op": "put", "key": "ä/1", "size": 5, "blake3": made.json["blake3"],
             "tags": {"colour": "red", "year": "2026"}, "by": client.key.thumb, "jti": jti},
            {"version": gone, "op": "delete", "key": "ä/1", "by": client.key.thumb, "jti": jti}]}
        assert len(jti) == 26

    def test_an_erase(self, client):
        client.make_bucket(f"erase-{client.http}", b'{"versions":-1}')
        first = put(client, f"erase-{client.http}", "k")
        put(client, f"erase-{client.http}", "k")
        client.expect(204, "DELETE", path_of(f"erase-{client.http}", "k") + f"?version={first}")
        erase = changes(client, f"erase-{client.http}")["changes"][-1]
        assert erase["op"] == "erase" and erase["key"] == "k" and erase["erased"] == first
        assert erase["version"] > first and "size" not in erase

    @pytest.mark.parametrize("limit", [1, 2, 7, 1000])
    def test_every_change_once_in_order(self, client, bucket, limit):
        versions = [put(client, bucket, f"k{i % 5}") for i in range(20)]
        seen, position = [], ZERO
        while page := changes(client, bucket, after=position, limit=limit)["changes"]:
            assert len(page) <= limit
            seen += [c["version"] for c in page]
            position = seen[-1]
        assert seen == versions

    def test_after_is_exclusive_and_need_not_be_a_version(self, client, bucket):
        versions = [put(client, bucket, "k") for _ in range(3)]
        for i, version in enumerate(versions):
            assert [c["version"] for c in changes(client, bucket, after=version)["changes"]] == versions[i + 1:]
            assert [c["version"] for c in changes(client, bucket, after=before(version))["changes"]] == versions[i:]

    def test_a_prefix(self, client, bucket):
        wanted = [put(client, bucket, f"a/{i}") for i in range(3)]
        last = put(client, bucket, "b")
        page = changes(client, bucket, prefix="a/")
        assert [c["version"] for c in page["changes"]] == wanted
        assert page["next"] == last, "what is filtered out is passed"
        assert changes(client, bucket, prefix="a/", after=page["next"])["changes"] == []

    def test_an_empty_bucket_has_a_position(self, client, bucket):
        page = changes(client, bucket)
        assert page["changes"] == []
        version = put(client, bucket, "k")
        assert [c["version"] for c in changes(client, bucket, after=page["next"])["changes"]] == [version]

    def test_now(self, client, bucket):
        put(client, bucket, "k")
        page = changes(client, bucket, after="now")
        assert page["changes"] == []
        version = put(client, bucket, "k")
        assert [c["version"] for c in changes(client, bucket, after=page["next"])["changes"]] == [version]

    def test_a_batch_is_its_ops_in_order(self, client, bucket):
        ops = b'{"ops":[{"op":"put","key":"b","value":"1"},{"op":"put","key":"a","value":"2"}]}'
        results = client.expect(200, "POST", f"/v1/{bucket}/batch", body=ops).json["results"]
        assert [(c["key"], c["version"]) for c in changes(client, bucket)["changes"]] == \
            [(r["key"], r["version"]) for r in results]

    @pytest.mark.parametrize("query", [
        "after=x", "after=", "after=now&after=now", "after=" + "Z" * 26, "after=NOW", "limit=0", "limit=1001", "limit=-1",
        "limit=", "wait=61", "wait=-1", "wait=x", "wait=1.5", "prefix=%FF", "cursor=x", "order=asc"])
    def test_invalid_queries(self, client, bucket, query):
        response = client.request("GET", f"/v1/{bucket}/changes?{query}")
        assert (response.status, response.code) == (400, "invalid_query")

    def test_other_methods(self, client, bucket):
        response = client.request("POST", f"/v1/{bucket}/changes", body=b"")
        assert response.status == 405 and response.header("allow") == "GET"
        assert client.request("PUT", f"/v1/{bucket}/changes", body=b"").code == "reserved_key"

    def test_no_bucket(self, client):
        for parameters in ({}, {"wait": 1}, {"after": "now"}):
            assert client.request("GET", target_of("no-such-bucket", **parameters)).code == "bucket_not_found"

    @pytest.mark.parametrize("accept,shape", [
        (None, "application/json"), ("*/*", "application/json"), ("application/json", "application/json"),
        ("application/*;q=0.8", "application/json"), ("text/html", "application/json"), (EVENTS, EVENTS), (LINES, LINES),
        ("Text/Event-Stream", EVENTS), (f"{EVENTS}, */*;q=0.1", EVENTS), (f"{EVENTS};q=0.2, {LINES};q=0.3", LINES),
        (f"application/json, {EVENTS}", "application/json"), (f"{LINES};q=0, application/json;q=0.1", "application/json")])
    def test_what_accept_asks_for(self, client, bucket, accept, shape):
        put(client, bucket, "k")
        headers = [("Accept", accept)] if accept else []
        if shape == "application/json":
            response = client.expect(200, "GET", target_of(bucket), headers)
            assert response.header("content-type") == shape and len(response.json["changes"]) == 1
        else:
            target = target_of(bucket)
            stream = Stream(client, bucket, shape)
            stream.close()
            with Client(client.server, key=client.key, packet=client.packet) as one:
                connection = one.connect()
                connection.send_head("GET", target, one.headers("GET", target, headers))
                assert connection.read_head().header("content-type") == shape


class TestFlatBuffers:
    def test_a_page_says_the_same(self, client):
        bucket = f"flat-{client.http}"
        client.make_bucket(bucket, b'{"versions":-1}')
        first = client.put(bucket, "ä", b"1", [("X-WflDB-Tag-B", "2"), ("X-WflDB-Tag-A", "1")]).json["version"]
        put(client, bucket, "plain")
        client.delete(bucket, "ä")
        client.expect(204, "DELETE", path_of(bucket, "ä") + f"?version={first}")
        for parameters in ({}, {"limit": 2}, {"prefix": "p"}, {"after": first}, {"after": "now"}, {"after": "now", "wait": 1}):
            answer = client.expect(200, "GET", target_of(bucket, **parameters), [wire.ACCEPT])
            assert wire.document(answer) == ("Changes", changes(client, bucket, **parameters))

    def test_a_long_poll(self, server, client, bucket):
        poll = LongPoll(client, bucket, [wire.ACCEPT], after="now", prefix="a/", wait=60, limit=1)
        wait_for_watchers(server, 1)
        put(client, bucket, "b/1")
        version = put(client, bucket, "a/1")
        kind, page = wire.document(poll.answer())
        assert kind == "Changes" and [c["version"] for c in page["changes"]] == [version] and page["next"] == version


class TestWhoMayWatch:
    def refused(self, server, bucket, grant, **parameters):
        with Client(server, [grant]) as limited:
            for accept in ("application/json", EVENTS, LINES):
                response = limited.request("GET", target_of(bucket, **parameters), [("Accept", accept)])
                assert (response.status, response.code) == (403, "forbidden"), parameters

    def test_without_watch(self, server, bucket):
        self.refused(server, bucket, Grant(ops=["get", "put", "delete", "scan", "manage"]))

    def test_the_grant_must_cover_the_prefix(self, server, bucket):
        grant = Grant(bucket, "a/", ["watch"])
        for parameters in ({}, {"prefix": "a"}, {"prefix": "b/"}, {"prefix": "", "wait": 1}):
            self.refused(server, bucket, grant, **parameters)
        self.refused(server, "another-bucket", grant, prefix="a/")
        with Client(server, [grant]) as limited, Client(server) as writer:
            put(writer, bucket, "a/1")
            put(writer, bucket, "b/1")
            assert [c["key"] for c in changes(limited, bucket, prefix="a/")["changes"]] == ["a/1"]
            assert changes(limited, bucket, prefix="a/b")["changes"] == []

    def test_no_credential(self, server, bucket):
        with Connection(server.address) as connection:
            assert connection.request("GET", target_of(bucket)).code == "credential_missing"


class TestLongPolls:
    def test_the_next_commit_answers(self, server, client, bucket):
        position = put(client, bucket, "k")
        poll = LongPoll(client, bucket, after=position, wait=60)
        wait_for_watchers(server, 1)
        version = put(client, bucket, "k")
        page = poll.answer().json
        assert [c["version"] for c in page["changes"]] == [version]
        assert page["next"] == version
        wait_for_watchers(server, 0)

    def test_what_is_there_answers_at_once(self, client, bucket):
        version = put(client, bucket, "k")
        assert changes(client, bucket, wait=60)["next"] == version

    def test_other_prefixes_do_not_answer(self, server, client, bucket):
        poll = LongPoll(client, bucket, after="now", prefix="a/", wait=60)
        wait_for_watchers(server, 1)
        put(client, bucket, "b/1")
        client.delete(bucket, "b/1")
        wanted = put(client, bucket, "a/1")
        put(client, bucket, "b/2")
        page = poll.answer().json
        assert [c["version"] for c in page["changes"]] == [wanted]

    def test_time_is_over(self, client, bucket):
        version = put(client, bucket, "k")
        assert changes(client, bucket, after=version, wait=1) == {"changes": [], "next": version}

    def test_the_position_moves_on_over_what_is_filtered(self, server, client, bucket):
        poll = LongPoll(client, bucket, after="now", prefix="a/", wait=1)
        wait_for_watchers(server, 1)
        version = put(client, bucket, "b/1")
        assert poll.answer().json in ({"changes": [], "next": version},)

    def test_limit(self, server, client, bucket):
        poll = LongPoll(client, bucket, after="now", wait=60, limit=2)
        wait_for_watchers(server, 1)
        ops = b'{"ops":[%s]}' % b",".join(b'{"op":"put","key":"k%d","value":""}' % i for i in range(5))
        versions = [r["version"] for r in client.expect(200, "POST", f"/v1/{bucket}/batch", body=ops).json["results"]]
        page = poll.answer().json
        assert [c["version"] for c in page["changes"]] == versions[:2]
        assert page["next"] == versions[1], "the rest is still to come"
        assert [c["version"] for c in changes(client, bucket, after=page["next"], wait=60)["changes"]] == versions[2:]

    def test_a_bucket_that_goes(self, server, client):
        name = f"goes-{client.http}"
        client.make_bucket(name)
        poll = LongPoll(client, name, wait=60)
        stream = Stream(client, name, EVENTS).head()
        wait_for_watchers(server, 2)
        client.expect(204, "DELETE", path_of(name))
        assert poll.answer().json["changes"] == []
        assert stream.next() is None
        stream.close()
        assert client.request("GET", target_of(name, wait=60)).code == "bucket_not_found"

    def test_a_client_that_went_is_forgotten(self, server, client, bucket):
        poll = LongPoll(client, bucket, wait=60)
        streams = [Stream(client, bucket, shape) for shape in SHAPES]
        wait_for_watchers(server, 3)
        poll.connection.close()
        for stream in streams:
            stream.close()
        wait_for_watchers(server, 0)


@pytest.mark.parametrize("shape", SHAPES)
class TestStreams:
    def test_from_the_beginning_and_on(self, server, client, bucket, shape):
        versions = [put(client, bucket, f"k{i}") for i in range(700)]
        with Stream(client, bucket, shape) as stream:
            assert [c["version"] for c in stream.take(700)] == versions
            for i in range(20):
                version = put(client, bucket, "k")
                assert stream.next()["version"] == version

    def test_the_same_as_pages(self, client, bucket, shape):
        put(client, bucket, 'a "quoted"\\ key', b"1", [("X-WflDB-Tag-A", '"\\')])
        put(client, bucket, "snow \u2028\u2029 man")
        client.delete(bucket, "snow \u2028\u2029 man")
        with Stream(client, bucket, shape) as stream:
            assert stream.take(3) == changes(client, bucket)["changes"]

    def test_now_and_prefix(self, server, client, bucket, shape):
        put(client, bucket, "a/0")
        with Stream(client, bucket, shape, after="now", prefix="a/") as stream:
            wait_for_watchers(server, 1)
            put(client, bucket, "b/1")
            wanted = put(client, bucket, "a/1")
            assert stream.next()["version"] == wanted

    def test_resumes_by_after(self, client, bucket, shape):
        versions = [put(client, bucket, "k") for _ in range(5)]
        with Stream(client, bucket, shape, after=versions[2]) as stream:
            assert [c["version"] for c in stream.take(2)] == versions[3:]

    def test_a_packet_that_expires_ends_it(self, server, bucket, shape):
        with Client(server, ttl=4) as short:
            poll = LongPoll(short, bucket, after="now", wait=60)
            with Stream(short, bucket, shape) as stream:
                assert stream.next() is None
            assert poll.answer().json["changes"] == []


class TestEvents:
    def test_last_event_id_holds_before_after(self, client, bucket):
        versions = [put(client, bucket, "k") for _ in range(4)]
        for parameters in ({}, {"after": versions[0]}, {"after": "now"}):
            with Stream(client, bucket, EVENTS, [("Last-Event-ID", versions[2])], **parameters) as stream:
                assert stream.next()["version"] == versions[3]

    def test_a_broken_last_event_id(self, client, bucket):
        response = client.request("GET", target_of(bucket), [("Accept", EVENTS), ("Last-Event-ID", "x")])
        assert (response.status, response.code) == (400, "invalid_header")

    def test_comments_keep_a_quiet_stream_and_time_outs_do_not_cut_it(self):
        with Server(idle_timeout_seconds=1, body_stall_timeout_seconds=1, header_timeout_seconds=1) as server:
            with Client(server) as one, Client(server, http=2) as two:
                one.make_bucket("quiet")
                position = put(one, "quiet", "b/1")
                streams = [Stream(c, "quiet", shape, after="now", prefix="a/").head() for c in (one, two) for shape in SHAPES]
                for stream in streams[::2]:
                    stream.next_comment()
                    assert stream.last_id == position, "it has got that far"
                one.close()
                version = put(one, "quiet", "a/1")
                for stream in streams:
                    assert stream.next()["version"] == version
                    stream.close()


class TestWhatIsNoLongerKept:
    def test_expired_positions(self):
        with Server() as server, Client(server) as client:
            client.make_bucket("short", b'{"change_retain_seconds":1}')
            first = put(client, "short", "k")
            wait_until(lambda: changes(client, "short")["changes"] == [], "the change is out of time")
            for accept in ("application/json", *SHAPES):
                response = client.request("GET", target_of("short", after=ZERO), [("Accept", accept)])
                assert (response.status, response.code) == (410, "cursor_expired")
            response = client.request("GET", target_of("short"), [("Accept", EVENTS), ("Last-Event-ID", before(first))])
            assert response.code == "cursor_expired"
            assert changes(client, "short", after=first) == {"changes": [], "next": first}, "nothing behind it is lost"
            assert changes(client, "short")["next"] == first
            # Those that wait are told of what comes, however old their position is.
            client.expect(200, "PATCH", path_of("short"), body=b'{"change_retain_seconds":3600}')
            poll = LongPoll(client, "short", after=first, wait=60)
            with Stream(client, "short", EVENTS, after=first) as stream:
                wait_for_watchers(server, 2)
                second = put(client, "short", "k")
                assert stream.next()["version"] == second
                assert poll.answer().json["next"] == second


def rebuild(stream):
    """What a bucket that keeps all versions holds, from its changes alone."""
    lines = {}
    for change in stream:
        versions = lines.setdefault(change["key"], {})
        if change["op"] == "erase":
            del versions[change["erased"]]
        else:
            versions[change["version"]] = change
    newest = {key: versions[max(versions)] for key, versions in lines.items() if versions}
    return {key: (c["version"], c["size"], c["blake3"], c["tags"]) for key, c in newest.items() if c["op"] == "put"}


class TestReplay:
    @pytest.mark.parametrize("shape", [*SHAPES, None])
    def test_the_stream_from_the_start_is_the_bucket(self, server, client1, shape):
        bucket = f"replay-{SHAPES.index(shape) if shape else 2}"
        client1.make_bucket(bucket, b'{"versions":-1}')
        rng = random.Random(7)
        known = []
        for i in range(300):
            key, roll = f"k{rng.randrange(12)}", rng.random()
            if roll < 0.15 and known:
                key, version = known.pop(rng.randrange(len(known)))
                client1.expect(204, "DELETE", path_of(bucket, key) + f"?version={version}")
            elif roll < 0.3:
                response = client1.request("DELETE", path_of(bucket, key))
                if response.status == 204:
                    known.append((key, response.header("x-wfldb-version")))
            else:
                tags = [("X-WflDB-Tag-T%d" % t, str(rng.randrange(9))) for t in range(rng.randrange(4))]
                known.append((key, put(client1, bucket, key, rng.randbytes(rng.choice([0, 5, 3000, 70000])), tags)))
        last = changes(client1, bucket, after="now")["next"]
        follower = Follower(client1, bucket, shape)
        follower.follow(lambda f: f.seen and f.seen[-1]["version"] == last, lambda: None)
        items, _ = client1.scan(bucket, include="tags", limit=1000)
        assert rebuild(follower.seen) == {i["key"]: (i["version"], i["size"], i["blake3"], i["tags"]) for i in items}


LAST = "w3/last"


class Race:
    """Writers and followers of all kinds on one bucket, and a server that may be killed meanwhile."""

    def __init__(self, server, bucket, writes):
        self.server, self.bucket, self.writes = server, bucket, writes
        self.up = threading.Event()
        self.up.set()
        self.acknowledged, self.failures = set(), []
        self.lock = threading.Lock()
        clients = [(http, shape) for http in (1, 2) for shape in (None, *SHAPES)]
        self.followers = [Follower(Client(server, http=http), bucket, shape) for http, shape in clients]
        self.followers += [Follower(Client(server), bucket, shape, prefix="w3/") for shape in (None, *SHAPES)]

    def guarded(self, run, *args):
        try:
            run(*args)
        except BaseException as failure:  # noqa: B902: a thread's failure is the test's
            self.failures.append(failure)
            raise

    def again(self):
        assert self.up.wait(60), "the server did not come back"

    def write(self, number):
        with Client(self.server) as client:
            for i in range(self.writes):
                key = f"w{number}/{i % 7}"
                try:
                    if i % 5 == 4:
                        response = client.request("DELETE", path_of(self.bucket, key))
                    else:
                        response = client.put(self.bucket, key, b"%d" % i)
                    if response.status < 300:
                        version = response.header("x-wfldb-version")
                        with self.lock:
                            self.acknowledged.add(version)
                except (OSError, EOFError):
                    client.close()
                    self.again()

    @staticmethod
    def over(follower):
        return bool(follower.seen) and follower.seen[-1]["key"] == LAST

    def run(self, meanwhile=lambda: None):
        def thread(*args):
            return threading.Thread(target=self.guarded, args=args, daemon=True)
        writers = [thread(self.write, n) for n in range(8)]
        followers = [thread(f.follow, self.over, self.again) for f in self.followers]
        for thread in writers + followers:
            thread.start()
        meanwhile()
        for thread in writers:
            thread.join(120)
        assert not self.failures
        with Client(self.server) as client:  # every follower wants to see this one
            self.acknowledged.add(put(client, self.bucket, LAST))
        wait_until(lambda: self.failures or not any(t.is_alive() for t in followers), "all see the last commit", 120)
        for follower in self.followers:
            follower.client.close()
        assert not self.failures

    def verify(self):
        with Client(self.server) as client:
            stream, position = [], ZERO
            while page := changes(client, self.bucket, after=position, limit=1000)["changes"]:
                stream += page
                position = page[-1]["version"]
        versions = [c["version"] for c in stream]
        assert versions == sorted(set(versions))
        assert self.acknowledged <= set(versions), "an acknowledged commit is missing"
        for follower in self.followers:
            prefix = follower.parameters.get("prefix", "")
            assert follower.seen == [c for c in stream if c["key"].startswith(prefix)], follower.shape
        return versions


def test_writers_race_and_every_follower_sees_each_commit_once_in_order(server, bucket):
    race = Race(server, bucket, 60)
    race.run()
    assert set(race.verify()) == race.acknowledged
    wait_for_watchers(server, 0)


def test_followers_of_a_killed_server_come_back_and_miss_nothing():
    server = Server()
    try:
        with Client(server.start()) as client:
            client.make_bucket("killed")
        race = Race(server, "killed", 120)

        def kill_twice():
            for enough in (150, 300):
                wait_until(lambda at=enough: len(race.acknowledged) > at or race.failures, "writers get on")
                race.up.clear()
                server.kill()
                server.start()
                race.up.set()
        race.run(kill_twice)
        race.verify()
        assert all(f.breaks > 0 for f in race.followers), "none was there when the server went"
    finally:
        server.__exit__(None)


@pytest.mark.parametrize("http", [1, 2])
def test_a_reader_that_does_not_read_is_cut_off_and_slows_nobody(http):
    with Server(body_stall_timeout_seconds=1) as server, Client(server, http=http) as client, Client(server) as writer:
        writer.make_bucket("full")
        tags = [(f"X-WflDB-Tag-T{i}", "v" * 256) for i in range(32)]
        count = 1500 if http == 1 else 400  # more than the system's buffers, or the window, take
        for i in range(count):
            put(writer, "full", f"k{i}", b"", tags)
        resident = server.anonymous_bytes()
        stream = Stream(client, "full", EVENTS)
        wait_until(lambda: server.metrics()["watchers"] == 1, "it has begun")
        wait_until(lambda: server.metrics()["watchers"] == 0, "it is cut off")
        assert server.anonymous_bytes() - resident < 64 << 20
        put(writer, "full", "after")
        stream.head()
        seen = []
        with pytest.raises((OSError, EOFError)):
            while True:
                seen.append(stream.next())
        assert 0 < len(seen) < count
        stream.close()
        follower = Follower(client, "full", EVENTS, after=seen[-1]["version"])
        follower.follow(lambda f: f.seen and f.seen[-1]["key"] == "after", lambda: None)
        assert [c["key"] for c in seen + follower.seen] == [f"k{i}" for i in range(count)] + ["after"]


def test_a_stop_waits_for_no_stream():
    # The time-out of a stop is far beyond the deadline that stop() has.
    server = Server(stop_timeout_seconds=3600).start()
    with Client(server) as one, Client(server, http=2) as two:
        one.make_bucket("open")
        tags = [(f"X-WflDB-Tag-T{i}", "v" * 256) for i in range(32)]
        for i in range(1000):
            put(one, "open", f"k{i}", b"", tags)
        last = changes(one, "open", after="now")["next"]
        stalled = [Stream(client, "open", shape) for client in (one, two) for shape in SHAPES]
        streams = [Stream(client, "open", shape, after="now").head() for client in (one, two) for shape in SHAPES]
        polls = [LongPoll(client, "open", after="now", wait=60) for client in (one, two)]
        wait_for_watchers(server, 10)
        one.close()
        ended = []
        thread = threading.Thread(target=lambda: ended.append(server.stop()))
        thread.start()
        for stream in streams:
            assert stream.next() is None
            stream.close()
        for poll in polls:
            assert poll.answer().json == {"changes": [], "next": last}
        thread.join(60)
        assert ended == [0]
        for stream in stalled:
            stream.close()
    server.__exit__(None)


def test_thousands_wait_at_little_cost(server):
    """2,000 streams on HTTP/2, 400 long polls on connections of their own: each gets the one commit it waits for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    with Client(server) as one, Client(server, http=2) as two:
        one.make_bucket("thousands")
        one.close()
        resident = server.anonymous_bytes()
        connections = [Connection2(server.address) for _ in range(8)]
        streams = [Stream(two, "thousands", SHAPES[i % 2], connection=connections[i % 8], prefix=f"k{i % 4}")
                   for i in range(2000)]
        polls = [LongPoll(one, "thousands", after="now", wait=60, prefix="k1") for _ in range(400)]
        wait_for_watchers(server, 2400)
        taken = server.anonymous_bytes() - resident
        print(f"{taken / 2400:.0f} bytes each")
        put(one, "thousands", "x")
        wanted = [put(one, "thousands", f"k{i}") for i in range(4)]
        for i, stream in enumerate(streams):
            assert stream.head().next()["version"] == wanted[i % 4]
        for poll in polls:
            assert [c["version"] for c in poll.answer().json["changes"]] == [wanted[1]]
        for connection in connections:
            connection.close()
        wait_for_watchers(server, 0)
