"""Which name a mention is counted under, given what people have said about names. Pure.

A mention has a name in the index, `core.spelling.normalise` of its text. People may say that two names are one, and
that one spelling of a name is another name. Names that are one form a group. One of them, the canonical name, stands
for all. Posts are not written anew: each request asks for all names of the group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.corrections import SameName, SplitName
from core.spelling import normalise

SURFACE = "mentions.text.surface"
"""The field with a mention's text as it was written. Documents written before it was mapped lack it."""

C = TypeVar("C", SameName, SplitName)


@dataclass(frozen=True)
class Part:
    """Mentions with one name in the index: all, or those with some spellings, or those without some."""

    name: str
    only: tuple[str, ...] = ()  # spellings that count; empty: all
    without: tuple[str, ...] = ()  # spellings that do not count

    @property
    def is_whole(self) -> bool:
        return not self.only and not self.without


@dataclass(frozen=True)
class Names:
    """All corrections, resolved. Without corrections, each name stands for itself."""

    groups: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    """Canonical name -> the mentions that count under it. Holds only names that a correction concerns."""
    corrections: Mapping[str, tuple[SameName | SplitName, ...]] = field(default_factory=dict)
    """Canonical name -> the corrections in force that concern it, oldest first."""
    _canonical: Mapping[str, str] = field(default_factory=dict)
    _split: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, corrections: Iterable[SameName | SplitName]) -> Names:
        """Returns the names as corrected.

        Order and repetition of the corrections do not matter: of two about the same names, or about the same spelling,
        the later one wins.

        Chains are followed: with `A = B` and `B = C`, all three are one. The canonical name is the one that no
        correction lists under another name. If there are several, or none, it is the one that was named last.
        """
        given = list(corrections)
        same = _in_force((frozenset(_pair(one)), one) for one in given if isinstance(one, SameName))
        split = _in_force((one.surface, one) for one in given if isinstance(one, SplitName))
        canonical = _resolved(same)

        def resolve(name: str) -> str:
            return canonical.get(normalise(name), normalise(name))

        away = {one.surface: resolve(one.name) for one in split if resolve(one.name) != resolve(one.surface)}
        concerned = {*canonical, *(normalise(name) for one in split for name in (one.surface, one.name))}
        members: dict[str, list[str]] = {}
        for name in sorted(concerned):
            members.setdefault(resolve(name), []).append(name)
        said: dict[str, list[SameName | SplitName]] = {}
        standing: list[SameName | SplitName] = [*same, *split]
        for one in sorted(standing, key=_order):
            about = (one.name, one.of) if isinstance(one, SameName) else (one.surface, one.name)
            for name in dict.fromkeys(map(resolve, about)):
                said.setdefault(name, []).append(one)
        return cls(
            {name: _parts(name, held, away) for name, held in members.items()},
            {name: tuple(ones) for name, ones in said.items()},
            canonical,
            away,
        )

    def canonical(self, name: str) -> str:
        """Returns the name that stands for this one, however it is spelled."""
        name = normalise(name)
        return self._canonical.get(name, name)

    def canonical_of(self, surface: str) -> str:
        """Returns the name that a mention with this text counts under."""
        return self._split.get(surface) or self.canonical(surface)

    def parts(self, name: str) -> tuple[Part, ...]:
        """Returns the mentions that count under the canonical name of `name`."""
        canonical = self.canonical(name)
        return self.groups.get(canonical, (Part(canonical),))

    def members(self, name: str) -> tuple[str, ...]:
        """Returns all names that are one with this one, the canonical name first."""
        canonical = self.canonical(name)
        others = (part.name for part in self.parts(canonical) if not part.only and part.name != canonical)
        return (canonical, *others)


NO_CORRECTIONS = Names()


def mentions_of(parts: Iterable[Part], spelled: Mapping[str, Iterable[str]] | None = None) -> dict[str, Any]:
    """Returns the query that finds these mentions. It stands inside a nested query or aggregation of `mentions`.

    `spelled`: name -> other spellings of it that the index holds, from an earlier version.
    """
    whole: list[str] = []
    found: list[dict[str, Any]] = []
    for part in parts:
        names = sorted({part.name, *(spelled or {}).get(part.name, ())})
        if part.is_whole:
            whole += names
            continue
        one: dict[str, Any] = {"filter": [{"terms": {"mentions.name": names}}]}
        if part.only:
            one["filter"].append({"terms": {SURFACE: list(part.only)}})
        if part.without:
            one["must_not"] = [{"terms": {SURFACE: list(part.without)}}]
        found.append({"bool": one})
    if whole:
        found.append({"terms": {"mentions.name": whole}})
    return found[0] if len(found) == 1 else {"bool": {"should": found, "minimum_should_match": 1}}


def posts_naming(names: Names, name: str, entity_type: str | None = None) -> dict[str, Any]:
    """Returns the query for posts that mention the name, or a name that is one with it, with the type if one is given.

    For a filter of a search.
    """
    mention = [mentions_of(names.parts(name))]
    if entity_type:
        mention.append({"term": {"mentions.type": entity_type}})
    return {"nested": {"path": "mentions", "query": {"bool": {"filter": mention}}}}


def _in_force(about: Iterable[tuple[object, C]]) -> list[C]:
    """Returns the latest correction about each subject, without those that were taken back."""
    latest: dict[object, C] = {}
    for subject, one in about:
        if subject not in latest or _order(one) > _order(latest[subject]):
            latest[subject] = one
    return [one for one in latest.values() if not one.withdrawn]


def _order(one: SameName | SplitName) -> tuple[Any, ...]:
    """Orders corrections by time. Those of one moment have an order too, which is the same everywhere."""
    return one.at, one.withdrawn, one.model_dump_json()


def _pair(one: SameName) -> tuple[str, str]:
    return normalise(one.name), normalise(one.of)


def _resolved(same: Iterable[SameName]) -> dict[str, str]:
    """Returns the canonical name of each name that a correction joins to another."""
    group: dict[str, set[str]] = {}
    ordered = sorted(same, key=_order)
    for one in ordered:
        name, of = _pair(one)
        joined = group.get(name, {name}) | group.get(of, {of})
        group |= dict.fromkeys(joined, joined)
    listed_under_another = {_pair(one)[0] for one in ordered}
    canonical: dict[str, str] = {}
    for one in ordered:  # so that the last one of a group stays
        _, of = _pair(one)
        if of not in listed_under_another or group[of] <= listed_under_another:
            canonical |= dict.fromkeys(group[of], of)
    return canonical


def _parts(canonical: str, members: Iterable[str], away: Mapping[str, str]) -> tuple[Part, ...]:
    """`away`: spelling -> canonical name of the group that it counts under, where that is another group."""
    here = set(members)
    parts = [
        Part(name, without=tuple(sorted(surface for surface in away if normalise(surface) == name)))
        for name in sorted(here)
    ]
    coming: dict[str, list[str]] = {}
    for surface in sorted(surface for surface, target in away.items() if target == canonical):
        coming.setdefault(normalise(surface), []).append(surface)
    return (*parts, *(Part(name, only=tuple(surfaces)) for name, surfaces in sorted(coming.items())))
