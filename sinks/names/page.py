"""What is known of one name: how it is written, its types, when and where posts mention it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.corrections import SameName, SplitName
from sinks.names.entities import TYPES, types_of
from sinks.names.names import NO_CORRECTIONS, SURFACE, Names, mentions_of
from sinks.names.scope import EVERYTHING, Scope
from sinks.names.tally import POSTS
from sinks.names.timeline import NO_TIMELINE, Timeline, histogram, moment, read, width

if TYPE_CHECKING:
    from sinks.index.index import Index

SURFACES, SAMPLE, SHORT = 50, 200, 20
"""Most surface forms of a page, most posts that are read for those of older documents, most sources and languages."""


@dataclass(frozen=True)
class NamePage:
    """One name, with all names that are one with it. Each count is of posts in the scope."""

    name: str  # the canonical one
    names: tuple[str, ...]  # all that are one with it, itself first
    corrections: tuple[SameName | SplitName, ...]  # in force, oldest first
    posts: int
    surfaces: Mapping[str, int]  # as written, the most frequent first
    types: Mapping[str, int]
    sources: Mapping[str, int]
    languages: Mapping[str, int]
    timeline: Timeline
    latest: tuple[str, ...]  # ids of posts, the latest first
    #: Posts whose documents are too old to count spellings in the index, and how many of them were read for `surfaces`.
    #: If these two differ, the counts of `surfaces` are too low.
    unsurfaced: int = 0
    sampled: int = 0


async def page_of(
    index: Index, name: str, scope: Scope = EVERYTHING, names: Names = NO_CORRECTIONS, latest: int = 10
) -> NamePage:
    """Returns the page of a name. Other names of the same group give the same page.

    A name that no post mentions gets a page without posts. Documents that an earlier version wrote are found by the
    spelling of names of their time.
    """
    canonical = names.canonical(name)
    mention = {"bool": {"filter": [mentions_of(names.parts(name)), *scope.mentions]}}
    found = [*scope.posts, {"nested": {"path": "mentions", "query": mention}}]
    answer = await index.aggregated(_first(found, mention, latest))
    whole, only = answer["aggregations"], answer["aggregations"]["mentions"]["only"]
    surfaces = Counter({bucket["key"]: bucket["posts"]["doc_count"] for bucket in only["surfaces"]["buckets"]})
    old, sampled = only["old"]["posts"]["doc_count"], 0
    if old:
        read_of, sampled = await _sampled(index, found, mention)
        surfaces += read_of
    return NamePage(
        canonical,
        names.members(name),
        names.corrections.get(canonical, ()),
        answer["hits"]["total"]["value"],
        dict(sorted(surfaces.items(), key=lambda one: (-one[1], one[0]))[:SURFACES]),
        types_of(only),
        _counts(whole["sources"]),
        _counts(whole["languages"]),
        await _timeline(index, found, whole),
        tuple(hit["_id"] for hit in answer["hits"]["hits"]),
        old,
        sampled,
    )


def _first(found: list[dict[str, Any]], mention: dict[str, Any], latest: int) -> dict[str, Any]:
    by_mention = TYPES | {
        "surfaces": {"terms": {"field": SURFACE, "size": SURFACES}, "aggs": POSTS},
        "old": {"filter": {"bool": {"must_not": {"exists": {"field": SURFACE}}}}, "aggs": POSTS},
    }
    only = {"only": {"filter": mention, "aggs": by_mention}}
    return {
        "query": {"bool": {"filter": found}},
        "size": latest,
        "_source": False,
        "sort": [{"created_at": {"order": "desc", "missing": "_last"}}, {"id": "asc"}],
        "track_total_hits": True,
        "aggs": {
            "mentions": {"nested": {"path": "mentions"}, "aggs": only},
            "sources": {"terms": {"field": "feed", "size": SHORT}},
            "languages": {"terms": {"field": "lang", "size": SHORT}},
            "first": {"min": {"field": "created_at"}},
            "last": {"max": {"field": "created_at"}},
        },
    }


def _counts(answer: Mapping[str, Any]) -> dict[str, int]:
    return {bucket["key"]: bucket["doc_count"] for bucket in answer["buckets"]}


async def _timeline(index: Index, found: list[dict[str, Any]], whole: Mapping[str, Any]) -> Timeline:
    first, last = whole["first"]["value"], whole["last"]["value"]
    if first is None:
        return NO_TIMELINE
    kind, value = width(moment(first), moment(last))
    body = {"query": {"bool": {"filter": found}}, "size": 0, "aggs": {"timeline": histogram(kind, value)}}
    return read(value, (await index.aggregated(body))["aggregations"]["timeline"])


async def _sampled(index: Index, found: list[dict[str, Any]], mention: dict[str, Any]) -> tuple[Counter[str], int]:
    """Reads the spellings in the latest posts whose documents lack the field. Returns their counts by post."""
    old = {"bool": {"filter": [mention], "must_not": [{"exists": {"field": SURFACE}}]}}
    inner = {"size": 100, "_source": ["mentions.text"]}
    query = {"nested": {"path": "mentions", "query": old, "inner_hits": inner}}
    body = {
        "query": {"bool": {"filter": found, "must": [query]}},
        "size": SAMPLE,
        "_source": False,
        "sort": [{"created_at": {"order": "desc", "missing": "_last"}}, {"id": "asc"}],
    }
    answer = await index.ask(lambda client: client.search(index=index.name, body=body))
    hits = answer["hits"]["hits"]
    surfaces: Counter[str] = Counter()
    for hit in hits:
        surfaces.update({inner["_source"]["text"] for inner in hit["inner_hits"]["mentions"]["hits"]["hits"]})
    return surfaces, len(hits)
