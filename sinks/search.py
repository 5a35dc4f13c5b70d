"""Builds search requests and reads the answers. Pure; `sinks.index` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sinks.document import normalise

#: Highlight marks: private-use code points, which posts hardly ever contain.
OPEN, CLOSE = "\ue000", "\ue001"

ALIVE = {"bool": {"must_not": {"term": {"erased": True}}}}


@dataclass(frozen=True)
class FoundMention:
    """A mention of a hit."""

    start: int
    end: int
    text: str
    type: str
    probability: float
    source: str
    matched: bool  # whether the query matches this mention


@dataclass(frozen=True)
class Hit:
    """A post that matches."""

    id: str
    text: str
    score: float
    source: str
    reviewer: str | None
    created_at: str | None
    mentions: tuple[FoundMention, ...]
    matches: tuple[tuple[int, int], ...]  # [start, end) code points of the text that match words of the query


@dataclass(frozen=True)
class Results:
    """The answer to a search."""

    total: int  # posts that match
    hits: tuple[Hit, ...]  # the best of them


@dataclass(frozen=True)
class Entity:
    """A name with an entity type."""

    name: str
    type: str
    tweets: int  # how many posts mention it


def request(words: str, entity_type: str | None, limit: int) -> dict[str, Any]:
    """Returns the body of a search.

    Without a type, the words must match a post's text or one of its mentions; a mention weighs more. With a type, they
    must match a mention of that type: `Paris` the person, not the city. Blank words match every post.
    """
    blank = not words.strip()
    mention = {"match_all": {}} if blank else _in_mention(words)
    if entity_type:
        mention = {"bool": {"must": mention, "filter": {"term": {"mentions.type": entity_type}}}}
    query: dict[str, Any] = {"nested": {"path": "mentions", "query": mention, "inner_hits": {"size": 100}}}
    if not entity_type:
        text = {"match_all": {}} if blank else _in_text(words)
        query = {"bool": {"should": [text, query], "minimum_should_match": 1}}
    return {
        "query": {"bool": {"must": query, "filter": ALIVE}},
        "highlight": {
            "pre_tags": [OPEN],
            "post_tags": [CLOSE],
            "highlight_query": {"match_none": {}} if blank else _in_text(words),
            "fields": {"text": {"number_of_fragments": 0}},
        },
        "sort": ["_score", {"created_at": {"order": "desc", "missing": "_last"}}, {"id": "asc"}],
        "track_scores": True,
        "track_total_hits": True,
        "size": limit,
    }


def entities_request(words: str, entity_type: str | None, limit: int) -> dict[str, Any]:
    """Returns the body of a request for the most mentioned names. It counts the posts of each name and type."""
    filters: list[dict[str, Any]] = []
    if words.strip():
        filters.append(_in_mention(words))
    if entity_type:
        filters.append({"term": {"mentions.type": entity_type}})
    names = {
        "terms": {"field": "mentions.name", "size": limit},
        "aggs": {"types": {"terms": {"field": "mentions.type"}, "aggs": {"tweets": {"reverse_nested": {}}}}},
    }
    only = {"filter": {"bool": {"filter": filters}}, "aggs": {"names": names}}
    return {
        "query": ALIVE,
        "size": 0,
        "aggs": {"mentions": {"nested": {"path": "mentions"}, "aggs": {"only": only}}},
    }


def results(answer: Mapping[str, Any]) -> Results:
    """Reads Elasticsearch's answer to `request`."""
    hits = answer["hits"]
    return Results(hits["total"]["value"], tuple(_hit(hit) for hit in hits["hits"]))


def entities(answer: Mapping[str, Any], limit: int) -> list[Entity]:
    """Reads Elasticsearch's answer to `entities_request`. Sorts by number of posts, then by name."""
    counted = [
        Entity(name["key"], kind["key"], kind["tweets"]["doc_count"])
        for name in answer["aggregations"]["mentions"]["only"]["names"]["buckets"]
        for kind in name["types"]["buckets"]
    ]
    return sorted(counted, key=lambda entity: (-entity.tweets, entity.name, entity.type))[:limit]


def _in_text(words: str) -> dict[str, Any]:
    return {"simple_query_string": {"query": words, "fields": ["text"], "default_operator": "and"}}


def _in_mention(words: str) -> dict[str, Any]:
    named = {"term": {"mentions.name": {"value": normalise(words), "boost": 3.0}}}
    worded = {"match": {"mentions.text": {"query": words, "operator": "and"}}}
    return {"bool": {"should": [named, worded], "minimum_should_match": 1}}


def _hit(hit: Mapping[str, Any]) -> Hit:
    source = hit["_source"]
    nested = hit.get("inner_hits", {}).get("mentions", {}).get("hits", {}).get("hits", [])
    matched = {inner["_nested"]["offset"] for inner in nested}
    mentions = tuple(
        FoundMention(
            start=mention["start"],
            end=mention["end"],
            text=mention["text"],
            type=mention["type"],
            probability=mention["probability"],
            source=mention["source"],
            matched=place in matched,
        )
        for place, mention in enumerate(source["mentions"])
    )
    marked = hit.get("highlight", {}).get("text", [""])[0]
    return Hit(
        id=source["id"],
        text=source["text"],
        score=hit["_score"],
        source=source["source"],
        reviewer=source.get("reviewer"),
        created_at=source.get("created_at"),
        mentions=mentions,
        matches=_spans(marked, source["text"]),
    )


def _spans(marked: str, text: str) -> tuple[tuple[int, int], ...]:
    """Returns the highlighted spans as offsets of the unmarked text. Empty if the text itself contains the marks."""
    if marked.replace(OPEN, "").replace(CLOSE, "") != text:
        return ()
    spans, place, start = [], 0, 0
    for char in marked:
        if char == OPEN:
            start = place
        elif char == CLOSE:
            spans.append((start, place))
        else:
            place += 1
    return tuple(spans)
