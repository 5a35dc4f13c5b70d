"""Builds the requests of a search and reads the answers. Pure; `sinks.searching.search` sends them.

One request finds the hits. Two others count: words and access are their query, and each facet counts under the other
filters. They are the same for every page and order, so Elasticsearch answers them from its cache until the index
changes. There are two because Elasticsearch reads a shard for one request with one core.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import UserError
from sinks.searching import facets
from sinks.searching.access import Access
from sinks.searching.facets import FacetValue
from sinks.searching.filters import SHOWN_ONLY, asked, clauses
from sinks.searching.hits import CLOSE, OPEN, Hit, read_hit
from sinks.searching.language import Query, parse
from sinks.searching.paging import Cursor, Page, sort
from sinks.searching.state import FACETS, Facet, Order, SearchState
from sinks.searching.timeline import Span, Timeline, histogram, timeline
from sinks.searching.words import Clause, highlighted

MAX_PAGE = 200
"""Most hits of a page."""

MATCHED: Clause = {"inner_hits": {"size": 100, "_source": False}}
"""Asks which mentions match: 100 is the most that Elasticsearch returns by default."""

LEFT_OUT = ["folded", "described", "context", "mentions.aleatoric", "mentions.epistemic"]
"""Fields of the documents that no hit has."""

DATED: Clause = {"exists": {"field": "created_at"}}
"""Keeps posts that have a date. The others have no place on a timeline."""


@dataclass(frozen=True)
class Spans:
    """The time that the timelines cover. None if no post has a date, or for `within`, if no day is chosen."""

    whole: Span | None = None
    within: Span | None = None

    @property
    def present(self) -> dict[str, Span]:
        """Returns the spans that are known, by name."""
        named = {"whole": self.whole, "within": self.within}
        return {name: span for name, span in named.items() if span}


@dataclass(frozen=True)
class Found:
    """A page of the answer to a search."""

    total: int  # posts that match
    hits: tuple[Hit, ...]
    #: The most frequent values of each facet. Counts ignore the filter of the facet itself.
    facets: Mapping[Facet, tuple[FacetValue, ...]]
    #: All posts, whatever days are chosen.
    timeline: Timeline | None
    #: Cursors of the pages around this one, for `SearchState.page`. Empty if there is none.
    previous: str
    next: str
    #: The posts of the chosen days, by a shorter interval. None if no day is chosen.
    within: Timeline | None = None


@dataclass(frozen=True)
class Search:
    """A search that was read and checked. Raises `UserError` if the words, the cursor or the size cannot be used."""

    state: SearchState
    access: Access
    size: int = 20
    query: Query = field(init=False)
    order: Order = field(init=False)
    cursor: Cursor | None = field(init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_PAGE:
            raise UserError(f"a page has 1 to {MAX_PAGE} results, not {self.size}")
        query = parse(self.state.words)
        scored = bool(query.wanted or query.signs)
        order = "newest" if self.state.order == "best" and not scored else self.state.order  # all scores are equal
        cursor = Cursor.read(self.state.page, order) if self.state.page else None
        for name, value in (("query", query), ("order", order), ("cursor", cursor)):
            object.__setattr__(self, name, value)

    @property
    def everything(self) -> Clause:
        """Returns the query for all hits."""
        return {"bool": {"filter": [asked(self.query, self.access), *clauses(self.state, self.access)]}}

    def ends_requests(self) -> list[Clause]:
        """Returns the bodies of requests for the first and the last post of each timeline that `spans` cannot know.

        Elasticsearch finds the first post of a sort many times faster than the least of all dates.
        """
        return [self._end(days, order) for days in self._unknown for order in ("asc", "desc")]

    def _end(self, days: bool, order: str) -> Clause:
        kept = [asked(self.query, self.access), *clauses(self.state, self.access, days=days), DATED]
        sorted_by = [{"created_at": order}]
        return {
            "query": {"bool": {"filter": kept}},
            "sort": sorted_by,
            "size": 1,
            "_source": False,
            "track_total_hits": False,
        }

    def spans(self, answers: Sequence[Mapping[str, Any]]) -> Spans:
        """Reads the answers to `ends_requests`."""
        ends = [[hit["sort"][0] for hit in answer["hits"]["hits"]] for answer in answers]
        pairs = zip(ends[::2], ends[1::2], strict=True)
        found = {days: Span.read(first, last) for days, (first, last) in zip(self._unknown, pairs, strict=True)}
        if self.state.since and self.state.until:
            found[True] = Span.of_days(self.state.since, self.state.until)
        return Spans(whole=found[False], within=found.get(True))

    @property
    def _unknown(self) -> list[bool]:
        """The timelines whose span only the index knows, by whether the chosen days limit them."""
        return [False, True] if (self.state.since is None) != (self.state.until is None) else [False]

    def contents_request(self) -> Clause:
        """Returns the body of a request for the facets that tell what posts hold. They need no span."""
        return self._counting(self._facets(facet for facet in FACETS if facet in SHOWN_ONLY))

    def times_request(self, spans: Spans) -> Clause:
        """Returns the body of a request for the other facets, and for the timelines."""
        groups = self._facets(facet for facet in FACETS if facet not in SHOWN_ONLY)
        for name, span in spans.present.items():
            groups.add(clauses(self.state, self.access, days=name == "within"), {name: histogram(span)})
        return self._counting(groups)

    def _facets(self, chosen: Iterable[Facet]) -> Groups:
        groups = Groups()
        for facet in chosen:
            kept = clauses(self.state, self.access, facet if self.state.chosen(facet) else None)
            if facet in SHOWN_ONLY and self.access.withholds and self.access.shown not in kept:
                kept.append(self.access.shown)
            groups.add(kept, facets.aggregation(facet, self.state, self.access.names))
        return groups

    def hits_request(self) -> Clause:
        """Returns the body of a request for a page of hits."""
        matched = MATCHED if self.query.wanted or self.query.signs else None
        query: Clause = asked(self.query, self.access, matched)
        if kept := clauses(self.state, self.access):
            query = {"bool": {"must": query, "filter": kept}}
        body: Clause = {
            "query": query,
            "sort": sort(self.order, self.cursor.direction if self.cursor else "next"),
            "size": self.size + 1,
            "track_total_hits": True,
            "_source": {"excludes": LEFT_OUT},
        }
        if self.cursor:
            body["search_after"] = list(self.cursor.after)
        return body | highlight(self.query)

    def found(self, answer: Mapping[str, Any], counted: Iterable[Mapping[str, Any]], spans: Spans) -> Found:
        """Reads the answer to `hits_request`, and those to `contents_request` and `times_request`."""
        hits = answer["hits"]
        counts = {name: part for each in counted for name, part in flattened(each["aggregations"]).items()}
        page = Page.of(hits["hits"], self.size, self.order, self.cursor)
        drawn = {name: timeline(span, counts[name]) for name, span in spans.present.items() if counts[name]["buckets"]}
        return Found(
            total=hits["total"]["value"],
            hits=tuple(read_hit(hit, self.access.sources, self.state, self.access.names) for hit in page.hits),
            facets={facet: facets.values(facet, self.state, counts, self.access.names) for facet in FACETS},
            timeline=drawn.get("whole"),
            within=drawn.get("within"),
            previous=page.previous,
            next=page.next,
        )

    def _counting(self, groups: Groups) -> Clause:
        query = {"bool": {"filter": asked(self.query, self.access)}}
        return {"query": query, "size": 0, "track_total_hits": False, "aggs": groups.body}


def highlight(query: Query) -> Clause:
    """Returns the part of a request that marks the wanted words in the text."""
    if not query.wanted:
        return {}
    fields = {name: {"number_of_fragments": 0} for name in ("text", "folded")}
    marks = {"pre_tags": [OPEN], "post_tags": [CLOSE]}
    return {"highlight": marks | {"highlight_query": highlighted(query), "fields": fields}}


class Groups:
    """Aggregations, of which those with equal filters share one filter aggregation."""

    def __init__(self) -> None:
        self._groups: dict[str, tuple[list[Clause], Clause]] = {}

    def add(self, filters: list[Clause], aggregations: Clause) -> None:
        self._groups.setdefault(json.dumps(filters), (filters, {}))[1].update(aggregations)

    @property
    def body(self) -> Clause:
        """Returns the aggregations. Those without a filter stand outside, where Elasticsearch counts fastest."""
        body: Clause = {}
        for place, (filters, aggregations) in enumerate(self._groups.values()):
            inner = {f"{GROUP}{place}": {"filter": {"bool": {"filter": filters}}, "aggs": aggregations}}
            body |= inner if filters else aggregations
        return body


GROUP = "group "


def flattened(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the answers to the aggregations of `Groups`, by name."""
    flat: dict[str, Any] = {}
    for name, found in answer.items():
        flat |= found if name.startswith(GROUP) else {name: found}
    return flat
