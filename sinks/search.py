"""Searching the index: queries in, hits out. Pure; `sinks.index` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sinks.document import normalise

OPEN, CLOSE = "\ue000", "\ue001"
"""Highlight marks: private-use code points, which no tweet from a platform carries."""

ALIVE = {"bool": {"must_not": {"term": {"erased": True}}}}


@dataclass(frozen=True)
class Found:
    """A mention of a hit. `matched`: the query is about this one."""

    start: int
    end: int
    text: str
    type: str
    probability: float
    source: str
    matched: bool


@dataclass(frozen=True)
class Hit:
    """A tweet found. `matches` are the [start, end) code points of the text that the query's words hit."""

    id: str
    text: str
    score: float
    source: str
    reviewer: str | None
    created_at: str | None
    mentions: tuple[Found, ...]
    matches: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Results:
    """`total` counts every tweet that matches, `hits` are the best of them."""

    total: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Entity:
    """A name with a type, and how many tweets mention it."""

    name: str
    type: str
    tweets: int


def request(words: str, entity_type: str | None, limit: int) -> dict[str, Any]:
    """The body of a search.

    Without a type, a tweet matches by its text or by a mention, the mention weighing more. With a type, the words
    must match a mention of that type: `Paris` as a person, not as the city. No words match everything.
    """
    blank = not words.strip()
    about = {"match_all": {}} if blank else _in_mention(words)
    if entity_type:
        about = {"bool": {"must": about, "filter": {"term": {"mentions.type": entity_type}}}}
    nested: dict[str, Any] = {"nested": {"path": "mentions", "query": about, "inner_hits": {"size": 100}}}
    if not entity_type:
        text = {"match_all": {}} if blank else _in_text(words)
        nested = {"bool": {"should": [text, nested], "minimum_should_match": 1}}
    return {
        "query": {"bool": {"must": nested, "filter": ALIVE}},
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
    """The body that counts the names most often mentioned, by type."""
    wanted: list[dict[str, Any]] = []
    if words.strip():
        wanted.append(_in_mention(words))
    if entity_type:
        wanted.append({"term": {"mentions.type": entity_type}})
    names = {
        "terms": {"field": "mentions.name", "size": limit},
        "aggs": {"types": {"terms": {"field": "mentions.type"}, "aggs": {"tweets": {"reverse_nested": {}}}}},
    }
    only = {"filter": {"bool": {"filter": wanted}}, "aggs": {"names": names}}
    return {
        "query": ALIVE,
        "size": 0,
        "aggs": {"mentions": {"nested": {"path": "mentions"}, "aggs": {"only": only}}},
    }


def results(answer: Mapping[str, Any]) -> Results:
    """Elasticsearch's answer to `request`."""
    found = answer["hits"]
    return Results(found["total"]["value"], tuple(_hit(hit) for hit in found["hits"]))


def entities(answer: Mapping[str, Any], limit: int) -> list[Entity]:
    """Elasticsearch's answer to `entities_request`, most mentioned first, then by name."""
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
        Found(
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
    """Where the highlight marks stand, as offsets of the unmarked text; none if they cannot be told apart."""
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
