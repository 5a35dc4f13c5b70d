"""Tasks that reviewers leave to somebody else, and since when tasks wait, on a real Redis."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.events import ReviewTask
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import MAX_NOTE, Claim, Counts, LeaseLost
from streams.settings import Settings
from tests.sinks.conftest import Clock
from tests.sinks.queue.test_votes import held, record, vote
from tests.sinks.values import extraction, task, tweet

NOTE = "which Paris? \N{ROCKET} \u202e <b>"


async def leased(queue: ReviewQueue, post: str = "1", reviewer: str = "ana") -> Claim:
    claim = await queue.take(post, reviewer, 60)
    assert claim is not None
    return claim


async def flagged(queue: ReviewQueue, post: str = "1", note: str = NOTE) -> None:
    await queue.add([task(post)])
    await queue.flags.add(await leased(queue, post), note)


async def listed(queue: ReviewQueue) -> list[str]:
    return [one.task.tweet.id for one in await queue.flags.list()]


async def test_a_flagged_task_is_for_nobody_until_it_is_taken_by_its_id_or_put_back(
    queue: ReviewQueue, clock: Clock
) -> None:
    await flagged(queue)
    assert await queue.counts() == Counts(open=0, leased=0, decided=0, flagged=1)
    assert await queue.claim("bob", 60) is None
    assert (await queue.names.page(20)).groups == []
    (found,) = await queue.flags.list()
    assert found.flag is not None
    assert (found.flag.reviewer, found.flag.note, found.flag.is_up) == ("ana", NOTE, True)
    assert found.flag.at.timestamp() * 1000 == clock.now
    claim = await leased(queue, reviewer="eve")
    assert claim.flag == found.flag
    assert await listed(queue) == []
    assert not await queue.flags.put_back("1"), "somebody works on it"
    await queue.release(claim)
    assert await listed(queue) == ["1"]
    assert await queue.flags.put_back("1")
    assert await queue.counts() == Counts(open=1, leased=0, decided=0)
    assert [group.tasks for group in (await queue.names.page(20)).groups] == [1]
    assert await queue.flags.put_up("1")
    assert await listed(queue) == ["1"]
    await queue.complete(await leased(queue, reviewer="eve"), clock.now)
    assert not await queue.flags.put_up("1")
    assert await queue.counts() == Counts(open=0, leased=0, decided=1)


async def test_a_flag_needs_the_lease_and_may_come_again(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([task("1")])
    claim = await leased(queue)
    await queue.flags.add(claim, NOTE)
    await queue.flags.add(claim, NOTE)
    with pytest.raises(LeaseLost):
        await queue.flags.add(claim, "another note")
    await queue.flags.put_back("1")
    clock.pass_s(1)
    with pytest.raises(LeaseLost):
        await queue.flags.add(claim, NOTE)


async def test_a_note_that_is_too_long_is_not_read(queue: ReviewQueue) -> None:
    await flagged(queue, note="x" * MAX_NOTE)
    assert await listed(queue) == ["1"]
    with pytest.raises(ValidationError):
        await flagged(queue, "2", "x" * (MAX_NOTE + 1))


@pytest.mark.parametrize("how", ["erase", "forget", "edit", "version", "withdraw", "settle"])
async def test_a_flag_goes_with_its_task(queue: ReviewQueue, settings: Settings, clock: Clock, how: str) -> None:
    await flagged(queue)
    newer: dict[str, ReviewTask] = {"edit": task("1", edit=1), "version": task("1", model_version=1_763_700_001)}
    if how in newer:
        await queue.add([newer[how]])
        assert await queue.counts() == Counts(open=1, leased=0, decided=0)
    elif how == "withdraw":
        await queue.add([], [extraction(tweet("1", edit=1))])
    elif how == "settle":
        await queue.settle(task("1"), clock.now)
    else:
        await (queue.erase("1") if how == "erase" else queue.forget({"1": 0}))
    assert await listed(queue) == []
    assert await held(settings, "flags", "flagged") == {}


async def test_a_hidden_task_keeps_its_flag_and_nobody_sees_it(queue: ReviewQueue) -> None:
    await flagged(queue)
    await queue.hide("1")
    assert await listed(queue) == []
    assert await queue.counts() == Counts(open=0, leased=0, decided=0)
    await queue.show("1")
    assert await listed(queue) == ["1"]


async def test_a_flag_survives_votes_and_a_repair(queue: ReviewQueue, settings: Settings) -> None:
    await flagged(queue)
    await queue.add([task("2")])
    await queue.votes.apply(record(task("1"), 1, vote("bob", 1), vote("eve", 1, "ORG")))
    assert await listed(queue) == ["1"]
    assert await queue.counts() == Counts(open=1, leased=0, decided=0, flagged=1)
    assert [len(one.votes) for one in await queue.flags.list()] == [2]
    await queue._script.redis.zadd(settings.name("review:") + "free", {"1": 0})  # as a program before 0.4 does
    claim = await queue.claim("ana", 60)
    assert claim is not None
    assert claim.task.tweet.id == "2"
    assert await queue.claim("ana", 60) is None
    assert await listed(queue) == ["1"]
    await queue.flags.put_back("1")
    assert [one.task.tweet.id for one in await queue.votes.disputed()] == ["1"]
    assert await queue.claim("ana", 60) is None


async def test_disputed_tasks_are_in_no_group_of_names(queue: ReviewQueue) -> None:
    await queue.add([task("1"), task("2")])
    both = vote("bob", 1), vote("eve", 1, "ORG")
    await queue.votes.apply(record(task("1"), 1, *both))
    assert [group.tasks for group in (await queue.names.page(20)).groups] == [1]
    await queue.votes.apply(record(task("1"), 2, both[0]))  # the other vote is taken back
    assert [group.tasks for group in (await queue.names.page(20)).groups] == [2]


async def test_the_oldest_task_is_the_one_whose_post_was_received_first(queue: ReviewQueue, clock: Clock) -> None:
    assert await queue.waiting_since() is None
    await queue.add([task("1")])
    first = clock.now / 1000
    clock.pass_s(60)
    await queue.add([task("2")])
    assert await queue.waiting_since() == first
    await queue.hide("1")
    assert await queue.waiting_since() == first + 60
    await queue.show("1")
    assert await queue.waiting_since() == first
    await queue.settle(task("1"), clock.now)
    assert await queue.waiting_since() == first + 60
    await queue._script.redis.zrem(queue._script.keys[0], "2")  # as a program before 0.4 does
    assert await queue.waiting_since() is None
