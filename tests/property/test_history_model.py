# SPDX-License-Identifier: Apache-2.0
"""Buckets that keep versions, against dictionaries with history, on both engines.

Beside puts and deletes: batches, copies, erasing, expiry by a clock that the test moves, reads and listings of the
past, tag queries, and the change stream, which replayed from its start must give the bucket. A key is modelled as
what is current and the line of what was, newest first; what the settings no longer keep is invisible at once and
leaves the line when the collector has its turn.
"""
import copy

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from test_store_model import (DRIVER, LARGE, MIB, QUESTIONS, SOME_VERSION, STEPS, STEPS_AN_EXAMPLE, SMALL, joined, listed, order,
                              shown, size_of)

BUCKETS = {"none": {}, "two": {"versions": 2}, "all": {"versions": -1}, "brief": {"versions": -1, "expire_seconds": 100}}
NAMES = st.sampled_from(["none", "two", "two", "all", "all", "brief", "brief"])
KEYS = st.sampled_from(["a", "a/", "a/b", "a/~", "b", "bb", "é"])
CONTENTS = st.one_of(SMALL, SMALL, SMALL, SMALL, LARGE)
PAIRS = st.dictionaries(st.sampled_from(["one", "two"]), st.sampled_from(["v", "vw", "w"]), max_size=2)
IFS = st.sampled_from([0] * 10 + ["*", None, "current", "current", SOME_VERSION])
TAGS_WANTED = st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), st.sampled_from(["v", "vw", "w"]), st.booleans()),
                       min_size=1, max_size=2, unique_by=lambda tag: tag[0])
OPS = st.fixed_dictionaries({
    "op": st.sampled_from(["put", "put", "delete", "copy", "copy", "check"]), "key": KEYS, "pick": st.integers(0, 99),
    "if": IFS, "content": SMALL, "meta": st.one_of(st.none(), PAIRS), "tags": st.one_of(st.none(), PAIRS),
    "older": st.integers(0, 3)})
PICKS = st.integers(0, 99)
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ms_of(version):
    ms = 0
    for character in version[:10]:
        ms = ms * 32 + CROCKFORD.index(character)
    return ms


class Line:
    """Of one key. Entries are never changed, so copies share them."""

    def __init__(self, current=None, history=()):
        self.current, self.history = current, list(history)

    def copy(self):
        return Line(self.current, self.history)

    def rows(self):
        return ([self.current] if self.current else []) + self.history


