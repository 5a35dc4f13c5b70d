"""A claim finds the first task of the queue in O(log n) steps, whatever is passed over, and never misses one."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from redis.asyncio import Redis

from sinks.queue.queue import FORGET_S, ReviewQueue, program
from sinks.queue.values import Counts
from streams.settings import Settings
from tests.sinks.conftest import Clock
from tests.sinks.values import extraction, task, tweet

MANY = 3_200
READABLE = "zzz"


@pytest.fixture
def settings(settings: Settings, own_redis: str) -> Settings:
    """The commands of other tests on a shared server would be counted too."""
    return settings.model_copy(update={"redis": own_redis})


async def passed_over(queue: ReviewQueue, redis: Redis, prefix: str, kind: str, number: int) -> None:
    """Fills the queue with tasks that the session `ana` passes over, and one task behind them."""
    ids = [f"{place:06}" for place in range(number)]
    for start in range(0, number, 1000):
        await queue.add([task(each, 0.9) for each in ids[start : start + 1000]])
    await queue.add([task(READABLE, 0.1)])
    if kind == "unreadable":
        await redis.hset(f"{prefix}tasks", mapping=dict.fromkeys(ids, "{}"))
        claim = await queue.claim("bob", 60)  # the first claim finds them out, a page at a time
        assert claim is not None
        await queue.release(claim)
        return
    for _ in ids:
        claim = await queue.claim("ana", 3600, "ana")
        assert claim is not None
        if kind == "skipped":
            await queue.skip(claim, "ana")


async def commands(redis: Redis) -> int:
    """Returns how many commands the server has run, also inside scripts."""
    stats = await redis.info("commandstats")
    return sum(command["calls"] for name, command in stats.items() if name != "cmdstat_info")


async def unions(redis: Redis) -> int:
    """Returns how often the server has looked at all tasks."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_zunionstore", {"calls": 0})["calls"])


@pytest.mark.parametrize("kind", ["skipped", "leased", "unreadable"])
async def test_a_claim_takes_few_commands_whatever_it_passes_over(settings: Settings, kind: str) -> None:
    taken = []
    async with Redis.from_url(str(settings.redis)) as redis:
        for number in (200, MANY):
            prefix = settings.name(f"{number}:")
            queue = ReviewQueue(str(settings.redis), prefix)
            await passed_over(queue, redis, prefix, kind, number)
            before = await commands(redis)
            claim = await queue.claim("ana", 60, "ana")
            taken.append(await commands(redis) - before)
            assert claim is not None
            assert claim.task.tweet.id == READABLE
            assert await queue.claim("ana", 60, "ana") is None
            await queue.close()
    assert taken[1] <= taken[0] + 2 * 4  # two more for each of the four doublings
    assert taken[1] < 80


@pytest.mark.parametrize("kind", ["skipped", "leased", "unreadable"])
@pytest.mark.parametrize("apart_s", [0, 1, 20])
async def test_claims_that_find_nothing_look_at_all_tasks_at_most_once_a_minute(
    queue: ReviewQueue, settings: Settings, clock: Clock, kind: str, apart_s: int
) -> None:
    prefix = settings.name("review:")
    async with Redis.from_url(str(settings.redis)) as redis:
        await passed_over(queue, redis, prefix, kind, 20)
        assert await queue.take(READABLE, "bob", 3600)
        before = await unions(redis)
        for number in range(7):
            assert await queue.claim("ana", 60, "ana") is None, number
            clock.pass_s(apart_s)
        assert await unions(redis) - before == 1 + 6 * apart_s // 60
        clock.pass_s(60)
        assert await queue.claim("ana", 60, "ana") is None
        assert await unions(redis) - before == 2 + 6 * apart_s // 60


