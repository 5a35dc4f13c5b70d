"""Reads Kafka's figures in the background while somebody looks at the overview, since the brokers take their time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from core.ending import end
from core.errors import Retry, Stop, UserError, first_line
from core.threads import Threads
from sinks import dead_letters
from sinks.connect.kafka import Brokers
from streams import lag, topics
from streams.agents.names import AgentName
from streams.settings import Settings

T = TypeVar("T")

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""Seconds between two readings."""

UNWATCHED_S = 120.0
"""Seconds without a look, after which the readings pause."""

FIRST_S = 0.3
"""Longest time, in seconds, that a page waits for the first reading."""

KEPT = 60
"""Readings that are kept, for the pace."""

DEAD_LETTERS = 2_000
"""Dead letters of each partition that are counted, the newest ones."""


@dataclass(frozen=True)
class Known(Generic[T]):
    """A figure, or why it is not known. It has neither until it is read for the first time."""

    value: T | None = None
    problem: str = ""


@dataclass(frozen=True)
class Flow:
    """The agents' consumer groups."""

    lags: dict[AgentName, int]
    workers: dict[AgentName, int]
    arrived: float | None  # posts per second
    done: float | None  # posts per second that the extract agent finished


class KafkaWatch:
    """An async context manager. Each figure fails on its own, and stays the last one until the next reading."""

    def __init__(self, brokers: Brokers, settings: Settings) -> None:
        self._brokers, self._settings = brokers, settings
        self._readings: deque[lag.Reading] = deque(maxlen=KEPT)
        self._flow = Known[Flow]()
        self._dead = Known[dead_letters.Tally]()
        self._threads = Threads("overview", 2)
        self._looked_at = time.monotonic()
        self._wanted, self._first = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        await end([self._task])

    async def figures(self) -> tuple[Known[Flow], Known[dead_letters.Tally]]:
        """Returns the latest reading. Waits a moment for the first one. Readings go on for a while after each look."""
        self._looked_at = time.monotonic()
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._first.wait()
        return self._flow, self._dead

    async def _read_on(self) -> None:
        while True:
            self._flow, self._dead = await asyncio.gather(self._known(self._read_flow), self._known(self._count_dead))
            self._first.set()
            await asyncio.sleep(EVERY_S)
            if time.monotonic() - self._looked_at > UNWATCHED_S:
                self._readings.clear()
                self._wanted.clear()
                await self._wanted.wait()

    def _read_flow(self) -> Flow:
        reading = lag.read(self._brokers, self._settings)
        before = self._readings[0] if self._readings else reading
        self._readings.append(reading)
        return Flow(reading.lags, reading.workers, reading.arrived(before), reading.done(before))

    def _count_dead(self) -> dead_letters.Tally:
        return dead_letters.count(self._brokers, self._settings.name(topics.DEAD), DEAD_LETTERS)

    async def _known(self, read: Callable[[], T]) -> Known[T]:
        try:
            return Known(await self._threads.run(read))
        except (Retry, Stop, UserError, topics.Unreachable) as error:
            return Known(problem=first_line(error))
        except Exception:  # a fault of ours must not end the readings, whose last figures would stay on the page
            log.exception("a figure of Kafka cannot be read")
            return Known(problem="a fault of the desk; its log has the details")
