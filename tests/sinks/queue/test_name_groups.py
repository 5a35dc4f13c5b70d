"""Groups of tasks by name: kept at every change, and no name outlives the tasks that ask about it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from core.events import EntityType, ReviewTask, Verdict
from core.spelling import normalise
from review import decisions
from review.work import begin
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings
from tests.sinks.conftest import Clock
from tests.sinks.values import MODEL_VERSION, decision, extraction, mention, task, tweet

TEXT = "NASA and #nasa met “N.A.S.A.” in Paris, with ESA"


def asking(tweet_id: str, *words: str, kind: EntityType = "ORG", **fields: Any) -> ReviewTask:
    """Returns a task with a question about each of these words."""
    one = task(tweet_id, text=TEXT, **fields)
    (question,) = one.questions
    questions = tuple(
        question.model_copy(update={"mention": mention(word, kind, within=TEXT, probability=0.5)}) for word in words
    )
    return one.model_copy(update={"questions": questions})


async def groups(queue: ReviewQueue) -> dict[tuple[str, str], int]:
    return {(group.name, group.type): group.tasks for group in (await queue.names.page(1000)).groups}


async def members(queue: ReviewQueue, name: str = "nasa", kind: EntityType = "ORG") -> list[str]:
    return [entry.task.tweet.id for entry in (await queue.group(name, kind, limit=1000))[0]]


async def everything(settings: Settings) -> str:
    """Returns all keys of the queue and what they hold."""
    held = []
    async with Redis.from_url(str(settings.redis)) as redis:
        async for key in redis.scan_iter(settings.name("review:") + "*"):
            kind: Any = await redis.type(key)
            read: Any = {b"hash": redis.hgetall, b"set": redis.smembers, b"string": redis.get}.get(kind)
            held.append(f"{key!r} {await (read(key) if read else redis.zrange(key, 0, -1))!r}")
    return "\n".join(held)


async def test_the_largest_group_comes_first_and_spellings_are_one_name(queue: ReviewQueue) -> None:
    await queue.add([asking("1", "NASA"), asking("2", "#nasa"), asking("3", "N.A.S.A."), asking("4", "NASA", "ESA")])
    await queue.add([asking("5", "ESA"), asking("6", "ESA", kind="PER"), asking("7", "NASA", "#nasa")])
    found = (await queue.names.page(10)).groups
    assert [(group.name, group.type, group.tasks) for group in found][:2] == [("nasa", "ORG", 5), ("esa", "ORG", 2)]
    assert (await queue.names.page(1, 1)).groups == [found[1]]
    assert [group.type for group in found] == ["ORG", "ORG", "PER"]
    assert await members(queue) == ["1", "4", "2", "3", "7"]  # 4 also asks about a name that nobody else asks about
    assert await members(queue, "N.A.S.A.") == ["1", "4", "2", "3", "7"]
    assert [e.task.tweet.id for e in (await queue.group("nasa", "ORG", limit=2, offset=1))[0]] == ["4", "2"]
    assert await members(queue, "nobody") == []


async def test_a_search_goes_on_in_steps_and_finds_all(queue: ReviewQueue) -> None:
    text = "Agency{0:04} met the agency with {0:04} people"
    words = [text.format(number) for number in range(6000)]
    for start in range(0, len(words), 1000):
        tasks = [task(str(number), text=words[number]) for number in range(start, start + 1000)]
        asked = [
            one.model_copy(
                update={
                    "questions": (
                        one.questions[0].model_copy(
                            update={"mention": mention(one.tweet.text[:10], "ORG", within=one.tweet.text)}
                        ),
                    )
                }
            )
            for one in tasks
        ]
        await queue.add(asked)
    for part, expected in [("agency", 6000), ("7", 1626), ("agency1234", 1), ("nobody", 0)]:
        found, pages = list[str](), 0
        place: int | None = 0
        while place is not None:
            page = await queue.names.page(2000, place, part)
            found += [group.name for group in page.groups]
            assert page.next is None or page.next > place
            place, pages = page.next, pages + 1
        assert (len(found), len(set(found))) == (expected, expected)
        assert pages > 1, "one call does not look at all"
        assert all(part in name for name in found)


async def test_a_leased_task_stays_in_its_group_and_names_its_reviewer(queue: ReviewQueue, clock: Clock) -> None:
    await queue.add([asking("1", "NASA"), asking("2", "NASA")])
    assert await queue.take("1", "ana", 60)
    assert [entry.reviewer for entry in (await queue.group("nasa", "ORG"))[0]] == ["ana", None]
    clock.pass_s(61)
    assert [entry.reviewer for entry in (await queue.group("nasa", "ORG"))[0]] == [None, None]


@pytest.mark.parametrize("spoiled", ["1", "2", "4"])
@pytest.mark.parametrize("how", ["unreadable", "closed by an older program"])
async def test_one_spoiled_task_ends_no_list(queue: ReviewQueue, settings: Settings, how: str, spoiled: str) -> None:
    await queue.add([asking(str(number), "NASA") for number in range(1, 6)])
    async with Redis.from_url(str(settings.redis)) as redis:
        if how == "unreadable":
            await redis.hset(settings.name("review:tasks"), spoiled, "{}")
        else:
            await redis.zrem(settings.name("review:open"), spoiled)
    found, place = list[str](), 0
    while True:
        entries, following = await queue.group("nasa", "ORG", 2, place)
        found += [entry.task.tweet.id for entry in entries]
        if following is None:
            break
        assert following > place
        place = following
    assert found == [str(number) for number in range(1, 6) if str(number) != spoiled]


async def test_what_nobody_sees_is_in_no_group(queue: ReviewQueue) -> None:
    await queue.add([asking("1", "NASA"), asking("2", "NASA")])
    await queue.hide("1", "3")
    await queue.add([asking("3", "NASA")])
    assert await members(queue) == ["2"]
    assert await groups(queue) == {("nasa", "ORG"): 1}
    await queue.hide("2")
    assert await groups(queue) == {}
    await queue.show("1", "2", "3")
    assert await members(queue) == ["1", "2", "3"]


async def test_of_copies_only_the_leader_is_in_a_group(settings: Settings, clock: Clock) -> None:
    queue = ReviewQueue(
        str(settings.redis), settings.name("review:"), clock, group_of=lambda task: "same", window_s=3600
    )
    await queue.add([asking("1", "NASA"), asking("2", "NASA"), asking("3", "ESA")])
    assert await groups(queue) == {("nasa", "ORG"): 1}
    await queue.erase("1")
    assert await groups(queue) == {("nasa", "ORG"): 1}
    await queue.erase("2")
    assert await groups(queue) == {("esa", "ORG"): 1}
    await queue.close()


@pytest.mark.parametrize("how", ["settle", "complete", "withdraw", "forget", "newer edit", "newer model"])
async def test_a_task_that_goes_leaves_its_group(queue: ReviewQueue, how: str) -> None:
    await queue.add([asking("1", "NASA")])
    match how:
        case "settle":
            await queue.settle(asking("1", "NASA"), 1)
        case "complete":
            claim = await queue.take("1", "ana", 60)
            assert claim
            await queue.complete(claim, 1)
        case "withdraw":
            await queue.add((), [extraction(tweet("1", edit=1))])
        case "forget":
            await queue.forget({"1": 0})
        case "newer edit":
            await queue.add([asking("1", "ESA", edit=1)])
        case "newer model":
            await queue.add([asking("1", "ESA", model_version=MODEL_VERSION + 1)])
    assert await groups(queue) == ({("esa", "ORG"): 1} if "newer" in how else {})


async def test_a_reopened_task_is_back_in_its_group(queue: ReviewQueue) -> None:
    await queue.settle(asking("1", "NASA"), 1)
    assert await groups(queue) == {}
    await queue.reopen(asking("1", "NASA"), 2)
    assert await members(queue) == ["1"]


async def test_an_answered_question_is_in_no_group_and_its_task_stays(queue: ReviewQueue) -> None:
    asked = asking("1", "NASA", "ESA")
    await queue.add([asked])
    (first, _) = asked.questions
    verdict = Verdict(action="reject", before=first.mention)
    partial = decision(asked, 5).model_copy(update={"kind": "answer", "verdicts": (verdict,)})
    assert await queue.answer(partial, 5)
    assert not await queue.answer(partial, 5)
    assert await groups(queue) == {("esa", "ORG"): 1}
    (entry,) = await queue.list()
    assert entry.task == asked.model_copy(update={"answers": (verdict,)})


@pytest.mark.parametrize("hides", [False, True])
async def test_no_name_is_left_after_an_erasure(queue: ReviewQueue, settings: Settings, hides: bool) -> None:
    await queue.add([asking("1", "NASA", "ESA"), task("2")])
    if hides:
        await queue.hide("1")
    assert "nasa" in await everything(settings)
    await queue.erase("1")
    left = (await everything(settings)).casefold()
    assert "paris" in left
    assert await groups(queue) == {("paris", "LOC"): 1}
    for name in ("nasa", "esa"):
        assert name not in left
    await queue.erase("2")
    left = await everything(settings)
    assert "aris" not in left
    assert {line.split("'")[1].rpartition(":")[2] for line in left.splitlines()} == {"erased"}


async def test_tasks_of_an_earlier_version_are_grouped_by_regroup(queue: ReviewQueue, settings: Settings) -> None:
    await queue.add([asking(str(number), "NASA") for number in range(250)])
    await queue.hide("7")
    async with Redis.from_url(str(settings.redis)) as redis:  # as a queue that knows no groups leaves it
        for pattern in ("names", "named:*", "names_of", "labels"):
            async for key in redis.scan_iter(settings.name(f"review:{pattern}")):
                await redis.delete(key)
        assert await groups(queue) == {}
        assert await queue.regroup() == 250
        assert await groups(queue) == {("nasa", "ORG"): 249}
        assert await queue.regroup() == 0
        for key in ("tasks", "ages"):  # as such a program closes a task
            await redis.hdel(settings.name(f"review:{key}"), "8")
        await redis.zrem(settings.name("review:open"), "8")
        await redis.zrem(settings.name("review:free"), "8")
    assert "8" not in await members(queue)
    assert await groups(queue) == {("nasa", "ORG"): 248}
    assert await queue.regroup() == 1
    async with Redis.from_url(str(settings.redis)) as redis:
        assert not await redis.hexists(settings.name("review:names_of"), "8")


async def test_regroup_passes_over_a_task_that_it_cannot_read(queue: ReviewQueue, settings: Settings) -> None:
    await queue.add([asking("1", "NASA"), asking("2", "NASA")])
    async with Redis.from_url(str(settings.redis)) as redis:
        await redis.hset(settings.name("review:tasks"), "1", "{}")
    assert await queue.regroup() == 0
    assert await members(queue) == ["2"]


@pytest.mark.parametrize("seed", range(8))
async def test_groups_agree_with_a_look_at_every_task(queue: ReviewQueue, clock: Clock, seed: int) -> None:
    dice = random.Random(seed)
    words = ["NASA", "#nasa", "N.A.S.A.", "Paris", "ESA"]
    stamp = 0
    for step in range(150):
        one, stamp = str(dice.randrange(12)), stamp + 1
        asked = asking(
            one,
            *dice.sample(words, dice.randint(1, 4)),
            kind=dice.choice(["ORG", "LOC"]),
            edit=dice.randrange(4),
            model_version=MODEL_VERSION + step,
        )
        match dice.choice(["add", "add", "add", "hide", "show", "settle", "reopen", "answer", "withdraw", "take"]):
            case "add":
                await queue.add([asked])
            case "hide":
                await queue.hide(one)
            case "show":
                await queue.show(one)
            case "settle":
                await queue.settle(asked, stamp)
            case "reopen":
                await queue.reopen(asked, stamp)
            case "answer":
                work = begin(asked).reject()
                partial = decisions.settle(work, "ana", stamp).model_copy(update={"kind": "answer"})
                await queue.answer(partial, stamp)
            case "withdraw":
                await queue.add((), [extraction(tweet(one, edit=asked.tweet.edit), model_version=asked.model_version)])
            case "take":
                await queue.take(one, "ana", 60)
        entries = await queue.list(limit=100)
        asked_now = [
            {(normalise(q.mention.text), q.mention.type) for q in entry.task.open_questions} for entry in entries
        ]
        assert await groups(queue) == Counter(each for names in asked_now for each in names)
        for name, kind in {each for names in asked_now for each in names}:
            expected = [e.task.tweet.id for e, names in zip(entries, asked_now, strict=True) if (name, kind) in names]
            assert await members(queue, name, kind) == expected
