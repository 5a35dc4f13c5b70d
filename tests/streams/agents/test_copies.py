"""Copies of a post are asked about once, on a real Redis. The topic of decisions is a list here; see test_reposts."""

from __future__ import annotations

import pytest

from core.events import Extraction, ImageResult
from sinks.queue import copies
from sinks.queue.values import Counts
from tests.streams.agents.copying import (
    COPIES,
    REOPENED,
    SETTLED,
    START_MS,
    House,
    decision,
    task,
)


async def test_one_decision_settles_all_and_undo_reopens_all(house: House) -> None:
    await house.deliver(*map(task, COPIES))
    assert await house.open() == ["a"]
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=0, copies=3)
    assert [entry.copies for entry in await house.queue.list()] == [3]
    claim = await house.queue.claim("ana", 60)
    assert claim is not None
    assert (claim.task.tweet.id, claim.copies) == ("a", 3)
    assert await house.queue.claim("bob", 60) is None
    await house.queue.complete(claim, START_MS + 5)
    await house.decide(decision(task("a"), 5))
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=4, copies=0)
    assert house.types() == dict.fromkeys(COPIES, SETTLED)
    await house.decide(decision(task("a"), 6, "retract"))
    assert house.types() == dict.fromkeys(COPIES, REOPENED)
    assert await house.open() == ["a"]
    assert await house.queue.counts() == Counts(open=1, leased=0, decided=0, copies=3)
    await house.decide(decision(task("a"), 7))
    assert house.types() == dict.fromkeys(COPIES, SETTLED)


async def test_another_image_is_another_group(house: House) -> None:
    images = [ImageResult(), *(ImageResult(status="ok", url="http://a/b", phash=hash * 32) for hash in ("ab", "cd"))]
    tasks = [task(name, image=image) for name, image in zip("abc", images, strict=True)]
    await house.deliver(*tasks, task("d", image=images[1].model_copy(update={"url": "http://c/d"})))
    assert await house.open() == ["a", "b", "c"]
    await house.decide(decision(tasks[1], 5))
    assert house.types() == {"b": SETTLED, "d": SETTLED}


@pytest.mark.parametrize("how", ["erase", "forget", "hide", "edit", "withdraw"])
async def test_when_the_leader_goes_the_next_copy_is_asked_about(house: House, how: str) -> None:
    await house.deliver(task("a"), task("b"), task("c"))
    edited = task("a", "Webb sees nothing of the Andromeda nebula", edit=1)
    if how == "erase":
        await house.queue.erase("a")
    elif how == "forget":
        assert await house.queue.forget({"a": 0}) == {"a"}
    elif how == "hide":
        await house.queue.hide("a")
    elif how == "edit":
        await house.deliver(edited)
    else:
        empty = Extraction(tweet=edited.tweet, model="m", model_version=1, threshold=0.9)
        await house.queue.add((), [empty])
    assert await house.open() == (["a", "b"] if how == "edit" else ["b"])
    assert (await house.queue.counts()).copies == 1
    if how == "hide":
        await house.queue.show("a")
        assert await house.open() == ["b"]
        assert (await house.queue.counts()).copies == 2
    await house.decide(decision(task("b"), 5))
    assert house.types() == dict.fromkeys("abc" if how == "hide" else "bc", SETTLED)


async def test_erasing_the_decided_post_leaves_nothing_of_it(house: House) -> None:
    await house.deliver(task("a"), task("b"))
    await house.decide(decision(task("a"), 5))
    await house.queue.erase("a", "b")
    assert not [key for key, held in (await house.redis()).items() if "Andromeda" in held]
    await house.deliver(task("c"))
    assert await house.open() == ["c"]


async def test_a_person_who_takes_a_decision_back_sees_the_post_again(house: House) -> None:
    await house.deliver(task("a"), task("b"))
    await house.queue.hide("a")
    await house.decide(decision(task("b"), 5))
    await house.queue.show("a")
    await house.queue.reopen(task("a"), START_MS + 6)
    assert await house.queue.take("a", "ana", 60) is not None


async def test_what_is_decided_alone_forms_no_group(house: House) -> None:
    short = task("a", "Andromeda!")
    await house.deliver(short, task("b", "Andromeda!"))
    assert await house.open() == ["a", "b"]


async def test_a_forgotten_post_leaves_no_text(house: House) -> None:
    await house.deliver(task("a"))
    await house.decide(decision(task("a"), 5))
    assert await house.queue.forget({"a": 0}) == {"a"}
    assert "Andromeda" not in repr(await house.redis())
    await house.deliver(task("b"))
    assert await house.open() == ["b"]


@pytest.mark.parametrize("state", ["asked", "decided", "retracted"])
async def test_a_newer_edit_is_not_forgotten(house: House, state: str) -> None:
    edited = task("a", edit=1)
    await house.deliver(task("a"), edited)
    if state != "asked":
        await house.decide(decision(edited, 5, "settle" if state == "decided" else "retract"))
    before = await house.queue.counts()
    assert await house.queue.forget({"a": 0, "unknown": 0}) == {"unknown"}
    assert await house.queue.counts() == before
    assert await house.queue.forget({"a": 1}) == {"a"}
    assert await house.queue.counts() == Counts(0, 0, 0)


async def test_all_that_is_kept_can_be_listed(house: House) -> None:
    await house.deliver(task("a"), task("b"), task("x", "Another post about the Andromeda galaxy"))
    await house.queue.hide("x")
    assert {one.tweet.id async for page in house.queue.kept() for one in page} == {"a", "b", "x"}
    await house.decide(decision(task("a"), 5))
    assert {one.tweet.id async for page in house.queue.kept() for one in page} == {"a", "b", "x"}


async def test_copies_are_settled_in_pages_and_each_one_shows_life(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PAGE", 2)
    await house.deliver(*map(task, COPIES))
    lives: list[int] = []
    await house.settler.decided(decision(task("a"), 5), lambda: lives.append(len(house.topic)))
    assert lives == [1, 3]
