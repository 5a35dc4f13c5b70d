"""How often a partition is asked for that cannot be positioned.

The consumer is a stand-in: a real group loses such a partition at the next look at the topics.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from streams.consumer.consumer import LOOK_S, Consumer
from tests.waiting import LoopClock

GONE, THERE = TP("gone", 0), TP("there", 0)
STEP_S = 0.05
"""Time between two fetches that bring nothing."""


async def test_a_partition_that_cannot_be_positioned_is_asked_for_ever_less_often(loop_clock: LoopClock) -> None:
    asked = []

    async def place(wanted: Collection[TP]) -> None:
        asked.append((loop_clock(), set(wanted)))

    consumer: Any = SimpleNamespace(progress={THERE: object()}, _place_at=0.0, _place_again_s=0.5, _place=place)
    for _ in range(int(60 / STEP_S)):
        assert await Consumer._placed(consumer, {GONE, THERE}) == {THERE}, "the other one is read meanwhile"
        loop_clock.pass_s(STEP_S)
    assert all(wanted == {GONE} for _, wanted in asked)
    pauses = [later - earlier for (earlier, _), (later, _) in pairwise(asked)]
    assert 5 <= len(asked) <= 10
    assert max(pauses) <= LOOK_S + 2 * STEP_S, "one that comes back is read soon"
