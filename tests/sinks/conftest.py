"""The sinks on real servers. Each test has its own index and key names."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings


class Clock:
    """A clock in Unix milliseconds that a test moves."""

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