class Bucket:
    def __init__(self, name, version, floor):
        given = BUCKETS[name]
        self.versions, self.expire = given.get("versions", 0), given.get("expire_seconds")
        self.lines, self.changes, self.due = {}, [], []
        self.version, self.floor = version, floor

    def copy(self):
        out = copy.copy(self)
        out.lines = {key: line.copy() for key, line in self.lines.items()}
        out.changes, out.due = list(self.changes), list(self.due)
        return out

    def line(self, key):
        return self.lines.get(key, Line())

    # ---- what time has taken

    def expired(self, entry, now):
        return self.expire is not None and not entry["gone"] and ms_of(entry["version"]) + 1000 * self.expire <= now

    def live(self, key, now):
        current = self.line(key).current
        return current if current and not self.expired(current, now) else None

    def is_visible(self, key, at, now):
        """Of the entry at that place among the rows."""
        line = self.line(key)
        rows = line.rows()
        if rows[at] is line.current:
            return not self.expired(rows[at], now)
        puts = sum(not entry["gone"] for entry in rows[bool(line.current):at + 1])
        return self.versions != 0 and (self.versions < 0 or puts <= self.versions) and not self.expired(rows[at], now)

    def visible(self, key, now):
        return [entry for i, entry in enumerate(self.line(key).rows()) if self.is_visible(key, i, now)]

    def find(self, key, version, now):
        """What can be read under that version, tombstones left out."""
        return next((e for e in self.visible(key, now) if e["version"] == version and not e["gone"]), None)

    # ---- changes

    def changed(self, what, key, version, **more):
        assert version > self.version
        self.version = version
        self.changes.append({"version": version, "op": what, "key": key, **more})

    def write(self, key, entry, now):
        """A put, or the delete of something that is there."""
        line = self.lines.setdefault(key, Line())
        before, lost = line.current, False
        if before and (self.versions == 0 or self.expired(before, now)):
            lost = True
        elif before:
            line.history.insert(0, before)
            if self.versions > 0:
                self.due.append((now, key))
        line.current = None if entry["gone"] else entry
        if entry["gone"]:
            if not lost:
                line.history.insert(0, entry)
            self.changed("delete", key, entry["version"])
        else:
            self.plan_expiry(key, entry)
            self.changed("put", key, entry["version"], size=entry["size"], blake3=entry["blake3"], tags=entry["tags"])
        if lost:
            self.floor = entry["version"]

    def plan_expiry(self, key, entry):
        if self.expire is not None:
            self.due.append((ms_of(entry["version"]) + 1000 * self.expire, key))

    def erase(self, key, version, erasure):
        line = self.lines[key]
        at = [entry["version"] for entry in line.rows()].index(version)
        if line.current and at == 0:
            line.current = None
        else:
            del line.history[at - bool(line.current)]
        if at == 0 and line.history and not line.history[0]["gone"]:
            line.current = line.history.pop(0)
            self.plan_expiry(key, line.current)
        self.changed("erase", key, erasure, erased=version)

    def expiring(self, now):
        """Keys that the collector is to delete."""
        return [key for at, key in sorted(self.due) if at <= now and self.line(key).current and not self.live(key, now)]

    def prune(self, key, now, tombstones):
        line, kept, idle, newer = self.lines[key], [], [], line_head(self.lines[key])
        for i, entry in enumerate(line.rows()):
            if entry is line.current:
                continue
            if not self.is_visible(key, i, now):
                self.floor = max(self.floor, newer or entry["version"])
            else:
                kept.append(entry)
                idle = idle + [entry] if entry["gone"] else []
            newer = entry["version"]
        for entry in idle if tombstones else []:  # that nothing lies below
            self.floor = max(self.floor, entry["version"])
            kept.remove(entry)
        line.history = kept

    def collect(self, now):
        for key in {key for at, key in self.due if at <= now}:
            self.prune(key, now, True)
        self.due = [(at, key) for at, key in self.due if at > now]

    # ---- the past

    def at(self, moment, now):
        """All as of then, from what is stored: {key: entry}."""
        out = {}
        for key, line in self.lines.items():
            entry = next((e for e in line.rows() if e["version"] <= moment), None)
            if entry and not entry["gone"] and not self.expired(entry, now):
                out[key] = entry
        return out


def line_head(line):
    return line.current["version"] if line.current else None


def replayed(changes):
    """What a follower of the stream holds: per key all versions, newest first, of which an erased one is none."""
    lines = {}
    for change in changes:
        line = lines.setdefault(change["key"], [])
        if change["op"] == "erase":
            line[:] = [entry for entry in line if entry["version"] != change["erased"]]
        else:
            line.insert(0, change)
    return lines


