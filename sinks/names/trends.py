"""Names that posts mention more often than in the period before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from sinks.names.entities import UNKNOWN, Described, described
from sinks.names.names import NO_CORRECTIONS, Names
from sinks.names.scope import EVERYTHING, Scope, created
from sinks.names.statistics import false_discovery_rates, least_p_value, ratio_interval, rise
from sinks.names.tally import Answer, Measure, posts_by_name

if TYPE_CHECKING:
    from sinks.index.index import Index

MOST = 1000
"""How many names are compared: those with the most mentions in both periods together."""

FALSE = 0.05
"""Largest share of false trends to expect among those that are shown."""


@dataclass(frozen=True)
class Counts:
    """How many posts mention a name in the two periods."""

    posts: int
    before: int


@dataclass(frozen=True)
class Trend:
    """A name that is mentioned more often than before, measured by posts and not by mentions."""

    name: str
    posts: int  # of the period
    before: int  # of the period before
    ratio: float | None  # of the two rates; None if no post mentioned the name before
    low: float  # the ratio lies between these two with 95% confidence
    high: float | None  # None: there is no upper limit, since no post mentioned the name before
    false_rate: float  # the share of false trends to expect among this one and those that are surer
    described: Described = UNKNOWN

    @property
    def is_new(self) -> bool:
        """Whether no post of the period before mentions the name."""
        return self.before == 0


@dataclass(frozen=True)
class Trends:
    """The surest trends first. The volume of the periods may differ: rates are compared, not counts."""

    trends: tuple[Trend, ...]
    posts: int  # all posts of the period
    before: int  # all posts of the period before
    compared: int  # names


async def trending(
    index: Index,
    since: datetime,
    until: datetime,
    scope: Scope = EVERYTHING,
    names: Names = NO_CORRECTIONS,
    limit: int = 20,
    false_rate: float = FALSE,
) -> Trends:
    """Compares the posts created in [since, until) with those of the same time just before.

    Each name is tested once, and the rate of false discoveries is kept below `false_rate` over all names compared
    (`sinks.names.statistics`). Names that are too rare in both periods to be a trend are left out of the comparison.
    That choice looks only at the sum of both periods, which says nothing of a rise.

    The test takes posts as independent. Posts that copy each other make a trend surer than it is.

    Raises `UserError` when the period is empty.
    """
    if since >= until:
        raise UserError(f"the period is empty: it begins at {since.isoformat()} and ends at {until.isoformat()}")
    past = since - (until - since)
    periods = {"now": created(since, until), "before": created(past, since)}
    split: dict[str, Any] = {"periods": {"filters": {"filters": periods}}}
    counted = await posts_by_name(index, scope.during(past, until), names, Measure(split, split), MOST)
    found = {name: Counts(*_both(answer)) for name, answer in counted.names.items()}
    outcome = compare(found, *_both(counted.whole), limit, false_rate)
    about = await described(index, scope.during(since, until), names, [trend.name for trend in outcome.trends])
    return replace(outcome, trends=tuple(replace(trend, described=about[trend.name]) for trend in outcome.trends))


def compare(found: Mapping[str, Counts], posts: int, before: int, limit: int = 20, false_rate: float = FALSE) -> Trends:
    """Tests each name. `posts` and `before`: all posts of the two periods. Pure; see `trending`."""
    if not posts or not before:
        return Trends((), posts, before, 0)
    tested = {
        name: counts
        for name, counts in found.items()
        if least_p_value(counts.posts + counts.before, posts, before) < false_rate
    }
    rates = false_discovery_rates([_p_value(one, posts, before) for one in tested.values()])
    sure = [(rate, -one.posts, name) for rate, (name, one) in zip(rates, tested.items(), strict=True)]
    shown = sorted(one for one in sure if one[0] < false_rate)[:limit]
    return Trends(
        tuple(_trend(name, tested[name], posts, before, rate) for rate, _, name in shown), posts, before, len(tested)
    )


def _p_value(counts: Counts, posts: int, before: int) -> float:
    """Returns 1, which is above the true value, for a rate that did not rise. That saves half of the work."""
    if counts.posts * before <= counts.before * posts:
        return 1.0
    return rise(counts.posts, counts.before, posts, before)


def _both(answer: Answer) -> tuple[int, int]:
    buckets = answer["periods"]["buckets"]
    return buckets["now"]["doc_count"], buckets["before"]["doc_count"]


def _trend(name: str, counts: Counts, posts: int, before: int, rate: float) -> Trend:
    low, high = ratio_interval(counts.posts, counts.before, posts, before)
    ratio = (counts.posts / posts) / (counts.before / before) if counts.before else None
    return Trend(name, counts.posts, counts.before, ratio, low, high if counts.before else None, rate)
