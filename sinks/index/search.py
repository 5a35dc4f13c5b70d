"""Builds search requests and reads the answers. Pure; `sinks.index.index` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from sinks.searching.access import Access
from sinks.searching.filters import asked as posts
from sinks.searching.hits import Hit, read_hit
from sinks.searching.language import Query, parse
from sinks.searching.paging import sort
from sinks.searching.request import MATCHED, highlight
from sinks.searching.words import in_mention, unwanted

MAX_RESULTS = 10_000
"""Most results of one search, Elasticsearch's `index.max_result_window`."""


@dataclass(frozen=True)
class Results:
    """The answer to a search."""

    total: int  # posts that match
    hits: tuple[Hit, ...]  # the best of them


def request(words: str, entity_type: str | None, limit: int, access: Access) -> dict[str, Any]:
    """Returns the body of a search. Raises `UserError` when the query or the limit is too large.

    Without a type, the words must match a post's text or one of its mentions; a mention weighs more. With a type, they
    must match a mention of that type: `Paris` the person, not the city. Blank words match every post.
    """
    check_limit(limit)
    asked = parse(words)
    return {
        "query": _matching(asked, entity_type, access, MATCHED),
        "sort": sort("best", "next"),
        "track_scores": True,
        "track_total_hits": True,
        "size": limit,
    } | highlight(asked)


def query(words: str, entity_type: str | None, access: Access) -> dict[str, Any]:
    """Returns the query of `request`, which finds the same posts, without their number, order or matches."""
    return _matching(parse(words), entity_type, access, {})


def _matching(asked: Query, entity_type: str | None, access: Access, options: dict[str, Any]) -> dict[str, Any]:
    """Returns the query. `options`: those of the nested query for the mentions."""
    if not entity_type:
        return posts(asked, access, options)
    mention = {"bool": {"must": in_mention(asked), "filter": {"term": {"mentions.type": entity_type}}}}
    nested = {"nested": {"path": "mentions", "query": mention} | options}
    kept = [access.found] if asked.is_blank else [access.found, access.shown]
    return {"bool": {"must": nested, "must_not": unwanted(asked), "filter": kept}}


def results(answer: Mapping[str, Any], access: Access) -> Results:
    """Reads Elasticsearch's answer to `request`."""
    hits = answer["hits"]
    return Results(hits["total"]["value"], tuple(read_hit(hit, access.sources) for hit in hits["hits"]))


def check_limit(limit: int) -> None:
    """Raises `UserError` when one search cannot return so many results."""
    if not 1 <= limit <= MAX_RESULTS:
        raise UserError(f"a search returns 1 to {MAX_RESULTS} results, not {limit}")
