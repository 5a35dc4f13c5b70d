"""The order of the queue: uncertain tasks first, rare names a little before frequent ones. Nothing waits for ever."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from core.events import ReviewTask
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings
from tests.sinks.conftest import Clock
from tests.sinks.values import task

DAY_S = 86_400
BOUND_S = 1.2 * DAY_S
"""No task that comes so long after another one comes before it."""


def about(name: str, tweet_id: str, uncertainty: float = 0.5, received_ms: int | None = None) -> ReviewTask:
    """Returns a task that asks about a name of five letters."""
    assert len(name) == 5
    asked = task(tweet_id, uncertainty, text=f"{name} was seen")
    moment = received_ms and datetime.fromtimestamp(received_ms / 1000, UTC)
    return asked.model_copy(update={"tweet": asked.tweet.model_copy(update={"received_at": moment})})


async def order(queue: ReviewQueue) -> list[str]:
    return [entry.task.tweet.id for entry in await queue.list(limit=1000)]


@pytest.mark.parametrize("is_received", [True, False], ids=["time of the post", "clock of the queue"])
async def test_a_day_of_age_counts_as_much_as_an_uncertainty_of_one(
    queue: ReviewQueue, clock: Clock, is_received: bool
) -> None:
    begin = clock()
    for name, uncertainty, day in (("Alpha", 0.1, 0.0), ("Bravo", 0.7, 0.5), ("Delta", 0.7, 0.7), ("Gamma", 0.9, 1)):
        clock.now = begin + int(day * DAY_S * 1000)
        received = clock() if is_received else None
        if is_received:
            clock.now = begin + 2 * DAY_S * 1000  # all come late, in one batch
        await queue.add([about(name, name, uncertainty, received)])
    assert await order(queue) == ["Bravo", "Alpha", "Delta", "Gamma"]


async def test_a_post_from_the_future_counts_as_received_now(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([about("Alpha", "far", 0.5, clock() + 365 * DAY_S * 1000)])
    clock.pass_s(60)
    await queue.add([about("Bravo", "now", 0.5)])
    assert await order(queue) == ["far", "now"]


async def test_a_name_that_many_ask_about_comes_later_but_not_much(queue: ReviewQueue) -> None:
    await queue.add([about("Paris", f"p{number:02}", 0.5) for number in range(30)])
    await queue.add([about("Quito", "rare", 0.45), about("Paris", "sure", 0.1), about("Paris", "unsure", 0.9)])
    found = await order(queue)
    assert found[0] == "unsure"
    assert found[1:5] == ["p00", "p01", "p02", "p03"]  # each asks about a name that few others ask about yet
    assert found.index("rare") < found.index("p10")
    assert found[-1] == "sure"


async def test_a_replaced_task_does_not_count_against_itself(queue: ReviewQueue) -> None:
    await queue.add([about("Paris", "a")])
    newer = about("Paris", "a").model_copy(update={"model_version": 2_000_000_000})
    await queue.add([newer])
    await queue.add([about("Quito", "b")])
    assert await order(queue) == ["a", "b"]


@given(seed=st.integers(0, 10**6), pause_s=st.integers(1, 4000))
@hypothesis_settings(max_examples=12, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_under_any_stream_of_newer_tasks_a_task_is_claimed_in_time(
    queue: ReviewQueue, clock: Clock, seed: int, pause_s: int
) -> None:
    """The least uncertain task of a crowded name waits, while surer ones of rare names come faster than claims."""
    dice = random.Random(seed)
    await queue.erase(*[entry.task.tweet.id for entry in await queue.list(limit=10_000)])
    await queue.add([about("Paris", f"{seed}-{pause_s}-{number}", 1.0) for number in range(5)])
    await queue.add([about("Paris", f"{seed}-{pause_s}-old", 0.0)])
    began, before, claims = clock(), len(await order(queue)), 0
    while True:
        came = clock() - began
        news = [
            about(f"{dice.randrange(10**5):05}", f"{seed}-{pause_s}-{came}-{number}", dice.choice([1.0, dice.random()]))
            for number in range(dice.choice([0, 1, 2, 3]))
        ]
        before += len(news) * (came < BOUND_S * 1000)
        await queue.add(news)
        claim = await queue.claim("ana", 10**9)
        claims += claim is not None
        if claim and claim.task.tweet.id.endswith("old"):
            break
        clock.pass_s(pause_s + BOUND_S / 50)
        assert claims < before, "a task that came too late was claimed before the old one"
    assert claims <= before


async def test_tasks_of_an_earlier_version_come_first_the_most_uncertain_before(
    queue: ReviewQueue, settings: Settings
) -> None:
    await queue.add([about("Alpha", "old-a", 0.2), about("Bravo", "old-b", 0.8), about("Gamma", "new", 0.99)])
    async with Redis.from_url(str(settings.redis)) as redis:
        for key in ("open", "free"):
            await redis.zadd(settings.name(f"review:{key}"), {"old-a": -0.2, "old-b": -0.8})
    assert await order(queue) == ["old-b", "old-a", "new"]
    claimed = [await queue.claim("ana", 60) for _ in range(3)]
    assert [claim and claim.task.tweet.id for claim in claimed] == ["old-b", "old-a", "new"]


async def test_a_reopened_task_gets_its_place_by_its_own_age(queue: ReviewQueue, clock: Clock) -> None:
    old = about("Alpha", "old", 0.5, clock() - 2 * DAY_S * 1000)
    await queue.add([old, about("Bravo", "new", 0.9)])
    await queue.settle(old, clock())
    await queue.reopen(old, clock() + 1)
    assert await order(queue) == ["old", "new"]
