"""A post with very many copies does not block Redis: each call of the script runs a bounded number of commands."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from sinks.queue.values import Counts
from streams.settings import Settings
from tests.streams.agents.copying import POST, START_MS, WINDOW_S, House, task

COPIES = 600
MOST = 1000
"""Commands of one call. It clears 100 former members of groups away, with up to eight commands for each."""


@pytest.fixture
def settings(settings: Settings, own_redis: str) -> Settings:
    """The commands of other tests on a shared server would be counted too."""
    return settings.model_copy(update={"redis": own_redis})


async def commands(house: House, call: Awaitable[object]) -> int:
    """Returns how many commands Redis ran for the call, those of the script included."""
    redis = house.queue._script.redis
    await redis.config_resetstat()
    await call
    return sum(int(each["calls"]) for each in (await redis.info("commandstats")).values())


async def test_a_group_of_very_many_copies_is_asked_about_and_forgotten_in_steps(house: House) -> None:
    tasks = [task(f"{number:04}", POST) for number in range(COPIES)]
    await house.queue.add(tasks)
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=0, copies=COPIES - 1)
    assert await commands(house, house.queue.hide("0000")) < MOST
    assert await commands(house, house.queue.erase("0001")) < MOST
    assert await house.open() == ["0002"]
    house.queue._script.clock.pass_s(2 * WINDOW_S)  # type: ignore[union-attr]
    assert await commands(house, house.queue.claim("ana", 60)) < MOST
    for each in tasks:
        await house.queue.settle(each, START_MS + 5)
    assert await commands(house, house.queue.hide("0002")) < MOST
    house.queue._script.clock.pass_s(2 * WINDOW_S)  # type: ignore[union-attr]
    assert await commands(house, house.queue.claim("ana", 60)) < MOST
    assert "Andromeda" in repr(await house.redis()), "the rest is cleared away later"
    await house.queue.copies.end()
    assert "Andromeda" not in repr(await house.redis())


async def test_very_many_copies_become_single_posts_in_steps(house: House) -> None:
    await house.queue.add([task(f"{number:04}", POST) for number in range(COPIES)])
    call = house.queue.copies._call
    steps = 0
    while (await house.queue.counts()).copies:
        assert await commands(house, call("dissolve", 10)) < 4 * MOST, "each one is put back into the queue"
        steps += 1
    assert steps == COPIES // 100
    assert await house.queue.counts() == Counts(open=COPIES, leased=0, decided=0, copies=0)


async def test_a_copy_that_comes_while_a_group_is_cleared_away_joins_a_new_one(house: House) -> None:
    tasks = [task(f"{number:04}", POST) for number in range(300)]
    await house.queue.add(tasks)
    for each in tasks:
        await house.queue.settle(each, START_MS + 5)
    house.queue._script.clock.pass_s(2 * WINDOW_S)  # type: ignore[union-attr]
    edited = [task(f"{number:04}", POST, edit=1) for number in (298, 299)]
    await house.queue.add(edited)
    assert await house.open() == ["0298"]
    await house.queue.copies.end()
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=300, copies=1)
    assert (await house.queue.holds("0299")).copies
    assert not (await house.queue.holds("0297")).copies
