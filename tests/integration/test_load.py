# SPDX-License-Identifier: Apache-2.0
"""The small run of load.py."""
from wfltest import Server

from load import MIB, Load, quantile


def test_many_large_transfers_at_once_are_right_and_bounded():
    with Server() as server:
        figures = Load(server, 8 * MIB).run(16)
    assert figures["peak"] - figures["at_rest"] < figures["bound"], figures
    assert len(figures["beside_ms"]) > 0
    assert quantile(figures["beside_ms"], 0.95) < 10_000  # they got their turns
