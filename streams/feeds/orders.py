"""The orders of a feed: where to send, how much, and which posts. Also the errors that end it early."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from core.errors import UserError
from sinks.connect.kafka import Brokers
from streams import topics
from streams.feeds.filters import Filters
from streams.settings import Settings

LATE_S = 0.1
"""How much of a delay, in seconds, `rate` makes up for. Waits are never exact."""


class FeedEnded(UserError):
    """A feed ended early. The message says why, and how to go on."""


class Oversize(FeedEnded):
    """A record of a file is larger than the topic allows. Earlier records are acknowledged.

    `cursor` is the place after it.
    """

    def __init__(self, cursor: str | None, size: int) -> None:
        super().__init__(f"an event of {size} bytes is more than the topic allows")
        self.cursor, self.size = cursor, size


@dataclass(frozen=True)
class Options:
    """`rate`: largest number of posts per second. `limit`: number of new posts after which the feed ends."""

    rate: float | None = None
    limit: int | None = None
    since: datetime | None = None
    fresh: bool = False  # whether to ignore the saved cursor
    filters: Filters = field(default_factory=Filters)


@dataclass(frozen=True)
class Target:
    """Brokers, and the names of the topics there."""

    brokers: Brokers
    tweets: str
    tombstones: str
    dead: str
    gaps: str

    @classmethod
    def of(cls, settings: Settings, brokers: Brokers) -> Target:
        """Returns the topics of these settings."""
        names = (topics.TWEETS, topics.TOMBSTONES, topics.DEAD, topics.GAPS)
        return cls(brokers, *map(settings.name, names))

    @property
    def limits(self) -> dict[str, int]:
        """Topic -> its largest record batch as planned."""
        limits = dict.fromkeys((self.tweets, self.tombstones, self.gaps), topics.EVENT_BYTES)
        return limits | {self.dead: topics.MAX_MESSAGE_BYTES}


def key_of(line: bytes) -> bytes | None:
    """Returns the post's id, so that all events of a post share a partition. Returns None for a broken line.

    Never raises.
    """
    try:
        event = json.loads(line)
        name = event.get("id") if isinstance(event, dict) else None
        return str(name).encode() if isinstance(name, str | int) else None
    except (ValueError, RecursionError):  # broken JSON, lone surrogates, very long numbers, deep nesting
        return None