class History(RuleBasedStateMachine):
    engine = None
    steps = 0

    def __init__(self):
        super().__init__()
        DRIVER.start(self.engine)
        self.buckets, self.states, self.moments = {}, [], []
        self.now = None

    @initialize()
    def begin(self):
        for name, given in BUCKETS.items():
            text = "{" + ",".join(f'"{member}":{value}' for member, value in given.items()) + "}"
            assert DRIVER.ask("create", bucket=name, settings=text)["code"] == "ok"
            DRIVER.created[name] = DRIVER.ask("info", bucket=name)["version"]
            self.buckets[name] = Bucket(name, DRIVER.created[name], DRIVER.left.get(name, ""))
        self.now = ms_of(self.buckets["none"].version)
        self.kept(False)

    def kept(self, buffered):
        if not buffered:
            self.states.clear()
        self.states.append({name: bucket.copy() for name, bucket in self.buckets.items()})

    @rule(seconds=st.sampled_from([1, 30, 60, 99, 100, 101]), by=st.integers(0, 2))
    def advance(self, seconds, by):
        ms = 1000 * seconds + by - 1
        DRIVER.ask("advance", ms=ms)
        self.now += ms

    # ---- changes

    def entry(self, key, bucket, version, content, meta, tags, blake3=None):
        """As the store has it; the hash is proved by reading it."""
        if blake3 is None:
            head = DRIVER.ask("get", bucket=bucket, key=key, head=True)
            assert head["version"] == version
            blake3 = head["blake3"]
        return {"version": version, "gone": False, "size": size_of(content), "runs": joined(content), "meta": meta or {},
                "tags": tags or {}, "blake3": blake3}

    @rule(name=NAMES, key=KEYS, content=CONTENTS, meta=PAIRS, tags=PAIRS, buffered=st.booleans())
    def put(self, name, key, content, meta, tags, buffered):
        bucket = self.buckets[name]
        answer = DRIVER.ask("put", bucket=name, key=key, runs=content, meta=meta, tags=tags, buffered=buffered)
        assert answer["code"] == "ok" and answer["created"] == (bucket.live(key, self.now) is None)
        bucket.write(key, self.entry(key, name, answer["version"], content, meta, tags), self.now)
        self.kept(buffered)

    @rule(name=NAMES, key=KEYS, buffered=st.booleans())
    def delete(self, name, key, buffered):
        bucket = self.buckets[name]
        there = bucket.live(key, self.now)
        answer = DRIVER.ask("delete", bucket=name, key=key, buffered=buffered)
        assert answer["code"] == ("ok" if there else "key_not_found")
        if there:
            bucket.write(key, {"version": answer["version"], "gone": True}, self.now)
            self.kept(buffered)

    @rule(name=NAMES, key=KEYS, pick=PICKS, buffered=st.booleans())
    def erase(self, name, key, pick, buffered):
        bucket = self.buckets[name]
        rows = bucket.line(key).rows()
        version = rows[pick % len(rows)]["version"] if rows and pick < 90 else SOME_VERSION
        shown_ones = [entry["version"] for entry in bucket.visible(key, self.now)]
        answer = DRIVER.ask("erase", bucket=name, key=key, version=version, buffered=buffered)
        assert answer["code"] == ("ok" if version in shown_ones else "version_not_found")
        if answer["code"] == "ok":
            if any(not bucket.is_visible(key, i, self.now) for i, e in enumerate(rows) if e is not bucket.line(key).current):
                bucket.prune(key, self.now, False)  # first: it is not to move up
            bucket.erase(key, version, answer["version"])
            self.moments = [m for m in self.moments if m[0] != name]
            self.kept(buffered)

    def choose(self, bucket, op):
        """The op as it is sent, whether its condition holds, and what a copy takes."""
        key, there = op["key"], bucket.live(op["key"], self.now)
        sent = {"op": op["op"], "key": key}
        holds = True
        if op["if"] != 0:
            sent["if"] = there["version"] if op["if"] == "current" and there else op["if"]
            if sent["if"] == "current":
                sent["if"] = SOME_VERSION
            holds = (there is None if sent["if"] is None else
                     there is not None and sent["if"] in ("*", there["version"]))
        source = None
        if op["op"] == "copy":
            keys = sorted(bucket.lines) or ["a"]
            sent["from"] = keys[op["pick"] % len(keys)]
            source = bucket.live(sent["from"], self.now)
            rows = bucket.line(sent["from"]).rows()
            if op["older"] > 1 and rows:
                sent["from_version"] = rows[op["pick"] % len(rows)]["version"]
                source = bucket.find(sent["from"], sent["from_version"], self.now)
        if op["op"] in ("put", "copy"):
            sent.update({name: op[name] for name in ("meta", "tags") if op[name] is not None})
        if op["op"] == "put":
            sent["runs"] = op["content"]
        return sent, holds, source

    @rule(name=NAMES, ops=st.lists(OPS, min_size=1, max_size=5), buffered=st.booleans())
    def batch(self, name, ops, buffered):
        bucket = self.buckets[name]
        chosen = [self.choose(bucket, op) for op in ops]
        answer = DRIVER.ask("batch", bucket=name, ops=[sent for sent, _, _ in chosen], buffered=buffered)
        written = [op["key"] for op in ops if op["op"] != "check"]
        if len(set(written)) < len(written):
            assert answer["code"] == "invalid_batch"
            return
        failed = [i for i, (_, holds, _) in enumerate(chosen) if not holds]
        if failed:
            assert answer["code"] == "precondition_failed" and answer["failed"] == failed
            return
        for i, (sent, _, source) in enumerate(chosen):
            missing = ((sent["op"] == "copy" and source is None) or
                       (sent["op"] == "delete" and not bucket.live(sent["key"], self.now)))
            if missing:
                assert answer["code"] == ("version_not_found" if "from_version" in sent else "key_not_found")
                assert answer["failed"] == [i]
                return
        assert answer["code"] == "ok"
        self.take_batch(bucket, name, chosen, answer["versions"])
        self.kept(buffered or not written)

    def take_batch(self, bucket, name, chosen, versions):
        given = [version for version in versions if version]
        assert given == sorted(set(given)) and len(given) == sum(sent["op"] != "check" for sent, _, _ in chosen)
        for (sent, _, source), version in zip(chosen, versions):
            if sent["op"] == "check":
                continue
            if sent["op"] == "delete":
                entry = {"version": version, "gone": True}
            elif sent["op"] == "put":
                entry = self.entry(sent["key"], name, version, sent["runs"], sent.get("meta"), sent.get("tags"))
            else:
                entry = self.entry(sent["key"], name, version, source["runs"], sent.get("meta", source["meta"]),
                                   sent.get("tags", source["tags"]), source["blake3"])
            bucket.write(sent["key"], entry, self.now)

    # ---- what is done now and then

    @rule()
    def collect(self):
        """What has expired is deleted by it, with versions of the collector's choice."""
        answer = DRIVER.ask("collect")
        assert answer["code"] == "ok" and not answer["left"] and answer["pending"] == 0
        for name, bucket in self.buckets.items():
            expiring = bucket.expiring(self.now)
            new = DRIVER.ask("changes", bucket=name, after=bucket.version, limit=1000)["changes"]
            assert sorted((c["op"], c["key"]) for c in new) == sorted(("delete", key) for key in set(expiring))
            for change in new:
                bucket.write(change["key"], {"version": change["version"], "gone": True}, self.now)
            bucket.collect(self.now)
        self.put("none", "a", [[1, 1]], {}, {}, False)  # durable, and with it what the collector did

    @rule(sure=st.integers(0, 3))
    def reopen(self, sure):
        """On memory a power cut, which takes back some of what no durable write followed."""
        if self.engine == "local" and sure > 0:
            return  # it takes a while
        assert DRIVER.ask("reopen")["code"] == "ok"
        if self.engine == "memory":
            last = {name: DRIVER.ask("info", bucket=name)["version"] for name in BUCKETS}
            left = [state for state in self.states if {name: b.version for name, b in state.items()} == last]
            assert len(left) > 0, "the store is not what a prefix of the writes would have left"
            self.buckets = {name: bucket.copy() for name, bucket in left[-1].items()}
            self.moments = [m for m in self.moments if m[1] <= last[m[0]]]
            self.kept(False)
        self.recount()

    def recount(self):
        assert DRIVER.ask("recount") == {"code": "ok", "lines": []}

    def teardown(self):
        if DRIVER.process is not None and DRIVER.process.poll() is None and self.buckets:
            self.recount()
            for name in self.buckets:
                self.follow(name, 1000, 0)
            self.collect()
            self.counters_are_exact()
            self.recount()

    # ---- reading

    def compare(self, answer, want, content=True):
        for member in ("version", "size", "meta", "tags", "blake3"):
            assert answer[member] == want[member]
        if content:
            assert answer["runs"] == want["runs"] and answer["hash_fits"]

    @rule(name=NAMES, key=KEYS, pick=PICKS)
    def get(self, name, key, pick):
        bucket = self.buckets[name]
        rows = bucket.line(key).rows()
        if pick < 30 or not rows:
            answer = DRIVER.ask("get", bucket=name, key=key)
            want, otherwise = bucket.live(key, self.now), "key_not_found"
        else:
            version = rows[pick % len(rows)]["version"] if pick < 95 else SOME_VERSION
            answer = DRIVER.ask("get", bucket=name, key=key, version=version)
            want, otherwise = bucket.find(key, version, self.now), "version_not_found"
        assert answer["code"] == ("ok" if want else otherwise)
        if want:
            self.compare(answer, want)

    @rule(name=NAMES, key=KEYS)
    def versions(self, name, key):
        bucket = self.buckets[name]
        want = [[e["version"], e["gone"]] + ([e["size"], e["blake3"]] if not e["gone"] else [0, "00" * 32])
                for e in bucket.visible(key, self.now)]
        answer = DRIVER.ask("versions", bucket=name, key=key)
        assert answer["code"] == ("ok" if want else "key_not_found") and answer["versions"] == want

    @rule(name=NAMES)
    def remember(self, name):
        """What is there now must be shown again, as long as a listing of this moment is not refused."""
        bucket = self.buckets[name]
        there = {key: bucket.live(key, self.now) for key in bucket.lines}
        self.moments = self.moments[-5:] + [(name, bucket.version, {key: e for key, e in there.items() if e})]

    @rule(pick=PICKS, question=QUESTIONS, limit=st.integers(1, 5))
    def scan_the_past(self, pick, question, limit):
        if not self.moments:
            return
        name, moment, then = self.moments[pick % len(self.moments)]
        bucket = self.buckets[name]
        got, items, cursor = [], {}, None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = DRIVER.ask("scan", bucket=name, limit=limit, moment=moment, with_meta=True, with_tags=True, **question, **more)
            if moment < bucket.floor and page["code"] == "ok":  # between bounds that have nothing between them
                assert (question["after"] or question["end"]) and not page["items"] and not page["prefixes"]
                return
            assert page["code"] == ("ok" if moment >= bucket.floor else "cursor_expired")
            if page["code"] != "ok":
                return
            got += shown(page, question)
            items.update({item["key"]: item for item in page["items"]})
            cursor = page.get("next")
            if cursor is None:
                break
        want = {key: entry for key, entry in then.items() if not bucket.expired(entry, self.now)}
        assert want == bucket.at(moment, self.now)
        assert got == listed(want, question)
        for key, item in items.items():
            self.compare(item, want[key], content=False)

    @rule(pick=PICKS, key=KEYS)
    def get_the_past(self, pick, key):
        if not self.moments:
            return
        name, moment, then = self.moments[pick % len(self.moments)]
        bucket = self.buckets[name]
        answer = DRIVER.ask("get", bucket=name, key=key, at=moment)
        want = then.get(key)
        visible = bucket.visible(key, self.now)
        if want in visible:
            assert answer["code"] == "ok"
            self.compare(answer, want)
        elif want is None and moment >= bucket.floor:
            assert answer["code"] == "key_not_found"
        else:  # no longer kept
            assert answer["code"] in ("cursor_expired", "key_not_found")
            assert moment < bucket.floor or answer["code"] == "cursor_expired" or bucket.expired(want, self.now)

    @rule(name=NAMES, tags=TAGS_WANTED, prefix=st.sampled_from(["", "", "a", "a/", "b"]), limit=st.integers(1, 4))
    def query(self, name, tags, prefix, limit):
        bucket = self.buckets[name]

        def fits(entry):
            return all(tag in entry["tags"] and
                       (entry["tags"][tag].startswith(value) if beginning else entry["tags"][tag] == value)
                       for tag, value, beginning in tags)

        live = {key: bucket.live(key, self.now) for key in bucket.lines if key.startswith(prefix)}
        want = sorted((key for key, entry in live.items() if entry and fits(entry)), key=order)
        got, cursor = [], None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = DRIVER.ask("query", bucket=name, tags=[list(tag) for tag in tags], prefix=prefix, limit=limit, **more)
            assert page["code"] == "ok" and len(page["items"]) <= limit
            for item in page["items"]:
                self.compare(item, live[item["key"]], content=False)
                got.append(item["key"])
            cursor = page.get("next")
            if cursor is None:
                break
        assert got == want

    @rule(name=NAMES, limit=st.sampled_from([1, 3, 1000]), skip=st.integers(0, 20))
    def follow(self, name, limit, skip):
        """The stream, page by page, is every change once in the order of commits; replayed, it is the bucket."""
        bucket = self.buckets[name]
        got, after = [], bucket.changes[skip]["version"] if skip and skip < len(bucket.changes) else None
        want = [c for c in bucket.changes if after is None or c["version"] > after]
        while True:
            page = DRIVER.ask("changes", bucket=name, limit=limit, **({"after": after} if after else {}))
            assert page["code"] == "ok" and len(page["changes"]) <= limit
            got += page["changes"]
            after = page["next"]
            if page["ended"]:
                break
        assert after == bucket.version and got == want
        if len(want) < len(bucket.changes):
            return
        lines = replayed(got)
        erased = {change["key"] for change in got if change["op"] == "erase"}
        for key, rows in lines.items():
            if name == "all":
                stored = DRIVER.ask("versions", bucket=name, key=key)["versions"]
                assert [[c["version"], c["op"] == "delete"] + ([c["size"], c["blake3"]] if c["op"] == "put" else [0, "00" * 32])
                        for c in rows] == stored
            current = bucket.line(key).current
            if key not in erased or name == "all":
                top = rows[0] if rows and rows[0]["op"] == "put" else None
                assert (top and top["version"]) == (current and current["version"])
                if top:
                    assert all(top[member] == current[member] for member in ("size", "blake3", "tags"))

    # ---- what always holds

    @invariant()
    def counters_are_exact(self):
        History.steps += 1
        for name, bucket in self.buckets.items():
            info = DRIVER.ask("info", bucket=name)
            current = [line.current for line in bucket.lines.values() if line.current]
            assert info["objects"] == len(current) and info["bytes"] == sum(entry["size"] for entry in current)
            assert info["version"] == bucket.version and (info["floor"] or "") == bucket.floor


