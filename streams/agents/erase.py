"""tombstones ─► index, queue and compacted topics. All of them forget the post.

The index keeps a marker without content, which nothing can overwrite. The compacted topics get a record with the
post's key and no value. Kafka's compaction then drops the older records of that key.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.events import Tombstone
from sinks.document import from_tombstone
from sinks.index import Index
from sinks.queue import ReviewQueue
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.agents.write import write_one
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage
from streams.producer import Producer
from streams.topics import DECISIONS, EXTRACTIONS


async def pipeline(resources: Resources) -> Pipeline[Item[Tombstone]]:
    names = [resources.settings.name(topic) for topic in (EXTRACTIONS, DECISIONS)]
    erase = Erase(await resources.index(), await resources.queue(), await resources.producer(), names)
    return resources.pipeline(AgentName.ERASE, [Decode(Tombstone), erase], Item[Tombstone])


class Erase(Stage[Item[Tombstone]]):
    """Removes a deleted post. `compacted`: names of the compacted topics that hold records of it."""

    name = "erase"

    def __init__(self, index: Index, queue: ReviewQueue, producer: Producer, compacted: Sequence[str]) -> None:
        self._index = index
        self._queue = queue
        self._producer = producer
        self._compacted = compacted

    async def process(self, item: Item[Tombstone]) -> None:
        await write_one(self._index, from_tombstone(item.event))
        await self._queue.erase(item.event.id)
        for topic in self._compacted:
            await self._producer.send(topic, item.event.id.encode(), None)
