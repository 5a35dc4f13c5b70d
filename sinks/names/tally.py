"""Counts mentions or posts by name, with names that are one counted together, and each post once.

Elasticsearch counts by the names in the index. Several of them may be one name: people say so, or an earlier version
spelled it otherwise. Sums would count a post twice that has two of them. So a second request counts these groups anew.

Posts hold the names of their mentions a second time, in a field of their own, where they are counted many times faster.
That field does not tell which mention has which type. Documents of an earlier version lack it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from core.spelling import normalise
from sinks.names.names import Names, Part, mentions_of
from sinks.names.scope import Scope

if TYPE_CHECKING:
    from sinks.index.index import Index

Answer = Mapping[str, Any]
Query = dict[str, Any]
Wanted = Mapping[str, tuple[Part, ...]] | None

POSTS: dict[str, Any] = {"posts": {"reverse_nested": {}}}
"""Counts each post once, however often it has the mention."""

MOST_NAMES = 65_536
"""Most names in one query, Elasticsearch's `index.max_terms_count`."""

EXTRA = 200
"""How many names are looked at beyond those wanted, since names that are one may stand apart."""

FLAT = "mention_names"
"""Field of the post that holds the names of its mentions."""
WITHOUT_FLAT: Query = {"bool": {"must_not": {"exists": {"field": "mention_count"}}}}
"""Finds posts that an earlier version wrote, without that field."""


@dataclass(frozen=True)
class Tally:
    """The outcome of a count."""

    posts: int  # in the scope, with or without mentions
    names: Mapping[str, Answer]  # canonical name -> the answer to the measure
    whole: Answer  # the answer to the other aggregations, over all posts in the scope


@dataclass(frozen=True)
class Measure:
    """What is counted of each name, as aggregations: over its mentions, or for `posts_by_name` over its posts."""

    of_name: Mapping[str, Any] = field(default_factory=dict)
    of_all: Mapping[str, Any] = field(default_factory=dict)  # over all posts in the scope


async def tally(
    index: Index,
    scope: Scope,
    names: Names,
    measure: Measure,
    size: int,
    *,
    only: Collection[str] | None = None,
    also: Collection[Mapping[str, Any]] = (),
) -> Tally:
    """Counts mentions of the `size` names with the most mentions, or of `only` these canonical names.

    `also`: further filters for posts. Groups of names are found even if none of their names is frequent. More names
    than `size` may be returned.
    """
    wanted = _wanted(names, only)

    def over(by_name: Mapping[str, Any], of_all: Mapping[str, Any]) -> Query:
        inner = {"filter": {"bool": {"filter": scope.mentions}}, "aggs": by_name}
        return _body(scope, also, {"mentions": {"nested": {"path": "mentions"}, "aggs": {"only": inner}}, **of_all})

    answer = await index.aggregated(over(_first(names, measure, "mentions.name", size, wanted), measure.of_all))
    by_name, again = _grouped(answer["aggregations"]["mentions"]["only"], names, wanted, mentions_of)
    if again:
        groups = {"groups": {"filters": {"filters": again}} | _aggs(measure.of_name)}
        counted = await index.aggregated(over(groups, {}))
        by_name |= counted["aggregations"]["mentions"]["only"]["groups"]["buckets"]
    return _tally(answer, by_name)


async def posts_by_name(
    index: Index,
    scope: Scope,
    names: Names,
    measure: Measure,
    size: int,
    *,
    only: Collection[str] | None = None,
    also: Collection[Mapping[str, Any]] = (),
) -> Tally:
    """Counts the posts that mention a name, as `tally` counts mentions. `doc_count` of an answer is their number."""
    if not scope.mentions:
        counted = await _flat(index, scope, names, measure, size, _wanted(names, only), also)
        if counted is not None:
            return counted
    of_mentions = Measure({"posts": {"reverse_nested": {}} | _aggs(measure.of_name)}, measure.of_all)
    counted = await tally(index, scope, names, of_mentions, size, only=only, also=also)
    return replace(counted, names={name: answer["posts"] for name, answer in counted.names.items()})


