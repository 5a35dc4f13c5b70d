"""Erases a post or an author's posts by hand: sends the event, waits for the workers, and returns a receipt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from core.errors import Reject, Retry, UserError
from core.events import explain
from core.lifecycle import Lifecycle
from core.standing import Published, Standing, subject_of
from core.text import one_line
from sinks.index.document import PUBLISHED
from sinks.index.index import PAGE, Index
from sinks.index.subjects import ALIAS, Subjects
from sinks.queue.queue import ReviewQueue
from streams import topics
from streams.producer import Producer
from streams.servers import Addresses, addresses
from streams.settings import Settings

LOOK_S = 0.2
"""Seconds between two checks whether the workers are done."""


@dataclass(frozen=True)
class Found:
    """Counts of what the stores hold of the subject, without markers."""

    documents: int = 0
    tasks: int = 0
    decisions: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.documents or self.tasks or self.decisions)

    def __add__(self, other: Found) -> Found:
        return Found(self.documents + other.documents, self.tasks + other.tasks, self.decisions + other.decisions)


@dataclass(frozen=True)
class Receipt:
    """The outcome of the event. Times are in ISO 8601. `done_at` is None if the workers were not done in time.

    Posts of an author that only the queue holds get events of their own. The author's event is sent after the first
    `sinks.index.index.PAGE` posts are counted. A worker may erase later posts before they are counted, so `found` may
    be too low.
    """

    subject: str
    sent_at: str
    done_at: str | None
    found: Found
    left: Found
    remains: dict[str, str]  # place -> until when it may hold content

    @property
    def done(self) -> bool:
        return self.done_at is not None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def erasing(post: str | None, author: str | None) -> Lifecycle:
    """Returns the event. Raises `UserError` unless exactly one id is given, in the right form."""
    if (post is None) == (author is None):
        raise UserError("name what to forget: either --post ID or --author ID")
    option, value = ("--post", post) if post is not None else ("--author", author)
    try:
        return Lifecycle(
            kind="erase",
            post=post,
            author=author,
            cause="deleted",
            at=datetime.now(UTC),
            source="mner forget",
            reason="erased by hand",
        )
    except ValidationError as error:
        raise UserError(f"{option} {one_line(str(value))!r} is no id: {explain(error)}") from None


async def forget(settings: Settings, event: Lifecycle, wait_s: float) -> Receipt:
    """Sends the event, waits up to `wait_s` seconds until the stores obey it, and returns the receipt.

    Raises `UserError` when topics are missing, and `Retry` or `Stop` when a server fails.
    """
    places = addresses(settings)
    planned = topics.plan(settings)
    if missing := await asyncio.to_thread(topics.missing, places.kafka, planned):
        raise UserError(f"topics are missing: {', '.join(missing)}; create them with `mner topics create`")
    stores = _Stores(settings, places)
    try:
        pages = stores.pages(event)
        posts: list[str] = await anext(pages, [])
        found = total(await stores.holding(posts))
        sent = datetime.now(UTC)
        async with Producer(places.kafka) as producer:
            await _send(producer, settings, event)
            async for page in pages:
                found += total(await stores.holding(page))
                posts += page
            async for page in stores.only_queued(event):
                found += total(await stores.holding(page))
                posts += page
                await asyncio.gather(*(_send(producer, settings, erasing(post, None)) for post in page))
        done, left = await stores.obey(event, posts, wait_s)
    finally:
        await stores.close()
    return Receipt(
        subject_of(event), sent.isoformat(), done.isoformat() if done else None, found, left, _remains(settings, sent)
    )


async def _send(producer: Producer, settings: Settings, event: Lifecycle) -> None:
    try:
        await producer.send(settings.name(topics.TOMBSTONES), event.key, event.encoded())
    except Reject as error:
        raise UserError(str(error)) from None


def _remains(settings: Settings, sent: datetime) -> dict[str, str]:
    """Returns the places that may still hold content once all stores obey, and until when."""
    hour, kept = topics.HOUR_MS, settings.retention_hours
    cached = max(settings.image.cache_hours, settings.vision.cache_hours)

    def until(hours: float) -> str:
        return datetime.fromtimestamp(sent.timestamp() + hours * 3600, UTC).isoformat(timespec="minutes")

    compacted, segment = topics.COMPACT_MS / hour, topics.SEGMENT_MS / hour
    return {
        topics.EXTRACTIONS: f"compacted by about {until(compacted)}, with the next record of the partition after it",
        topics.DECISIONS: f"compacted by about {until(compacted)}, with the next record of the partition after it",
        topics.TWEETS: f"the post itself goes by retention, by about {until(kept + segment)} at the latest",
        topics.DEAD: f"a dead letter of it goes by retention, by about {until(4 * kept + segment)} at the latest",
        "caches": f"images and contexts are gone where it was erased, and everywhere by {until(cached)}",
    }


def total(found: Sequence[Found]) -> Found:
    return sum(found, Found())


class _Stores:
    def __init__(self, settings: Settings, places: Addresses) -> None:
        self._index = Index(places.elasticsearch, settings.name("mentions"))
        self._subjects = Subjects(places.elasticsearch, settings.name(ALIAS))
        self._queue = ReviewQueue(places.redis, settings.name("review:"))

    async def close(self) -> None:
        for each in (self._index, self._subjects, self._queue):
            await each.close()

    async def pages(self, event: Lifecycle) -> AsyncIterator[list[str]]:
        """Yields the ids of the posts that the event reaches now, in pages. Prepares missing indexes."""
        for alias in (self._index, self._subjects):
            await alias.prepare()
        if event.post is not None:
            yield [event.post]
            return
        assert event.author is not None
        standings = {subject_of(event): Standing.of(event)}
        async for page in self._index.posts_of(event.author):
            held = await self._index.held(page, PUBLISHED)
            yield [
                name
                for name, document in held.items()
                if document.erased or document.published.fate(standings) == "erased"
            ]

    async def only_queued(self, event: Lifecycle) -> AsyncIterator[list[str]]:
        """Yields the ids of the author's posts that only the queue holds, in pages. A worker looks in the index alone
        for an author's posts, so each of these needs an event of its own.
        """
        if event.author is None:
            return
        standings, seen = {subject_of(event): Standing.of(event)}, set[str]()
        async for tasks in self._queue.kept():
            posts = [Published.of(task.tweet) for task in tasks if task.tweet.id not in seen]
            names = [post.id for post in posts if post.fate(standings) == "erased"]
            held = await self._index.held(names, ["id"])
            seen |= set(alone := [name for name in dict.fromkeys(names) if name not in held])
            if alone:
                yield alone

    async def holding(self, posts: Sequence[str]) -> list[Found]:
        """Returns what the stores hold of each post."""
        held = await self._index.held(posts, ["id"])
        documents = [post in held and not held[post].erased for post in posts]
        holdings = await self._queue.holdings(posts)
        return [
            Found(int(document), int(one.task), int(one.decided))
            for document, one in zip(documents, holdings, strict=True)
        ]

    async def obey(self, event: Lifecycle, posts: Sequence[str], wait_s: float) -> tuple[datetime | None, Found]:
        """Waits until the event is recorded and nothing is left of these posts. Returns when, and what is left."""
        deadline = time.monotonic() + wait_s
        while True:
            recorded, late = await self._is_recorded(event), time.monotonic() >= deadline
            left = Found()
            if recorded or late:
                posts, left = await self._left(posts)
            if recorded and left.nothing:
                return datetime.now(UTC), left
            if late:
                return None, left
            await asyncio.sleep(LOOK_S)

    async def _left(self, posts: Sequence[str]) -> tuple[list[str], Found]:
        """Returns the posts that are left, and what is left of them."""
        remaining, left = [], Found()
        for start in range(0, len(posts), PAGE):
            page = posts[start : start + PAGE]
            held = await self.holding(page)
            remaining += [post for post, one in zip(page, held, strict=True) if not one.nothing]
            left += total(held)
        return remaining, left

    async def _is_recorded(self, event: Lifecycle) -> bool:
        try:
            standing = (await self._subjects.read([subject_of(event)])).get(subject_of(event), Standing())
        except Retry:
            return False
        if standing.erased is None:
            return False
        return event.post is not None or standing.erased >= (Standing.of(event).erased or 0)  # a post's has no time
