"""The stores of the agents on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sinks.index.index import Index
from sinks.index.subjects import Subjects
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings
from tests.streams.agents.copying import House, grouping
from tests.streams.agents.test_lifecycle import Stores


@pytest.fixture
async def real(settings: Settings) -> AsyncIterator[Stores]:
    index = Index(str(settings.elasticsearch), settings.name("mentions"))
    subjects = Subjects(str(settings.elasticsearch), settings.name("lifecycle"))
    queue = ReviewQueue(str(settings.redis), settings.name("review:"))
    for alias in (index, subjects):
        await alias.prepare()
    yield Stores(index, queue, subjects, [])
    for each in (index, subjects, queue):
        await each.close()


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    queue = grouping(settings)
    yield House(queue)
    await queue.close()