def run(engine, steps):
    History.engine, History.steps = engine, 0
    try:
        while History.steps < steps:
            run_state_machine_as_test(History, settings=settings(
                max_examples=max(1, (steps - History.steps) // 35), stateful_step_count=STEPS_AN_EXAMPLE, deadline=None,
                database=None, print_blob=True, suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.generate, Phase.shrink]))
    finally:
        print(f"{engine}: {History.steps} steps")
        DRIVER.stop()


def begun():
    History.engine = "memory"
    history = History()
    history.begin()
    return history


def ended(history):
    try:
        history.collect()
        history.counters_are_exact()
        history.teardown()
    finally:
        DRIVER.stop()


def put(history, name, content):
    history.put(name=name, key="a", content=content, meta={}, tags={"one": "v"}, buffered=False)


def live_bytes():
    return DRIVER.ask("collect")["live_bytes"]


def expire(history, name, seconds):
    """A setting that the bucket gets later, and the collector's turn that goes over what is there already."""
    assert DRIVER.ask("patch", bucket=name, settings=f'{{"expire_seconds":{seconds}}}')["code"] == "ok"
    history.buckets[name].expire = seconds
    assert DRIVER.ask("collect")["code"] == "ok"


def test_expired_versions_leave_the_history():
    """What is invisible for good must not keep its place on the disk."""
    history = begun()
    put(history, "brief", [[3, MIB]])
    history.advance(seconds=99, by=1)
    put(history, "brief", [[2, 1]])
    history.advance(seconds=1, by=1)
    history.collect()
    history.counters_are_exact()
    assert live_bytes() == 0 and history.buckets["brief"].line("a").current
    ended(history)


