"""The most mentioned names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.spelling import normalise
from sinks.index.search import check_limit
from sinks.names.names import NO_CORRECTIONS, SURFACE, Names
from sinks.names.scope import EVERYTHING, Scope
from sinks.names.tally import POSTS, Answer, Measure, posts_by_name, posts_near, tally

if TYPE_CHECKING:
    from sinks.index.index import Index

TYPES: dict[str, Any] = {"types": {"terms": {"field": "mentions.type"}, "aggs": POSTS}}

WRITTEN: dict[str, Any] = {"written": {"terms": {"field": SURFACE, "size": 10}}}
"""The most frequent spellings, one of which stands for the name."""


@dataclass(frozen=True)
class Entity:
    """A name with an entity type."""

    name: str
    type: str
    tweets: int  # how many posts mention it


async def most_mentioned(
    index: Index, scope: Scope = EVERYTHING, names: Names = NO_CORRECTIONS, limit: int = 10
) -> list[Entity]:
    """Returns the names that the largest number of posts in the scope mention, then by name. A name counts by type.

    Raises `UserError` when the words of the scope or the limit are too many.
    """
    check_limit(limit)
    counted = await tally(index, scope, names, Measure(TYPES), limit)
    found = [
        Entity(name, kind, posts) for name, answer in counted.names.items() for kind, posts in types_of(answer).items()
    ]
    return sorted(found, key=lambda entity: (-entity.tweets, entity.name, entity.type))[:limit]


@dataclass(frozen=True)
class Described:
    """How people know a name: as most posts write it, with its types."""

    written: str
    types: Mapping[str, int]  # posts that have the mention with each type, the most frequent first

    @property
    def type(self) -> str:
        """The most frequent type, or "" if no post mentions the name any more."""
        return next(iter(self.types), "")


UNKNOWN = Described("", {})


@dataclass(frozen=True)
class Mentioned:
    """A name with the posts that mention it."""

    name: str
    posts: int
    described: Described


async def most_named(
    index: Index, scope: Scope = EVERYTHING, names: Names = NO_CORRECTIONS, limit: int = 20
) -> list[Mentioned]:
    """Returns the names that the largest number of posts in the scope mention, then by name, whatever their types.

    Raises `UserError` when the words of the scope are too many.
    """
    counted = await posts_by_name(index, scope, names, Measure(), limit)
    ranked = sorted((-answer["doc_count"], name) for name, answer in counted.names.items())[:limit]
    about = await described(index, scope, names, [name for _, name in ranked])
    return [Mentioned(name, -posts, about[name]) for posts, name in ranked]


async def described(index: Index, scope: Scope, names: Names, only: Collection[str]) -> dict[str, Described]:
    """Returns how the mentions of these canonical names are written, and their types."""
    if not only:
        return {}
    parts = [part for name in only for part in names.parts(name)]
    found = (await tally(index, scope, names, Measure(TYPES | WRITTEN), 1, only=only, also=[posts_near(parts)])).names
    return {name: _described(name, found.get(name)) for name in only}


def _described(name: str, answer: Answer | None) -> Described:
    if answer is None:
        return Described(name, {})
    spellings = [bucket["key"] for bucket in answer["written"]["buckets"]]
    return Described(spelled(name, spellings), types_of(answer))


def spelled(name: str, spellings: Collection[str]) -> str:
    """Returns the first of these spellings that is one of the name, or the name."""
    return next((one for one in spellings if normalise(one) == name), name)


def types_of(answer: Answer) -> dict[str, int]:
    """Returns how many posts have the mention with each type, the most frequent first."""
    counts = {bucket["key"]: bucket["posts"]["doc_count"] for bucket in answer["types"]["buckets"]}
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
