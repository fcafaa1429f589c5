"""Runs that are killed at random moments leave nothing half done, and nothing that a human must clear away."""

import pytest

from benchmarks.fault_scene import Scene
from benchmarks.fault_storm import Storm


def check(tally, kills):
    assert tally.kills.total() >= kills
    assert tally.entries > 0
    assert tally.results > 0
    assert tally.faults() == {}


def test_a_few_kills(tmp_path, zygote):
    check(Storm(Scene(tmp_path, zygote=zygote), 5, fresh=0, variants=1).run(6), 6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_kills(tmp_path, zygote, seed):
    check(Storm(Scene(tmp_path, zygote=zygote), seed).run(200), 200)
