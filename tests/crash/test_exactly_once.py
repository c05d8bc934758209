# SPDX-License-Identifier: Apache-2.0
"""The short run of exactly_once.py."""
import random

from exactly_once import Run


def test_each_write_is_done_once_over_cuts_and_kills():
    Run(writes=200, kills=2, seed=random.SystemRandom().randrange(1 << 32)).go()
