# SPDX-License-Identifier: Apache-2.0
"""Around every table of attacks: a witness, who checks the server when the table is through."""
import pytest

from wfltest.witness import Witness


@pytest.fixture(scope="module", autouse=True)
def witness(server):
    """The server is up, correct for others, and its memory and files are bounded, after each module's cases."""
    made = Witness(server)
    yield made
    made.check()


@pytest.fixture
def unchanged(witness):
    """Nothing that a reader can see may differ after the case."""
    before = witness.state()
    yield witness
    assert witness.state() == before