async def _flat(
    index: Index,
    scope: Scope,
    names: Names,
    measure: Measure,
    size: int,
    wanted: Wanted,
    also: Collection[Mapping[str, Any]],
) -> Tally | None:
    """Counts in the field of the posts. Returns None if some posts of the scope lack it."""
    first = _first(names, measure, FLAT, size, wanted) | {"lacking": {"filter": WITHOUT_FLAT}}
    answer = await index.aggregated(_body(scope, also, {**first, **measure.of_all}))
    if answer["aggregations"]["lacking"]["doc_count"]:
        return None
    by_name, again = _grouped(answer["aggregations"], names, wanted, posts_of)
    if again:
        groups = {"groups": {"filters": {"filters": again}} | _aggs(measure.of_name)}
        by_name |= (await index.aggregated(_body(scope, also, groups)))["aggregations"]["groups"]["buckets"]
    return _tally(answer, by_name)


def posts_of(parts: tuple[Part, ...], spelled: Mapping[str, Collection[str]]) -> Query:
    """Returns the query for posts with these mentions. `spelled`: see `mentions_of`. Does not find old documents."""
    if all(part.is_whole for part in parts):
        return {"terms": {FLAT: sorted({name for part in parts for name in (part.name, *spelled.get(part.name, ()))})}}
    return {"nested": {"path": "mentions", "query": mentions_of(parts, spelled)}}


def posts_near(parts: Iterable[Part]) -> Query:
    """Returns a filter that lets all posts with these mentions pass, and few others. It is fast."""
    some = {"terms": {FLAT: sorted({part.name for part in parts})[:MOST_NAMES]}}
    return {"bool": {"should": [some, WITHOUT_FLAT], "minimum_should_match": 1}}


def _wanted(names: Names, only: Collection[str] | None) -> Wanted:
    return None if only is None else {name: names.parts(name) for name in only}


def _aggs(inner: Mapping[str, Any]) -> Query:
    return {"aggs": dict(inner)} if inner else {}


def _body(scope: Scope, also: Collection[Mapping[str, Any]], aggregations: Mapping[str, Any]) -> Query:
    return {
        "query": {"bool": {"filter": [*scope.posts, *map(dict, also)]}},
        "size": 0,
        "track_total_hits": True,
        "aggs": dict(aggregations),
    }


def _tally(answer: Answer, by_name: Mapping[str, Answer]) -> Tally:
    found = {name: bucket for name, bucket in by_name.items() if bucket["doc_count"]}
    return Tally(answer["hits"]["total"]["value"], found, answer["aggregations"])


def _first(names: Names, measure: Measure, name: str, size: int, wanted: Wanted) -> dict[str, Query]:
    """Returns the first aggregations. `name`: the field with the names."""
    of_name = _aggs(measure.of_name)
    if wanted is not None:
        included = sorted({part.name for parts in wanted.values() for part in parts})[:MOST_NAMES]
        return {"names": {"terms": {"field": name, "include": included, "size": max(1, len(included))}} | of_name}
    first = {"names": {"terms": {"field": name, "size": size + EXTRA}} | of_name}
    if corrected := sorted({part.name for parts in names.groups.values() for part in parts})[:MOST_NAMES]:
        first["corrected"] = {"terms": {"field": name, "include": corrected, "size": len(corrected)}}
    return first


def _grouped(
    found: Answer, names: Names, wanted: Wanted, query: Callable[[tuple[Part, ...], Mapping[str, list[str]]], Query]
) -> tuple[dict[str, Answer], dict[str, Query]]:
    """Returns the answers for names that stand alone, and the queries for the groups to count anew."""
    buckets = {bucket["key"]: bucket for bucket in found["names"]["buckets"]}
    counts = {bucket["key"]: bucket["doc_count"] for bucket in found.get("corrected", {"buckets": ()})["buckets"]}
    counts |= {key: bucket["doc_count"] for key, bucket in buckets.items()}
    is_cut = found["names"]["sum_other_doc_count"] > 0
    least = min((bucket["doc_count"] for bucket in buckets.values()), default=0) if is_cut else 1
    spelled: dict[str, list[str]] = {}
    for key in counts:
        spelled.setdefault(normalise(key), []).append(key)
    groups = {names.canonical(name): names.parts(name) for name in spelled}
    groups |= {name: parts for name, parts in names.groups.items() if any(part.name in spelled for part in parts)}
    alone: dict[str, Answer] = {}
    again: dict[str, Query] = {}
    for name, parts in groups.items():
        if wanted is not None and name not in wanted:
            continue
        keys = [key for part in parts for key in spelled.get(part.name, ())]
        if len(keys) == 1 and all(part.is_whole for part in parts) and keys[0] in buckets:
            alone[name] = buckets[keys[0]]
        elif sum(counts[key] for key in keys) >= least:  # an upper bound of its mentions
            again[name] = query(parts, spelled)
    return alone, again
