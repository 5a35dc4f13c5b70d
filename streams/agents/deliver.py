"""extractions ─► Elasticsearch and the review queue. An extraction is done when both have stored it."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import Retry
from core.events import Extraction, ReviewTask
from sinks.document import Document, from_extraction
from sinks.index import Index, Outcome
from sinks.queue import ReviewQueue
from streams import metrics
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Batcher, BatchStage
from streams.routing import Routing, route

BATCH, WAIT_S = 200, 0.05
"""Maximum number of extractions in a batch, and the longest time, in seconds, that one waits for others."""


async def pipeline(resources: Resources) -> Pipeline[Item[Extraction]]:
    settings = resources.settings
    deliver = Deliver(
        await resources.index(),
        await resources.queue(),
        settings.threshold,
        settings.candidate_threshold,
    )
    return resources.pipeline(AgentName.DELIVER, [Decode(Extraction, erasable=True), deliver], Item[Extraction])


class Deliver(BatchStage[Item[Extraction]]):
    """Routes each extraction, writes the documents, then queues the tasks of documents that are not outdated."""

    name = "deliver"

    def __init__(
        self,
        index: Index,
        queue: ReviewQueue,
        threshold: float | None,
        candidate_threshold: float | None,
        *,
        batch: int = BATCH,
        wait_s: float = WAIT_S,
    ) -> None:
        self._index = index
        self._queue = queue
        self._threshold, self._candidate_threshold = threshold, candidate_threshold
        self._batch, self._wait_s = batch, wait_s

    def batcher(self) -> Batcher[Item[Extraction]]:
        return MicroBatcher(max_cost=self._batch, max_items=self._batch, wait_s=self._wait_s, cost=lambda _: 1)

    async def process(self, items: Sequence[Item[Extraction]]) -> None:
        routings = [route(item.event, self._threshold, self._candidate_threshold) for item in items]
        documents = [
            from_extraction(item.event, routing.confident) for item, routing in zip(items, routings, strict=True)
        ]
        outcomes = await self._index.write(documents)
        for item, routing, outcome in zip(items, routings, outcomes, strict=True):
            if outcome.kind == "rejected":
                item.fail(self.name, outcome.error(outcome.reason or "the index refused the document"), "IndexRejected")
            elif outcome.kind == "written":
                _count(routing)
        await self._ask(items, routings, documents, await self._outdated(documents, outcomes))
        busy = [outcome for outcome in outcomes if outcome.kind == "retry"]
        if busy:  # retries the whole batch: documents already written are stale then, and cost little
            raise Retry(f"{len(busy)} of {len(items)} documents are not written yet: {busy[0].reason}")

    async def _outdated(self, documents: Sequence[Document], outcomes: Sequence[Outcome]) -> set[int]:
        """Returns the positions of stale documents that differ from the document in the index.

        A stale document that equals the one in the index is not outdated. Its task may still be missing from the queue.
        Raises `Retry` when the index lost a document between the two requests.
        """
        stale = {place: documents[place] for place, outcome in enumerate(outcomes) if outcome.kind == "stale"}
        held = await self._index.held([document.id for document in stale.values()])
        if lost := next((document.id for document in stale.values() if document.id not in held), None):
            raise Retry(f"the index has just lost post {lost}")
        return {place for place, document in stale.items() if held.get(document.id) != document}

    async def _ask(
        self,
        items: Sequence[Item[Extraction]],
        routings: Sequence[Routing],
        documents: Sequence[Document],
        outdated: set[int],
    ) -> None:
        """Queues the tasks, and withdraws old tasks of posts that no longer have a question.

        Only the newest extraction of each post counts. An outdated extraction changes nothing in the queue.
        """
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
        await self._queue.add(tasks, unquestioned)


def _count(routing: Routing) -> None:
    metrics.count_mentions("index", len(routing.confident))
    for question in routing.task.questions if routing.task else ():
        metrics.count_mentions("candidate" if question.is_candidate else "review")
