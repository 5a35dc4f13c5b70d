"""What may be committed: everything acknowledged, and the holes around it, never more."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.consumer.placement import Known, Read
from streams.consumer.progress import Progress


def test_nothing_is_due_before_the_first_record() -> None:
    progress = Progress(1, start=7, committed=None)
    assert (progress.done, progress.due) == (7, False)


def test_an_open_record_holds_back_what_was_acknowledged_behind_it() -> None:
    progress = Progress(1, 0, None)
    for offset in (0, 1, 2):
        progress.hand_on(offset)
    progress.acknowledge(1)
    progress.acknowledge(2)
    assert (progress.done, progress.due) == (0, False)
    progress.acknowledge(0)
    assert (progress.done, progress.due) == (3, True)


@pytest.mark.parametrize(
    ("start", "offsets", "position", "done"),
    [
        pytest.param(0, [5], 6, 6, id="a hole at the head"),
        pytest.param(0, [0, 9], 10, 10, id="a hole behind record 0"),
        pytest.param(1, [9], 10, 10, id="a hole at the committed offset"),
        pytest.param(0, [0], 50, 50, id="a hole at the end"),
        pytest.param(3, [], 50, 50, id="nothing but a hole"),
        pytest.param(0, [0, 10**12], 10**12 + 1, 10**12 + 1, id="a hole wider than any memory"),
    ],
)
def test_holes_are_stepped_over(start: int, offsets: list[int], position: int, done: int) -> None:
    progress = Progress(1, start, committed=start or None)
    for offset in offsets:
        progress.hand_on(offset)
    progress.read_to(position)
    for offset in offsets:
        assert progress.done <= offset
        progress.acknowledge(offset)
    assert (progress.done, progress.due) == (done, True)


def test_each_record_names_the_one_before_it() -> None:
    progress = Progress(1, 4, 4)
    assert [progress.hand_on(offset) for offset in (6, 7, 20)] == [None, 6, 7]


def test_an_offset_that_is_not_open_is_not_acknowledged() -> None:
    progress = Progress(1, 0, None)
    progress.hand_on(0)
    assert progress.acknowledge(0)
    assert not progress.acknowledge(0)
    assert not progress.acknowledge(1)


def test_a_commit_is_due_downwards_too() -> None:
    """After a reset the brokers hold an offset beyond the log."""
    progress = Progress(1, start=0, committed=1000, reset=True)
    assert (progress.done, progress.due) == (0, True)


def test_no_commit_goes_back_without_a_reset() -> None:
    assert not Progress(1, start=5, committed=10).due


def test_the_highest_append_time_is_kept_with_the_newest_offset() -> None:
    progress = Progress(1, 0, None, known=Known(Read(7, 3)))
    for offset, time in ((4, 9), (5, 8)):
        progress.hand_on(offset, time)
    assert progress.read == Read(9, 5)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_what_is_committed_is_below_every_open_record_and_at_last_the_position(
    gaps: list[int], chance: random.Random
) -> None:
    offsets = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    progress = Progress(1, 0, None)
    for offset in offsets:
        progress.hand_on(offset)
    left = set(offsets)
    for offset in chance.sample(offsets, len(offsets)):
        progress.acknowledge(offset)
        left.discard(offset)
        assert progress.done == min(left, default=offsets[-1] + 1)


def test_a_reset_is_told_even_where_the_offset_is_the_old_one() -> None:
    """A topic that was made again can hold as many records as were committed before."""
    progress = Progress(1, start=0, committed=1, reset=True)
    progress.hand_on(0)
    progress.acknowledge(0)
    assert (progress.done, progress.due) == (1, True)
    progress.reset = False
    assert not progress.due


def test_a_record_with_the_producers_time_ends_what_the_brokers_times_prove() -> None:
    progress = Progress(1, start=0, committed=None)
    progress.hand_on(0, time=1000)
    assert progress.read == Read(1000, 0)
    progress.hand_on(1)
    assert progress.read is None
