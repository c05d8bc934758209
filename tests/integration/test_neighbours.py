# SPDX-License-Identifier: Apache-2.0
"""A short run of isolation.py: beside a tenant that floods the server another one has all of its requests answered, and the
server's memory stays bounded. The times are for ./dev soak to print: a test that asserted them would measure the machine."""
import pytest

from isolation import FLOODS, run
from wfltest import memory_bound

MIB = 1 << 20


@pytest.mark.parametrize("name", ["small PUTs, each signed", "small GETs in a session", "PUTs of 1 MiB"])
def test_beside_a_flood_all_is_answered(name):
    assert name in FLOODS
    alone, beside, after, peak = run(1.5, [name], say=lambda text: None)[name]  # a refused request would fail it
    assert alone and beside and after
    assert peak < memory_bound(64 * 4 * MIB + 128 * MIB)
