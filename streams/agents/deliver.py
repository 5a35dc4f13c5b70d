"""extractions ─► Elasticsearch and the review queue. An extraction is done when both have stored it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from core.errors import Reject, Retry
from core.events import HIGHEST_THRESHOLD, Extraction, ReviewTask
from core.standing import Fate, Published
from core.terms import UNLISTED, Sources
from sinks.index.document import ERASED_EDIT, Document, edit_of, from_extraction, is_same
from sinks.index.index import Index, Outcome
from sinks.queue.queue import ReviewQueue
from streams import metrics
from streams.agents.apply import Apply
from streams.agents.collisions import collisions, reason
from streams.agents.copies import CopySettler
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Batcher, BatchStage
from streams.retention import Retention
from streams.routing import Routing, route
from streams.threshold_log import ThresholdLog

log = logging.getLogger(__name__)

FOR_EVER = Retention(None)

BATCH, WAIT_S = 200, 0.05
"""Maximum number of extractions in a batch, and the longest time, in seconds, that one waits for others."""


async def pipeline(resources: Resources) -> Pipeline[Item[Extraction]]:
    settings = resources.settings
    deliver = Deliver(
        await resources.index(),
        await resources.queue(),
        await resources.apply(),
        settings.threshold,
        settings.candidate_threshold,
        resources.sources,
        resources.retention,
        copies=await resources.copies(),
        spot_check_share=settings.spot_check_share,
        thresholds=await resources.thresholds() if settings.threshold is None else None,
    )
    return resources.pipeline(AgentName.DELIVER, [Decode(Extraction, erasable=True), deliver], Item[Extraction])


class Deliver(BatchStage[Item[Extraction]]):
    """Routes each extraction, writes the documents, then queues the tasks of documents that are not outdated.

    Posts that were erased do not come so far. After the writes, it applies what platforms have said meanwhile.
    """

    name = "deliver"

    def __init__(
        self,
        index: Index,
        queue: ReviewQueue,
        apply: Apply,
        threshold: float | None,
        candidate_threshold: float | None,
        sources: Sources = UNLISTED,
        retention: Retention = FOR_EVER,
        *,
        copies: CopySettler | None = None,
        spot_check_share: float = 0.0,
        thresholds: ThresholdLog | None = None,
        batch: int = BATCH,
        wait_s: float = WAIT_S,
    ) -> None:
        self._index = index
        self._queue = queue
        self._apply = apply
        self._threshold, self._candidate_threshold = threshold, candidate_threshold
        self._sources, self._retention = sources, retention
        self._copies, self._spot_check_share = copies, spot_check_share
        self._thresholds = thresholds if threshold is None else None  # that of the settings wins
        self._batch, self._wait_s = batch, wait_s

    def batcher(self) -> Batcher[Item[Extraction]]:
        return MicroBatcher(max_cost=self._batch, max_items=self._batch, wait_s=self._wait_s, cost=lambda _: 1)

    async def process(self, items: Sequence[Item[Extraction]]) -> None:
        since_ms = await self._queue.time_ms()  # before the index answers; see `ReviewQueue.add`
        fates = self._young(await self._lasting(items))
        items = list(fates)
        if not items:
            return
        if self._thresholds is not None:
            await self._thresholds.follow(item.event for item in items)
        routings = [self._route(item.event, self._limit(item)) for item in items]
        documents = [
            from_extraction(item.event, routing.confident).with_hidden(fates[item] == "hidden")
            for item, routing in zip(items, routings, strict=True)
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
            if is_same(held, documents[place]):
                continue  # its task may still be missing from the queue
            if _is_another_post(documents[place], held):
                self._collided(items[place])
            elif (indexed := self._as_indexed(items[place].event, documents[place], held)) is not None:
                routings[place] = indexed
            else:
                unasked.add(place)
        if hidden := [item.event.tweet.id for item, fate in fates.items() if fate == "hidden"]:
            await self._queue.hide(*hidden)  # first, so that nobody sees their tasks
        await self._ask(items, routings, documents, unasked, since_ms)
        await self._apply.after_writing(
            {
                Published.of(item.event.tweet): fates[item] if outcome.kind == "written" else None
                for item, outcome in zip(items, outcomes, strict=True)
                if item.dead is None
            }
        )
        if busy:  # retries the whole batch: documents already written are stale then, and cost little
            first = next(iter(busy.values()))
            raise Retry(f"{len(busy)} of {len(items)} documents are not written yet: {first.reason}")

    def _young(self, fates: dict[Item[Extraction], Fate]) -> dict[Item[Extraction], Fate]:
        """Returns the items whose posts are not too old for the index. A replay must not bring the others back."""
        young = {item: fate for item, fate in fates.items() if not self._retention.is_over(item.event.tweet)}
        metrics.EXPIRED.labels("extraction").inc(len(fates) - len(young))
        return young

    def _limit(self, item: Item[Extraction]) -> float | None:
        """Returns the threshold of an extraction: that of the settings, or the one that follows people's answers."""
        if self._thresholds is None:
            return self._threshold
        return self._thresholds.threshold(item.event, item.origin.timestamp)

    def _route(self, extraction: Extraction, threshold: float | None) -> Routing:
        """Routes the mentions. If the source's terms let nobody see the text, nobody is asked."""
        follows = self._thresholds is not None and extraction.promised is not None
        routing = route(extraction, threshold, self._candidate_threshold, self._spot_check_share, follows=follows)
        if routing.task is None or self._sources.of(extraction.tweet.source).may_show_text:
            return routing
        unasked = sum(not question.is_audit for question in routing.task.questions)
        return replace(routing, task=None, unasked=unasked)

    async def _lasting(self, items: Sequence[Item[Extraction]]) -> dict[Item[Extraction], Fate]:
        """Returns the items that are to be written, each with the fate of its post. Erases the erased posts.

        Items that collide with another post fail. This reads the index before it is written, since a newer model
        version would overwrite the other post.
        """
        posts = [item.event.tweet for item in items]
        texts, fates = await asyncio.gather(
            self._index.texts(list({post.id: None for post in posts})),
            self._apply.fates([Published.of(post) for post in posts]),
        )
        erased = {post.id for post, fate in zip(posts, fates, strict=True) if fate == "erased"}
        erased |= {name for name, (edit, _) in texts.items() if edit == ERASED_EDIT}
        await self._apply.erase(erased, [media.url for post in posts if post.id in erased for media in post.media])
        lasting = {item: fate for item, fate in zip(items, fates, strict=True) if item.event.tweet.id not in erased}
        colliding = collisions([item.event.tweet for item in lasting], texts)
        for place, item in enumerate(lasting):
            if place in colliding:
                self._collided(item)
        return {item: fate for item, fate in lasting.items() if item.dead is None}

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
        indexed = [mention["probability"] for mention in held.body.get("mentions", ())]
        routing = self._route(extraction, min(*indexed, HIGHEST_THRESHOLD) if indexed else 1.0)
        return routing if is_same(from_extraction(extraction, routing.confident), held) else None

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
        if self._copies is not None:
            await self._copies.queued(tasks)


def _is_another_post(document: Document, held: Document) -> bool:
    """Whether two documents of one id and edit have different texts. Another worker may have written the held one."""
    same_edit = edit_of(document.version) == edit_of(held.version)
    return same_edit and document.body.get("text") != held.body.get("text")


def _count(routing: Routing) -> None:
    metrics.count_mentions("index", len(routing.confident))
    metrics.UNASKED.labels("terms").inc(routing.unasked)
    for question in routing.task.questions if routing.task else ():
        metrics.count_mentions("audit" if question.is_audit else "candidate" if question.is_candidate else "review")
