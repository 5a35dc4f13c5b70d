"""Reads what the pages of names and their API show."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from core.errors import UserError
from desk.entities.asked import Asked
from desk.entities.values import CompanionName, MentionedName, NameList, Suggestion, TrendList, WholeName
from desk.search.posts import access_of
from desk.search.values import FoundPost
from desk.services import Services
from sinks.names.entities import most_named, spelled
from sinks.names.page import page_of
from sinks.names.scope import Scope
from sinks.names.suggestions import beginning_with
from sinks.names.together import seen_together
from sinks.names.trends import trending
from sinks.searching.search import posts
from sinks.searching.state import SearchState

MOST = 100
"""Most names of a list."""
LATEST = 10
COMPANIONS = 20
LONGEST = 512
"""Longest name that is looked up, in characters. The index holds no longer ones."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def _scope(services: Services, asked: Asked, now: datetime) -> Scope:
    return asked.scope(now, access_of(services))


def _is_corrected(services: Services) -> bool:
    """Whether the corrections are known. Ask before taking the names, since they may be read in between."""
    return not services.corrections.problem


async def mentioned(services: Services, asked: Asked, now: datetime, limit: int = 20) -> NameList:
    """Returns the names that most posts mention."""
    corrected = _is_corrected(services)
    found = await most_named(services.index, _scope(services, asked, now), services.corrections.names, limit)
    return NameList(names=tuple(map(MentionedName.of, found)), corrected=corrected)


async def trends(services: Services, asked: Asked, now: datetime, limit: int = 20) -> TrendList:
    """Returns the names that rise. Raises `UserError` if the period has no beginning."""
    period = asked.compared(now)
    if period is None:
        raise UserError("period: has no beginning, so there is no period before it; choose 24h, 7d, 30d or days")
    since, until = period
    corrected, names = _is_corrected(services), services.corrections.names
    found = await trending(services.index, since, until, _scope(services, asked, now), names, limit)
    return TrendList.of(found, since, until, corrected)


async def whole(services: Services, name: str, asked: Asked, now: datetime) -> WholeName:
    """Returns all about a name. Raises `UserError` for a name that none can have."""
    if not name.strip() or len(name) > LONGEST:
        raise UserError(f"name: must have 1 to {LONGEST} characters, of which one can be seen")
    corrected, names = _is_corrected(services), services.corrections.names
    scope, index = _scope(services, asked, now), services.index
    page, together = await asyncio.gather(
        page_of(index, name, scope, names, LATEST), seen_together(index, name, scope, names, COMPANIONS)
    )
    found = await posts(index, page.latest, scope.access, SearchState(names=page.names[:100]))
    return WholeName.of(
        page,
        spelled(page.name, page.surfaces),
        tuple(map(CompanionName.of, together)),
        tuple(map(FoundPost.of, found)),
        corrected,
    )


async def suggestions(services: Services, beginning: str) -> list[Suggestion]:
    """Returns names that begin with a text, most posts first."""
    found = await beginning_with(services.index, beginning, Scope(access=access_of(services)))
    return [Suggestion(name=name, posts=count) for name, count in found]


async def choices(services: Services) -> Mapping[str, Sequence[str]]:
    """Returns the most frequent sources and languages, for filters."""
    aggregations: dict[str, Any] = {
        "source": {"terms": {"field": "feed", "size": 50}},
        "lang": {"terms": {"field": "lang", "size": 50}},
    }
    scope = Scope(access=access_of(services))
    body = {"query": {"bool": {"filter": scope.posts}}, "size": 0, "track_total_hits": False, "aggs": aggregations}
    found = (await services.index.aggregated(body))["aggregations"]
    return {name: [bucket["key"] for bucket in found[name]["buckets"]] for name in aggregations}
