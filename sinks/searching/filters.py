"""Builds Elasticsearch's filters for the state of a search. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from core.spelling import normalise
from core.terms import UNKNOWN
from sinks.names.names import NO_CORRECTIONS, Names, mentions_of
from sinks.searching.access import Access
from sinks.searching.language import Query
from sinks.searching.state import FACETS, Facet, SearchState
from sinks.searching.words import Clause, in_post

SHOWN_ONLY: frozenset[Facet] = frozenset({"name", "account", "author", "lang"})
"""Filters that would tell what a post holds. They find only posts whose text may be shown."""

OF_MENTION: tuple[Facet, ...] = ("type", "name")
"""Filters and facets of a mention, not of a post."""

FIELDS: dict[Facet, str] = {
    "type": "mentions.type",
    "name": "mentions.name",
    "account": "accounts.name",
    "author": "author.name",
    "lang": "lang",
    "source": "feed",
    "by": "source",
}
"""Field of the documents whose values a facet counts."""


def asked(query: Query, access: Access, options: Clause | None = None) -> Clause:
    """Finds the posts that a query asks for and that may be found. `options`: see `in_post`.

    Words find only posts whose text may be shown. An id finds its post in any case.
    """
    if query.is_blank:
        return {"bool": {"filter": [access.found]}}
    worded = in_post(query, options)
    if access.withholds:
        worded = {"bool": {"must": worded, "filter": access.shown}}
    either = [worded, {"term": {"id": query.text.strip()[:MAX_ID]}}]
    return {"bool": {"must": {"bool": {"should": either, "minimum_should_match": 1}}, "filter": [access.found]}}


MAX_ID = 512
"""Longest id that is looked up, in characters."""


def clauses(state: SearchState, access: Access, without: Facet | None = None, *, days: bool = True) -> list[Clause]:
    """Returns the filters of a state. `without`: the filter to leave out. `days`: whether the days count."""
    kept = [facet for facet in FACETS if facet != without and state.chosen(facet)]
    found = [clause_of(facet, state.chosen(facet)) for facet in kept if facet not in OF_MENTION]
    if mention := of_mention(state, access.names, without):
        found.append({"nested": {"path": "mentions", "query": {"bool": {"filter": mention}}}})
    if SHOWN_ONLY & set(kept) and access.withholds:
        found.append(access.shown)
    if days and (state.since or state.until):
        found.append(_days(state))
    return found


def of_mention(state: SearchState, names: Names, without: Facet | None = None) -> list[Clause]:
    """Returns the filters that one mention must match, for use in a nested query."""
    kept = [facet for facet in OF_MENTION if facet != without and state.chosen(facet)]
    return [clause_of(facet, state.chosen(facet), names) for facet in kept]


def clause_of(facet: Facet, values: tuple[str, ...], names: Names = NO_CORRECTIONS) -> Clause:
    """Returns the filter for any of these values: of a post, or for the facets of `OF_MENTION`, of a mention."""
    if facet == "name":
        return named(values, names)
    either: list[Clause] = [{"terms": {FIELDS[facet]: list(values)}}]
    if facet == "author":
        either.append({"terms": {"author.id": list(values)}})
    if facet == "source" and UNKNOWN in values:
        either.append({"bool": {"must_not": {"exists": {"field": "feed"}}}})
    return either[0] if len(either) == 1 else {"bool": {"should": either, "minimum_should_match": 1}}


def named(values: Iterable[str], names: Names) -> Clause:
    """Returns the filter for mentions that count under any of these names.

    Earlier versions spelled names otherwise, and their documents are still there. So a name finds its spelling as given
    as well.
    """
    spelled: dict[str, list[str]] = {}
    for value in values:
        spelled.setdefault(normalise(value), []).append(value)
    parts = dict.fromkeys(part for name in spelled for part in names.parts(name))
    return mentions_of(parts, spelled)


def spellings(names: tuple[str, ...]) -> list[str]:
    """Returns the names as the index spells them now, and as given, since earlier versions spelled them otherwise."""
    return sorted({*names, *map(normalise, names)})


def _days(state: SearchState) -> Clause:
    bounds = {"gte": state.since and f"{state.since}T00:00:00Z", "lte": state.until and f"{state.until}T23:59:59.999Z"}
    return {"range": {"created_at": {name: bound for name, bound in bounds.items() if bound}}}
