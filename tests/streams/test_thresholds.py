"""The thresholds that follow the stream: their guarantee on any stream, and their corner cases."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streams.thresholds import MOST_SOURCES, REMEMBERED, Answer, Control, Source, Thresholds, logit

START = 0.71
CONTROL = Control(few=20)
NUMBERS = count()


def answer(
    right: bool, probability: float = 0.99, source: str | None = None, threshold: float = START, **changed: object
) -> Answer:
    number = next(NUMBERS)
    fields = {"id": str(number), "source": source, "probability": probability, "threshold": threshold}
    return Answer.model_validate(fields | {"is_right": right} | changed)


def heard(state: Thresholds, *rights: bool, probability: float = 0.99, source: str | None = None) -> Thresholds:
    for right in rights:
        state = state.after(answer(right, probability, source, state.threshold(source)))
    return state


def after_all(state: Thresholds, answers: list[Answer]) -> Thresholds:
    for each in answers:
        state = state.after(each)
    return state


ANSWERS = st.lists(
    st.builds(
        Answer,
        id=st.integers(0, 40).map(str),
        source=st.sampled_from([None, "a", "b"]),
        probability=st.floats(0, 1),
        threshold=st.sampled_from([0.5, START, 0.9, 1.0]),
        is_right=st.booleans(),
    ),
    max_size=60,
)


# the guarantee


def adversary(state: Thresholds, tricks: list[int]) -> Iterator[tuple[Thresholds, bool]]:
    """Yields the state and whether the answer was wrong, for confident mentions just above the threshold.

    A positive trick is a run of wrong answers, a negative one a run of right ones.
    """
    for trick in tricks:
        for _ in range(abs(trick)):
            threshold = state.threshold()
            if threshold == 1:
                state = state.after(answer(False, 1.0, threshold=1.0))  # goes to people
                state = state.after(answer(False, 0.4, threshold=1.0))
                continue
            state = state.after(answer(trick < 0, 1.0 if trick % 2 else threshold, threshold=threshold))
            yield state, trick > 0


@settings(max_examples=60)
@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=20),
    st.floats(0.02, 2),
    st.floats(0.2, 0.6),
    st.floats(0.75, 0.99),
)
def test_no_stream_makes_more_answers_wrong_than_guaranteed(
    tricks: list[int], step: float, floor: float, ceiling: float
) -> None:
    control = Control(step=step, floor=floor, ceiling=ceiling, quiet=10_000)
    wrong = [each for _, each in adversary(Thresholds.begin(START, control), tricks)]
    sums = np.concatenate(([0], np.cumsum(wrong)))
    for width in range(1, len(wrong) + 1):
        assert (sums[width:] - sums[:-width]).max() / width <= control.most_wrong(width) + 1e-6


def test_the_defaults_guarantee_500_answers_within_two_points() -> None:
    assert Control().most_wrong(500) <= 0.12
    assert Control().most_wrong(10**9) == pytest.approx(Control().aim)


def test_right_withheld_answers_buy_wrong_ones_at_the_stated_price() -> None:
    state, wrong, confident = Thresholds.begin(START, CONTROL), 0, 0
    for number in range(3000):
        right = number % 3 > 0
        is_confident = state.threshold() < 1
        wrong, confident = wrong + (is_confident and not right), confident + is_confident
        state = heard(state, right)
    allowed = CONTROL.most_wrong(confident) * confident + CONTROL.aim * state.shared.withheld
    assert state.shared.withheld > 0
    assert wrong <= allowed


def test_on_a_steady_stream_the_share_of_wrong_ones_is_the_aim() -> None:
    random, state, wrong, confident = np.random.default_rng(0), Thresholds.begin(START), 0, 0
    for _ in range(4000):
        probability = float(random.uniform(0.3, 1))
        right = bool(random.random() < probability**0.7)
        if probability >= state.threshold():
            wrong, confident = wrong + (not right), confident + 1
        state = state.after(answer(right, probability, threshold=state.threshold()))
    assert confident > 1000
    assert wrong / confident == pytest.approx(Control().aim, abs=0.01)


# one answer


def test_a_wrong_answer_raises_the_threshold_and_a_right_one_lowers_it() -> None:
    state = Thresholds.begin(START)
    assert state.threshold() == START
    up, down = heard(state, False), heard(state, True)
    assert logit(up.threshold()) == pytest.approx(logit(START) + 0.4 * 0.91, abs=1e-4)
    assert logit(down.threshold()) == pytest.approx(logit(START) - 0.4 * 0.09, abs=1e-4)


def test_at_the_ceiling_not_even_certain_mentions_are_confident() -> None:
    state = heard(Thresholds.begin(START), *[False] * 30, probability=1.0)
    assert state.threshold() == 1
    counted = state.precision.current.answers
    assert counted < 10
    certain = state.after(answer(False, 1.0, threshold=1.0))
    assert certain.precision.current.answers == counted
    assert certain.shared.value == state.shared.value


def test_an_answer_that_does_not_count_leaves_the_shared_level() -> None:
    """The sources' own levels lift the threshold in force for the others only while they are high."""
    state = heard(Thresholds.begin(START, CONTROL), *[True] * CONTROL.few, source="a")
    state = heard(state, False, False, source="a")
    assert state.threshold("new") == state.threshold("a")
    assert state.shared.value < logit(state.threshold("a"))
    after = state.after(answer(False, 0.1, "new", threshold=state.threshold("new")))
    assert after.shared.value == state.shared.value
    assert after.shared.quiet == state.shared.quiet + 1


