"""What the pages of the desk use: index, queue, topic of decisions, images. One of each for a whole process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from core.ending import end
from core.errors import Reject, Retry, Stop
from core.events import Decision
from core.terms import Sources
from core.threads import Threads
from desk.entities.store import NameCorrections
from desk.images import Images
from desk.overview.thresholds import ThresholdWatch
from review.decision_topic import DecisionTopic
from sinks.connect.kafka import Brokers
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import servers, topics
from streams.settings import Settings
from streams.terms import load_sources

log = logging.getLogger(__name__)

READINGS = 4
"""Readings of Kafka at the same time that requests wait for. Further ones wait."""

REGROUP_AGAIN_S = 30.0
"""Time, in seconds, after which the desk tries again to group old tasks by name."""


class LazyDecisionTopic:
    """Connects to Kafka at the first decision. So the desk starts, and searches, while Kafka is away."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._brokers, self._topic = brokers, topic
        self._connected: DecisionTopic | None = None
        self._connecting, self._threads = asyncio.Lock(), Threads("decisions-connect", 1)

    async def publish(self, decision: Decision) -> None:
        """Returns when the brokers have stored the decision. Raises `Retry` when they do not confirm it in time."""
        async with self._connecting:
            if self._connected is None:
                self._connected = await self._threads.run(DecisionTopic, self._brokers, self._topic)
        await self._connected.publish(decision)

    async def close(self) -> None:
        if self._connected is not None:
            await self._connected.close()


@dataclass(frozen=True)
class Services:
    """What the pages use. `open_services` makes it."""

    settings: Settings
    sources: Sources
    index: Index
    queue: ReviewQueue
    decisions: LazyDecisionTopic
    images: Images
    corrections: NameCorrections
    thresholds: ThresholdWatch
    #: For readings of Kafka that a request waits for.
    readings: Threads


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Opens everything. Waits for no server: one that is away fails the pages that need it, and no other.

    Raises `UserError` when the settings name no server and none runs locally, or when they do not fit together.
    """
    addresses = servers.addresses(settings)
    async with AsyncExitStack() as stack:
        index = Index(addresses.elasticsearch, settings.name("mentions"))
        stack.push_async_callback(index.close)
        queue = ReviewQueue(addresses.redis, settings.name("review:"))
        stack.push_async_callback(queue.close)
        regrouping = asyncio.create_task(_regroup(queue))
        stack.push_async_callback(end, [regrouping])
        decisions = LazyDecisionTopic(addresses.kafka, settings.name(topics.DECISIONS))
        stack.push_async_callback(decisions.close)
        images = await stack.enter_async_context(Images(settings.image, settings.home))
        corrections = NameCorrections(addresses.kafka, settings.name(topics.DESK))
        stack.push_async_callback(corrections.close)
        corrections.start()
        thresholds = ThresholdWatch(addresses.kafka, settings.name(topics.THRESHOLDS))
        stack.push_async_callback(thresholds.close)
        thresholds.start()
        readings = Threads("readings", READINGS)
        sources = load_sources(settings)
        yield Services(settings, sources, index, queue, decisions, images, corrections, thresholds, readings)


async def _regroup(queue: ReviewQueue) -> None:
    """Groups the tasks that an older program added, for `/review/words`. Waits for a Redis that is away."""
    while True:
        try:
            await queue.regroup()
            return
        except Retry:
            await asyncio.sleep(REGROUP_AGAIN_S)
        except (Reject, Stop) as error:
            log.warning("tasks of older versions are not grouped by name: %s", error)
            return
