"""A decision on a part of a task: the queue gets it, and the index stays as it is."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from core.events import Decision, ReviewTask
from review import decisions
from review.bulk import Answer, answered, new_bulk_id
from review.work import begin
from sinks.index.document import stamp_ms
from sinks.queue.queue import ReviewQueue
from streams.agents.copies import CopySettler
from streams.agents.decide import Decide
from streams.retention import Retention
from streams.routing import route
from streams.settings import Settings
from tests.sinks.values import extraction as extraction_of
from tests.sinks.values import mention, tweet
from tests.streams.agents.copying import House, grouping
from tests.streams.agents.test_lifecycle import Stores, said
from tests.streams.said import applying

TEXT = "Webb sees the Andromeda galaxy from Kourou with Ariane"


def extraction(name: str = "1", edit: int = 0) -> Any:
    found = [
        mention("Andromeda", "MISC", within=TEXT, probability=0.4),
        mention("Kourou", "LOC", within=TEXT, probability=0.5),
        mention("Ariane", "ORG", within=TEXT, probability=0.95),
    ]
    return extraction_of(tweet(name, TEXT, edit), *found)


def task(name: str = "1", edit: int = 0) -> ReviewTask:
    routed = route(extraction(name, edit)).task
    assert routed is not None
    return routed


def at(stamp: int) -> int:
    return 1_800_000_000_000 + stamp


def answer(stamp: int, of: ReviewTask) -> Decision:
    work = answered(of, "kourou", "LOC", Answer("accept"))
    name = new_bulk_id(lambda: at(stamp))
    return decisions.of_bulk(work, "ana", at(stamp), decision_id=f"a{stamp}", bulk_id=name, looked_at=2)


def settle(stamp: int, of: ReviewTask) -> Decision:
    work = begin(of)
    while not work.done:
        work = work.accept()
    return decisions.settle(work, "bob", at(stamp))


async def shown(stores: Stores) -> dict[str, str]:
    """Returns the sources of the mentions in the index by text."""
    held = await stores.index.held(["1"])
    return {one["text"]: one["source"] for one in held["1"].body["mentions"]}


async def process(stores: Stores, *events: Any) -> None:
    for event in events:
        await stores.process(event, stores.stages()[type(event)])


async def test_an_answer_leaves_the_index_and_keeps_the_task_open(real: Stores) -> None:
    await process(real, extraction())
    before = (await real.index.held(["1"]))["1"]
    made = answer(5, task())
    for _ in range(2):
        await process(real, made)
        assert (await real.index.held(["1"]))["1"] == before
        (entry,) = await real.queue.list()
        assert [asked.mention.text for asked in entry.task.open_questions] == ["Andromeda"]
    last = settle(6, entry.task)
    assert [(verdict.action, verdict.before and verdict.before.text) for verdict in last.verdicts] == [
        ("accept", "Andromeda"),
        ("accept", "Kourou"),
    ]
    for _ in range(2):
        await process(real, last, made, extraction())
        assert await shown(real) == dict.fromkeys(("Andromeda", "Kourou", "Ariane"), "human")
        assert await real.queue.list() == []


@pytest.mark.parametrize("order", ["as made", "decisions first", "twice"])
async def test_a_replay_of_the_compacted_topic_gives_the_same_end_state(real: Stores, order: str) -> None:
    made = answer(5, task())
    events: list[Any] = {
        "as made": [extraction(), made],
        "decisions first": [made, extraction()],
        "twice": [extraction(), made, extraction(), made],
    }[order]
    await process(real, *events)
    assert await shown(real) == {"Ariane": "model"}
    (entry,) = await real.queue.list()
    assert entry.task == task().model_copy(update={"answers": made.verdicts})


async def test_an_answer_stands_for_a_retraction_that_compaction_has_dropped(real: Stores) -> None:
    settled, made = settle(3, task()), answer(5, task())
    await process(real, extraction(), settled)
    assert await shown(real) == dict.fromkeys(("Andromeda", "Kourou", "Ariane"), "human")
    await process(real, made)
    assert await shown(real) == {"Ariane": "model"}
    assert len(await real.queue.list()) == 1


async def test_an_answer_is_taken_back(real: Stores) -> None:
    made = answer(5, task())
    await process(real, extraction(), made, decisions.retract(made, "ana", at(7)), made)
    (entry,) = await real.queue.list()
    assert entry.task == task()
    assert await shown(real) == {"Ariane": "model"}


async def test_an_answer_on_an_older_edit_changes_nothing(real: Stores) -> None:
    await process(real, extraction(edit=1), answer(5, task()))
    (entry,) = await real.queue.list()
    assert entry.task == task(edit=1)


@pytest.mark.parametrize("kind", ["erase", "hide"])
async def test_an_answer_on_a_post_that_nobody_may_see(real: Stores, kind: Literal["erase", "hide"]) -> None:
    await process(real, extraction(), said(kind, "1", 1, "protected" if kind == "hide" else None), answer(5, task()))
    assert await real.queue.list() == []
    assert (await real.queue.names.page(20)).groups == []
    assert (await real.queue.holds("1")).task == (kind == "hide")
    await process(real, said("show", "1", 2))
    assert [len(entry.task.answers) for entry in await real.queue.list()] == [1] * (kind == "hide")


async def test_copies_wait_for_the_rest_of_the_answers(real: Stores, settings: Settings) -> None:
    queue: ReviewQueue = grouping(settings)
    house = House(queue)
    settler = CopySettler(queue.copies, house, "decisions", 3600.0)  # type: ignore[arg-type]
    real.queue = queue
    apply: Any = applying(real.index, queue, real.subjects, real)
    decide = Decide(real.index, queue, apply, house, "decisions", Retention(None), settler)  # type: ignore[arg-type]
    await queue.add([task("1"), task("2")])
    await real.process(answer(5, task("1")), decide)
    assert house.topic == []
    (entry,) = await queue.list()
    assert (entry.task.tweet.id, entry.copies, len(entry.task.answers)) == ("1", 1, 1)
    await real.process(settle(6, entry.task), decide)
    (derived,) = house.topic
    assert derived.copy_of == "1"
    assert len(derived.verdicts) == 2
    assert stamp_ms(derived.decided_at) == at(6)
    await queue.close()
