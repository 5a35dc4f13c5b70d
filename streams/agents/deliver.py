"""extractions ─► Elasticsearch and the review queue. An extraction is done when both have stored it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from core.errors import Reject, Retry
from core.events import Extraction, ReviewTask
from sinks.document import Document, edit_of, from_extraction
from sinks.index import Index, Outcome
from sinks.queue import ReviewQueue
from streams import metrics
from streams.agents.collisions import collisions, reason
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Batcher, BatchStage
from streams.routing import Routing, route

log = logging.getLogger(__name__)

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
        since_ms = await self._queue.time_ms()  # before the index answers; see `ReviewQueue.add`
        items = await self._apart(items)
        if not items:
            return
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
        busy = {place: outcome for place, outcome in enumerate(outcomes) if outcome.kind == "retry"}
        unasked = set(busy)  # the index may hold a newer one, or this one by another threshold
        for place, held in (await self._held(documents, outcomes)).items():
            if held == documents[place]:
                continue  # its task may still be missing from the queue
            if _is_another_post(documents[place], held):
                self._collided(items[place])
            elif (indexed := self._as_indexed(items[place].event, documents[place], held)) is not None:
                routings[place] = indexed
            else:
                unasked.add(place)
        await self._ask(items, routings, documents, unasked, since_ms)
        if busy:  # retries the whole batch: documents already written are stale then, and cost little
            first = next(iter(busy.values()))
            raise Retry(f"{len(busy)} of {len(items)} documents are not written yet: {first.reason}")

    async def _apart(self, items: Sequence[Item[Extraction]]) -> Sequence[Item[Extraction]]:
        """Returns the items without those that collide with another post. These fail.

        This reads the index before it is written, since a newer model version would overwrite the other post.
        """
        posts = [item.event.tweet for item in items]
        colliding = collisions(posts, await self._index.texts(list({post.id: None for post in posts})))
        for place in sorted(colliding):
            self._collided(items[place])
        return [item for place, item in enumerate(items) if place not in colliding]

    def _collided(self, item: Item[Extraction]) -> None:
        post = item.event.tweet
        metrics.COLLISIONS.inc()
        log.warning("post %s: %s", post.id, why := reason(post))
        item.fail(self.name, Reject(why), "Collision")

    async def _held(self, documents: Sequence[Document], outcomes: Sequence[Outcome]) -> dict[int, Document]:
        """Returns what the index holds in place of each stale document, by the position of that document.

        Raises `Retry` when the index lost a document between the two requests.
        """
        stale = {place: documents[place] for place, outcome in enumerate(outcomes) if outcome.kind == "stale"}
        held = await self._index.held([document.id for document in stale.values()])
        if lost := next((document.id for document in stale.values() if document.id not in held), None):
            raise Retry(f"the index has just lost post {lost}")
        return {place: held[document.id] for place, document in stale.items()}

    def _as_indexed(self, extraction: Extraction, document: Document, held: Document) -> Routing | None:
        """Returns the routing by which the index got this extraction earlier, or None if it holds another one.

        The threshold may have changed since then, and the tasks may be missing from the queue. So the queue must get
        the mentions that the index does not hold. The lowest probability in the index separates the two.
        """
        if held.version != document.version:
            return None
        lowest = min((mention["probability"] for mention in held.body.get("mentions", ())), default=1.0)
        routing = route(extraction, lowest, self._candidate_threshold)
        return routing if from_extraction(extraction, routing.confident) == held else None

    async def _ask(
        self,
        items: Sequence[Item[Extraction]],
        routings: Sequence[Routing],
        documents: Sequence[Document],
        unasked: set[int],
        since_ms: int,
    ) -> None:
        """Queues the tasks, and withdraws old tasks of posts that no longer have a question.

        Only the newest extraction of each post counts. The places in `unasked` change nothing in the queue.
        """
        newest: dict[str, int] = {}
        for item, document in zip(items, documents, strict=True):
            if item.dead is None:
                newest[document.id] = max(document.version, newest.get(document.id, 0))
        tasks: list[ReviewTask] = []
        unquestioned: list[Extraction] = []
        for place, (item, routing, document) in enumerate(zip(items, routings, documents, strict=True)):
            if item.dead or place in unasked or document.version < newest[document.id]:
                continue
            if routing.task is None:
                unquestioned.append(item.event)
            else:
                tasks.append(routing.task)
        await self._queue.add(tasks, unquestioned, since_ms)


def _is_another_post(document: Document, held: Document) -> bool:
    """Whether two documents of one id and edit have different texts. Another worker may have written the held one."""
    same_edit = edit_of(document.version) == edit_of(held.version)
    return same_edit and document.body.get("text") != held.body.get("text")


def _count(routing: Routing) -> None:
    metrics.count_mentions("index", len(routing.confident))
    for question in routing.task.questions if routing.task else ():
        metrics.count_mentions("candidate" if question.is_candidate else "review")