async def test_a_clock_that_was_set_back_does_not_hide_tasks(
    queue: ReviewQueue, settings: Settings, clock: Clock
) -> None:
    async with Redis.from_url(str(settings.redis)) as redis:
        earlier = Earlier(redis, settings.name("review:"), clock())
        await queue.add([task("1")])
        claim = await queue.claim("ana", 60, "ana")
        assert claim
        await queue.skip(claim, "ana")
        assert await queue.claim("ana", 60, "ana") is None
        clock.pass_s(-3600)
        await earlier.lease("1")
        await earlier.add("2")
    claim = await queue.claim("ana", 60, "ana")
    assert claim
    assert claim.task.tweet.id == "2"


class Model:
    """What a claim should return, found by looking at every task."""

    def __init__(self) -> None:
        self.scores: dict[str, float] = {}
        self.leased: dict[str, int] = {}
        self.holders: dict[str, str] = {}
        self.skipped: dict[str, set[str]] = {"ana": set(), "bob": set(), "": set()}
        self.unreadable: set[str] = set()

    def next(self, session: str, now: int) -> str | None:
        free = [
            (-score, each)
            for each, score in self.scores.items()
            if self.leased.get(each, 0) <= now and each not in self.skipped[session] | self.unreadable
        ]
        return min(free)[1] if free else None


@pytest.mark.parametrize("seed", range(12))
async def test_a_claim_agrees_with_a_look_at_every_task(settings: Settings, clock: Clock, seed: int) -> None:
    dice, model, held = random.Random(seed), Model(), []
    prefix = settings.name("review:")
    queue = ReviewQueue(str(settings.redis), prefix, clock)
    async with Redis.from_url(str(settings.redis)) as redis:
        for step in range(250):
            session, each = dice.choice(["ana", "bob", ""]), str(dice.randrange(25))
            action = dice.choice(["add", "add", "claim", "claim", "skip", "skip", "release", "wait", "settle", "other"])
            if action == "add":
                made = task(each, dice.random(), edit=step)
                await queue.add([made])
                model.scores[each] = -float(await redis.zscore(f"{prefix}open", each) or 0)
                model.leased.pop(each, None)
                model.unreadable.discard(each)
                if dice.random() < 0.15:
                    await redis.hset(f"{prefix}tasks", each, "{}")
                    model.unreadable.add(each)
            elif action in {"claim", "skip"}:
                wanted = model.next(session, clock())
                claim = await queue.claim("somebody", 60, session)
                assert (claim and claim.task.tweet.id) == wanted, f"step {step}"
                if claim and action == "skip" and session:
                    await queue.skip(claim, session)
                    model.skipped[session].add(claim.task.tweet.id)
                elif claim:
                    model.leased[claim.task.tweet.id] = clock() + 60_000
                    model.holders[claim.task.tweet.id] = claim.token
                    held.append(claim)
            elif action == "release" and held:
                claim = held.pop(dice.randrange(len(held)))
                if model.holders[claim.task.tweet.id] == claim.token:
                    model.leased.pop(claim.task.tweet.id, None)
                await queue.release(claim)
            elif action == "wait":
                clock.pass_s(dice.choice([1, 20, 61]))
            elif action == "settle":
                await queue.settle(task(each, edit=step), step + 1)
                model.scores.pop(each, None)
                model.leased.pop(each, None)
            elif dice.random() < 0.5:
                await queue.unskip("ana")
                model.skipped["ana"].clear()
            else:  # a program that knows no free tasks has written to the queue
                await redis.delete(f"{prefix}free")
    await queue.close()


async def test_tasks_that_an_earlier_version_adds_and_settles_are_seen(queue: ReviewQueue, settings: Settings) -> None:
    key = settings.name("review:")
    await queue.add([task("1", 0.9), task("2", 0.5)])
    async with Redis.from_url(str(settings.redis)) as redis:
        await redis.zadd(f"{key}open", {"3": -0.7})  # as version 0.2 does: it knows no `free`
        await redis.hset(f"{key}tasks", "3", task("3", 0.7).model_dump_json())
        await redis.hset(f"{key}ages", "3", "0 1")
        for name in ("tasks", "ages"):
            await redis.hdel(f"{key}{name}", "1")
        await redis.zrem(f"{key}open", "1")
    claims = [await queue.claim("ana", 60) for _ in range(3)]
    assert [claim and claim.task.tweet.id for claim in claims] == ["3", "2", None]
    assert await queue.counts() == Counts(open=0, leased=2, decided=0)


