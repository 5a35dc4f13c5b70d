"""Builds search requests and reads the answers. Pure; `sinks.index` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import UserError
from core.spelling import fold, normalise

#: Highlight marks: private-use code points, which posts hardly ever contain.
OPEN, CLOSE = "\ue000", "\ue001"

MAX_WORDS = 256
"""Most words of a query. Elasticsearch refuses a query with too many clauses; 1024 is the lowest limit that it sets."""

MAX_TOKEN = 255
"""Characters after which Elasticsearch cuts a word in two."""

TEXT_FIELDS = ["text", "folded"]

OPERATORS = "PHRASE|PREFIX|WHITESPACE"
"""`"two words"` side by side, and `par*`. Every other sign is text: a dash between words is no exclusion."""

MAX_RESULTS = 10_000
"""Most results of one search, Elasticsearch's `index.max_result_window`."""

OLD_SPELLINGS = 200
"""How many names are looked at beyond those wanted, since old spellings of one name may stand apart."""

TWEETS: dict[str, Any] = {"tweets": {"reverse_nested": {}}}
"""Counts each post once, however often it has the mention."""

Spelled = Mapping[tuple[str, str], list[str]]
"""Name of today and type -> the names in the index."""

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
    """Returns the body of a search. Raises `UserError` when the query or the limit is too large.

    Without a type, the words must match a post's text or one of its mentions; a mention weighs more. With a type, they
    must match a mention of that type: `Paris` the person, not the city. Blank words match every post.
    """
    words = _checked(words, limit)
    mention = _in_mention(words) if words else {"match_all": {}}
    if entity_type:
        mention = {"bool": {"must": mention, "filter": {"term": {"mentions.type": entity_type}}}}
    query: dict[str, Any] = {"nested": {"path": "mentions", "query": mention, "inner_hits": {"size": 100}}}
    if not entity_type:
        text = _in_text(words) if words else {"match_all": {}}
        query = {"bool": {"should": [text, query], "minimum_should_match": 1}}
    return {
        "query": {"bool": {"must": query, "filter": ALIVE}},
        "highlight": {
            "pre_tags": [OPEN],
            "post_tags": [CLOSE],
            "highlight_query": _in_text(words) if words else {"match_none": {}},
            "fields": {field: {"number_of_fragments": 0} for field in TEXT_FIELDS},
        },
        "sort": ["_score", {"created_at": {"order": "desc", "missing": "_last"}}, {"id": "asc"}],
        "track_scores": True,
        "track_total_hits": True,
        "size": limit,
    }


def entities_request(words: str, entity_type: str | None, limit: int) -> dict[str, Any]:
    """Returns the body of a request for the most mentioned names. It counts the posts of each name and type.

    Raises `UserError` as `request` does.
    """
    names = {
        "terms": {"field": "mentions.name", "size": min(MAX_RESULTS, limit + OLD_SPELLINGS)},
        "aggs": {"types": {"terms": {"field": "mentions.type"}, "aggs": TWEETS}},
    }
    return _of_mentions(_checked(words, limit), entity_type, {"names": names})


def recount_request(words: str, entity_type: str | None, limit: int, spelled: Spelled) -> dict[str, Any]:
    """Returns the body of a request that counts the posts of each of these names, however often they have it."""
    counts = {
        str(place): {"filter": {"bool": {"filter": [_in("name", names), _in("type", [kind])]}}, "aggs": TWEETS}
        for place, ((_, kind), names) in enumerate(spelled.items())
    }
    return _of_mentions(_checked(words, limit), entity_type, counts)


def _of_mentions(words: str, entity_type: str | None, counts: dict[str, Any]) -> dict[str, Any]:
    filters = [_in_mention(words)] if words else []
    if entity_type:
        filters.append(_in("type", [entity_type]))
    only = {"filter": {"bool": {"filter": filters}}, "aggs": counts}
    return {"query": ALIVE, "size": 0, "aggs": {"mentions": {"nested": {"path": "mentions"}, "aggs": {"only": only}}}}


def _in(field: str, values: list[str]) -> dict[str, Any]:
    return {"terms": {f"mentions.{field}": values}}


def results(answer: Mapping[str, Any]) -> Results:
    """Reads Elasticsearch's answer to `request`."""
    hits = answer["hits"]
    return Results(hits["total"]["value"], tuple(_hit(hit) for hit in hits["hits"]))


