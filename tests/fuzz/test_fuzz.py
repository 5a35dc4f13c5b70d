"""A short form of `python -m tests.fuzz`."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from tests.fuzz.run import Outcome, batch
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_target_holds_for_random_inputs(target: Target) -> None:
    outcome = Outcome()
    batch(target, outcome, 150)
    assert not outcome.failures
    assert outcome.cases >= 100


def test_a_failure_is_kept_once_with_its_smallest_input() -> None:
    def check(number: int) -> None:
        assert number < 100, "too large"

    outcome = Outcome()
    for _ in range(2):
        batch(Target("numbers", st.integers(0, 100_000), check), outcome, 100)
    (failure,) = outcome.failures.values()
    assert failure.error == "AssertionError: too large"
    assert failure.value == "100"
    assert "test_fuzz.py" in failure.place