class Earlier:
    """Version 0.2 at work on the same queue: it knows neither `free` nor what is passed over."""

    def __init__(self, redis: Redis, prefix: str, now: int) -> None:
        self.redis, self.key, self.now = redis, prefix, now

    async def add(self, tweet: str, uncertainty: float = 0.5) -> None:
        await self.redis.zadd(f"{self.key}open", {tweet: -uncertainty})
        await self.redis.hset(f"{self.key}tasks", tweet, task(tweet, uncertainty).model_dump_json())
        await self.redis.hset(f"{self.key}ages", tweet, "0 1")

    async def lease(self, tweet: str) -> None:
        await self.redis.zadd(f"{self.key}leases", {tweet: self.now + 3_600_000})
        await self.redis.hset(f"{self.key}holders", tweet, "token bob")

    async def release(self, tweet: str) -> None:
        await self.redis.zrem(f"{self.key}leases", tweet)
        await self.redis.hdel(f"{self.key}holders", tweet)

    async def settle(self, tweet: str) -> None:
        await self.release(tweet)
        await self.redis.zrem(f"{self.key}open", tweet)
        for name in ("tasks", "ages"):
            await self.redis.hdel(f"{self.key}{name}", tweet)


Step = tuple[str, str]
MIXED: list[Any] = [
    pytest.param([("new add", "1"), ("lease", "1"), ("add", "2")], ["2"], id="leases one, adds one"),
    pytest.param([("new add", "1"), ("settle", "1"), ("add", "2")], ["2"], id="settles one, adds one"),
    pytest.param([("new add", "1"), ("skip", "1"), ("lease", "1"), ("add", "2")], ["2"], id="leases what is skipped"),
    pytest.param([("new add", "1"), ("skip", "1"), ("settle", "1"), ("add", "2")], ["2"], id="settles what is skipped"),
    pytest.param(
        [("new add", "1"), ("unreadable", "1"), ("lease", "1"), ("add", "2")], ["2"], id="leases what is unreadable"
    ),
    pytest.param(
        [("new add", "1"), ("unreadable", "1"), ("settle", "1"), ("add", "2")], ["2"], id="settles what is unreadable"
    ),
    pytest.param([("add", "1"), ("add", "2"), ("lease", "1")], ["2"], id="alone at work"),
    pytest.param(
        [("new add", "1"), ("new add", "2"), ("lease", "1"), ("lease", "2"), ("add", "3"), ("add", "4")],
        ["3", "4"],
        id="leases two, adds two",
    ),
    pytest.param(
        [("new add", "1"), ("new lease", "1"), ("settle", "1"), ("add", "2")], ["2"], id="settles a lease of ours"
    ),
    pytest.param([("new add", "1"), ("new lease", "1"), ("release", "1")], ["1"], id="releases a lease of ours"),
    pytest.param(
        [("new add", "1"), ("new lease", "1"), ("release", "1"), ("new add", "2"), ("lease", "2")],
        ["1"],
        id="releases a lease of ours, leases another",
    ),
    pytest.param(
        [("new add", "1"), ("new add", "2"), ("skip", "2"), ("new lease", "1"), ("release", "1"), ("lease", "2")],
        ["1"],
        id="releases a lease of ours, leases what is skipped",
    ),
]


