"""A file of posts as a source. `streams.feeds.file_place` has the form of its cursor."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from core.events import Tweet
from core.files.posts import Posts
from core.files.split import NOT_JSON, Oversized, Unended, value_of
from streams.feeds.adapters.files import adapter_of
from streams.feeds.file_place import Place, Reckoner
from streams.feeds.orders import Oversize
from streams.feeds.source import Adapted, Fault, Gap, Received, Steps

LONGEST_WAIT_S = 60.0
"""Longest time, in seconds, that `speed` waits for one post. A wrong date must not stop the feed."""

Opener = Callable[[], AbstractContextManager[Posts]]


class Schedule:
    """When each post is due, by the posts' own times."""

    def __init__(self, speed: float) -> None:
        """`speed`: how many times faster than the posts' own times."""
        self._speed = speed
        self._start: tuple[float, float] | None = None  # a time of the posts, and our clock then
        self._was_late = False

    def wait_s(self, at: float, now: float) -> float:
        """Returns the wait, in seconds, before a post of the Unix time `at`. `now`: our clock.

        A post far ahead of the others begins a new schedule. So do two in a row that are long overdue; a single one
        has a wrong date.
        """
        if self._start is None:
            self._start = (at, now)
        began_at, began = self._start
        wait_s = began + (at - began_at) / self._speed - now
        is_late = wait_s < -LONGEST_WAIT_S
        if wait_s > LONGEST_WAIT_S or (is_late and self._was_late):
            wait_s = min(LONGEST_WAIT_S, max(0.0, wait_s))
            self._start = (at, now + wait_s)
            is_late = False
        self._was_late = is_late
        return max(0.0, wait_s)


class FileSource:
    """The posts of a file, in order. A record that is no post is sent unchanged, or becomes a dead letter."""

    name = "file"
    heartbeat_s: float | None = None
    backoff: dict[Fault, Steps] = {}  # noqa: RUF012  # a file has no connection

    def __init__(
        self,
        posts: Posts,
        identity: str,
        *,
        first: int = 1,
        since: datetime | None = None,
        speed: float | None = None,
        again: Opener | None = None,
        as_is: bool = False,
    ) -> None:
        """`first`: number of the first record to send, counted from 1. `speed`: how many times faster than the posts'
        own times. `again` opens the file once more when it has ended, until it is empty. `as_is`:
        whether each record is sent unchanged. Raises `UserError` for a section of an
        X archive that holds no posts.
        """
        self.identity = identity
        self._posts = posts
        self._adapter = unchanged if as_is else adapter_of(posts.format, posts.section)
        self._first, self._since, self._speed, self._again = first, since, speed, again
        self._left = threading.Event()

    @contextmanager
    def open(self, cursor: str | None, since: datetime | None) -> Iterator[Iterator[Received | Gap]]:
        """Yields the records after the cursor. Iterating raises `FeedRefused` if the file was changed before there."""
        saved = None if cursor is None else Place.read(cursor)
        try:
            yield self._rounds(saved)
        finally:
            self._left.set()

    def _rounds(self, saved: Place | None) -> Iterator[Received]:
        yield from self._read(self._posts, self._first if saved is None else saved.number + 1, saved)
        while self._again is not None and not self._left.is_set():
            is_empty = True
            with self._again() as posts:
                for message in self._read(posts):
                    is_empty = False
                    yield message
            if is_empty:
                return

    def _read(self, posts: Posts, first: int = 1, saved: Place | None = None) -> Iterator[Received]:
        schedule = None if self._speed is None else Schedule(self._speed)
        reckoner = Reckoner(posts.unit, saved)
        for record in posts:
            reckoner.add(record)
            if reckoner.number < first:
                continue
            if isinstance(record, Oversized):
                # so that the next run goes on after it
                yield Received(Adapted(skipped="too_long"), str(reckoner.place))
                raise Oversize(str(reckoner.place), record.size)
            value = record.rstrip(b"\r\n")
            if not value.strip():
                continue
            after = None if self._is_unfinished(record) else str(reckoner.place)
            for found, is_last in _with_last(self._adapter(value)):
                message = self._since_wanted(found)
                at = self._time(message) if schedule is not None else None
                if schedule is not None and at is not None:
                    self._left.wait(schedule.wait_s(at, time.monotonic()))
                yield dataclasses.replace(message, cursor=after if is_last else None, at=None)
        reckoner.end()

    def _is_unfinished(self, record: bytes) -> bool:
        """Returns whether a program may still write this record. Then the next run reads it again."""
        return self._again is None and isinstance(record, Unended) and value_of(record) is NOT_JSON

    def _since_wanted(self, message: Received) -> Received:
        at = self._time(message) if self._since is not None else None
        if self._since is None or at is None or at >= self._since.timestamp():
            return message
        if any(post.edit for post in _posts_of(message)):
            return message  # otherwise the old text could stay in the index
        return Received(Adapted(lifecycle=message.adapted.lifecycle, skipped="before_since"), at=message.at)

    def _time(self, message: Received) -> float | None:
        """Returns the Unix time of a message, or None if it has none."""
        if message.at is not None:
            return message.at
        moment = next((post.created_at for post in _posts_of(message)), None)
        return None if moment is None else moment.timestamp()


def _with_last(messages: Iterable[Received]) -> Iterator[tuple[Received, bool]]:
    """Yields each message, and whether it is the last one."""
    before: Received | None = None
    for message in messages:
        if before is not None:
            yield before, False
        before = message
    if before is not None:
        yield before, True


def _posts_of(message: Received) -> Sequence[Tweet]:
    """Returns the posts of a message, also those that are sent as they stand."""
    try:
        return message.adapted.posts or [Tweet.model_validate_json(line) for line in message.adapted.lines]
    except ValueError:
        return ()


def unchanged(record: bytes) -> tuple[Received, ...]:
    """The adapter of a file that is sent as it is."""
    return (Received(Adapted(lines=(record,))),)
