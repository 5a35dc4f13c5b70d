"""Finds the posts whose text may be shown, by the terms of their sources. Pure."""

from __future__ import annotations

from typing import Any

from core.terms import UNKNOWN, Sources


def shown(sources: Sources) -> dict[str, Any]:
    """Returns the query for posts whose source lets the text be shown, as `Sources.of` decides it."""
    withheld = [_named(name, sources) for name in {*sources.listed, UNKNOWN} if not sources.of(name).may_show_text]
    return {"bool": {"must_not": withheld}}


def _named(name: str, sources: Sources) -> dict[str, Any]:
    """Finds the posts of which `Sources.name_of` says this name."""
    others = [{"term": {"feed": other}} for other in sources.listed if other != name]
    if name == UNKNOWN:
        return {"bool": {"must_not": [*others, *(_family(other) for other in sources.listed if other != name)]}}
    named = [{"term": {"feed": name}}, _family(name)]
    return {"bool": {"should": named, "minimum_should_match": 1, "must_not": others}}


def _family(name: str) -> dict[str, Any]:
    """Finds the posts whose source has this name before its first colon."""
    return {"match_none": {}} if ":" in name else {"prefix": {"feed": f"{name}:"}}
