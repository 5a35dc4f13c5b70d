"""extractions ─► Elasticsearch and the review queue. An extraction is done when both have what they are owed."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import Retry
from core.events import Extraction, ReviewTask
from sinks.document import Document, from_extraction
from sinks.index import Index, Outcome
from sinks.queue import ReviewQueue
from streams import metrics
from streams.agents.resources import Resources
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Batcher, BatchStage
from streams.routing import Routing, route


async def pipeline(resources: Resources) -> Pipeline[Item[Extraction]]:
    settings = resources.settings
    deliver = Deliver(
        await resources.index(),
        await resources.queue(),
        settings.threshold,
        settings.candidate_threshold,
        size=settings.deliver.batch,
        wait_s=settings.deliver.wait_ms / 1000,
    )
    return resources.pipeline("deliver", [Decode(Extraction, erasable=True), deliver], Item[Extraction])


class Deliver(BatchStage[Item[Extraction]]):
    """Routes each extraction, writes the documents, then the tasks of those that are not outdated."""

    name = "deliver"

    def __init__(
        self,
        index: Index,
        queue: ReviewQueue,
        threshold: float | None,
        candidate_threshold: float | None,
        *,
        size: int,
        wait_s: float,
    ) -> None:
        self._index = index
        self._queue = queue
        self._threshold, self._candidate_threshold = threshold, candidate_threshold
        self._size = size
        self._wait_s = wait_s

    def batcher(self) -> Batcher[Item[Extraction]]:
        return MicroBatcher(max_cost=self._size, max_items=self._size, wait_s=self._wait_s, cost=lambda _: 1)

    async def process(self, items: Sequence[Item[Extraction]]) -> None:
        routings = [route(item.event, self._threshold, self._candidate_threshold) for item in items]
        documents = [
            from_extraction(item.event, routing.confident) for item, routing in zip(items, routings, strict=True)
        ]
        outcomes = await self._index.write(documents)
        for item, routing, outcome in zip(items, routings, outcomes, strict=True):
            if outcome.kind == "rejected":
                item.fail(self.name, outcome.reason or "the index refused the document", "IndexRejected")
            elif outcome.kind == "written":
                _count(routing)
        await self._ask(items, routings, documents, await self._outdated(documents, outcomes))
        busy = [outcome for outcome in outcomes if outcome.kind == "retry"]
        if busy:  # all of it again: what was written is stale by then, and costs little
            raise Retry(f"the index put off {len(busy)} of {len(items)} documents: {busy[0].reason}")

    async def _outdated(self, documents: Sequence[Document], outcomes: Sequence[Outcome]) -> set[int]:
        """Places of readings that count for nothing, since the index holds another, newer or first.

        A stale write may also be this very reading, repeated: then its task may still be owed.
        """
        stale = {place: documents[place] for place, outcome in enumerate(outcomes) if outcome.kind == "stale"}
        held = await self._index.held([document.id for document in stale.values()])
        return {place for place, document in stale.items() if held.get(document.id) != document}

    async def _ask(
        self,
        items: Sequence[Item[Extraction]],
        routings: Sequence[Routing],
        documents: Sequence[Document],
        outdated: set[int],
    ) -> None:
        """The review queue's part: the newest reading of each tweet counts, and an outdated one asks nobody."""
        newest: dict[str, int] = {}
        for document in documents:
            newest[document.id] = max(document.version, newest.get(document.id, 0))
        tasks: list[ReviewTask] = []
        unquestioned: list[Extraction] = []
        for place, (item, routing, document) in enumerate(zip(items, routings, documents, strict=True)):
            if document.version < newest[document.id] or place in outdated or item.dead:
                continue
            if routing.task is None:
                unquestioned.append(item.event)
            else:
                tasks.append(routing.task)
        await self._queue.withdraw(unquestioned)
        await self._queue.add(tasks)


def _count(routing: Routing) -> None:
    questions = routing.task.questions if routing.task else ()
    metrics.MENTIONS.labels("index").inc(len(routing.confident))
    for question in questions:
        metrics.MENTIONS.labels("candidate" if question.is_candidate else "review").inc()
