"""A short form of `python -m tests.fuzz`."""

from __future__ import annotations

import pytest

from tests.fuzz.run import Outcome, batch
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_target_holds_for_random_inputs(target: Target) -> None:
    outcome = Outcome()
    batch(target, outcome, 150)
    assert not outcome.failures
    assert outcome.cases >= 100


def test_a_failure_is_kept_with_its_smallest_input() -> None:
    def check(text: str) -> None:
        assert "a" not in text, "an a"

    name = "text to a name"
    outcome = Outcome()
    for _ in range(20):
        batch(Target(name, TARGETS[name].inputs, check), outcome, 300)
    (failure,) = outcome.failures.values()
    assert failure.error == "AssertionError: an a"
    assert failure.value == "'a'"
    assert "test_fuzz.py" in failure.place
