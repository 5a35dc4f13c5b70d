"""The end does not depend on the order in which tasks and decisions come, nor on crashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from local.stack import Stack
from sinks.queue.values import Counts
from streams.agents.copies import for_copy
from tests.conftest import settings_for
from tests.streams.agents.copying import (
    COPIES,
    REOPENED,
    SETTLED,
    START_MS,
    WINDOW_S,
    House,
    decision,
    grouping,
    task,
)


async def test_a_crash_before_the_topic_has_all_loses_nothing(house: House) -> None:
    await house.deliver(task("a"), task("b"), task("c"))
    house.broken = True
    with pytest.raises(ConnectionError):
        await house.decide(decision(task("a"), 5))
    with pytest.raises(ConnectionError):
        await house.deliver(task("d"))
    house.broken = False
    assert await house.open() == []
    await house.decide(decision(task("a"), 5))
    await house.deliver(task("d"))
    await house.drain()
    assert house.types() == dict.fromkeys(COPIES, SETTLED)


async def test_a_lost_queue_is_rebuilt_from_the_decisions_and_undo_still_reopens_all(house: House) -> None:
    await house.deliver(*map(task, COPIES))
    sent = [decision(task("a"), 5), *(for_copy(decision(task("a"), 5), task(name)) for name in "bcd")]
    await house.lose_redis()
    await house.decide(*(one for one in reversed(sent) if one is not None))
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=4, copies=0)
    await house.decide(decision(task("a"), 6, "retract"))
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=0, copies=3)
    assert house.types() == dict.fromkeys(COPIES, REOPENED)


async def test_a_decision_on_a_new_copy_is_later_than_one_by_a_clock_that_is_ahead(house: House) -> None:
    """A reviewer whose clock is ahead takes a decision back. Then the post is hidden, and a new copy is asked about."""
    await house.deliver(task("a"))
    await house.decide(decision(task("a"), 300_000), decision(task("a"), 300_001, "retract"))
    await house.queue.hide("a")
    await house.deliver(task("b"), task("c"))
    claim = await house.queue.claim("ana", 60)
    assert claim is not None
    assert (claim.task.tweet.id, claim.after_ms) == ("b", START_MS + 300_001)
    await house.decide(decision(task("b"), claim.after_ms + 1 - START_MS))
    assert {name: house.types()[name] for name in "bc"} == dict.fromkeys("bc", SETTLED)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
async def test_a_decision_on_a_copy_that_comes_late_gives_way_to_the_later_ruling(house: House, order: Any) -> None:
    """Person and copy have different keys, so their decisions may come in any order after Redis was lost."""
    settles, retracts = decision(task("a"), 5), decision(task("a"), 9, "retract")
    derived = for_copy(settles, task("b"))
    assert derived is not None
    await house.decide(*((settles, retracts, derived)[place] for place in order))
    assert house.types() == dict.fromkeys("ab", REOPENED)
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=0, copies=1)


async def test_an_older_edit_gets_no_ruling(house: House) -> None:
    """Else its decision would be refused, and sent again, for ever."""
    await house.deliver(task("a"), task("b"))
    await house.decide(decision(task("b", edit=1), 3))
    await house.decide(decision(task("a"), 5))
    await house.settler.queued([task("b")])
    assert house.topic == []


async def test_a_persons_own_later_decision_is_not_replaced(house: House) -> None:
    """The topic is compacted: a record that comes later in it hides the one before, whatever its stamp is."""
    await house.deliver(task("a"), task("b"), task("c"))
    await house.queue.settle(task("b"), START_MS + 7)
    await house.settler.decided(decision(task("a"), 5))
    assert [one.task.tweet.id for one in house.topic] == ["c"]


@asynccontextmanager
async def fresh(servers: Stack, tmp_path_factory: Any) -> AsyncIterator[House]:
    queue = grouping(settings_for(servers.addresses, tmp_path_factory.getbasetemp()))
    try:
        yield House(queue)
    finally:
        await queue.close()


Step = tuple[str, str, int]
ALL_STEPS: list[Step] = [
    *(("deliver", name, 0) for name in "abc"),
    *(("settle", "a", 5), ("settle", "b", 7), ("retract", "a", 6), ("retract", "b", 9), ("erase", "c", 0)),
]
STEPS = st.lists(st.sampled_from(ALL_STEPS), min_size=2, max_size=6, unique=True)


async def run(house: House, steps: Sequence[Step], chance: Any, pause_s: float = 0.0) -> None:
    """Runs one list of steps a topic and key, in order. What follows from a decision goes to the end of its list."""
    lists: dict[tuple[str, str], list[Any]] = {}
    for kind, name, stamp in sorted(steps, key=lambda step: step[2]):
        of = "decisions" if kind in ("settle", "retract") else kind
        step = decision(task(name), stamp, "settle" if kind == "settle" else "retract") if stamp else None
        lists.setdefault((of, name), []).append(step)
    while ready := sorted(key for key, rest in lists.items() if rest):
        kind, name = chance.choice(ready)
        step = lists[kind, name].pop(0)
        if kind == "deliver":
            await house.deliver(task(name))
        elif kind == "erase":
            await house.queue.erase(name)
        else:
            await house.apply(step)
        for one in house.topic:
            lists.setdefault(("decisions", one.task.tweet.id), []).append(one)
        house.topic.clear()
        if pause_s:
            house.queue._script.clock.pass_s(chance.choice([0, pause_s]))  # type: ignore[union-attr]


@given(STEPS, st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=12)
def test_the_end_does_not_depend_on_the_order(
    servers: Stack, tmp_path_factory: Any, steps: list[Step], chance: Any
) -> None:
    """Decisions on one post keep their order, since they have one key. All else may come in any order."""

    async def ends() -> list[object]:
        found: list[object] = []
        erased = {name for kind, name, _ in steps if kind == "erase"}
        for _ in range(3):
            async with fresh(servers, tmp_path_factory) as house:
                await run(house, steps, chance)
                marked = {name: types for name, types in house.types().items() if "andromeda" in types}
                marks = {name: types for name, types in marked.items() if name not in erased}
                found.append((await house.queue.counts(), marks))
        return found

    found = asyncio.run(ends())
    assert all(one == found[0] for one in found), found


@given(STEPS, st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=12)
def test_however_late_all_comes_nobody_waits_for_ever(
    servers: Stack, tmp_path_factory: Any, steps: list[Step], chance: Any
) -> None:
    async def end() -> None:
        async with fresh(servers, tmp_path_factory) as house:
            await run(house, steps, chance, pause_s=0.6 * WINDOW_S)
            house.queue._script.clock.pass_s(3 * WINDOW_S)  # type: ignore[union-attr]
            await house.queue.copies.end()
            counts = await house.queue.counts()
            assert counts.open or not counts.copies
            assert counts.open or "Andromeda" not in repr(await house.redis())

    asyncio.run(end())
