"""Names that occur in the same posts as a name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from sinks.names.entities import UNKNOWN, Described, described
from sinks.names.names import NO_CORRECTIONS, Names, posts_naming
from sinks.names.scope import EVERYTHING, Scope
from sinks.names.statistics import association
from sinks.names.tally import WITHOUT_FLAT, Measure, posts_by_name, posts_of

if TYPE_CHECKING:
    from sinks.index.index import Index

MOST = 300
"""How many names are compared: those with the most mentions in the posts of the name."""

LEAST = NormalDist().inv_cdf(1 - 0.05 / MOST / 2) ** 2
"""Smallest association that is shown. By chance alone, fewer than 5% of pages would show any name: the quantile of the
chi-squared distribution with one degree of freedom, divided among `MOST` names (Bonferroni)."""


@dataclass(frozen=True)
class Companion:
    """A name that occurs in the same posts as another more often than by chance."""

    name: str
    together: int  # posts with both names
    posts: int  # posts with this name
    association: float  # `sinks.names.statistics.association`
    described: Described = UNKNOWN


async def seen_together(
    index: Index, name: str, scope: Scope = EVERYTHING, names: Names = NO_CORRECTIONS, limit: int = 20
) -> list[Companion]:
    """Returns the names that occur in the same posts as `name`, the strongest association first.

    A name that is frequent everywhere has no association, however often the two occur together. The type and the words
    of the scope choose among the other names.
    """
    canonical = names.canonical(name)
    old = {"bool": {"filter": [WITHOUT_FLAT, posts_naming(names, name)]}}
    naming = {"bool": {"should": [posts_of(names.parts(name), {}), old], "minimum_should_match": 1}}
    near = await posts_by_name(index, scope, names, Measure(), MOST, also=[naming])
    others = [other for other in near.names if other != canonical]
    own: dict[str, Any] = {"own": {"filter": naming}}
    everywhere = await posts_by_name(index, scope, names, Measure(of_all=own), MOST, only=others)
    first = everywhere.whole["own"]["doc_count"]
    found = []
    for other in others:
        both = near.names[other]["doc_count"]
        # the second request does not ask for the spellings of earlier versions, so that it may count fewer
        second = max(both, everywhere.names[other]["doc_count"] if other in everywhere.names else 0)
        found.append(
            Companion(
                other,
                both,
                second,
                association(both, first, second, everywhere.posts),
            )
        )
    sure = [companion for companion in found if companion.association >= LEAST]
    strongest = sorted(sure, key=lambda one: (-one.association, -one.together, one.name))[:limit]
    about = await described(index, scope, names, [one.name for one in strongest])
    return [replace(one, described=about[one.name]) for one in strongest]
