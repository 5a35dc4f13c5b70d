"""Tasks of hidden posts: nobody sees them, what comes for them is kept, and all comes back."""

from __future__ import annotations

import pytest

from sinks.queue.queue import ReviewQueue
from sinks.queue.script import KEYS
from sinks.queue.values import Counts, Holding, LeaseLost
from tests.sinks.conftest import Clock
from tests.sinks.values import MODEL_VERSION, extraction, task, tweet


async def order(queue: ReviewQueue) -> list[str]:
    return [entry.task.tweet.id for entry in await queue.list(limit=100)]


async def test_nobody_sees_the_task_of_a_hidden_post(queue: ReviewQueue) -> None:
    await queue.add([task("1", 0.9), task("2", 0.5), task("3", 0.1)])
    assert await queue.hide("1", "3", "4") == 3
    assert await queue.hide("1") == 0
    assert await order(queue) == ["2"]
    assert await queue.counts() == Counts(open=1, leased=0, decided=0)
    assert await queue.take("1", "ana", 60) is None
    claim = await queue.claim("ana", 60)
    assert claim is not None
    assert claim.task.tweet.id == "2"
    assert await queue.claim("bob", 60) is None
    assert await queue.show("1", "3", "4", "5") == 3
    assert await order(queue) == ["1", "2", "3"]
    assert await queue.counts() == Counts(open=2, leased=1, decided=0)
    shown = await queue.claim("bob", 60)
    assert shown is not None
    assert shown.task == task("1", 0.9)


async def test_the_lease_of_a_hidden_post_is_lost(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([task("1"), task("2")])
    claim = await queue.claim("ana", 60)
    assert claim is not None
    await queue.hide("1")
    with pytest.raises(LeaseLost, match="hidden"):
        await queue.complete(claim, 1)
    with pytest.raises(LeaseLost):
        await queue.renew(claim, 60)
    await queue.release(claim)
    await queue.skip(claim, "session")
    clock.pass_s(61)
    assert await queue.counts() == Counts(open=1, leased=0, decided=0)
    await queue.show("1")
    with pytest.raises(LeaseLost):
        await queue.complete(claim, 1)
    assert await queue.counts() == Counts(open=2, leased=0, decided=0)


async def test_what_comes_for_a_hidden_post_is_kept(queue: ReviewQueue) -> None:
    await queue.hide("new", "edited", "withdrawn", "settled", "reopened")
    await queue.add([task(name) for name in ("new", "edited", "withdrawn", "settled")])
    assert await queue.add([task("new")]) == 0
    assert await queue.add([task("edited", edit=1), task("edited")]) == 1
    assert await queue.add((), [extraction(tweet("withdrawn"), model_version=MODEL_VERSION + 1)]) == 1
    assert await queue.settle(task("settled"), 5)
    assert await queue.settle(task("reopened"), 5)
    assert await queue.reopen(task("reopened"), 6)
    assert await order(queue) == []
    assert await queue.counts() == Counts(open=0, leased=0, decided=1)
    await queue.show("new", "edited", "withdrawn", "settled", "reopened")
    assert await order(queue) == ["edited", "new", "reopened"]
    assert (await queue.list())[0].task == task("edited", edit=1)
    assert await queue.counts() == Counts(open=3, leased=0, decided=1)


async def test_a_skipped_task_stays_skipped(queue: ReviewQueue) -> None:
    await queue.add([task("1", 0.9), task("2", 0.5)])
    claim = await queue.claim("ana", 60, "s")
    assert claim is not None
    await queue.skip(claim, "s")
    await queue.hide("1")
    await queue.show("1")
    again = await queue.claim("ana", 60, "s")
    assert again is not None
    assert again.task.tweet.id == "2"


async def test_erase_leaves_only_a_mark(queue: ReviewQueue) -> None:
    await queue.add([task("1"), task("2")])
    await queue.settle(task("2"), 5)
    await queue.hide("1", "2")
    assert await queue.holds("1") == Holding(task=True, leased=False, decided=False, hidden=True, erased=False)
    assert await queue.erase("1", "2") == 2
    assert await queue.erase("1", "2") == 0
    assert await queue.hide("1") == await queue.show("1") == await queue.add([task("1")]) == 0
    for name in ("1", "2"):
        assert await queue.holds(name) == Holding(False, False, False, hidden=False, erased=True)
    assert await queue.counts() == Counts(open=0, leased=0, decided=0)


async def test_a_task_that_an_older_program_added_is_held_at_the_next_claim(queue: ReviewQueue) -> None:
    await queue.add([task("1", 0.9), task("2", 0.5)])
    await queue._script.redis.sadd(queue._script.keys[KEYS.index("hidden")], "1")  # as if added after it was hidden
    claim = await queue.claim("ana", 60)
    assert claim is not None
    assert claim.task.tweet.id == "2"
    assert await order(queue) == ["2"]
