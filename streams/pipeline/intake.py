"""Moves events from a Faust stream into a pipeline.

Nothing here may raise for a single event. Faust acknowledges an event whose agent raises, so the event would be lost
(docs/delivery.md).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal

from faust.streams import Stream
from faust.types import EventT

from streams import metrics
from streams.pipeline.item import Origin
from streams.pipeline.pipeline import Pipeline

log = logging.getLogger(__name__)


class Intake:
    """The gate between Faust and a pipeline. After `shut` it takes no more events, so the pipeline can drain."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._chain = Chain()

    def shut(self) -> None:
        self._open.clear()

    async def pour(self, stream: Stream[Any], pipeline: Pipeline[Any]) -> None:
        """Submits events until the stream ends."""
        events = stream.noack()
        async for event in events.events():
            await self._open.wait()
            message: Any = event.message
            match self._chain.add((message.topic, message.partition), message.epoch, message.before, message.offset):
                case "next":
                    await pipeline.submit(_origin(event), lambda event=event: events.ack(event))  # type: ignore[misc]
                case "missed":
                    metrics.OFFSET_RESETS.labels(pipeline.name, "missed").inc()
                    log.error(
                        "%s/%d: an event before offset %d never arrived; they are read again",
                        message.topic,
                        message.partition,
                        message.offset,
                    )
                    consumer: Any = stream.app.consumer
                    consumer.misplaced(message.tp, message.epoch)


class Chain:
    """The second line of defence: notices an event that was read from Kafka and never came here.

    Each event names the one that was handed on before it. The first after a positioning names none.
    """

    def __init__(self) -> None:
        self._newest: dict[tuple[str, int], tuple[int, int | None]] = {}  # partition -> epoch, offset
        self._broken: dict[tuple[str, int], int] = {}  # partition -> epoch

    def add(
        self, partition: tuple[str, int], epoch: int, before: int | None, offset: int
    ) -> Literal["next", "missed", "stale"]:
        """Returns "missed" once for each epoch. "stale" events come again, or have come already."""
        newest_epoch, newest = self._newest.get(partition, (-1, None))
        if epoch < newest_epoch or self._broken.get(partition) == epoch:
            return "stale"
        if before != (newest if epoch == newest_epoch else None):
            self._newest[partition] = epoch, newest if epoch == newest_epoch else None
            self._broken[partition] = epoch
            return "missed"
        self._newest[partition] = epoch, offset
        return "next"


def _origin(event: EventT[Any]) -> Origin:
    message: Any = event.message
    return Origin(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        timestamp=message.timestamp,
        generation=message.epoch,
    )
