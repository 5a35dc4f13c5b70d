"""Offsets are acknowledged in order, per partition, and never across a rebalance."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from streams.pipeline.acknowledge import InOrder
from streams.pipeline.item import Origin


class Log:
    def __init__(self) -> None:
        self.acked: list[tuple[int, int]] = []

    def take(self, order: InOrder, offset: int, partition: int = 0, generation: int = 1) -> Origin:
        origin = Origin("tweets", partition, offset, None, b"", 0.0, generation)

        async def acknowledge() -> None:
            self.acked.append((partition, offset))

        order.taken(origin, acknowledge)
        return origin


async def test_an_early_completion_is_held_back() -> None:
    order, log = InOrder(), Log()
    first, second, third = (log.take(order, offset) for offset in (31, 32, 33))
    assert await order.done(second) == 0
    assert await order.done(third) == 0
    assert log.acked == []
    assert await order.done(first) == 3
    assert log.acked == [(0, 31), (0, 32), (0, 33)]
    assert order.open == 0


async def test_partitions_do_not_wait_for_each_other() -> None:
    order, log = InOrder(), Log()
    log.take(order, 5, partition=0)
    other = log.take(order, 7, partition=1)
    await order.done(other)
    assert log.acked == [(1, 7)]
    assert order.open == 1


async def test_after_a_rebalance_an_old_completion_acknowledges_nothing() -> None:
    order, log = InOrder(), Log()
    old = log.take(order, 5, generation=1)
    again = log.take(order, 5, generation=2)
    following = log.take(order, 6, generation=2)
    assert await order.done(old) == 0
    assert await order.done(following) == 0
    assert await order.done(again) == 2
    assert order.open == 0


async def test_an_offset_that_comes_again_starts_the_partition_afresh() -> None:
    order, log = InOrder(), Log()
    log.take(order, 5)
    log.take(order, 6)
    again = log.take(order, 5)
    assert order.open == 1
    assert await order.done(again) == 1
    assert log.acked == [(0, 5)]


@given(st.integers(0, 2**32), st.integers(1, 60))
async def test_in_any_order_of_completion_the_acknowledged_ones_are_a_gapless_prefix(seed: int, count: int) -> None:
    order, log = InOrder(), Log()
    origins = [log.take(order, offset) for offset in range(count)]
    completed = set()
    for origin in random.Random(seed).sample(origins, count):
        await order.done(origin)
        completed.add(origin.offset)
        acked = [offset for _, offset in log.acked]
        assert acked == list(range(len(acked)))
        assert set(acked) <= completed
    assert len(log.acked) == count


async def test_the_oldest_open_event_is_known() -> None:
    order = InOrder()
    origins = [Origin("tombstones", partition, 0, None, b"", time) for partition, time in ((0, 30.0), (1, 20.0))]

    async def acknowledge() -> None: ...

    assert order.oldest() is None
    for origin in origins:
        order.taken(origin, acknowledge)
    assert order.oldest() == 20
    await order.done(origins[1])
    assert order.oldest() == 30
    await order.done(origins[0])
    assert order.oldest() is None
