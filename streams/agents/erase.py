"""tombstones ─► standings, and from there all stores: erases posts, hides them, and shows them again.

An event is recorded first. What follows from it is applied to the posts that the index holds. Posts that are on their
way find the standing when they arrive (`streams.agents.deliver`, `streams.agents.decide`). An author's posts that only
the queue holds are left to the sweep (`streams.retention`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from core.lifecycle import Lifecycle
from core.terms import UNKNOWN, UNLISTED, Sources
from sinks.index.index import Index
from sinks.index.subjects import Subjects
from streams import metrics
from streams.agents.apply import Apply
from streams.agents.names import AgentName
from streams.agents.resources import Resources
from streams.pipeline.decode import Decode
from streams.pipeline.item import Item
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage

WORKERS = 8
"""Number of events that are applied at the same time. Their order does not count."""


async def pipeline(resources: Resources) -> Pipeline[Item[Lifecycle]]:
    erase = Erase(
        await resources.index(), await resources.subjects(), await resources.apply(), sources=resources.sources
    )
    return resources.pipeline(AgentName.ERASE, [Decode(Lifecycle), erase], Item[Lifecycle])


class Erase(Stage[Item[Lifecycle]]):
    """Records a lifecycle event, then applies it to the subject's posts."""

    name = "erase"
    workers = WORKERS

    def __init__(
        self,
        index: Index,
        subjects: Subjects,
        apply: Apply,
        clock: Callable[[], float] = time.time,
        sources: Sources = UNLISTED,
    ) -> None:
        """`clock` gives Unix time. `sources`: the terms."""
        self._index = index
        self._subjects = subjects
        self._apply = apply
        self._clock = clock
        self._sources = sources
        for source in {*self._sources.listed, UNKNOWN}:  # a counter that appears later hides its first increase
            metrics.ERASE_DEADLINE.labels(source).set(self._deadline_s(source))
            metrics.ERASE_NEAR.labels(source)

    async def process(self, item: Item[Lifecycle]) -> None:
        event = item.event
        changed = int(await self._subjects.record(event))
        if event.kind != "scrub_geo":  # we store no places
            changed += await self._apply_to_posts(event)
        if changed:  # a replay measures nothing
            self._measure(event, item.origin.timestamp)

    def _measure(self, event: Lifecycle, recorded: float) -> None:
        """`recorded`: Unix time of the event's record in Kafka. A platform's clock may be ahead of it."""
        began = recorded if event.at is None else min(event.at.timestamp(), recorded)
        took = max(0.0, self._clock() - began)
        source = self._sources.name_of(event.source)  # a metric takes no text of strangers
        metrics.ERASE_SECONDS.labels(source).observe(took)
        if took > self._deadline_s(source) / 2:
            metrics.ERASE_NEAR.labels(source).inc()

    def _deadline_s(self, source: str) -> float:
        return 3600 * self._sources.of(source).delete_within_hours

    async def _apply_to_posts(self, event: Lifecycle) -> int:
        """Applies what is known of the subject, also if this event is an old one: an earlier try may have failed."""
        if event.post is not None:
            return await self._apply.apply([event.post])
        assert event.author is not None
        changed = 0
        async for posts in self._index.posts_of(event.author):
            changed += await self._apply.apply(posts)
            self.alive()
        return changed
