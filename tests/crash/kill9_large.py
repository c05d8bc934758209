#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kill -9 under large writes: kill9.py's cycles with contents in chunks, shared between keys, and multipart uploads.

Beyond what kill9.py holds the server to:

  - an upload whose start was acknowledged is there, with every acknowledged part, until it is completed or aborted;
  - a completion happened whole or not at all: the object is there and the upload gone, or neither;
  - space: once nothing is under way, the chunks that are stored are exactly those that live objects and parts name,
    each once, and the files that hold them are not much larger;
  - wfldb-admin verify finds nothing on what a kill has left, every other time.

    tests/crash/kill9_large.py --cycles 200 --seed 7
"""
import argparse
import hashlib
import json
import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":
    sys.path.insert(0, os.path.join(HERE, "..", "lib", "python"))
    os.environ.setdefault("WFL_SOURCE_ROOT", os.path.dirname(os.path.dirname(HERE)))
    os.environ.setdefault("WFL_BUILD_ROOT", os.path.join(os.environ["WFL_SOURCE_ROOT"], "build"))

from kill9 import BUCKET, Attempt, Content, Run, Writer, check  # noqa: E402
from wfltest import binary, wait_until  # noqa: E402
from wfltest.client import path_of  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20
RECORD_BYTES_MAX = 64 * KIB  # above, content is in chunks
CHUNK_HEADER_BYTES, BLOCK_BYTES = 128, 4096  # a chunk on the disk: header and content, in whole blocks
SEGMENT_BYTES = 4 * MIB
SHARED_BLOCKS = 8
KEYS_PER_WRITER = 5
UPLOADS_PER_WRITER = 3


def chunks_of(data):
    """{hash: bytes on the disk}, by which equal chunks are one."""
    out = {}
    for at in range(0, len(data), MIB):
        chunk = data[at:at + MIB]
        out[hashlib.sha256(chunk).digest()] = -(-(CHUNK_HEADER_BYTES + len(chunk)) // BLOCK_BYTES) * BLOCK_BYTES
    return out


class LargeContent(Content):
    """Knows which chunks it is made of. Parts are cut each for itself."""

    def __init__(self, *parts, in_parts=False):
        super().__init__(b"".join(parts))
        self.in_parts, self.chunks = in_parts, {}
        if self.size > RECORD_BYTES_MAX:
            for part in parts:
                self.chunks.update(chunks_of(part))


class Part:
    def __init__(self, data, blake3=None):
        self.data, self.size, self.blake3 = data, len(data), blake3


class Upload:
    """As its writer knows it. `pending`: what was sent and not answered: (number, Part), "end", or nothing."""

    def __init__(self, key, ulid):
        self.key, self.ulid, self.parts, self.pending = key, ulid, {}, None

    @property
    def target(self):
        return f"{path_of(BUCKET, self.key)}?upload={self.ulid}"


class LargeWriter(Writer):
    def __init__(self, number, run):
        super().__init__(number, run)
        self.keys = [f"w{number}/{i}" for i in range(KEYS_PER_WRITER)]
        self.uploads = run.uploads[number]

    def piece(self, least=0):
        """Bytes that are partly those of other contents."""
        shared = [self.random.choice(self.run_.blocks) for _ in range(self.random.choice([0, 1, 1, 2, 3]))]
        own = [self.random.randbytes(MIB)] if self.random.random() < 0.3 else []
        tail = self.random.choice([b"", self.run_.blocks[0][:70 * KIB], self.random.randbytes(self.random.randrange(1, 300 * KIB))])
        data = b"".join(self.random.sample(shared + own, len(shared + own))) + tail
        return data if len(data) >= least else self.run_.blocks[1] + data

    def put(self):
        key, content = self.random.choice(self.keys), self.piece()
        target = path_of(BUCKET, key)
        if self.random.random() < 0.5:
            cut = self.random.randrange(len(content) + 1)
            pieces = [piece for piece in (content[:cut], content[cut:]) if piece]
            self.send(Attempt({key: LargeContent(content)}), (200, 201), "PUT", target, pieces, by="stream")
        else:
            self.send(Attempt({key: LargeContent(content)}), (200, 201), "PUT", target, (), content)

    def put_small(self):
        key, content = self.random.choice(self.keys), self.random.randbytes(self.random.choice([0, 100, 2 * KIB, 64 * KIB]))
        self.send(Attempt({key: LargeContent(content)}), (200, 201), "PUT", path_of(BUCKET, key), (), content)

    def copy(self):
        """The same content under another key: nothing is written but references."""
        source, key = self.random.sample(self.keys, 2)
        content = self.oracle.state.get(source)
        if content is not None and not content.in_parts:
            data = self.client.request("GET", path_of(BUCKET, source)).body
            self.send(Attempt({key: content}), (200, 201), "PUT", path_of(BUCKET, key), (), data)

    def put_wrong(self):
        """What does not have its hash is refused, and its chunks are taken back."""
        content = self.random.randbytes(MIB + 5)
        headers = [("X-WflDB-Content-SHA256", hashlib.sha256(b"other").hexdigest())]
        target = path_of(BUCKET, self.random.choice(self.keys))
        self.oracle.begin()
        answer = self.client.request("PUT", target, headers, content, content=None)
        check(answer.code == "content_mismatch", f"a wrong hash was answered: {answer}")

    # ---- uploads

    def start_upload(self):
        if len(self.uploads) >= UPLOADS_PER_WRITER:
            return
        key, floor = self.random.choice(self.keys), self.oracle.begin()
        self.run_.starts_open[self.number] = True
        answer = self.client.request("POST", path_of(BUCKET, key) + "?multipart=start")
        self.run_.starts_open[self.number] = False
        check(answer.status == 201, f"start: {answer}")
        ulid = answer.json["upload"]
        check(ulid > floor, f"upload {ulid} was given after {floor} had been answered")
        self.oracle.commit(Attempt({}), floor, [])  # no version of the bucket's
        self.uploads[ulid] = Upload(key, ulid)

    def put_part(self):
        if not self.uploads:
            return self.start_upload()
        upload = self.random.choice(list(self.uploads.values()))
        number = self.random.randint(1, 4)
        data = self.random.randbytes(100) + self.piece(0 if number == 4 else MIB)
        upload.pending = (number, Part(data))
        floor = self.oracle.begin()
        answer = self.client.request("PUT", f"{upload.target}&part={number}", (), data)
        check(answer.status == 200 and answer.json["size"] == len(data), f"part {number}: {answer}")
        upload.parts[number], upload.pending = Part(data, answer.json["blake3"]), None
        self.oracle.commit(Attempt({}), floor, [])

    def end(self):
        ready = [upload for upload in self.uploads.values() if upload.parts]
        if not ready:
            return
        upload = self.random.choice(ready)
        upload.pending = "end"
        if self.random.random() < 0.25:
            self.send(Attempt({}), (204,), "DELETE", upload.target)
        else:
            numbers = sorted(upload.parts)
            if len(numbers) > 1 and self.random.random() < 0.3:
                numbers.remove(self.random.choice(numbers))
            content = LargeContent(*(upload.parts[n].data for n in numbers), in_parts=True)
            body = json.dumps({"parts": [{"part": n, "blake3": upload.parts[n].blake3} for n in numbers]}).encode()
            self.send(Attempt({upload.key: content}), (200, 201), "POST", upload.target, (), body)
        del self.uploads[upload.ulid]

    KINDS = [(put, 8), (put_small, 2), (copy, 2), (Writer.delete, 4), (Writer.get, 2), (put_wrong, 1), (start_upload, 2), (put_part, 7), (end, 3)]


class LargeRun(Run):
    WRITER = LargeWriter
    SETTINGS = {"segment_bytes": SEGMENT_BYTES, "rewrite_bytes_per_second": 1 << 30}

    def __init__(self, seed, writers=4, **options):
        super().__init__(seed, writers, **options)
        self.chains = []
        self.blocks = [self.random.randbytes(MIB) for _ in range(SHARED_BLOCKS)]
        self.uploads = [{} for _ in range(writers)]  # of each writer, by ULID
        self.starts_open = [False] * writers
        self.patience = 60  # seconds for the collector

    def inspect(self):
        """Every other time, so that the server recovers by itself too: counts and contents agree on what the kill left."""
        if self.cycle % 2:
            return
        done = subprocess.run([binary("wfldb-admin"), "verify", os.path.join(self.folder, "data")], capture_output=True, text=True, timeout=120)
        check(done.returncode == 0, f"verify ends with {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}")

    def verify(self):
        with self.client() as client:
            attempts = [attempt for attempt in self.oracle.unanswered if attempt.changes]
            before = {key: self.oracle.state.get(key) for attempt in attempts for key in attempt.changes}
            gone_unseen = self.settle(client)
            self.verify_objects(client, gone_unseen)
            self.verify_uploads(client, attempts, before)
            self.verify_space(client)

    def verify_uploads(self, client, attempts, before):
        listed = {u["upload"]: u for u in client.expect(200, "GET", path_of(BUCKET) + "?uploads").json["uploads"]}
        new = {key: attempt.changes[key] for attempt in attempts for key in attempt.changes}
        for uploads in self.uploads:
            for upload in list(uploads.values()):
                there = listed.pop(upload.ulid, None) is not None
                if upload.pending == "end":
                    content = new.get(upload.key)
                    if content is not None and content.in_parts:
                        done = self.oracle.state.get(upload.key) is content
                        check(done != there, f"{upload.key}: completed {done}, but the upload is there: {there}")
                    upload.pending = None
                    if not there:
                        del uploads[upload.ulid]
                        continue
                check(there, f"upload {upload.ulid} of {upload.key} is lost")
                self.verify_parts(client, upload)
        check(len(listed) <= sum(self.starts_open), f"uploads that nobody started: {listed}")
        for stray in listed.values():
            client.expect(204, "DELETE", f"{path_of(BUCKET, stray['key'])}?upload={stray['upload']}")
        self.starts_open = [False] * self.writer_count

    def verify_parts(self, client, upload):
        received = {part["part"]: part for part in client.expect(200, "GET", upload.target).json["parts"]}
        if upload.pending is not None:
            number, sent = upload.pending
            known, there = upload.parts.get(number), received.get(number)
            if there is not None and (known is None or there["blake3"] != known.blake3):
                check(there["size"] == sent.size, f"part {number} of {upload.ulid} is neither the old nor the new one: {there}")
                upload.parts[number] = Part(sent.data, there["blake3"])
            upload.pending = None
        known = {n: (part.size, part.blake3) for n, part in upload.parts.items()}
        check({n: (part["size"], part["blake3"]) for n, part in received.items()} == known,
              f"upload {upload.ulid}: {received} but acknowledged was {known}")

    def live(self):
        """{hash: bytes} of all chunks that anything names."""
        chunks = {}
        for content in self.oracle.state.values():
            chunks.update(content.chunks)
        for uploads in self.uploads:
            for upload in uploads.values():
                for part in upload.parts.values():
                    chunks.update(chunks_of(part.data))  # whatever its size
        return chunks

    def verify_space(self, client):
        live = sum(self.live().values())
        metrics = self.server.metrics

        def told():
            return f"{live} bytes are named, but {metrics()}"

        wait_until(lambda: metrics()["live_bytes"] == live, told, self.patience)
        # Files below half live are rewritten; the last ones are being filled.
        wait_until(lambda: metrics()["segment_bytes"] <= 2 * live + 3 * SEGMENT_BYTES, told, self.patience)

    def clear(self):
        """Everything is taken away, and the room returns."""
        with self.client() as client:
            for key in list(self.oracle.state):
                client.delete(BUCKET, key)
            for uploads in self.uploads:
                for upload in uploads.values():
                    client.expect(204, "DELETE", upload.target)
                uploads.clear()
            self.oracle.state.clear()
            self.verify_space(client)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--writers", type=int, default=4)
    options = parser.parse_args()
    print(f"{options.cycles} cycles, seed {options.seed}", flush=True)
    with LargeRun(options.seed, options.writers, changes=(20, 150), report=lambda text: print(text, flush=True)) as run:
        for _ in range(options.cycles):
            run.one_cycle()
        run.clear()
        print(f"{run.oracle.acknowledged} changes acknowledged, none lost; of those unanswered {run.half_done} had happened, "
              f"{run.not_done} had not", flush=True)


if __name__ == "__main__":
    main()
