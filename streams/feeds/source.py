"""The contract between a feed's source and `streams.feeds.runner`, which drives every source and saves the cursor.

A source connects, yields the messages, and raises `Disconnected` when the connection ends or goes silent. It keeps no
position of its own: the runner gives it the cursor to start after.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from core.errors import UserError
from core.events import Tweet
from core.lifecycle import Lifecycle

Fault = Literal["network", "http", "rate_limit", "silent"]


@dataclass(frozen=True)
class Adapted:
    """The posts and events that an adapter found in one payload. `skipped`: the reason if there are none."""

    posts: tuple[Tweet, ...] = ()
    lifecycle: tuple[Lifecycle, ...] = ()
    skipped: str | None = None  # a word of a fixed set, such as "like" or "unreadable": it labels a metric
    lines: tuple[bytes, ...] = ()  # events of our own form, which are sent as they stand: only from files


@dataclass(frozen=True)
class Received:
    """One message of a platform.

    `cursor` is the position right after this message, in the source's own form, or None if the platform has none here.
    `at` is the platform's time, in Unix seconds.
    """

    adapted: Adapted
    cursor: str | None = None
    at: float | None = None
    raw: bytes | None = None  # of a message that cannot be read: it becomes a dead letter
    why: str | None = None  # what is wrong with that message, for a person to read
    is_repeated: bool = False  # at or before the cursor that the source was opened with: it does not count as new


@dataclass(frozen=True)
class Gap:
    """Messages were missed, or may have been. `size`: how many, or None if that is unknown."""

    reason: str
    since: float | None = None  # Unix seconds
    until: float | None = None
    size: int | None = None


@dataclass(frozen=True)
class Began:
    """Where a feed without a cursor begins. The first item of such a connection.

    The runner saves this position before it sends a record. So a feed that is killed before its first message starts
    here again.
    """

    cursor: str


Message = Received | Gap | Began
"""What a source yields."""


class Disconnected(Exception):
    """The connection ended. The runner waits as the platform asks, and opens it again."""

    def __init__(self, fault: Fault, detail: str, retry_at: float | None = None) -> None:
        """`retry_at`: the Unix time before which the platform wants no new connection."""
        super().__init__(detail)
        self.fault = fault
        self.retry_at = retry_at


class FeedRefused(UserError):
    """The platform refuses this client for good, for example for a wrong token. The message says what to do."""


def damaged(cursor: str, remedy: str = "--fresh starts with what is new") -> FeedRefused:
    """Returns the error for a saved cursor that the source cannot read. `remedy`: how to start without it."""
    return FeedRefused(f"the saved cursor {cursor[:40]!r} is none of this feed; {remedy}")


@dataclass(frozen=True)
class Steps:
    """A back-off: the first wait and the longest one, in seconds, and whether waits double or grow by the first."""

    first: float
    longest: float
    doubles: bool = True

    def wait(self, failures: int) -> float:
        """Returns the wait after this number of failures in a row, from 1."""
        grown = self.first * 2 ** min(failures - 1, 30) if self.doubles else self.first * failures
        return min(self.longest, grown)


class Source(Protocol):
    """A platform, or a file."""

    name: str
    """Names it in metrics and in the posts' `source`, such as `bluesky`."""

    identity: str
    """Names its cursor: two sources with the same identity receive the same messages."""

    heartbeat_s: float | None
    """Longest time, in seconds, between two signs of life. After twice this time the source raises `Disconnected` with
    the fault `silent`. None for a file."""

    backoff: dict[Fault, Steps]
    """The platform's own table."""

    def open(self, cursor: str | None, since: datetime | None) -> AbstractContextManager[Iterator[Message]]:
        """Connects, and yields the messages after the cursor, or those since a moment, or from now on.

        Without a cursor, a live source yields `Began` first.

        The iteration of a live source never ends. Opening and iterating raise `Disconnected` and `FeedRefused`. Leaving
        the context from another thread ends an iteration that waits.
        """
        ...
