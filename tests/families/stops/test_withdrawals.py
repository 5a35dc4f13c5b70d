"""A withdrawn question does not come back: the queue has the state of the newest event, whatever the order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from core.errors import Retry
from core.events import Extraction, ReviewTask, Verdict
from sinks.index.index import Index
from sinks.queue.queue import REMEMBER_S, ReviewQueue
from streams.agents.deliver import Deliver
from streams.pipeline.item import Item, Origin
from streams.settings import Settings
from tests.sinks.conftest import Clock, clock, index, queue
from tests.sinks.values import MODEL_VERSION, decision, extraction, mention, task, tweet
from tests.streams.said import applying

__all__ = ["clock", "index", "queue"]  # the fixtures


def item(edit: int, *, asks: bool, offset: int = 0) -> Item[Extraction]:
    found = extraction(tweet("1", edit=edit), mention("Ana", "PER", probability=0.3 if asks else 0.99))
    return Item(Origin("extractions", 0, offset, b"1", b"{}", 0.0), parsed=found)


class Frozen(ReviewQueue):
    """The queue of a worker that is frozen just before its tasks are sent."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__(str(settings.redis), settings.name("review:"), clock)
        self.reached, self.thawed = asyncio.Event(), asyncio.Event()

    async def add(
        self,
        tasks: Sequence[ReviewTask],
        unquestioned: Sequence[Extraction] = (),
        since_ms: int | None = None,
    ) -> int:
        if not self.thawed.is_set():
            self.reached.set()
            await self.thawed.wait()
        return await super().add(tasks, unquestioned, since_ms)


@pytest.fixture
async def frozen(settings: Settings, clock: Clock) -> AsyncIterator[Frozen]:
    made = Frozen(settings, clock)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("meanwhile", "pause_s"),
    [
        pytest.param([(0, True), (1, False)], 0, id="both edits are delivered meanwhile"),
        pytest.param([(1, False)], 0, id="only the newer edit"),
        pytest.param([(0, True), (1, True), (2, False)], 0, id="three edits"),
        pytest.param([(1, False)], REMEMBER_S + 1, id="the withdrawal is forgotten"),
        pytest.param([(0, True), (1, False)], 10 * REMEMBER_S, id="a task was withdrawn long ago"),
    ],
)
async def test_a_frozen_worker_brings_no_old_question_back(
    index: Index, queue: ReviewQueue, frozen: Frozen, clock: Clock, meanwhile: list[tuple[int, bool]], pause_s: float
) -> None:
    first = Deliver(index, frozen, applying(index, frozen), 0.5, 1.0)
    delivering = asyncio.create_task(first.process([item(0, asks=True)]))
    await frozen.reached.wait()
    for edit, asks in meanwhile:
        await Deliver(index, queue, applying(index, queue), 0.5, 1.0).process([item(edit, asks=asks)])
    clock.pass_s(pause_s)
    for number in range(20):  # each forgets some withdrawals that are past their time
        await queue.add((), [extraction(tweet(f"other-{number}"))])
    frozen.thawed.set()
    try:
        await delivering
    except Retry:
        await first.process([item(0, asks=True)])
    assert await queue.list() == []
    assert len((await index.held(["1"]))["1"].body["mentions"]) == 1


async def test_a_withdrawal_of_a_post_without_a_task_is_forgotten_in_time(
    queue: ReviewQueue, settings: Settings, clock: Clock
) -> None:
    for number in range(50):
        await queue.add((), [extraction(tweet(f"plain-{number}"))])
    await queue.add([task("asked")])
    await queue.add((), [extraction(tweet("asked", edit=1))])
    clock.pass_s(REMEMBER_S)
    for number in range(10):
        await queue.add((), [extraction(tweet(f"later-{number}"))])
    async with Redis.from_url(str(settings.redis), decode_responses=True) as redis:
        ages = await redis.hgetall(settings.name("review:ages"))
        assert set(ages) == {"asked", *(f"later-{number}" for number in range(10))}
        assert await redis.zcard(settings.name("review:withdrawn")) == 10


@pytest.mark.parametrize("edits", [(0, 0), (0, 1), (1, 0)])
async def test_a_task_that_took_too_long_is_refused_before_it_can_do_harm(
    queue: ReviewQueue, clock: Clock, edits: tuple[int, int]
) -> None:
    since = await queue.time_ms()
    clock.pass_s(REMEMBER_S)
    with pytest.raises(Retry, match="took too long on its way"):
        await queue.add([task("1")], since_ms=since)
    assert await queue.add([task("1", edit=edits[0])], since_ms=await queue.time_ms()) == 1
    old_news = edits[1] <= edits[0]
    assert not old_news or await queue.add([task("1", edit=edits[1])], since_ms=since) == 0


@dataclass(frozen=True)
class Event:
    """`number`: the model version of an extraction, the stamp of a decision."""

    kind: Literal["add", "withdraw", "settle", "reopen", "answer", "erase"]
    edit: int = 0
    number: int = 0

    @property
    def age(self) -> tuple[int, int]:
        return self.edit, self.number

    @property
    def task(self) -> ReviewTask:
        version = self.number if self.kind == "add" else MODEL_VERSION
        return task("1", edit=self.edit, model_version=version)


