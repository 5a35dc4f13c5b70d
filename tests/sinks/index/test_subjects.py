"""The index of standings is made once. A lost one stops whoever needs it, since hidden posts would become visible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from elasticsearch import Elasticsearch

from core.errors import Retry, Stop
from core.lifecycle import Lifecycle
from sinks.index.index import Index
from sinks.index.subjects import Subjects
from streams.settings import Settings

HIDE = Lifecycle(kind="hide", post="1", cause="protected", at=datetime(2026, 11, 20, tzinfo=UTC))


@pytest.fixture
async def subjects(settings: Settings) -> AsyncIterator[Subjects]:
    made = Subjects(str(settings.elasticsearch), settings.name("lifecycle"))
    yield made
    await made.close()


async def test_the_first_use_makes_the_index_also_beside_posts_of_an_earlier_version(
    index: Index, subjects: Subjects
) -> None:
    with pytest.raises(Retry, match="had no index"):
        await subjects.read(["post:1"])
    assert await subjects.record(HIDE)
    assert (await subjects.read(["post:1"]))["post:1"].is_hidden


async def test_many_workers_may_make_it_at_the_same_time(settings: Settings) -> None:
    several = [Subjects(str(settings.elasticsearch), settings.name("lifecycle")) for _ in range(8)]
    await asyncio.gather(*(one.prepare() for one in several))
    await several[0].prepare()
    assert await several[1].record(HIDE)
    await asyncio.gather(*(one.close() for one in several))


async def test_a_lost_index_stops_readers_and_writers_until_a_person_says_so(
    settings: Settings, subjects: Subjects
) -> None:
    await subjects.prepare()
    name = settings.name("lifecycle")
    with Elasticsearch(str(settings.elasticsearch)) as client:
        client.indices.delete(index=f"{name}-1")
        for use in (subjects.prepare(), subjects.read(["post:1"]), subjects.record(HIDE)):
            with pytest.raises(Stop, match=f"lost the index '{name}'.*docs/lifecycle.md"):
                await use
        assert not client.indices.exists_alias(name=name)
        client.indices.delete_index_template(name=name)
    await subjects.prepare()
    assert await subjects.record(HIDE)
