"""The values of the REST API. Their names are those of an export: `source` is where a post is from."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.events import EntityType
from desk.search.parts import Part, cut
from sinks.searching import hits
from sinks.searching.request import Found
from sinks.searching.state import Facet

DecidedBy = Literal["model", "human"]


class Answer(BaseModel):
    """Base of the values. Frozen. Reads our own values by their attributes."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)


class Problem(Answer):
    """Why a request failed."""

    error: str = Field(
        description="What is wrong, and what to do.", examples=["type: must be one of PER, LOC, ORG, MISC"]
    )


class WrittenBy(Answer):
    """The author of a post."""

    id: str | None = None
    name: str | None = None


class HitMention(Answer):
    """A mention of a hit. `text[start:end]` of the post is its text; offsets are code points."""

    start: int
    end: int
    text: str
    name: str = Field(description="The spelling under which the mention is counted.")
    type: EntityType
    probability: float = Field(description="That span and type are both right.")
    source: DecidedBy = Field(description="Whether the model found the mention, or a person.")
    matched: bool = Field(description="Whether the query matches this mention.")


class PostAccount(Answer):
    """A user name in a post, with its `@`. Offsets are code points."""

    start: int
    end: int
    name: str = Field(description="Lower case, without `@`.", examples=["nasa"])


class HitAccount(PostAccount):
    """A user name in a hit."""

    matched: bool = Field(description="Whether the search is filtered by it.")


class FoundPost(Answer):
    """A post that a search found."""

    id: str
    source: str = Field(description="Where the post is from.", examples=["mastodon:example.social"])
    withheld: bool = Field(description="Whether the terms of the source keep text, names, author and media back.")
    created_at: datetime | None = None
    author: WrittenBy | None = None
    lang: str | None = None
    text: str
    media: tuple[str, ...] = ()
    alt: tuple[str, ...] = Field(default=(), description="Description of each of `media`; empty if none is known.")
    image: str = Field(description="Outcome of fetching the image: `none`, `ok` or `failed`.")
    mentions: tuple[HitMention, ...]
    accounts: tuple[HitAccount, ...] = ()
    matches: tuple[tuple[int, int], ...] = Field(
        description="Spans of the text, as start and end, that match words of the query."
    )
    decided_by: DecidedBy
    reviewer: str | None = None
    score: float = Field(description="Relevance, comparable within one search. 0 if the order is one of time.")

    @classmethod
    def of(cls, hit: hits.Hit) -> FoundPost:
        known = hit.author_id is not None or hit.author_name is not None
        return cls.model_validate(
            {
                "id": hit.id,
                "source": hit.feed,
                "withheld": hit.withheld,
                "created_at": hit.created_at,
                "author": {"id": hit.author_id, "name": hit.author_name} if known else None,
                "lang": hit.lang,
                "text": hit.text,
                "media": hit.media,
                "alt": hit.alt,
                "image": hit.image,
                "mentions": hit.mentions,
                "accounts": hit.accounts,
                "matches": hit.matches,
                "decided_by": hit.source,
                "reviewer": hit.reviewer,
                "score": hit.score,
            }
        )

    @property
    def parts(self) -> tuple[Part[HitMention], ...]:
        """The text, cut for a template. Accounts that the search is filtered by match."""
        chosen = [(account.start, account.end) for account in self.accounts if account.matched]
        return cut(self.text, self.mentions, [*self.matches, *chosen])


class Count(Answer):
    """A value of a facet."""

    value: str
    posts: int
    chosen: bool = Field(description="Whether the search is filtered by it.")


class BarCount(Answer):
    """The posts from `start` until the next bar starts."""

    start: datetime
    posts: int


class Times(Answer):
    """Posts by their date, in UTC. Bars without posts are there, too."""

    interval: str = Field(description="`1m`, `5m`, `15m`, `1h`, `3h`, `12h`, `1d`, `1w`, `1M`, `1q`, `1y` or `3652d`.")
    bars: tuple[BarCount, ...]


class SearchAnswer(Answer):
    """A page of the answer to a search."""

    total: int = Field(description="Posts that match.", examples=[1234])
    posts: tuple[FoundPost, ...]
    facets: dict[Facet, tuple[Count, ...]] = Field(
        description="The most frequent values of each filter. The counts of a filter ignore that filter itself."
    )
    timeline: Times | None = Field(description="All posts, whatever days are chosen.")
    within: Times | None = Field(description="The posts of the chosen days.")
    previous: str = Field(description="`page` of the page before this one. Empty if there is none.")
    next: str = Field(description="`page` of the page after this one. Empty if there is none.")

    @classmethod
    def of(cls, found: Found) -> SearchAnswer:
        return cls(
            total=found.total,
            posts=tuple(map(FoundPost.of, found.hits)),
            facets={facet: tuple(map(Count.model_validate, values)) for facet, values in found.facets.items()},
            timeline=found.timeline and Times.model_validate(found.timeline),
            within=found.within and Times.model_validate(found.within),
            previous=found.previous,
            next=found.next,
        )


class PostMention(Answer):
    """A mention of a post. A withheld post has only its span and type."""

    start: int
    end: int
    type: EntityType
    text: str = ""
    probability: float | None = Field(default=None, description="That span and type are both right.")
    aleatoric: float | None = Field(default=None, description="Variance from what is ambiguous in the post itself.")
    epistemic: float | None = Field(default=None, description="Variance from what the model has seldom seen.")
    source: DecidedBy | None = Field(default=None, description="Whether the model found the mention, or a person.")


class Image(Answer):
    """The outcome of fetching the image of a post."""

    status: str = "none"
    reason: str | None = None


class Post(Answer):
    """All that the index holds of a post, under the names of a line of an export."""

    id: str
    source: str
    withheld: bool = Field(default=False, description="Whether the terms of the source keep all but this back.")
    created_at: datetime | None = None
    received_at: datetime | None = None
    author: WrittenBy | None = None
    lang: str | None = None
    edit: int = 0
    reply_to: str | None = None
    quote_of: str | None = None
    text: str = ""
    media: tuple[str, ...] = ()
    alt: tuple[str | None, ...] = ()
    image: Image = Image()
    context: str | None = Field(default=None, description="What the model saw in the image, as text.")
    mentions: tuple[PostMention, ...] = ()
    accounts: tuple[PostAccount, ...] = ()
    model: str | None = None
    model_version: int | None = Field(
        default=None, description="When the checkpoint was trained, or the cascade calibrated, as Unix time."
    )
    typicality: float | None = Field(default=None, description="How usual the post is for the model: a p-value.")
    decided_by: DecidedBy | None = None
    reviewer: str | None = None
    decided_at: datetime | None = None

    @property
    def parts(self) -> tuple[Part[PostMention], ...]:
        """The text, cut for a template."""
        return cut(self.text, self.mentions)

    @property
    def version_time(self) -> datetime | None:
        """The time of `model_version`. None if this is no time that a calendar has."""
        try:
            return None if self.model_version is None else datetime.fromtimestamp(self.model_version, UTC)
        except (OverflowError, ValueError):
            return None

    def share(self, variance: float | None) -> float:
        """Returns the length of a variance's bar: the square root of its part of the largest variance of the post."""
        largest = max(
            (value or 0.0 for each in self.mentions for value in (each.aleatoric, each.epistemic)), default=0.0
        )
        return math.sqrt(variance / largest) if variance and largest else 0.0
