"""The standing of a subject, and the fate of a post that follows from it. Pure.

A subject is a post or an author. Its standing is the merge of all its events. `merged` is commutative, associative and
idempotent: each register keeps the latest time. So the standing is a function of the set of events.

Times are Unix microseconds, since integers are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, Self

from core.events import Tweet
from core.lifecycle import Lifecycle

Fate = Literal["visible", "hidden", "erased"]

ANY = "any"
"""The register of a `show` without a cause. It ends the hides of every cause."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING: Mapping[str, int] = MappingProxyType({})


def microseconds(moment: datetime) -> int:
    """Returns the moment as Unix microseconds."""
    return (moment - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Standing:
    """The registers of one subject."""

    #: When the subject was erased; 0 if an event gave no time. Of an author, posts published later are not erased.
    erased: int | None = None
    #: Cause -> time of the latest `hide` of that cause.
    hidden: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    #: Cause, or `ANY` -> time of the latest `show`.
    shown: Mapping[str, int] = field(default_factory=lambda: NOTHING)
    scrubbed: int | None = None

    @classmethod
    def of(cls, event: Lifecycle) -> Self:
        """Returns the standing after this event alone."""
        at = microseconds(event.at) if event.at is not None else 0
        match event.kind:
            case "erase":
                return cls(erased=at)
            case "hide":
                assert event.cause is not None
                return cls(hidden={event.cause: at})
            case "show":
                return cls(shown={event.cause or ANY: at})
            case "scrub_geo":
                return cls(scrubbed=at)

    def merged(self, other: Standing) -> Standing:
        """Returns the standing after the events of both."""
        return Standing(
            _later(self.erased, other.erased),
            _latest(self.hidden, other.hidden),
            _latest(self.shown, other.shown),
            _later(self.scrubbed, other.scrubbed),
        )

    @property
    def is_hidden(self) -> bool:
        """Whether a hide of any cause has not ended. At equal times, the hide wins over the show."""
        always = self.shown.get(ANY)
        return any(
            all(ended is None or at >= ended for ended in (always, self.shown.get(cause)))
            for cause, at in self.hidden.items()
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the registers that are set, ready for JSON."""
        registers = {
            "erased": self.erased,
            "hidden": dict(self.hidden) or None,
            "shown": dict(self.shown) or None,
            "scrubbed": self.scrubbed,
        }
        return {name: value for name, value in registers.items() if value is not None}

    @classmethod
    def from_json(cls, registers: Mapping[str, Any]) -> Self:
        """Reads the result of `to_json`. Ignores other fields."""
        return cls(
            registers.get("erased"), registers.get("hidden", {}), registers.get("shown", {}), registers.get("scrubbed")
        )


@dataclass(frozen=True)
class Published:
    """The fields of a post that decide whether an event reaches it: its id, its author's id, and its time."""

    id: str
    author: str | None = None
    #: None if it is unknown.
    at: datetime | None = None

    @classmethod
    def of(cls, tweet: Tweet) -> Self:
        author = (tweet.author.id if tweet.author else None) or None
        return cls(tweet.id, author, published_at(tweet.created_at, tweet.received_at))

    @property
    def subjects(self) -> list[str]:
        """The names of the post and of its author, if it has one."""
        return [post_subject(self.id), *([author_subject(self.author)] if self.author else [])]

    def fate(self, standings: Mapping[str, Standing]) -> Fate:
        """Returns the fate of the post by the standings of the post and of its author."""
        post = standings.get(post_subject(self.id), Standing())
        author = standings.get(author_subject(self.author), Standing()) if self.author else Standing()
        if post.erased is not None or self._is_erased_with(author):
            return "erased"
        return "hidden" if post.is_hidden or author.is_hidden else "visible"

    def _is_erased_with(self, author: Standing) -> bool:
        if author.erased is None:
            return False
        return self.at is None or microseconds(self.at) <= author.erased


def published_at(created: datetime | None, received: datetime | None) -> datetime | None:
    """Returns when a post was published. A date of its own that lies after its receipt is wrong."""
    return min(created, received) if created and received else created


def post_subject(post: str) -> str:
    return f"post:{post}"


def author_subject(author: str) -> str:
    return f"author:{author}"


def subject_of(event: Lifecycle) -> str:
    """Returns the name of the event's subject."""
    if event.post is not None:
        return post_subject(event.post)
    assert event.author is not None
    return author_subject(event.author)


def _later(a: int | None, b: int | None) -> int | None:
    return max((time for time in (a, b) if time is not None), default=None)


def _latest(a: Mapping[str, int], b: Mapping[str, int]) -> Mapping[str, int]:
    return {cause: max(times[cause] for times in (a, b) if cause in times) for cause in a.keys() | b.keys()}