def test_of_very_many_sources_the_further_ones_have_the_shared_level() -> None:
    state = Thresholds.begin(START, CONTROL)
    state = state.model_copy(update={"sources": {str(number): Source() for number in range(MOST_SOURCES)}})
    after = heard(state, *[False] * 3, source="one more")
    assert len(after.sources) == MOST_SOURCES
    assert after.threshold("one more") == after.threshold() > START


def test_people_get_everything_at_the_ceiling_and_the_floor_is_not_left() -> None:
    state = Thresholds.begin(START)
    assert heard(state, *[False] * 30).threshold() == 1
    assert heard(state, *[True] * 300).threshold() == 0.5


def test_from_the_ceiling_right_answers_about_sure_mentions_lead_back() -> None:
    state = heard(Thresholds.begin(START), *[False] * 30)
    assert heard(state, *[True] * 30, probability=0.9).threshold() == 1, "they would not be confident anyway"
    assert heard(state, *[True] * 30, probability=0.96).threshold() < 1
    assert heard(state, *[False] * 100).shared.value == heard(state, *[False] * 5).shared.value, "no windup"


def test_when_hardly_any_mention_is_confident_the_threshold_comes_down() -> None:
    state = heard(Thresholds.begin(START), *[False] * 4)
    assert 0.9 < state.threshold() < 1
    waiting = heard(state, *[True] * (CONTROL.quiet - 1), probability=0.8)
    assert waiting.threshold() == state.threshold()
    assert heard(waiting, True, probability=START - 0.01).threshold() == state.threshold()
    assert heard(waiting, True, probability=0.8).threshold() < state.threshold()


@given(ANSWERS)
def test_the_threshold_stays_on_its_scale(answers: list[Answer]) -> None:
    state = after_all(Thresholds.begin(START, CONTROL), answers)
    assert all(0.5 <= state.threshold(source) < 0.95 or state.threshold(source) == 1 for source in (None, "a", "b"))


# order, repetition, lateness


@given(ANSWERS)
def test_the_same_answers_give_the_same_state_and_it_survives_json(answers: list[Answer]) -> None:
    first, second = (Thresholds.begin(START, CONTROL) for _ in range(2))
    for each in answers:
        first, second = first.after(each), Thresholds.model_validate_json(second.model_dump_json()).after(each)
    assert first == second


@given(ANSWERS)
def test_answers_that_come_twice_change_nothing(answers: list[Answer]) -> None:
    state = after_all(Thresholds.begin(START, CONTROL), answers)
    assert after_all(state, answers) == state


def test_the_memory_of_answers_is_bounded() -> None:
    state = heard(Thresholds.begin(START), *[True] * (REMEMBERED + 10))
    assert len(state.remembered) == REMEMBERED


def test_a_late_answer_counts_if_its_mention_was_confident_or_would_be_now() -> None:
    state = heard(Thresholds.begin(START), False, False)
    raised = state.threshold()
    below = state.after(answer(False, raised - 0.01, threshold=START))
    assert below.threshold() > raised, "it was confident"
    assert below.precision.current.answers == 3
    assert state.after(answer(False, raised - 0.01, threshold=0.99)).threshold() == raised
    assert state.after(answer(False, raised, threshold=START)).threshold() > raised
    sent_to_people = state.after(answer(False, raised, threshold=0.99))
    assert sent_to_people.threshold() > raised, "it would be confident now"
    assert sent_to_people.precision.current.answers == 2


# sources


def test_a_source_with_few_answers_has_the_shared_threshold_and_a_wide_interval() -> None:
    state = heard(Thresholds.begin(START, CONTROL), *[True] * (CONTROL.few - 1), source="a")
    assert state.threshold("a") == state.threshold() == state.threshold("never seen") < START
    assert state.interval("never seen") == (0, 1)
    assert state.interval("a").width > 0.25


def test_with_enough_answers_a_source_goes_its_own_way() -> None:
    begin = heard(Thresholds.begin(START, CONTROL), *[True] * CONTROL.few, source="good")
    state = heard(begin, *[False] * 3, source="other")
    assert state.threshold("good") == begin.threshold("good")
    assert state.threshold("other") == state.threshold() > START
    assert heard(state, *[True] * 3, source="good").threshold("other") == state.threshold("other")


def test_a_source_that_is_plainly_worse_leaves_the_others_early() -> None:
    rare = Control(few=1000, ceiling=0.9999)
    state = heard(Thresholds.begin(START, rare), *[False, True] * 15, probability=1.0, source="bad")
    assert state.sources["bad"].level is not None
    assert state.sources["bad"].answers < rare.few


def test_an_unknown_source_is_treated_as_the_known_ones_need() -> None:
    """All have a level of their own, so the shared one is old."""
    state = heard(Thresholds.begin(START, CONTROL), *[True] * CONTROL.few, source="a")
    before = state.threshold("new")
    state = heard(state, *[False] * 3, source="a")
    assert state.threshold("new") == state.threshold("a") > before
    after = heard(state, False, source="new")
    assert after.shared.value > state.sources["a"].level.value, "it moves from the threshold in force"  # type: ignore[union-attr]


# values


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"promised": 0.99, "margin": 0.02}, "leave nothing"),
        ({"floor": 0.9, "ceiling": 0.8}, "must lie below"),
        ({"step": math.inf}, "finite"),
        ({"stepp": 1}, "not permitted"),
    ],
)
def test_a_control_that_cannot_work_is_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Control.model_validate(fields)


@pytest.mark.parametrize("start", [0.3, 0.95, 1.0])
def test_a_start_off_the_scale_is_refused(start: float) -> None:
    with pytest.raises(ValueError, match="must lie between"):
        Thresholds.begin(start)
