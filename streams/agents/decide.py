"""decisions ─► index and queue. A person's decision on a task wins over the model, also in a replay.

A vote that leaves the task open changes only the queue. Answers about drawn mentions move the thresholds.
"""

from __future__ import annotations

from core.events import Decision
from core.standing import Published
from core.terms import UNLISTED, Sources
from sinks.index.document import Document, from_decision, stamp_ms
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from streams import metrics
from streams.agents.apply import Apply
from streams.agents.copies import CopySettler
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.agents.write import write_one
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage
from streams.producer import Producer
from streams.retention import Retention
from streams.threshold_log import ThresholdLog
from streams.topics import DECISIONS


async def pipeline(resources: Resources) -> Pipeline[Item[Decision]]:
    decide = Decide(
        await resources.index(),
        await resources.queue(),
        await resources.apply(),
        await resources.producer(),
        resources.settings.name(DECISIONS),
        resources.retention,
        await resources.copies(),
        resources.sources,
        await resources.thresholds(),
    )
    return resources.pipeline(AgentName.DECIDE, [Decode(Decision, erasable=True), decide], Item[Decision])


class Decide(Stage[Item[Decision]]):
    """Applies one decision at a time, so that decisions on one post keep their order.

    A decision is done when the decisions on copies of its post are on the topic.
    """

    name = "decide"

    def __init__(
        self,
        index: Index,
        queue: ReviewQueue,
        apply: Apply,
        producer: Producer,
        topic: str,
        retention: Retention,
        copies: CopySettler | None = None,
        sources: Sources = UNLISTED,
        thresholds: ThresholdLog | None = None,
    ) -> None:
        """`topic`: the name of the topic that holds the decisions."""
        self._index = index
        self._queue = queue
        self._apply = apply
        self._producer = producer
        self._topic = topic
        self._retention = retention
        self._copies = copies
        self._sources = sources
        self._thresholds = thresholds

    async def process(self, item: Item[Decision]) -> None:
        decision = item.event
        post = Published.of(decision.task.tweet)
        (fate,) = await self._apply.fates([post])
        if fate == "erased":
            await self._apply.erase([post.id], [media.url for media in decision.task.tweet.media])
            return
        if self._retention.is_over(decision.task.tweet):
            await self._pass_over(item)
            return
        document, was_written = from_decision(decision).with_hidden(fate == "hidden"), False
        is_partial = decision.kind in {"answer", "vote"}
        if not is_partial or (decision.kind == "answer" and await self._is_settled(document)):
            was_written = await write_one(self._index, document)
        stamp = stamp_ms(decision.decided_at)
        if fate == "hidden":
            await self._queue.hide(post.id)
        may_show = self._sources.of(decision.task.tweet.source).may_show_text
        if decision.kind == "settle":
            await self._queue.settle(decision.task, stamp, keep=may_show)
        elif decision.kind == "answer" and may_show:
            await self._queue.answer(decision, stamp)
        elif may_show and (decision.kind == "vote" or decision.votes):
            await self._queue.votes.apply(decision)
        elif may_show:
            await self._queue.reopen(decision.task, stamp, is_copy=decision.copy_of is not None)
        is_whole = decision.kind != "answer"  # the copies of an answered post wait for the rest
        if self._copies is not None and may_show and is_whole:  # the queue keeps the text of what it applies to copies
            await self._copies.decided(decision, self.alive)
        if self._thresholds is not None:
            await self._thresholds.store(decision)
        await self._apply.after_writing({post: fate if was_written else None})

    async def _is_settled(self, document: Document) -> bool:
        """Whether the index holds an earlier decision that settles the post.

        An answer leaves the index as it is. But it may follow a retraction that compaction has dropped.
        """
        held = (await self._index.held([document.id])).get(document.id)
        return held is not None and held.body.get("source") == "human" and held.version < document.version

    async def _pass_over(self, item: Item[Decision]) -> None:
        """Removes a decision from its topic that was made after its post was deleted.

        A decision that came in time is one that a replay reads again. Its post was deleted later, and a newer decision
        on a newer edit may follow it, so the topic stays as it is.
        """
        metrics.EXPIRED.labels("decision").inc()
        if self._retention.was_over(item.event.task.tweet, item.origin.timestamp):
            await self._producer.send(self._topic, item.event.task.tweet.id.encode(), None)
