"""The interval of a precision, on streams whose precision is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.confidence import ConfidenceSequence, Recent

DELTA = 0.1


def test_nothing_is_known_without_answers() -> None:
    assert ConfidenceSequence().interval(DELTA) == (0, 1)
    assert Recent().interval(DELTA).width == 1


@pytest.mark.parametrize("drift", [0.0, 0.15])
def test_the_interval_holds_at_every_moment_under_drift(drift: float) -> None:
    """The weights of the mean are those of the sequence. More precise answers come first, then less precise ones."""
    random, failed = np.random.default_rng(0), 0
    for _ in range(100):
        sequence, true, weight = ConfidenceSequence(), 0.0, 0.0
        for number in range(300):
            mean = 0.95 - drift * (number >= 150)
            after = sequence.after(bool(random.random() < mean), DELTA)
            true += (after.weight - sequence.weight) * mean
            sequence, weight = after, after.weight
            low, high = sequence.interval(DELTA)
            if not low <= true / weight <= high:
                failed += 1
                break
    assert failed <= 100 * DELTA


def test_more_answers_make_it_narrower() -> None:
    sequence, widths = ConfidenceSequence(), []
    for number in range(1, 1001):
        sequence = sequence.after(number % 10 > 0, DELTA)
        if number in (20, 100, 1000):
            widths.append(sequence.interval(DELTA).width)
    assert 0.5 > widths[0] > widths[1] > widths[2]
    assert widths[2] < 0.1


def test_old_answers_are_left_behind() -> None:
    recent = Recent()
    for number in range(300):
        recent = recent.after(number < 150, DELTA, block=100)
    assert recent.interval(DELTA).high < 0.5


def test_a_new_block_is_reported_from_its_half_on() -> None:
    recent = Recent()
    for _ in range(100):
        recent = recent.after(True, DELTA, block=100)
    full = recent.interval(DELTA)
    for number in range(60):
        recent = recent.after(True, DELTA, block=100)
        assert (recent.interval(DELTA) == full) == (number + 1 < 50)


@given(st.lists(st.booleans(), max_size=60))
def test_it_is_an_interval_and_survives_json(answers: list[bool]) -> None:
    recent = Recent()
    for each in answers:
        recent = recent.after(each, DELTA, block=20)
        low, high = recent.interval(DELTA)
        assert 0 <= low <= high <= 1
    assert Recent.model_validate_json(recent.model_dump_json()) == recent
