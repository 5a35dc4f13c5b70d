"""tombstones ─► index and queue forget the tweet: a marker without content stays, which nothing can overwrite."""

from __future__ import annotations

from sinks.document import from_tombstone
from sinks.index import Index
from sinks.queue import ReviewQueue
from streams.agents.resources import Resources
from streams.agents.write import write_one
from streams.events import Tombstone
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage


async def pipeline(resources: Resources) -> Pipeline[Item[Tombstone]]:
    erase = Erase(await resources.index(), await resources.queue())
    return resources.pipeline("erase", [Decode(Tombstone), erase], Item[Tombstone])


class Erase(Stage[Item[Tombstone]]):
    name = "erase"

    def __init__(self, index: Index, queue: ReviewQueue) -> None:
        self._index = index
        self._queue = queue

    async def process(self, item: Item[Tombstone]) -> None:
        await write_one(self._index, from_tombstone(item.event))
        await self._queue.erase(item.event.id)
