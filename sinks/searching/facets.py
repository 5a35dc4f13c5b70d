"""Builds the aggregations that count a facet's values, and reads them. Pure.

The counts of a facet ignore the filter of that facet, so that a person can widen it. They count posts, not mentions.
Names and types are counted in fields of the post. Only if a name must have a type in the same mention, or the other way
round, the nested mentions are counted, which takes longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.terms import UNKNOWN
from sinks.names.names import NO_CORRECTIONS, Names
from sinks.searching.filters import FIELDS, OF_MENTION, clause_of, named, of_mention, spellings
from sinks.searching.state import Facet, SearchState
from sinks.searching.words import Clause

VALUES = 20
"""Most values of a facet that are counted, besides those that the state has chosen."""

GROUPS = 200
"""Most groups of names, which people have told to be one, that a facet counts as one name. Others stand apart in it."""

FLAT: dict[Facet, str] = {"type": "mention_types", "name": "mention_names"}
"""Field of the post that holds what the facet's field of the mentions holds."""
UNCOUNTED: Clause = {"missing": {"field": "mention_count"}}
"""Groups posts that an earlier version wrote, without the fields in `FLAT`. Their mentions are counted one by one."""
NESTED, OLD = "mentions", "old"

POSTS: Clause = {"posts": {"reverse_nested": {}}}
"""Counts each post once, however often it has the mention."""


@dataclass(frozen=True)
class FacetValue:
    """A value of a facet."""

    value: str
    posts: int
    chosen: bool  # whether the state has it


def aggregation(facet: Facet, state: SearchState, names: Names = NO_CORRECTIONS) -> Clause:
    """Returns the aggregations that count the values of a facet, by name."""
    counts: Clause = {"terms": {"field": FIELDS[facet], "size": VALUES}}
    if facet == "source":
        counts["terms"]["missing"] = UNKNOWN
    picked = _picked(facet, state, names)
    chosen = {value: clause_of(facet, (value,), names) for value in picked}
    both = {"values": counts} | ({"chosen": {"filters": {"filters": chosen}}} if chosen else {})
    if facet not in OF_MENTION:
        return {f"{facet}.{name}": counted for name, counted in both.items()}
    same = of_mention(state, names, facet)
    both = {name: counted | {"aggs": POSTS} for name, counted in both.items()}
    nested = {"nested": {"path": "mentions"}, "aggs": {"only": {"filter": {"bool": {"filter": same}}, "aggs": both}}}
    if same:
        return {f"{facet}.{NESTED}": nested}
    flat = {"terms": {"field": FLAT[facet], "size": VALUES}}
    of_post = {value: _of_post(facet, value, names) for value in picked}
    return {
        f"{facet}.values": flat,
        f"{facet}.{OLD}": UNCOUNTED | {"aggs": {NESTED: nested}},
    } | ({f"{facet}.chosen": {"filters": {"filters": of_post}}} if picked else {})


def values(
    facet: Facet, state: SearchState, answer: Mapping[str, Any], names: Names = NO_CORRECTIONS
) -> tuple[FacetValue, ...]:
    """Reads the answer to `aggregation`. The value of most posts comes first. Chosen values always stand in it."""
    own = {name.removeprefix(f"{facet}."): part for name, part in answer.items() if name.startswith(f"{facet}.")}
    counts: Counter[str] = Counter()
    nested = own[OLD][NESTED] if OLD in own else own.get(NESTED)
    for found in (own, nested["only"] if nested else {}):
        chosen = found["chosen"]["buckets"] if "chosen" in found else {}
        listed = {bucket["key"]: _posts(bucket) for bucket in found["values"]["buckets"]} if "values" in found else {}
        counts.update(listed | {value: _posts(bucket) for value, bucket in chosen.items()})
    picked = set(_picked(facet, state, names))
    grouped = {names.canonical(value) for value in picked} if facet == "name" else set()

    def stands(value: str) -> bool:
        return not grouped or value in picked or names.canonical(value) not in grouped

    kept = {
        value: posts for value, posts in counts.items() if value in state.chosen(facet) or (posts and stands(value))
    }
    ranked = sorted(kept.items(), key=lambda pair: (-pair[1], pair[0]))
    most = VALUES + len(state.chosen(facet))
    return tuple(FacetValue(value, posts, value in state.chosen(facet)) for value, posts in ranked[:most])


def _picked(facet: Facet, state: SearchState, names: Names) -> list[str]:
    """Returns the values that are counted by a filter of their own: the chosen ones, and names with corrections."""
    chosen = list(state.chosen(facet))
    if facet != "name":
        return chosen
    present = {names.canonical(value) for value in chosen}
    return chosen + [name for name in sorted(names.groups) if name not in present][:GROUPS]


def _of_post(facet: Facet, value: str, names: Names) -> Clause:
    """Returns the filter for posts with a mention of this value, in the fields of `FLAT` where they tell."""
    if facet != "name":
        return {"term": {FLAT[facet]: value}}
    parts = names.parts(value)
    if all(part.is_whole for part in parts):
        return {"terms": {FLAT[facet]: sorted({*spellings((value,)), *(part.name for part in parts)})}}
    return {"nested": {"path": "mentions", "query": named((value,), names)}}


def _posts(bucket: Mapping[str, Any]) -> int:
    return int(bucket["posts"]["doc_count"] if "posts" in bucket else bucket["doc_count"])
