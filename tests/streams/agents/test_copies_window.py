"""For how long a decision holds for copies, and when a group of copies is forgotten."""

from __future__ import annotations

import pytest

from core.events import Extraction, Tweet
from sinks.queue.values import Counts
from tests.streams.agents.copying import (
    REOPENED,
    SETTLED,
    START_MS,
    WINDOW_S,
    House,
    decision,
    received,
    task,
)

FAR = int(10 * WINDOW_S * 1000)


async def test_a_late_copy_is_settled_without_a_question(house: House) -> None:
    await house.deliver(task("a"))
    await house.decide(decision(task("a"), 5))
    await house.deliver(task("b"), task("c"))
    await house.drain()
    assert house.types() == dict.fromkeys("abc", SETTLED)
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=3, copies=0)
    house.queue._script.clock.pass_s(WINDOW_S)  # type: ignore[union-attr]
    await house.deliver(task("d"))
    await house.drain()
    assert await house.open() == ["d"], "the window is over"


async def test_an_open_question_keeps_its_copies_beyond_the_window(house: House) -> None:
    await house.deliver(task("a"), task("b"))
    house.queue._script.clock.pass_s(3 * WINDOW_S)  # type: ignore[union-attr]
    await house.deliver(task("c"))
    assert await house.open() == ["a"]
    await house.decide(decision(task("a"), int(3 * WINDOW_S * 1000) + 5))
    assert house.types() == dict.fromkeys("abc", SETTLED)


async def test_copies_of_a_decision_that_never_came_are_asked_about(house: House) -> None:
    await house.deliver(task("a"), task("b"))
    await house.queue.settle(task("a"), START_MS + 5)
    house.queue._script.clock.pass_s(2 * WINDOW_S)  # type: ignore[union-attr]
    await house.deliver(task("x", "Another post about the Andromeda galaxy"))
    assert await house.open() == ["b", "x"]


@pytest.mark.parametrize("how", ["claim", "withdraw", "end"])
async def test_no_text_stays_when_the_window_has_passed(house: House, how: str) -> None:
    await house.deliver(task("a"), task("b"))
    await house.decide(decision(task("a"), 5))
    assert "Andromeda" in repr(await house.redis())
    house.queue._script.clock.pass_s(WINDOW_S + 1)  # type: ignore[union-attr]
    if how == "claim":
        assert await house.queue.claim("ana", 60) is None
    elif how == "withdraw":
        other = Tweet(id="x", text="nothing here")
        await house.queue.add((), [Extraction(tweet=other, model="m", model_version=1, threshold=0.9)])
    else:
        await house.queue.copies.end()
    assert "Andromeda" not in repr(await house.redis())


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_a_replay_long_after_gives_each_post_its_own_decision(house: House, order: str) -> None:
    first, second = received(task("a"), 0), received(task("b"), FAR)
    other = decision(second, FAR + 5).model_copy(update={"mentions": second.confident, "verdicts": ()})
    of = {"a": decision(first, 5), "b": other}
    house.queue._script.clock.now += FAR + 1000  # type: ignore[union-attr]
    await house.decide(*(of[name] for name in order))
    assert house.types() == {"a": SETTLED, "b": REOPENED}


async def test_a_replay_of_old_decisions_keeps_no_text(house: House) -> None:
    house.queue._script.clock.now += FAR  # type: ignore[union-attr]
    for name in "abc":
        await house.decide(decision(received(task(name), 0), 5))
        await house.deliver(received(task(name), 0))
    assert (await house.queue.counts()).decided == 3
    assert "Andromeda" not in repr(await house.redis())


async def test_a_decision_that_lags_still_settles_what_waits(house: House) -> None:
    await house.deliver(*(received(task(name), 0) for name in "ab"))
    house.queue._script.clock.now += FAR  # type: ignore[union-attr]
    await house.decide(decision(task("a"), 5))
    assert house.types() == dict.fromkeys("ab", SETTLED)


async def test_a_copy_that_came_too_late_for_the_ruling_is_asked_about(house: House) -> None:
    await house.deliver(task("a"))
    await house.decide(decision(task("a"), 5))
    half = WINDOW_S * 0.6
    house.queue._script.clock.pass_s(half)  # type: ignore[union-attr]
    await house.deliver(task("b"))
    await house.drain()
    house.queue._script.clock.pass_s(half)  # type: ignore[union-attr]
    await house.deliver(task("c"))
    assert await house.open() == ["c"]
    assert house.types().keys() == {"a", "b"}


async def test_without_a_window_no_copy_waits(house: House) -> None:
    await house.deliver(task("a"), task("b"), task("c"))
    await house.queue.hide("c")
    await house.queue.copies.dissolve()
    assert await house.open() == ["a", "b"]
    await house.queue.show("c")
    assert await house.open() == ["a", "b", "c"]
    assert (await house.queue.counts()).copies == 0
