"""From a Faust stream into a pipeline. Nothing here can raise for one event: an exception that escapes an agent makes
Faust acknowledge the event and lose it (docs/delivery.md)."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.streams import Stream
from faust.types import EventT

from streams.pipeline.item import Origin
from streams.pipeline.pipeline import Pipeline


class Intake:
    """The gate between Faust and the pipeline. `shut` it to stop taking events while what is inside drains."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def shut(self) -> None:
        self._open.clear()

    async def pour(self, stream: Stream[Any], pipeline: Pipeline[Any]) -> None:
        """Runs until the stream ends."""
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