def test_a_folded_group_of_which_all_has_expired_is_not_shown():
    history = begun()
    history.put(name="brief", key="a/b", content=[[1, 1]], meta={}, tags={}, buffered=False)
    history.put(name="brief", key="b", content=[[1, 1]], meta={}, tags={}, buffered=False)
    listing = {"bucket": "brief", "delimiter": "/", "limit": 10}
    assert DRIVER.ask("scan", **listing)["prefixes"] == ["a/"]
    history.advance(seconds=100, by=1)
    history.put(name="brief", key="b", content=[[1, 1]], meta={}, tags={}, buffered=False)
    page = DRIVER.ask("scan", **listing)
    assert page["prefixes"] == [] and [item["key"] for item in page["items"]] == ["b"]
    ended(history)


def test_versions_older_than_the_setting_leave_the_history_when_they_expire():
    history = begun()
    put(history, "all", [[3, MIB]])
    history.advance(seconds=50, by=1)
    put(history, "all", [[2, 1]])
    expire(history, "all", 100)
    assert live_bytes() > 0
    history.advance(seconds=60, by=1)
    assert live_bytes() == 0
    history.recount()
    DRIVER.stop()


def test_an_erasure_brings_no_expired_version_back():
    """Erased in the moment between: the version's time has passed, and the collector has not had its turn."""
    history = begun()
    put(history, "all", [[3, MIB]])
    history.advance(seconds=50, by=1)
    put(history, "all", [[2, 1]])
    expire(history, "all", 100)
    history.advance(seconds=60, by=1)
    history.erase(name="all", key="a", pick=0, buffered=False)
    assert DRIVER.ask("info", bucket="all")["objects"] == 0
    assert live_bytes() == 0
    history.recount()
    DRIVER.stop()


@pytest.mark.parametrize("engine", ["memory", "local"])
def test_store_behaves_as_dictionaries_with_history(engine):
    run(engine, STEPS)
