# SPDX-License-Identifier: Apache-2.0
"""The store against a sorted dictionary, on both engines.

Random operations go to a real store (tests/property/store_driver) and to the model; every answer is
compared. A failure is shrunk to the fewest steps and printed by Hypothesis. WFL_PROPERTY_STEPS says
how many steps each engine takes (default 10,000).
"""
import copy
import json
import os
import shutil
import subprocess
import tempfile

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

STEPS = int(os.environ.get("WFL_PROPERTY_STEPS", "10000"))
STEPS_AN_EXAMPLE = 50
BUCKETS = ["photos", "other"]
QUOTAS = {"photos": None, "other": (12000, 6)}  # bytes, objects
SOME_VERSION = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Driver:
    """One process for all examples. On memory each has a store of its own; on disk, where opening one
    takes longer than an example, the last one is emptied."""

    def __init__(self):
        self.binary = os.path.join(os.environ["WFL_BUILD_ROOT"], "tests", "property", "store_driver")
        self.process = None
        self.folder = None

    def start(self, engine):
        alive = self.process is not None and self.process.poll() is None
        if alive and engine == "local":
            return self.empty()
        if not alive:
            self.process = subprocess.Popen([self.binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.folder is None:
            self.folder = tempfile.mkdtemp(prefix="wfl-model-")
        path = os.path.join(tempfile.mkdtemp(dir=self.folder), "data") if engine == "local" else ""
        self.ask("open", engine=engine, path=path)

    def empty(self):
        for name in self.ask("list")["buckets"]:
            for item in self.ask("scan", bucket=name, limit=1000)["items"]:
                self.ask("delete", bucket=name, key=item["key"], buffered=True)
            assert self.ask("drop", bucket=name)["code"] == "ok"

    def ask(self, what, **arguments):
        line = json.dumps({"do": what, **arguments}, ensure_ascii=False) + "\n"
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise AssertionError(f"the driver died at {line}: status {self.process.wait()}")
        return json.loads(answer)

    def stop(self):
        if self.process is not None:
            self.process.stdin.close()
            assert self.process.wait() == 0
            self.process = None
        if self.folder is not None:
            shutil.rmtree(self.folder)
            self.folder = None


DRIVER = Driver()

# Few characters, so that keys collide, share prefixes and fold; of one to four bytes.
ALPHABET = "ab/~é\U0010FFFF"
KEYS = st.text(ALPHABET, min_size=1, max_size=6)
BOUNDS = st.text(ALPHABET, max_size=4)
DELIMITERS = st.sampled_from(["", "/", "/", "~", "é", "\U0010FFFF"])
SIZES = st.one_of(st.integers(0, 40), st.sampled_from([1023, 1024, 1025, 3000, 65536, 65537]))
PAIRS = st.dictionaries(st.sampled_from(["one", "two", "x-3"]), st.text("vw ", max_size=3), max_size=2)
CONDITIONS = st.sampled_from([None, None, None, None, "*", "never", "current", "other", "both"])
QUESTIONS = st.fixed_dictionaries({
    "prefix": BOUNDS, "after": BOUNDS, "end": BOUNDS, "delimiter": DELIMITERS, "reverse": st.booleans()})


def order(key):
    return key.encode()


def entry_of(key, question):
    """What a key is shown as: (text, folded)."""
    prefix, delimiter = question["prefix"], question["delimiter"]
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return (key[:at + len(delimiter)], True) if at >= 0 else (key, False)


def listed(keys, question):
    """The whole listing, by the words of the protocol."""
    out = []
    for key in sorted(keys, key=order, reverse=question["reverse"]):
        k, after, end = order(key), order(question["after"]), order(question["end"])
        if not key.startswith(question["prefix"]):
            continue
        if after and not (k < after if question["reverse"] else k > after):
            continue
        if end and not (k > end if question["reverse"] else k < end):
            continue
        entry = entry_of(key, question)
        if not out or out[-1] != entry:
            out.append(entry)
    return out


def shown(page, question):
    entries = [(i["key"], False) for i in page["items"]] + [(p, True) for p in page["prefixes"]]
    return sorted(entries, key=lambda e: order(e[0]), reverse=question["reverse"])


class Walk:
    """A listing that is read page by page while others write."""

    def __init__(self, bucket, question, keys):
        self.bucket, self.question = bucket, question
        self.stayed, self.ever = set(keys), set(keys)
        self.cursor, self.at, self.seen = None, None, []


class Store(RuleBasedStateMachine):
    engine = None
    steps = 0

    def __init__(self):
        super().__init__()
        DRIVER.start(self.engine)
        self.buckets = {}  # name: {key: object}
        self.last = ""     # the greatest version so far
        self.walks = []
        self.stored = None  # buckets and last version as of the last durable write

    @initialize()
    def begin(self):
        for name in BUCKETS:
            self.make(name)

    # ---- the model's side

    def newer(self, version):
        assert version > self.last
        self.last = version

    def wrote(self, buffered=False):
        """One log: a durable write makes all before it durable."""
        if not buffered:
            self.stored = copy.deepcopy(self.buckets), self.last

    def condition(self, word, current):
        """What the word stands for, and whether it holds as If-Match and as If-None-Match."""
        there = current is not None
        versions = {"current": [current["version"]] if there else [SOME_VERSION], "other": [SOME_VERSION],
                    "both": [SOME_VERSION] + ([current["version"]] if there else [])}
        if word == "*":
            return "*", there, not there
        if word == "never":
            return "never", False, False
        names_it = there and current["version"] in versions[word]
        return versions[word], names_it, not names_it

    def judge(self, current, match, none_match):
        arguments, holds = {}, True
        if match:
            arguments["match"], as_match, _ = self.condition(match, current)
            holds = holds and as_match
        if none_match:
            arguments["none_match"], _, as_none = self.condition(none_match, current)
            holds = holds and as_none
        return arguments, holds

    def over_quota(self, bucket, current, size):
        if QUOTAS[bucket] is None:
            return False
        most_bytes, most_objects = QUOTAS[bucket]
        objects = self.buckets[bucket]
        before = current["size"] if current else 0
        total = sum(o["size"] for o in objects.values()) - before + size
        return (current is None and len(objects) >= most_objects) or (size > before and total > most_bytes)

    def changed(self, bucket, key, there):
        for walk in self.walks:
            if walk.bucket == bucket:
                walk.ever.add(key)
                if not there:
                    walk.stayed.discard(key)

    # ---- buckets

    def make(self, name):
        quota = QUOTAS[name]
        text = json.dumps({"quota_bytes": quota[0], "quota_objects": quota[1]}) if quota else ""
        answer = DRIVER.ask("create", bucket=name, settings=text)
        if name in self.buckets:
            assert answer["code"] == "bucket_exists"
            return
        assert answer["code"] == "ok"
        self.buckets[name] = {}
        info = DRIVER.ask("info", bucket=name)
        self.newer(info["version"])
        self.wrote()

    @rule(name=st.sampled_from(BUCKETS))
    def create(self, name):
        self.make(name)

    @rule(name=st.sampled_from(BUCKETS))
    def drop(self, name):
        answer = DRIVER.ask("drop", bucket=name)
        if name not in self.buckets:
            assert answer["code"] == "bucket_not_found"
        elif self.buckets[name]:
            assert answer["code"] == "bucket_not_empty"
        else:
            assert answer["code"] == "ok"
            del self.buckets[name]
            self.wrote()
            self.walks = [w for w in self.walks if w.bucket != name]

    @rule(sure=st.integers(0, 3))
    def reopen(self, sure):
        """On memory a power cut, which takes back what no durable write followed."""
        if self.engine == "local" and sure > 0:
            return  # it takes a while
        assert DRIVER.ask("reopen")["code"] == "ok"
        if self.engine == "memory":
            buckets, self.last = self.stored
            if buckets != self.buckets:
                self.buckets, self.walks = copy.deepcopy(buckets), []

    # ---- objects

    @rule(bucket=st.sampled_from(BUCKETS), key=KEYS, size=SIZES, fill=st.integers(0, 255), meta=PAIRS, tags=PAIRS,
          match=CONDITIONS, none_match=CONDITIONS, buffered=st.booleans())
    def put(self, bucket, key, size, fill, meta, tags, match, none_match, buffered):
        objects = self.buckets.get(bucket, {})
        current = objects.get(key)
        arguments, holds = self.judge(current, match, none_match)
        answer = DRIVER.ask("put", bucket=bucket, key=key, size=size, fill=fill, meta=meta, tags=tags,
                            buffered=buffered, **arguments)
        if bucket not in self.buckets:
            assert answer["code"] == "bucket_not_found"
        elif not holds:
            assert answer["code"] == "precondition_failed"
            assert answer["version"] == (current["version"] if current else None)
        elif self.over_quota(bucket, current, size):
            assert answer["code"] == "quota_exceeded" and answer["version"] is None
        else:
            assert answer["code"] == "ok" and answer["created"] == (current is None)
            self.newer(answer["version"])
            objects[key] = {"version": answer["version"], "size": size, "fill": fill if size else None,
                            "meta": meta, "tags": tags}
            self.changed(bucket, key, True)
            self.wrote(buffered)

    @rule(bucket=st.sampled_from(BUCKETS), key=KEYS, pick=st.integers(0, 99), match=CONDITIONS, none_match=CONDITIONS,
          buffered=st.booleans())
    def delete(self, bucket, key, pick, match, none_match, buffered):
        objects = self.buckets.get(bucket, {})
        if objects and pick < 70:
            key = sorted(objects)[pick % len(objects)]
        current = objects.get(key)
        arguments, holds = self.judge(current, match, none_match)
        answer = DRIVER.ask("delete", bucket=bucket, key=key, buffered=buffered, **arguments)
        if bucket not in self.buckets:
            assert answer["code"] == "bucket_not_found"
        elif not holds:
            assert answer["code"] == "precondition_failed"
            assert answer["version"] == (current["version"] if current else None)
        elif current is None:
            assert answer["code"] == "key_not_found"
        else:
            assert answer["code"] == "ok"
            self.newer(answer["version"])
            del objects[key]
            self.changed(bucket, key, False)
            self.wrote(buffered)

    def compare_object(self, answer, want, with_meta=True, with_tags=True):
        assert answer["version"] == want["version"] and answer["size"] == want["size"]
        assert answer["meta"] == (want["meta"] if with_meta else {})
        assert answer["tags"] == (want["tags"] if with_tags else {})
        assert answer["content_type"] == "text/plain"

    def compare_content(self, answer, want):
        assert answer["content_size"] == want["size"] and answer["fill"] == want["fill"] and answer["hash_fits"]

    @rule(bucket=st.sampled_from(BUCKETS), key=KEYS, pick=st.integers(0, 99), head=st.booleans())
    def get(self, bucket, key, pick, head):
        objects = self.buckets.get(bucket, {})
        if objects and pick < 80:
            key = sorted(objects)[pick % len(objects)]
        answer = DRIVER.ask("get", bucket=bucket, key=key, head=head)
        if bucket not in self.buckets:
            assert answer["code"] == "bucket_not_found"
        elif key not in objects:
            assert answer["code"] == "key_not_found"
        else:
            assert answer["code"] == "ok"
            self.compare_object(answer, objects[key])
            if head:
                assert answer["content_size"] == 0
            else:
                self.compare_content(answer, objects[key])

    # ---- listings

    @rule(bucket=st.sampled_from(BUCKETS), question=QUESTIONS, limit=st.integers(1, 5), with_meta=st.booleans(),
          with_tags=st.booleans(), with_value=st.booleans())
    def scan(self, bucket, question, limit, with_meta, with_tags, with_value):
        if bucket not in self.buckets:
            answer = DRIVER.ask("scan", bucket=bucket, limit=limit, **question)
            assert answer["code"] == "bucket_not_found"
            return
        objects = self.buckets[bucket]
        got, cursor = [], None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = DRIVER.ask("scan", bucket=bucket, limit=limit, with_meta=with_meta, with_tags=with_tags,
                              with_value=with_value, **question, **more)
            assert page["code"] == "ok"
            entries = shown(page, question)
            assert len(entries) <= limit
            got += entries
            for item in page["items"]:
                want = objects[item["key"]]
                self.compare_object(item, want, with_meta, with_tags)
                assert ("content_size" in item) == (with_value and want["size"] <= 65536)
                if "content_size" in item:
                    self.compare_content(item, want)
            cursor = page.get("next")
            assert cursor is None or len(entries) == limit
            if cursor is None:
                break
        assert got == listed(objects, question)

    @rule(bucket=st.sampled_from(BUCKETS), question=QUESTIONS)
    def begin_walk(self, bucket, question):
        if bucket in self.buckets and len(self.walks) < 3:
            self.walks.append(Walk(bucket, question, self.buckets[bucket]))

    @rule(pick=st.integers(0, 2), limit=st.integers(1, 3), with_value=st.booleans())
    def walk(self, pick, limit, with_value):
        """One page of a listing, others having written since the last."""
        if not self.walks:
            return
        walk = self.walks[pick % len(self.walks)]
        more = {"cursor": walk.cursor} if walk.cursor else {}
        page = DRIVER.ask("scan", bucket=walk.bucket, limit=limit, with_value=with_value, **walk.question, **more)
        assert page["code"] == "ok"
        assert walk.at in (None, page["at"])
        walk.at, walk.cursor = page["at"], page.get("next")
        walk.seen += shown(page, walk.question)
        texts = [order(text) for text, _ in walk.seen]
        ordered = sorted(texts, reverse=walk.question["reverse"])
        assert texts == ordered and len(set(texts)) == len(texts), walk.seen
        assert set(walk.seen) <= set(listed(walk.ever, walk.question))
        if walk.cursor is None:
            assert set(listed(walk.stayed, walk.question)) <= set(walk.seen)
            self.walks.remove(walk)

    @rule(question=QUESTIONS, other=QUESTIONS, at=st.integers(0, 2000))
    def wrong_cursor(self, question, other, at):
        if "photos" not in self.buckets:
            return
        page = DRIVER.ask("scan", bucket="photos", limit=1, **question)
        cursor = page.get("next")
        if cursor is None:
            return
        if other != question:
            answer = DRIVER.ask("scan", bucket="photos", limit=1, cursor=cursor, **other)
            assert answer["code"] == "invalid_query"
        at %= len(cursor)
        damaged = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1:]
        assert DRIVER.ask("scan", bucket="photos", limit=1, cursor=damaged, **question)["code"] == "invalid_query"

    # ---- what always holds

    @invariant()
    def counters_are_exact(self):
        Store.steps += 1
        for name in BUCKETS:
            info = DRIVER.ask("info", bucket=name)
            if name not in self.buckets:
                assert info["code"] == "bucket_not_found"
                continue
            objects = self.buckets[name]
            assert info["objects"] == len(objects)
            assert info["bytes"] == sum(o["size"] for o in objects.values())
            assert info["version"] <= self.last


@pytest.mark.parametrize("engine", ["memory", "local"])
def test_store_behaves_as_a_sorted_dictionary(engine):
    Store.engine, Store.steps = engine, 0
    try:
        while Store.steps < STEPS:
            # An example takes about 35 steps: some end early.
            examples = max(1, (STEPS - Store.steps) // 35)
            run_state_machine_as_test(Store, settings=settings(
                max_examples=examples, stateful_step_count=STEPS_AN_EXAMPLE, deadline=None, database=None,
                print_blob=True, suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.generate, Phase.shrink]))
    finally:
        print(f"{engine}: {Store.steps} steps")
        DRIVER.stop()