ANSWERS = (Verdict(action="add", after=mention("Ana", "PER")),)
EXTRACTIONS = [(edit, version) for edit in range(3) for version in (1, 2)]


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of one post, in any order, some of them twice. An extraction either has a question or has none."""
    ages = draw(st.lists(st.sampled_from(EXTRACTIONS), max_size=5, unique=True))
    events = [Event(draw(st.sampled_from(["add", "withdraw"])), *age) for age in ages]
    for stamp in range(1, 1 + draw(st.integers(0, 3))):
        events.append(Event(draw(st.sampled_from(["settle", "reopen", "answer"])), draw(st.integers(0, 2)), stamp))
    if draw(st.integers(0, 9)) == 0:
        events.append(Event("erase"))
    again = draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    return draw(st.permutations(events + again))


def expected(events: list[Event]) -> list[ReviewTask]:
    """Returns the queue that the newest events make."""
    if any(event.kind == "erase" for event in events):
        return []
    decision = max((e for e in events if e.kind in ("settle", "reopen", "answer")), key=lambda e: e.age, default=None)
    newest = max((e for e in events if e.kind in ("add", "withdraw")), key=lambda e: e.age, default=None)
    if decision and not (newest and newest.edit > decision.edit):
        if decision.kind == "answer":
            return [decision.task.model_copy(update={"answers": ANSWERS})]
        return [decision.task] if decision.kind == "reopen" else []
    return [newest.task] if newest and newest.kind == "add" else []


async def apply(queue: ReviewQueue, event: Event) -> None:
    match event.kind:
        case "add":
            await queue.add([event.task])
        case "withdraw":
            await queue.add((), [extraction(tweet("1", edit=event.edit), model_version=event.number)])
        case "settle":
            await queue.settle(event.task, event.number)
        case "reopen":
            await queue.reopen(event.task, event.number)
        case "answer":
            answered = decision(event.task, event.number).model_copy(update={"verdicts": ANSWERS})
            await queue.answer(answered, event.number)
        case "erase":
            await queue.erase("1")


@pytest.fixture
def prefix(settings: Settings) -> str:
    return settings.name("review:")


async def emptied(settings: Settings, prefix: str) -> None:
    async with Redis.from_url(str(settings.redis)) as redis:
        if keys := [key async for key in redis.scan_iter(prefix + "*")]:
            await redis.delete(*keys)


@given(events=histories())
@example(events=[Event("withdraw", 1, 1), Event("add", 0, 1)])
@example(events=[Event("withdraw", 1, 1), Event("reopen", 0, 1)])
@example(events=[Event("withdraw", 1, 1), Event("settle", 0, 1), Event("reopen", 0, 2)])
@hypothesis_settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_newest_event_wins_in_any_order(settings: Settings, prefix: str, events: list[Event]) -> None:
    async def result() -> list[ReviewTask]:
        await emptied(settings, prefix)
        queue = ReviewQueue(str(settings.redis), prefix)
        try:
            for event in events:
                await apply(queue, event)
            counts = await queue.counts()
            waiting = [entry.task for entry in await queue.list()]
            assert counts.open == len(waiting)
            claim = await queue.claim("ana", 60)
            assert ([claim.task] if claim else []) == waiting
            return waiting
        finally:
            await queue.close()

    assert asyncio.run(result()) == expected(events)


class Older(ReviewQueue):
    """The queue of an older program, which forgets withdrawals. Its script ignores the new arguments."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        super().__init__(str(settings.redis), prefix)
        text = Path(__file__).with_name("queue_0_2.lua").read_text()
        self._script._script = self._script.redis.register_script(text)


@given(events=histories(), data=st.data())
@hypothesis_settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_older_program_may_work_on_the_same_queue(
    settings: Settings, prefix: str, events: list[Event], data: st.DataObject
) -> None:
    """Once all events have come to the present program too, in their order of age, the older one has done no harm."""
    older = data.draw(st.lists(st.sampled_from(events), max_size=8)) if events else []

    async def result() -> list[ReviewTask]:
        await emptied(settings, prefix)
        old, new = Older(settings, prefix), ReviewQueue(str(settings.redis), prefix)
        try:
            for event in events:
                await apply(old if event in older else new, event)
            for event in sorted(events, key=lambda event: event.age):
                await apply(new, event)
            return [entry.task for entry in await new.list()]
        finally:
            await old.close()
            await new.close()

    assert asyncio.run(result()) == expected(events)


async def test_an_older_program_cannot_add_a_task_that_was_withdrawn(settings: Settings, prefix: str) -> None:
    old, new = Older(settings, prefix), ReviewQueue(str(settings.redis), prefix)
    await old.add([task("1"), task("2", edit=1)])
    await new.add((), [extraction(tweet("1", edit=1)), extraction(tweet("3", edit=1))])
    assert await old.add([task("1"), task("3")]) == 0
    assert [entry.task.tweet.id for entry in await new.list()] == ["2"]
    assert await old.add([task("1", edit=2)]) == 1
    await old.close()
    await new.close()
