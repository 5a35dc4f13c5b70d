"""Moves events from a Faust stream into a pipeline.

Nothing here may raise for a single event. Faust acknowledges an event whose agent raises, so the event would be lost
(docs/delivery.md).
"""

from __future__ import annotations

import asyncio
from typing import Any

from faust.streams import Stream
from faust.types import EventT

from streams.pipeline.item import Origin
from streams.pipeline.pipeline import Pipeline


class Intake:
    """The gate between Faust and a pipeline. After `shut` it takes no more events, so the pipeline can drain."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def shut(self) -> None:
        self._open.clear()

    async def pour(self, stream: Stream[Any], pipeline: Pipeline[Any]) -> None:
        """Submits events until the stream ends."""
        events = stream.noack()
        async for event in events.events():
            await self._open.wait()
            await pipeline.submit(_origin(event), lambda event=event: events.ack(event))  # type: ignore[misc]


def _origin(event: EventT[Any]) -> Origin:
    message = event.message
    return Origin(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        timestamp=message.timestamp,
        generation=message.generation_id or 0,
    )
