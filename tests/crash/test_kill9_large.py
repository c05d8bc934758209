# SPDX-License-Identifier: Apache-2.0
"""The short run of kill9_large.py, and the proof that its oracle would see what it is there to see."""
import os
import random

import pytest

from kill9 import BUCKET, Attempt, Broken
from kill9_large import MIB, LargeContent, LargeRun, Part, Upload
from wfltest.client import path_of


def test_nothing_large_is_lost_by_kill_9():
    with LargeRun(seed=random.SystemRandom().randrange(1 << 32), changes=(20, 80), report=print) as run:
        for _ in range(4):
            run.one_cycle()
        run.clear()


class TestOracle:
    """Each kind of damage is done on purpose, behind the oracle's back, and must be found."""

    @pytest.fixture
    def run(self):
        with LargeRun(seed=1, writers=1) as run, run.client() as client:
            self.content = os.urandom(2 * MIB)
            client.put(BUCKET, "w0/0", self.content)
            run.oracle.state["w0/0"] = LargeContent(self.content)
            self.upload = Upload("w0/1", client.expect(201, "POST", path_of(BUCKET, "w0/1") + "?multipart=start").json["upload"])
            run.uploads[0][self.upload.ulid] = self.upload
            data = os.urandom(MIB + 1)
            self.upload.parts[1] = Part(data, client.expect(200, "PUT", self.upload.target + "&part=1", body=data).json["blake3"])
            run.verify()
            run.patience = 1
            yield run, client

    @staticmethod
    def found(run, text):
        with pytest.raises(AssertionError, match=text):
            run.verify()

    def test_a_lost_upload(self, run):
        run, client = run
        client.expect(204, "DELETE", self.upload.target)
        self.found(run, "is lost")

    def test_a_lost_part(self, run):
        run, _ = run
        self.upload.parts[2] = self.upload.parts[1]
        self.found(run, "but acknowledged was")

    def test_another_part(self, run):
        run, client = run
        client.expect(200, "PUT", self.upload.target + "&part=1", body=b"other")
        self.found(run, "but acknowledged was")

    def test_an_unanswered_part_that_is_neither(self, run):
        run, client = run
        self.upload.pending = (1, Part(b"sent"))
        client.expect(200, "PUT", self.upload.target + "&part=1", body=b"other")
        self.found(run, "neither")

    def test_an_upload_that_nobody_started(self, run):
        run, client = run
        client.expect(201, "POST", path_of(BUCKET, "w0/1") + "?multipart=start")
        self.found(run, "nobody started")

    def test_half_a_completion(self, run):
        """The object is there, and the upload too."""
        run, client = run
        content = LargeContent(self.upload.parts[1].data, in_parts=True)
        client.put(BUCKET, "w0/1", self.upload.parts[1].data)
        run.oracle.unanswered.append(Attempt({"w0/1": content}))
        self.upload.pending = "end"
        self.found(run, "completed True, but the upload is there: True")

    def test_space_that_does_not_come_back(self, run):
        run, client = run
        client.make_bucket("elsewhere")
        client.put("elsewhere", "k", os.urandom(MIB))
        self.found(run, "bytes are named, but")

    def test_a_chunk_that_is_not_there(self, run):
        run, _ = run
        run.oracle.state["w0/0"].chunks[b"one more"] = MIB
        self.found(run, "bytes are named, but")

    def test_other_bytes(self, run):
        run, client = run
        client.put(BUCKET, "w0/0", self.content[:-1] + bytes([self.content[-1] ^ 1]))
        with pytest.raises(Broken, match="are not"):
            run.verify()
