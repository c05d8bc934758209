# SPDX-License-Identifier: Apache-2.0
"""MACs and signatures are compared in constant time: Welch's t over many comparisons that fail in the first byte or in the
last. The same measurement finds a planted comparison that ends early, so it would find ours. A busy machine can disturb a
round, so it is tried again; what leaks, leaks in every round. WFL_TIMING=long (./dev soak) measures signatures too: there
nothing is secret and the calculation varies with its public inputs, so the planted leak has to be a larger one."""
import os
import subprocess

import pytest

LONG = os.environ.get("WFL_TIMING") == "long"
ROUNDS = {"mac": 2_000_000 if LONG else 200_000, "signature": 100_000}
QUIET, LOUD = 6.0, 10.0  # |t| of what does not leak, and of what does
TRIES = 6


def largest_t(case, rounds):
    program = os.path.join(os.environ["WFL_BUILD_ROOT"], "tests", "auth", "auth_timing")
    done = subprocess.run([program, case, str(rounds)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done
    return float(done.stdout)


@pytest.mark.parametrize("what", ["mac"] + (["signature"] if LONG else []))
def test_no_comparison_tells_by_its_time_where_it_failed(what):
    seen = []
    for _ in range(TRIES):
        seen.append(largest_t(what, ROUNDS[what]))
        if seen[-1] < QUIET:
            return
    raise AssertionError(f"|t| was never below {QUIET}: {seen}")


@pytest.mark.parametrize("what", ["mac"] + (["signature"] if LONG else []))
def test_the_measurement_finds_a_comparison_that_ends_early(what):
    seen = []
    for _ in range(TRIES):
        seen.append(largest_t(f"leaky-{what}", ROUNDS[what]))
        if seen[-1] > LOUD:
            return
    raise AssertionError(f"|t| was never above {LOUD}: {seen}")
