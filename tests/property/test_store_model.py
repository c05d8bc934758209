# SPDX-License-Identifier: Apache-2.0
"""The store against a sorted dictionary, on both engines.

Random operations go to a real store (tests/property/store_driver) and to the model; every answer is
compared. A failure is shrunk to the fewest steps and printed by Hypothesis. WFL_PROPERTY_STEPS says
how many steps each test of this folder takes on each engine (default 5,000: 20,000 for all).
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

STEPS = int(os.environ.get("WFL_PROPERTY_STEPS", "5000"))
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
        self.created, self.left = {}, {}  # versions, by bucket: of its creation, of the changes that went with an earlier one

    def start(self, engine):
        alive = self.process is not None and self.process.poll() is None
        if not alive or engine != "local":
            self.left = {}
        if alive and engine == "local":
            return self.empty()
        if not alive:
            self.process = subprocess.Popen([self.binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.folder is None:
            self.folder = tempfile.mkdtemp(prefix="wfl-model-")
        path = os.path.join(tempfile.mkdtemp(dir=self.folder), "data") if engine == "local" else ""
        self.ask("open", engine=engine, path=path)

    def empty(self):
        assert self.ask("collect")["code"] == "ok"  # what has expired goes
        for name in self.ask("list")["buckets"]:
            for item in self.ask("scan", bucket=name, limit=1000)["items"]:
                self.ask("delete", bucket=name, key=item["key"], buffered=True)
            last = self.ask("info", bucket=name)["version"]
            if last > self.created.get(name, ""):
                self.left[name] = last
            assert self.ask("drop", bucket=name)["code"] == "ok"
        # Uploads went with their buckets: nothing large is left anywhere.
        left = self.ask("collect")
        assert left == {"code": "ok", "left": False, "live_bytes": 0, "pending": 0}

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
            process, self.process = self.process, None
            process.stdin.close()
            assert process.wait() == 0
        if self.folder is not None:
            shutil.rmtree(self.folder)
            self.folder = None


DRIVER = Driver()

# Few characters, so that keys collide, share prefixes and fold; of one to four bytes.
ALPHABET = "ab/~é\U0010FFFF"
KEYS = st.text(ALPHABET, min_size=1, max_size=6)
BOUNDS = st.text(ALPHABET, max_size=4)
DELIMITERS = st.sampled_from(["", "/", "/", "~", "é", "\U0010FFFF"])
MIB = 1 << 20
SIZES = st.one_of(st.integers(0, 40), st.sampled_from([1023, 1024, 1025, 3000, 65535, 65536]))
SMALL = st.builds(lambda size, fill: [[fill, size]], SIZES, st.integers(0, 255))
# Whole chunks of few kinds, so that contents share them, and the rest.
LARGE = st.builds(lambda chunks, fill, rest: [[c, MIB] for c in chunks] + [[fill, rest]],
                  st.lists(st.integers(1, 3), max_size=2), st.integers(1, 3),
                  st.sampled_from([0, 1, 10, 65536, 65537, MIB - 1]))
CONTENTS = st.one_of(SMALL, SMALL, SMALL, LARGE)
PAIRS = st.dictionaries(st.sampled_from(["one", "two", "x-3"]), st.text("vw ", max_size=3), max_size=2)
CONDITIONS = st.sampled_from([None] * 12 + ["*", "never", "current", "current", "other", "both"])
QUESTIONS = st.fixed_dictionaries({
    "prefix": BOUNDS, "after": BOUNDS, "end": BOUNDS, "delimiter": DELIMITERS, "reverse": st.booleans()})


def joined(*contents):
    """Runs, none of them empty and no two neighbours of the same byte."""
    out = []
    for fill, size in (run for content in contents for run in content):
        if size and out and out[-1][0] == fill:
            out[-1] = [fill, out[-1][1] + size]
        elif size:
            out.append([fill, size])
    return out


def size_of(content):
    return sum(size for _, size in content)


def cut(content, first, count):
    out = []
    for fill, size in content:
        skip, first = min(first, size), max(first - size, 0)
        take = min(count, size - skip)
        count -= take
        out.append([fill, take])
    return joined(out)


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
        self.uploads = {}  # name of bucket: {upload: what it is}
        self.last = ""     # the greatest version so far
        self.walks = []
        self.states = []   # that a crash may go back to, the oldest first: as of each write since the last durable one

    @initialize()
    def begin(self):
        for name in BUCKETS:
            self.make(name)

    # ---- the model's side

    def newer(self, version):
        assert version > self.last
        self.last = version

    def wrote(self, buffered=False):
        """One log: a durable write makes all before it durable. So may any other commit at any time, the collector's when it
        removes an upload for one: what was buffered may go in a crash, and then all that followed it."""
        if not buffered:
            self.states.clear()
        state = {name: dict(objects) for name, objects in self.buckets.items()}, copy.deepcopy(self.uploads), self.last
        self.states.append(state)

    def is_shown(self, buckets, uploads):
        """Does the store hold just this?"""
        if DRIVER.ask("list")["buckets"] != sorted(buckets):
            return False
        for name, objects in buckets.items():
            listing = DRIVER.ask("scan", bucket=name, limit=1000)["items"]
            found = DRIVER.ask("uploads", bucket=name)["uploads"]
            parts = [{p["part"]: p["blake3"] for p in DRIVER.ask("parts", bucket=name, **u)["parts"]}
                     for u in ({"key": u["key"], "upload": u["upload"]} for u in found)]
            if ({item["key"]: item["version"] for item in listing} != {k: o["version"] for k, o in objects.items()} or
                    {u["upload"]: p for u, p in zip(found, parts)} !=
                    {u: {n: p["blake3"] for n, p in what["parts"].items()} for u, what in uploads[name].items()}):
                return False
        return True

    def condition(self, word, current):
        """What the word stands for."""
        there = current is not None
        versions = {"current": [current["version"]] if there else [SOME_VERSION], "other": [SOME_VERSION],
                    "both": [SOME_VERSION] + ([current["version"]] if there else [])}
        return versions.get(word, word)

    def judge(self, current, match, none_match):
        arguments = {}
        if match:
            arguments["match"] = self.condition(match, current)
        if none_match:
            arguments["none_match"] = self.condition(none_match, current)
        return arguments, self.holds(current, arguments)

    def holds(self, current, arguments):
        def names_it(what):
            return current is not None and (what == "*" or current["version"] in what)

        match, none_match = arguments.get("match"), arguments.get("none_match")
        return ((match is None or (match != "never" and names_it(match))) and
                (none_match is None or (none_match != "never" and not names_it(none_match))))

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
        self.uploads[name] = {}
        info = DRIVER.ask("info", bucket=name)
        self.newer(info["version"])
        self.wrote()

    @rule(name=st.sampled_from(BUCKETS))
    def create(self, name):
        self.make(name)

    @rule(name=st.sampled_from(BUCKETS), sure=st.integers(0, 3))
    def drop(self, name, sure):
        if sure > 0 and not self.buckets.get(name, True):
            return  # an empty one would go all the time
        answer = DRIVER.ask("drop", bucket=name)
        if name not in self.buckets:
            assert answer["code"] == "bucket_not_found"
        elif self.buckets[name]:
            assert answer["code"] == "bucket_not_empty"
        else:
            assert answer["code"] == "ok"
            del self.buckets[name], self.uploads[name]
            self.wrote()
            self.walks = [w for w in self.walks if w.bucket != name]

    @rule(sure=st.integers(0, 3))
    def reopen(self, sure):
        """On memory a power cut, which takes back what no durable write followed."""
        if self.engine == "local" and sure > 0:
            return  # it takes a while
        assert DRIVER.ask("reopen")["code"] == "ok"
        if self.engine == "memory":
            shown = [state for state in self.states if self.is_shown(*state[:2])]
            assert shown, "the store shows nothing that a prefix of the writes would have left"
            buckets, uploads, _ = shown[-1]
            # States that show the same (a put and its delete both lost, or neither) differ in their last version: which of
            # them it went back to cannot be seen, so only the earliest one's last version is known to stay below the next.
            self.last = shown[0][2]
            if buckets != self.buckets:
                self.buckets, self.walks = {name: dict(objects) for name, objects in buckets.items()}, []
            self.uploads = copy.deepcopy(uploads)
            self.wrote()
        self.recount()

    # ---- objects

    @rule(bucket=st.sampled_from(BUCKETS), key=KEYS, content=CONTENTS, meta=PAIRS, tags=PAIRS,
          match=CONDITIONS, none_match=CONDITIONS, buffered=st.booleans())
    def put(self, bucket, key, content, meta, tags, match, none_match, buffered):
        current = self.buckets.get(bucket, {}).get(key)
        arguments, holds = self.judge(current, match, none_match)
        answer = DRIVER.ask("put", bucket=bucket, key=key, runs=content, meta=meta, tags=tags,
                            buffered=buffered, **arguments)
        if self.written(answer, bucket, key, content, {"meta": meta, "tags": tags}, holds):
            self.wrote(buffered)

    def written(self, answer, bucket, key, content, given, holds):
        """Compare what a put or a completion says, and do it to the model. True: it was done."""
        objects = self.buckets.get(bucket, {})
        current = objects.get(key)
        size = size_of(content)
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
            objects[key] = {"version": answer["version"], "size": size, "runs": joined(content), **given}
            self.changed(bucket, key, True)
            return True
        return False

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
        assert answer["runs"] == want["runs"] and answer["hash_fits"]

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
                assert answer["runs"] == []
            else:
                self.compare_content(answer, objects[key])
                assert answer["large"] == (objects[key]["size"] > 65536)

    @rule(bucket=st.sampled_from(BUCKETS), pick=st.integers(0, 99), first=st.integers(0, 4 * MIB),
          near=st.integers(-2, 2), count=st.one_of(st.integers(0, 3), st.integers(0, 4 * MIB)))
    def get_range(self, bucket, pick, first, near, count):
        objects = self.buckets.get(bucket, {})
        large = [key for key in sorted(objects) if objects[key]["size"] > 65536]
        if not large:
            return
        key = large[pick % len(large)]
        size = objects[key]["size"]
        if pick % 2:
            first = first // MIB * MIB + near  # about where chunks meet
        first = min(max(first, 0), size)
        count = min(count, size - first)
        answer = DRIVER.ask("get", bucket=bucket, key=key, first=first, count=count)
        assert answer["code"] == "ok"
        assert answer["runs"] == cut(objects[key]["runs"], first, count)

    # ---- uploads

    def pick_upload(self, bucket, pick):
        """Its id and what it is; one that is not there where there is none."""
        uploads = self.uploads.get(bucket, {})
        if not uploads or pick > 90:
            return SOME_VERSION, {"key": "k", "parts": {}}
        upload = sorted(uploads)[pick % len(uploads)]
        return upload, uploads[upload]

    def is_missing(self, answer, bucket, upload):
        if bucket not in self.buckets:
            assert answer["code"] == "bucket_not_found"
            return True
        if upload not in self.uploads[bucket]:
            assert answer["code"] == "upload_not_found"
            return True
        return False

    @rule(bucket=st.sampled_from(BUCKETS), key=KEYS, meta=PAIRS, tags=PAIRS, match=CONDITIONS, none_match=CONDITIONS,
          buffered=st.booleans())
    def start(self, bucket, key, meta, tags, match, none_match, buffered):
        arguments, _ = self.judge(self.buckets.get(bucket, {}).get(key), match, none_match)
        answer = DRIVER.ask("start", bucket=bucket, key=key, meta=meta, tags=tags, buffered=buffered, **arguments)
        if bucket not in self.buckets:
            assert answer["code"] == "bucket_not_found"
            return
        assert answer["code"] == "ok"
        self.newer(answer["upload"])
        self.uploads[bucket][answer["upload"]] = {
            "key": key, "given": {"meta": meta, "tags": tags}, "conditions": arguments, "parts": {}}
        self.wrote(buffered)

    @rule(bucket=st.sampled_from(BUCKETS), pick=st.integers(0, 99), number=st.sampled_from([1, 2, 3, 10000]),
          content=st.one_of(LARGE, SMALL), buffered=st.booleans())
    def part(self, bucket, pick, number, content, buffered):
        upload, what = self.pick_upload(bucket, pick)
        answer = DRIVER.ask("part", bucket=bucket, key=what["key"], upload=upload, part=number, runs=content,
                            buffered=buffered)
        if self.is_missing(answer, bucket, upload):
            return
        assert answer["code"] == "ok"
        what["parts"][number] = {"runs": content, "blake3": answer["blake3"]}
        self.wrote(buffered)

    @rule(bucket=st.sampled_from(BUCKETS), pick=st.integers(0, 99))
    def list_uploads(self, bucket, pick):
        answer = DRIVER.ask("uploads", bucket=bucket)
        if bucket not in self.buckets:
            assert answer["code"] == "bucket_not_found"
            return
        assert answer["uploads"] == [
            {"upload": upload, "key": what["key"], "bytes": sum(size_of(p["runs"]) for p in what["parts"].values())}
            for upload, what in sorted(self.uploads[bucket].items())]
        upload, what = self.pick_upload(bucket, pick)
        answer = DRIVER.ask("parts", bucket=bucket, key=what["key"], upload=upload)
        if not self.is_missing(answer, bucket, upload):
            assert answer["parts"] == [{"part": n, "size": size_of(p["runs"]), "blake3": p["blake3"]}
                                       for n, p in sorted(what["parts"].items())]

    @rule(bucket=st.sampled_from(BUCKETS), pick=st.integers(0, 99), without=st.integers(0, 9), wrong=st.integers(0, 9))
    def complete(self, bucket, pick, without, wrong):
        upload, what = self.pick_upload(bucket, pick)
        chosen = sorted(what["parts"].items())
        if without < len(chosen):
            del chosen[without]
        parts = [{"part": n, "blake3": p["blake3"]} for n, p in chosen]
        fits = bool(parts) and all(size_of(p["runs"]) >= MIB for _, p in chosen[:-1])
        if wrong == 0 and parts:
            parts[-1]["blake3"] = "00" * 32
            fits = False
        answer = DRIVER.ask("complete", bucket=bucket, key=what["key"], upload=upload, parts=parts)
        if self.is_missing(answer, bucket, upload):
            return
        if not fits:
            assert answer["code"] == "invalid_part"
            return
        content = [run for _, p in chosen for run in p["runs"]]
        current = self.buckets[bucket].get(what["key"])
        if self.written(answer, bucket, what["key"], content, what["given"], self.holds(current, what["conditions"])):
            assert answer["size"] == size_of(content)
            del self.uploads[bucket][upload]
            self.wrote()

    @rule(bucket=st.sampled_from(BUCKETS), key=KEYS, contents=st.lists(LARGE, min_size=1, max_size=3), meta=PAIRS,
          match=CONDITIONS, none_match=CONDITIONS, turn=st.integers(0, 9), wrong=st.integers(0, 9))
    def upload(self, bucket, key, contents, meta, match, none_match, turn, wrong):
        """From the start to the end, the steps of which come apart in other rules."""
        before = set(self.uploads.get(bucket, {}))
        self.start(bucket, key, meta, {}, match, none_match, True)
        for upload in set(self.uploads.get(bucket, {})) - before:
            pick = sorted(self.uploads[bucket]).index(upload)
            for number in sorted(range(len(contents)), key=lambda i: (i + turn) % len(contents)):
                self.part(bucket, pick, number + 1, contents[number], True)
                if turn == 0:
                    self.part(bucket, pick, number + 1, contents[-1], True)
                elif turn == 1:
                    self.collect()
            self.complete(bucket, pick, 9, wrong)

    @rule(bucket=st.sampled_from(BUCKETS), pick=st.integers(0, 99))
    def abort(self, bucket, pick):
        if pick % 3 == 0:
            return
        upload, what = self.pick_upload(bucket, pick)
        answer = DRIVER.ask("abort", bucket=bucket, key=what["key"], upload=upload)
        if not self.is_missing(answer, bucket, upload):
            assert answer["code"] == "ok"
            del self.uploads[bucket][upload]
            self.wrote()

    # ---- what is done now and then, and changes nothing that can be seen

    @rule()
    def collect(self):
        answer = DRIVER.ask("collect")
        assert answer["code"] == "ok" and not answer["left"] and answer["pending"] == 0

    def recount(self):
        assert DRIVER.ask("recount") == {"code": "ok", "lines": []}

    def teardown(self):
        if DRIVER.process is not None and DRIVER.process.poll() is None:
            self.recount()

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
                assert ("runs" in item) == (with_value and want["size"] <= 65536)
                if "runs" in item:
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


@pytest.mark.parametrize("turns", [0, 1])
def test_the_collector_may_make_buffered_writes_durable(turns):
    """A bucket goes with an upload in it; removing that is a durable commit, which keeps the buffered put before it."""
    Store.engine = "memory"
    try:
        store = Store()
        store.begin()
        store.start(bucket="other", key="a", meta={}, tags={}, match=None, none_match=None, buffered=True)
        store.drop(name="other", sure=0)
        store.put(bucket="photos", key="a", content=[[1, 0]], meta={}, tags={}, match=None, none_match=None, buffered=True)
        for _ in range(turns):
            store.collect()
        store.reopen(sure=0)
        store.counters_are_exact()
        assert ("a" in store.buckets["photos"]) == bool(turns)
        store.teardown()
    finally:
        DRIVER.stop()
