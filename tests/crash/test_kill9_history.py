# SPDX-License-Identifier: Apache-2.0
"""The short run of kill9_history.py, and the proof that its checks would see what they are there to see."""
import random

import pytest

from kill9 import Broken
from kill9_history import ACCOUNTS, BUCKET, EACH, HistoryRun


def test_no_half_of_a_batch_and_no_gap_in_the_stream_after_kill_9():
    with HistoryRun(seed=random.SystemRandom().randrange(1 << 32), changes=(20, 150), report=print) as run:
        for _ in range(4):
            run.one_cycle()


class TestChecks:
    """What the run holds is damaged on purpose and must be found."""

    @pytest.fixture
    def run(self):
        with HistoryRun(seed=1, writers=2, changes=(30, 40)) as run:
            run.one_cycle()
            yield run

    def found(self, run, text):
        with pytest.raises(Broken, match=text):
            run.verify()

    def test_a_change_that_is_missing(self, run):
        line = next(iter(run.acknowledged))
        at = next(i for i, change in enumerate(run.follower.changes) if change["key"] == line)
        del run.follower.changes[at - 1]
        self.found(run, "half of a batch")

    def test_a_batch_that_is_missing(self, run):
        line = next(iter(run.acknowledged))
        at = next(i for i, change in enumerate(run.follower.changes) if change["key"] == line)
        del run.follower.changes[at - 2:at + 1]
        self.found(run, "acknowledged and is not in the stream|a line was removed by nobody")

    def test_a_change_that_comes_twice(self, run):
        with pytest.raises(Broken, match="not in the order"):
            run.follower.take(run.follower.changes[-1:])

    def test_money_that_comes_from_nowhere(self, run):
        with run.client() as client:
            run.follower.held[ACCOUNTS[0]] = client.put(BUCKET, ACCOUNTS[0], str(EACH * 9).encode()).json["version"]
        self.found(run, "now: ")

    def test_a_change_that_the_stream_does_not_have(self, run):
        with run.client() as client:
            client.put(BUCKET, "other", b"0")
        self.found(run, "does not give the bucket")
