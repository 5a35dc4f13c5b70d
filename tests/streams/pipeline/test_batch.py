"""Micro-batches: close on budget, count or deadline; little padding; nobody waits for ever."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.pipeline.batch import MicroBatcher
from streams.pipeline.item import Item, Origin


@dataclass(slots=True, eq=False)
class Sized(Item[str]):
    size: int = field(default=1)


def sized(size: int) -> Sized:
    return Sized(Origin("tweets", 0, 0, None, b"", 0.0), size=size)


def micro_batcher(max_cost: int = 100, max_items: int = 8, wait_s: float = 1.0) -> MicroBatcher[Sized]:
    return MicroBatcher(max_cost=max_cost, max_items=max_items, wait_s=wait_s, cost=lambda item: item.size)


def test_nothing_waiting_is_never_due() -> None:
    assert micro_batcher().due(0.0, idle=True) is None


def test_an_idle_worker_gets_what_there_is_at_once() -> None:
    batcher = micro_batcher()
    batcher.add(sized(3), now=0.0)
    assert batcher.due(0.0, idle=True) == 0


def test_a_busy_worker_lets_it_wait_until_the_deadline_of_the_oldest() -> None:
    batcher = micro_batcher(wait_s=1.0)
    batcher.add(sized(3), now=10.0)
    batcher.add(sized(3), now=10.9)
    assert batcher.due(10.9, idle=False) == pytest.approx(0.1)
    assert batcher.due(11.1, idle=False) == 0


@pytest.mark.parametrize(
    "sizes",
    [pytest.param([1] * 8, id="count"), pytest.param([50, 10], id="padded cost: two of length 50 make 100")],
)
def test_a_full_batch_is_due_at_once(sizes: list[int]) -> None:
    batcher = micro_batcher(max_cost=100, max_items=8)
    for size in sizes:
        batcher.add(sized(size), now=0.0)
    assert batcher.due(0.0, idle=False) == 0


def test_similar_lengths_go_together_around_the_oldest() -> None:
    batcher = micro_batcher(max_cost=44, max_items=8)
    oldest, long, near, far = sized(10), sized(40), sized(11), sized(2)
    for item in (oldest, long, near, far):
        batcher.add(item, now=0.0)
    assert set(batcher.take()) == {oldest, near, far}
    assert batcher.take() == [long]


@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=60),
    max_cost=st.integers(1, 200),
    max_items=st.integers(1, 16),
)
def test_every_item_leaves_once_within_the_budget_and_the_oldest_first(
    sizes: list[int], max_cost: int, max_items: int
) -> None:
    batcher = micro_batcher(max_cost, max_items)
    items = [sized(size) for size in sizes]
    for item in items:
        batcher.add(item, now=0.0)
    left = list(items)
    while batcher.due(0.0, idle=True) is not None:
        batch = batcher.take()
        assert left[0] in batch
        assert len(batch) <= max_items
        assert len(batch) == 1 or max(item.size for item in batch) * len(batch) <= max_cost
        left = [item for item in left if item not in batch]
    assert left == []
