"""The values of the REST API of names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import Field

from core.corrections import SameName, SplitName
from core.events import EntityType
from desk.search.values import Answer, FoundPost
from sinks.names.entities import Described, Mentioned
from sinks.names.page import NamePage
from sinks.names.together import Companion
from sinks.names.trends import Trend, Trends

Sureness = Literal["new", "certain", "likely"]

CERTAIN = 0.001
"""A trend is called certain if at most this share of the trends as sure as it is false."""


class OfName(Answer):
    """A name as a list shows it."""

    name: str = Field(description="The name that stands for all that are one with it.", examples=["nasa"])
    written: str = Field(description="How most posts write it.", examples=["NASA"])
    types: dict[EntityType, int] = Field(description="Posts that mention it with each type, most first.")

    @property
    def type(self) -> str:
        """The most frequent type, or an empty text."""
        return next(iter(self.types), "")


def _name(name: str, described: Described) -> dict[str, object]:
    return {"name": name, "written": described.written or name, "types": dict(described.types)}


class MentionedName(OfName):
    """A name and the number of posts that mention it."""

    posts: int

    @classmethod
    def of(cls, one: Mentioned) -> MentionedName:
        return cls.model_validate(_name(one.name, one.described) | {"posts": one.posts})


class NameList(Answer):
    """The names that most posts mention."""

    names: tuple[MentionedName, ...]
    corrected: bool = Field(description="Whether the corrections are known. They are read at the start.")


class TrendingName(OfName):
    """A name whose share of all posts has risen."""

    posts: int
    before: int = Field(description="Posts of the period before.")
    ratio: float | None = Field(description="Of the two shares. Null if no post mentioned the name before.")
    low: float = Field(description="The ratio lies above this, with `high` at 95% confidence.")
    high: float | None = Field(description="The ratio lies below this. Null: there is no limit.")
    false_rate: float = Field(description="Share of false trends to expect among those that are at least this sure.")
    sure: Sureness = Field(description="The same in words. `new`: no post of the period before mentions the name.")

    @classmethod
    def of(cls, one: Trend) -> TrendingName:
        figures = {name: getattr(one, name) for name in ("posts", "before", "ratio", "low", "high", "false_rate")}
        sure = "new" if one.is_new else "certain" if one.false_rate <= CERTAIN else "likely"
        return cls.model_validate(_name(one.name, one.described) | figures | {"sure": sure})


class TrendList(Answer):
    """The names that posts mention more often than in the period before, the surest first."""

    names: tuple[TrendingName, ...]
    since: datetime
    until: datetime
    posts: int = Field(description="All posts of the period.")
    before: int = Field(description="All posts of the equally long period before.")
    compared: int = Field(description="Names that were frequent enough to be compared.")
    corrected: bool = Field(description="Whether the corrections of names are known.")

    @classmethod
    def of(cls, found: Trends, since: datetime, until: datetime, corrected: bool) -> TrendList:
        return cls(
            names=tuple(map(TrendingName.of, found.trends)),
            since=since,
            until=until,
            posts=found.posts,
            before=found.before,
            compared=found.compared,
            corrected=corrected,
        )


class CompanionName(OfName):
    """A name that occurs in the same posts as another more often than by chance."""

    together: int = Field(description="Posts with both names.")
    posts: int = Field(description="Posts with this name.")
    association: float = Field(description="Log-likelihood ratio. Chance alone exceeds 3.84 in 5% of pairs.")

    @classmethod
    def of(cls, one: Companion) -> CompanionName:
        figures = {"together": one.together, "posts": one.posts, "association": one.association}
        return cls.model_validate(_name(one.name, one.described) | figures)


class NameCorrection(Answer):
    """What a person has said about a name."""

    key: str = Field(description="Names the correction, for taking it back.")
    kind: Literal["same", "split"]
    name: str = Field(description="`same`: the one name. `split`: the name that the spelling is.")
    of: str | None = Field(default=None, description="`same`: the other name, under which both are listed.")
    surface: str | None = Field(default=None, description="`split`: the spelling.")
    by: str = Field(description="Who said so, or who took it back.")
    at: datetime
    withdrawn: bool

    @classmethod
    def of_event(cls, one: SameName | SplitName) -> NameCorrection:
        return cls.model_validate({"key": one.key} | dict(one))


class NewCorrection(Answer):
    """`same`: `name` and `of` are one. `split`: `surface` is `name`."""

    kind: Literal["same", "split"]
    name: str = Field(min_length=1, max_length=256)
    of: str = Field(default="", max_length=256, description="For `same`: the name under which both are listed.")
    surface: str = Field(default="", max_length=256, description="For `split`: the spelling, exactly as in posts.")


class TimelineBar(Answer):
    """The posts from `start` until the next bar starts."""

    start: datetime
    posts: int


class NameTimeline(Answer):
    """Posts by their date, in UTC."""

    interval: str = Field(examples=["3h"])
    bars: tuple[TimelineBar, ...]


class WholeName(Answer):
    """All that is known of a name. Each count is of posts."""

    name: str
    written: str = Field(description="How most posts write it.")
    names: tuple[str, ...] = Field(description="All names that are one with it, itself first.")
    posts: int
    types: dict[EntityType, int]
    surfaces: dict[str, int] = Field(description="As written in posts, the most frequent first.")
    surfaces_counted: bool = Field(description="False if older documents let only a part be counted.")
    sources: dict[str, int]
    languages: dict[str, int]
    timeline: NameTimeline
    together: tuple[CompanionName, ...]
    latest: tuple[FoundPost, ...]
    corrections: tuple[NameCorrection, ...] = Field(description="Those in force, oldest first.")
    corrected: bool = Field(description="Whether the corrections of names are known.")

    @classmethod
    def of(
        cls,
        page: NamePage,
        written: str,
        together: tuple[CompanionName, ...],
        latest: tuple[FoundPost, ...],
        corrected: bool,
    ) -> WholeName:
        bars = tuple(TimelineBar(start=start, posts=posts) for start, posts in page.timeline.bars)
        return cls.model_validate(
            {
                "name": page.name,
                "written": written,
                "names": page.names,
                "posts": page.posts,
                "types": page.types,
                "surfaces": page.surfaces,
                "surfaces_counted": page.unsurfaced == page.sampled,
                "sources": page.sources,
                "languages": page.languages,
                "timeline": NameTimeline(interval=page.timeline.interval, bars=bars),
                "together": together,
                "latest": latest,
                "corrections": tuple(map(NameCorrection.of_event, page.corrections)),
                "corrected": corrected,
            }
        )

    @property
    def type_shares(self) -> Mapping[str, float]:
        """Share of each type, for a picture."""
        whole = sum(self.types.values())
        return {kind: posts / whole for kind, posts in self.types.items()}


class Suggestion(Answer):
    """A name that begins with what was typed."""

    name: str
    posts: int
