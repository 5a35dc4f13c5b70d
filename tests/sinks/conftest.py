"""The sinks on real servers, each test with names of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sinks.index import Index
from sinks.queue import ReviewQueue
from streams.settings import Settings


class Clock:
    """Unix milliseconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def index(settings: Settings) -> AsyncIterator[Index]:
    made = Index(str(settings.elasticsearch), settings.name("mentions"))
    await made.prepare()
    yield made
    await made.close()


@pytest.fixture
async def queue(settings: Settings, clock: Clock) -> AsyncIterator[ReviewQueue]:
    made = ReviewQueue(str(settings.redis), settings.name("review:"), clock)
    yield made
    await made.close()
