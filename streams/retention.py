"""Retention: how long posts stay in the index and the queue, counted from when they were received.

A sweep deletes posts that are too old. The agents deliver and decide pass over later records of such posts, for example
in a replay. A worker's sweep also compares the tasks in the queue with what platforms have said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.errors import first_line
from core.events import Tweet
from core.terms import Sources
from sinks.index.expiry import expired, is_old, undated
from sinks.index.index import Index
from sinks.index.scan import count, delete, found
from sinks.queue.queue import ReviewQueue
from streams import metrics
from streams.producer import Producer

log = logging.getLogger(__name__)

PAGE = 500
"""Posts that a sweep deletes at once."""

EVERY_S = 3600.0
"""Time, in seconds, between two sweeps of a worker."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Retention:
    """The age at which posts go. `days` None keeps them for ever."""

    days: float | None
    clock: Callable[[], datetime] = _now

    @property
    def cutoff(self) -> datetime | None:
        """The moment before which received posts are too old."""
        return None if self.days is None else self.clock() - timedelta(days=self.days)

    def is_over(self, post: Tweet) -> bool:
        """Whether the post is too old. One without any date never is."""
        cutoff, received = self.cutoff, post.received_at or post.created_at
        return cutoff is not None and received is not None and received < cutoff

    def was_over(self, post: Tweet, at_s: float) -> bool:
        """Whether the post was too old at this Unix time, in seconds."""
        return Retention(self.days, lambda: datetime.fromtimestamp(at_s, UTC)).is_over(post)


@dataclass(frozen=True)
class Swept:
    """What a sweep deleted, or would delete."""

    posts: int
    #: Tasks that were in the queue without a post of that age in the index, or against the terms of their source.
    tasks: int
    #: Posts that stay, since they have no date.
    undated: int


class Sweeper:
    """Deletes posts that are too old, and tasks that the terms of their source forbid.

    For each post, the queue comes first, then the record in `decisions`, and the document last. So the next sweep finds
    a post that an interrupted sweep left. A post stays if the queue has a newer edit of it.
    """

    def __init__(
        self,
        index: Index,
        queue: ReviewQueue,
        producer: Producer,
        decisions: str,
        retention: Retention,
        sources: Sources,
        compare: Callable[[Sequence[Tweet]], Awaitable[int]] | None = None,
    ) -> None:
        """`decisions`: name of the topic. `compare` makes posts follow what platforms have said, and returns the
        number of changes.
        """
        self._index = index
        self._queue = queue
        self._producer = producer
        self._decisions = decisions
        self._retention = retention
        self._sources = sources
        self._compare = compare

    async def sweep(self, *, dry_run: bool = False, on_page: Callable[[int], None] = lambda _: None) -> Swept:
        """Deletes posts and tasks, or only counts them (`dry_run`). `on_page` gets the number of posts deleted so far.

        Raises `Retry` and `Stop` as index, queue and producer do. The next sweep finds the rest.
        """
        cutoff, posts, without_date = self._retention.cutoff, 0, 0
        if cutoff is not None:
            without_date = await count(self._index, undated())
            metrics.UNDATED.set(without_date)
            if dry_run:
                posts = await count(self._index, expired(cutoff))
            else:
                async for ids in self._index.pages(expired(cutoff), PAGE):
                    posts += await self._delete(ids, cutoff)
                    on_page(posts)
        return Swept(posts, await self._tasks(dry_run=dry_run), without_date)

    async def _delete(self, ids: Sequence[str], cutoff: datetime) -> int:
        """Deletes these posts. Those that changed since they were found stay, unless they are still too old."""
        present = await found(self._index, ids, ["received_at", "created_at", "erased", "edit"])
        old = [post for post in present if is_old(post.body, cutoff)]
        forgotten = await self._queue.forget({post.id: post.body.get("edit", 0) for post in old})
        old = [post for post in old if post.id in forgotten]
        await asyncio.gather(*(self._producer.send(self._decisions, post.id.encode(), None) for post in old))
        deleted = await delete(self._index, old)
        metrics.EXPIRED.labels("post").inc(deleted)
        return deleted

    async def _tasks(self, *, dry_run: bool) -> int:
        """Deletes tasks that were added while their post was deleted, and tasks that the terms forbid by now.

        This includes hidden tasks, waiting tasks, and decided copies.
        """
        gone: set[str] = set()
        async for tasks in self._queue.kept():
            void = {task.tweet.id: task.tweet.edit for task in tasks if self._is_void(task.tweet)}
            fresh = (set(void) if dry_run else await self._queue.forget(void)) - gone
            gone |= fresh
            if not dry_run:
                metrics.EXPIRED.labels("task").inc(len(fresh))
                await self._follow([task.tweet for task in tasks if task.tweet.id not in void])
        if not dry_run:
            await self._queue.copies.end()
        return len(gone)

    async def _follow(self, posts: Sequence[Tweet]) -> None:
        """Mends what Redis has lost, and applies events of authors to posts that only the queue holds."""
        if self._compare is not None and posts and (changes := await self._compare(posts)):
            log.info("the sweep made %d changes in index and queue, to match what platforms said about posts", changes)

    def _is_void(self, post: Tweet) -> bool:
        return self._retention.is_over(post) or not self._sources.of(post.source).may_show_text

    async def keep_up(self, every_s: float = EVERY_S) -> None:
        """Sweeps every `every_s` seconds, until cancelled. Logs a failure and tries again at the next sweep."""
        while True:
            try:
                swept = await self.sweep()
            except Exception as error:  # no fault here may end the worker, which does other work
                log.warning("a sweep of index and queue did not finish; the next one goes on: %s", first_line(error))
            else:
                if swept.posts or swept.tasks:
                    log.info("deleted %d posts that are too old, and %d tasks", swept.posts, swept.tasks)
            await asyncio.sleep(every_s)