def spelled_twice(answer: Mapping[str, Any]) -> Spelled:
    """Returns the names of `entities_request`'s answer that an earlier version wrote in several spellings."""
    spelled: dict[tuple[str, str], list[str]] = {}
    for name in _counts(answer)["names"]["buckets"]:
        for kind in name["types"]["buckets"]:
            spelled.setdefault((normalise(name["key"]), kind["key"]), []).append(name["key"])
    return {key: names for key, names in spelled.items() if len(names) > 1}


def recounted(answer: Mapping[str, Any], spelled: Spelled) -> dict[tuple[str, str], int]:
    """Reads Elasticsearch's answer to `recount_request`."""
    return {key: _counts(answer)[str(place)]["tweets"]["doc_count"] for place, key in enumerate(spelled)}


def entities(answer: Mapping[str, Any], again: Mapping[tuple[str, str], int], limit: int) -> list[Entity]:
    """Reads Elasticsearch's answer to `entities_request`. The most mentioned come first, then by name.

    Names that an earlier version wrote are counted under today's spelling. `again`: the result of `recounted`, since a
    post with two spellings of a name would count twice.
    """
    counted: dict[tuple[str, str], int] = {}
    for name in _counts(answer)["names"]["buckets"]:
        for kind in name["types"]["buckets"]:
            counted[normalise(name["key"]), kind["key"]] = kind["tweets"]["doc_count"]
    found = [Entity(name, kind, tweets) for (name, kind), tweets in (counted | dict(again)).items()]
    return sorted(found, key=lambda entity: (-entity.tweets, entity.name, entity.type))[:limit]


def _counts(answer: Mapping[str, Any]) -> Any:
    return answer["aggregations"]["mentions"]["only"]


def _checked(words: str, limit: int) -> str:
    """Returns the query without what no text can hold, or "" if nothing visible is left."""
    words = words.encode("utf-8", "ignore").decode().replace("\0", " ")
    if len(words.split()) + len(words) // MAX_TOKEN > MAX_WORDS:
        raise UserError(f"the query is too long: it may have up to {MAX_WORDS} words")
    if not 1 <= limit <= MAX_RESULTS:
        raise UserError(f"a search returns 1 to {MAX_RESULTS} results, not {limit}")
    return words if fold(words)[0].strip() else ""


def _in_text(words: str) -> dict[str, Any]:
    """Matches the words as they came in the raw text, or their folded spelling in either field of the text."""
    spellings = [_query(words, ["text"]), _query(fold(words)[0], TEXT_FIELDS)]
    return {"dis_max": {"queries": spellings}}


def _query(words: str, fields: list[str]) -> dict[str, Any]:
    return {"simple_query_string": {"query": words, "fields": fields, "default_operator": "and", "flags": OPERATORS}}


def _in_mention(words: str) -> dict[str, Any]:
    name = normalise(words)
    named = {"term": {"mentions.name": {"value": name, "boost": 3.0}}}
    worded = [
        {"match": {field: {"query": query, "operator": "and"}}}
        for field, query in (("mentions.text", words), ("mentions.name.words", name))
    ]
    return {"bool": {"should": [named, {"dis_max": {"queries": worded}}], "minimum_should_match": 1}}


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
    return Hit(
        id=source["id"],
        text=source["text"],
        score=hit["_score"],
        source=source["source"],
        reviewer=source.get("reviewer"),
        created_at=source.get("created_at"),
        mentions=mentions,
        matches=_matches(source["text"], hit.get("highlight", {})),
    )


def _matches(text: str, highlight: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Returns the highlighted spans of both fields as offsets of the raw text, in order, none overlapping."""
    folded, starts = fold(text)
    spans = _spans(highlight.get("text", [""])[0], text)
    for first, last in _spans(highlight.get("folded", [""])[0], folded):
        start = starts[first]
        end = next(place for place in starts[last:] if place > starts[last - 1])  # the whole last code point
        while end - 1 > start and not fold(text[end - 1])[0]:  # such as a zero-width space after the word
            end -= 1
        spans.append((start, end))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged)


def _spans(marked: str, text: str) -> list[tuple[int, int]]:
    """Returns the highlighted spans as offsets of the unmarked text. None if the text itself contains the marks."""
    if marked.replace(OPEN, "").replace(CLOSE, "") != text:
        return []
    spans, place, start = [], 0, 0
    for char in marked:
        if char == OPEN:
            start = place
        elif char == CLOSE and start < place:
            spans.append((start, place))
        elif char != CLOSE:
            place += 1
    return spans
