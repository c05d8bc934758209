# SPDX-License-Identifier: Apache-2.0
"""The short run of kill9.py, and the proof that its oracle would see what it is there to see."""
import random

import pytest

import kill9
from kill9 import BUCKET, Attempt, Broken, Chain, Content, Run


def test_nothing_acknowledged_is_lost_by_kill_9():
    with Run(seed=random.SystemRandom().randrange(1 << 32), changes=(40, 250), report=print) as run:
        for _ in range(5):
            run.one_cycle()


class TestOracle:
    """Each kind of damage is done on purpose, behind the oracle's back, and must be found."""

    @pytest.fixture(scope="class")
    def run(self):
        with Run(seed=1, writers=1) as run:
            with run.client() as client:
                for key in ("w0/0", "w0/deep/1"):
                    client.put(BUCKET, key, key.encode())
                    run.oracle.state[key] = Content(key.encode())
                run.verify()
                yield run, client

    @staticmethod
    def adopt_version(run, client):
        """A repair may end with a tombstone, whose version no object shows."""
        run.oracle.newest = client.expect(200, "GET", kill9.path_of(BUCKET)).json["version"]

    def found(self, run, client, damage, repair, text):
        damage()
        with pytest.raises(Broken, match=text):
            run.verify()
        repair()
        self.adopt_version(run, client)
        run.verify()

    def test_a_lost_object(self, run):
        run, client = run
        self.found(run, client, lambda: client.delete(BUCKET, "w0/0"), lambda: client.put(BUCKET, "w0/0", b"w0/0"), "lost")

    def test_other_bytes(self, run):
        run, client = run
        self.found(run, client, lambda: client.put(BUCKET, "w0/0", b"w0/1"), lambda: client.put(BUCKET, "w0/0", b"w0/0"), "are not")

    def test_an_object_that_should_be_gone(self, run):
        run, client = run
        self.found(run, client, lambda: client.put(BUCKET, "w0/3", b""), lambda: client.delete(BUCKET, "w0/3"), "should be gone")

    def test_a_key_that_nobody_wrote(self, run):
        run, client = run
        self.found(run, client, lambda: client.put(BUCKET, "x", b""), lambda: client.delete(BUCKET, "x"), "other keys")

    def test_a_version_that_nobody_was_given(self, run):
        run, client = run
        client.put(BUCKET, "x", b"")
        client.delete(BUCKET, "x")
        with pytest.raises(Broken, match="last version"):
            run.verify()
        self.adopt_version(run, client)
        run.verify()

    def test_half_of_an_unanswered_change(self, run):
        run, client = run
        run.oracle.unanswered.append(Attempt({"w0/0": Content(b"new"), "w0/deep/1": None}))
        client.put(BUCKET, "w0/0", b"new")
        with pytest.raises(Broken, match="half of a change"):
            run.verify()
        client.put(BUCKET, "w0/0", b"w0/0")
        run.verify()
        assert run.oracle.unanswered == []

    def test_an_unanswered_change_that_is_neither(self, run):
        run, client = run
        run.oracle.unanswered.append(Attempt({"w0/0": Content(b"new")}))
        client.put(BUCKET, "w0/0", b"ne")
        with pytest.raises(Broken, match="neither"):
            run.verify()
        client.put(BUCKET, "w0/0", b"new")
        run.verify()
        assert run.oracle.state["w0/0"].is_of(b"new")

    def test_a_version_below_one_that_was_answered(self, run):
        oracle = kill9.Oracle()
        oracle.commit(Attempt({}), "", ["01B"])
        assert oracle.faults == []
        oracle.commit(Attempt({}), oracle.begin(), ["01A"])
        assert "01A was given after 01B" in oracle.faults[0]

    def test_a_link_that_was_overwritten(self):
        chain = Chain("k")
        chain.begun = {"a": "start", "b": "a", "c": "a"}
        chain.acknowledged = {"a", "b"}
        chain.verify(b"b a")
        for data, text in ((b"c a", "lost"), (b"", "lost"), (b"d a", "never sent")):
            with pytest.raises(Broken, match=text):
                chain.verify(data)
