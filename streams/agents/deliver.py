"""extractions ─► Elasticsearch and the review queue. An extraction is done when both have what they are owed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sinks.document import Document, from_extraction
from sinks.index import Index
from sinks.queue import ReviewQueue
from streams.agents.resources import Resources
from streams.errors import Retry
from streams.events import Extraction, ReviewTask
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Batcher, BatchStage
from streams.routing import route


async def pipeline(resources: Resources) -> Pipeline[Item[Extraction]]:
    settings = resources.settings
    deliver = Deliver(
        await resources.index(),
        await resources.queue(),
        settings.threshold,
        size=settings.deliver_batch,
        wait_s=settings.deliver_wait_ms / 1000,
    )
    return resources.pipeline("deliver", [Decode(Extraction), deliver], Item[Extraction])


class Deliver(BatchStage[Item[Extraction]]):
    """Routes each extraction, then writes documents and tasks side by side."""

    name = "deliver"

    def __init__(self, index: Index, queue: ReviewQueue, threshold: float | None, *, size: int, wait_s: float) -> None:
        self._index = index
        self._queue = queue
        self._threshold = threshold
        self._size = size
        self._wait_s = wait_s

    def batcher(self) -> Batcher[Item[Extraction]]:
        return MicroBatcher(max_cost=self._size, max_items=self._size, wait_s=self._wait_s, cost=lambda _: 1)

    async def process(self, items: Sequence[Item[Extraction]]) -> None:
        documents: list[Document] = []
        tasks: list[ReviewTask] = []
        unquestioned: list[Extraction] = []
        for item in items:
            routing = route(item.event, self._threshold)
            documents.append(from_extraction(item.event, routing.confident))
            if routing.task is None:
                unquestioned.append(item.event)
            else:
                tasks.append(routing.task)
        writing = asyncio.create_task(self._index.write(documents))
        try:
            await self._queue.withdraw(unquestioned)
            await self._queue.add(tasks)
        finally:  # never leave a write running that a repeat would race with
            await asyncio.wait([writing])
        outcomes = writing.result()
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.kind == "rejected":
                item.fail(self.name, outcome.reason or "the index refused the document", "IndexRejected")
        busy = [outcome for outcome in outcomes if outcome.kind == "retry"]
        if busy:  # all of it again: what was written is stale by then, and costs little
            raise Retry(f"the index put off {len(busy)} of {len(items)} documents: {busy[0].reason}")
