"""The sinks on real servers, for the tests of this family."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sinks.index import Index
from sinks.queue import ReviewQueue
from streams.settings import Settings


@pytest.fixture
async def index(settings: Settings) -> AsyncIterator[Index]:
    made = Index(str(settings.elasticsearch), settings.name("mentions"))
    await made.prepare()
    yield made
    await made.close()


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[ReviewQueue]:
    made = ReviewQueue(str(settings.redis), settings.name("review:"))
    yield made
    await made.close()