@pytest.mark.parametrize(("steps", "free"), MIXED)
async def test_no_free_task_is_missed_for_long_while_an_earlier_version_works(
    queue: ReviewQueue, settings: Settings, clock: Clock, steps: list[Step], free: list[str]
) -> None:
    key = settings.name("review:")
    async with Redis.from_url(str(settings.redis)) as redis:
        earlier = Earlier(redis, key, clock())
        for what, tweet in steps:
            if what == "new add":
                await queue.add([task(tweet, 0.9)])
            elif what in {"skip", "new lease"}:
                claim = await queue.take(tweet, "ana", 3600)
                assert claim is not None
                if what == "skip":
                    await queue.skip(claim, "ana")
            elif what == "unreadable":
                await redis.hset(f"{key}tasks", tweet, "{}")
                assert await queue.claim("ana", 60, "ana") is None
            else:
                await getattr(earlier, what)(tweet)
    clock.pass_s(60)
    claims = [await queue.claim("ana", 60, "ana") for _ in range(len(free) + 1)]
    assert [claim and claim.task.tweet.id for claim in claims] == [*free, None]


@pytest.mark.parametrize("ends", ["settle", "withdraw", "erase", "replace"])
async def test_nothing_is_kept_of_an_unreadable_task_that_is_gone(
    queue: ReviewQueue, settings: Settings, ends: str
) -> None:
    await queue.add([task("1"), task("2")])
    async with Redis.from_url(str(settings.redis), decode_responses=True) as redis:
        await redis.hset(settings.name("review:tasks"), "1", "{}")
        await redis.hset(settings.name("review:tasks"), "2", "{}")
        assert await queue.claim("ana", 60) is None
        unreadable = settings.name(f"review:unreadable:{program()}")
        assert await redis.smembers(unreadable) == {"1", "2"}
        if ends == "settle":
            await queue.settle(task("1"), 7)
        elif ends == "withdraw":
            await queue.add([], [extraction(tweet("1", edit=1))])
        elif ends == "erase":
            await queue.erase("1")
        else:
            await queue.add([task("1", edit=1)])
        assert await redis.smembers(unreadable) == {"2"}


async def test_what_a_session_skipped_is_forgotten_a_day_after_its_last_claim(
    queue: ReviewQueue, settings: Settings, clock: Clock
) -> None:
    await queue.add([task("1")])
    claim = await queue.claim("ana", 60, "ana")
    assert claim is not None
    await queue.skip(claim, "ana")
    clock.pass_s(FORGET_S - 1)
    assert await queue.claim("ana", 60, "ana") is None
    clock.pass_s(FORGET_S - 1)
    assert await queue.claim("ana", 60, "ana") is None
    clock.pass_s(FORGET_S + 1)
    assert await queue.claim("ana", 60, "ana") is not None
    async with Redis.from_url(str(settings.redis), decode_responses=True) as redis:
        keys = {key async for key in redis.scan_iter(settings.name("review:") + "*")}
    assert not any(name in key for key in keys for name in ("skipped", "passed", "passers"))


async def test_a_task_that_a_newer_model_writes_again_is_read_again(queue: ReviewQueue, settings: Settings) -> None:
    await queue.add([task("1")])
    async with Redis.from_url(str(settings.redis)) as redis:
        await redis.hset(settings.name("review:tasks"), "1", "{}")
    assert await queue.claim("ana", 60) is None
    await queue.add([task("1", edit=1)])
    claim = await queue.claim("ana", 60)
    assert claim is not None
    assert claim.task.tweet.edit == 1


async def test_two_sessions_skip_apart_and_claim_at_once(queue: ReviewQueue) -> None:
    await queue.add([task(f"{place:02}") for place in range(30)])
    for session in ("ana", "bob"):
        for _ in range(10 if session == "ana" else 20):
            claim = await queue.claim(session, 60, session)
            assert claim is not None
            await queue.skip(claim, session)
    first, second = await asyncio.gather(queue.claim("ana", 60, "ana"), queue.claim("bob", 60, "bob"))
    assert first is not None
    assert second is not None
    assert (first.task.tweet.id, second.task.tweet.id) == ("10", "20")
