"""Replays, rebalances, edits and erasures: repeated writes change nothing, and the newer write always wins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

from core.events import Extraction, Tweet
from core.lifecycle import Lifecycle
from sinks.index.document import from_extraction
from sinks.index.index import Index
from streams import topics
from streams.feed import feed
from streams.settings import Settings
from tests.streams.account import (
    assert_exactly_once,
    books,
    fed,
    members,
    replayed,
    sinks,
    tweets,
    until,
    until_caught_up,
)
from tests.streams.conftest import Start

COUNT = 2000


async def test_replaying_the_topic_three_times_changes_not_a_byte(stubbed: Settings, start: Start) -> None:
    await asyncio.to_thread(fed, stubbed, tweets(range(300)))
    worker = start(stubbed)
    await until_caught_up(stubbed)
    first, queue = await books(stubbed), await queued(stubbed)
    assert_exactly_once(first, range(300))
    await asyncio.to_thread(worker.stop)
    for replay in range(3):
        # Batches differ on each run. The model's figures may then differ in the last digit, but the index must not.
        # The same holds for a changed threshold: the first reading stands until a newer model version reads the post.
        other = stubbed.changed(batch={"tweets": 5 + replay}, threshold=(0.5, 0.1, 0.9995)[replay])
        worker = await replayed(other, start, "extract", "deliver")
        await asyncio.to_thread(worker.stop)
        again = await books(stubbed)
        assert again.documents == first.documents
        assert await queued(stubbed) == queue


async def test_a_worker_joins_and_one_leaves_under_load(stubbed: Settings, start: Start) -> None:
    first = start(stubbed)
    feeding = asyncio.create_task(asyncio.to_thread(fed_slowly, stubbed))
    await until(stubbed, lambda count: count > 0.15 * COUNT)
    second = start(stubbed)
    await until(stubbed, lambda count: count > 0.5 * COUNT)
    assert members(stubbed, "extract") == members(stubbed, "deliver") == 2
    assert await asyncio.to_thread(first.stop) == 0
    await feeding
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(COUNT))
    assert second.code is None


async def test_a_worker_joins_and_the_other_is_killed_under_load(stubbed: Settings, start: Start) -> None:
    first = start(stubbed)
    feeding = asyncio.create_task(asyncio.to_thread(fed_slowly, stubbed))
    await until(stubbed, lambda count: count > 0.15 * COUNT)
    start(stubbed)
    await until(stubbed, lambda count: count > 0.5 * COUNT)
    first.kill()
    await feeding
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(COUNT))


async def test_a_worker_deletes_what_is_too_old_by_itself(stubbed: Settings, start: Start) -> None:
    old, young = (datetime.now(UTC) - timedelta(days=days) for days in (31, 29))
    index = Index(str(stubbed.elasticsearch), stubbed.name("mentions"))
    await index.prepare()
    posts = [Tweet(id=name, text="a", received_at=moment) for name, moment in (("old", old), ("young", young))]
    readings = [Extraction(tweet=post, model="m", model_version=1, threshold=0.5) for post in posts]
    await index.write([from_extraction(reading, ()) for reading in readings])
    await index.refresh()
    worker = start(stubbed.changed(index_retention_days=30), only=("erase",))
    try:
        async with asyncio.timeout(30):
            while set(await index.held(["old", "young"])) != {"young"}:
                await asyncio.sleep(0.2)
    finally:
        await index.close()
    assert await asyncio.to_thread(worker.stop) == 0


ORDERS: dict[str, Callable[[str, str], list[list[str]]]] = {
    "the-old-one-comes-again": lambda old, new: [[old], [new], [old]],
    "both-in-one-batch": lambda old, new: [[old, new]],
    "the-old-one-comes-late": lambda old, new: [[new], [old]],
}
"""A post's id -> in which order its two edits come: steps, and the events of each."""


async def test_a_newer_edit_replaces_document_and_task_and_an_older_one_does_not_come_back(
    stubbed: Settings, start: Start
) -> None:
    """One worker reads a post for each order."""
    start(stubbed)
    steps = [
        order(
            json.dumps({"id": name, "text": "word 0", "edit": 0}),  # uncertain: one task
            json.dumps({"id": name, "text": "word again 1", "edit": 1}),  # confident: none
        )
        for name, order in ORDERS.items()
    ]
    for together in zip_longest(*steps, fillvalue=()):
        await asyncio.to_thread(fed, stubbed, [event.encode() for events in together for event in events])
        await until_caught_up(stubbed)
    found = await books(stubbed)
    assert {name: found.documents[name]["_source"]["text"] for name in ORDERS} == dict.fromkeys(ORDERS, "word again 1")
    assert not found.tasks


async def test_an_erased_post_is_forgotten_and_a_replay_does_not_bring_it_back(stubbed: Settings, start: Start) -> None:
    worker = start(stubbed)
    await asyncio.to_thread(fed, stubbed, tweets(range(10)))
    await until_caught_up(stubbed)
    assert stubbed.kafka is not None
    grave = Lifecycle(post="t0", reason="deleted by its author").encoded()
    await asyncio.to_thread(feed, [grave], stubbed.kafka, stubbed.name(topics.TOMBSTONES))
    await until_caught_up(stubbed, "erase")
    await asyncio.to_thread(worker.stop)
    await replayed(stubbed, start, "extract", "deliver", "decide")
    found = await books(stubbed)
    assert found.documents["t0"]["_source"] == {"id": "t0", "erased": True}
    assert found.tasks["t0"] == 0
    assert found.tasks["t3"] == 1
    assert found.dead == []


def fed_slowly(settings: Settings) -> int:
    assert settings.kafka is not None
    return feed(tweets(range(COUNT)), settings.kafka, settings.name(topics.TWEETS), rate=150)


async def queued(settings: Settings) -> list[dict[str, Any]]:
    async with sinks(settings) as (_, queue):
        return [entry.task.model_dump() for entry in await queue.list(limit=10_000)]
