"""Reads the posts that a search finds, with the mentions and the parts of the text that match. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.spelling import fold
from core.terms import UNKNOWN, Sources
from sinks.names.names import NO_CORRECTIONS, Names
from sinks.searching.state import SearchState

#: Highlight marks: private-use code points, which posts hardly ever contain.
OPEN, CLOSE = "\ue000", "\ue001"

ALL = SearchState()


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
    name: str = ""  # under which the mention is counted


@dataclass(frozen=True)
class FoundAccount:
    """An account that a hit names."""

    start: int
    end: int
    name: str
    matched: bool  # whether the search is filtered by it


@dataclass(frozen=True)
class Hit:
    """A post that matches."""

    id: str
    text: str
    score: float  # 0 if the order is one of time
    source: str
    reviewer: str | None
    created_at: str | None
    mentions: tuple[FoundMention, ...]
    matches: tuple[tuple[int, int], ...]  # [start, end) code points of the text that match words of the query
    feed: str = UNKNOWN  # source of the post
    withheld: bool = False  # whether text, mentions, author, language and media are left out, by the source's terms
    author_id: str | None = None
    author_name: str | None = None
    lang: str | None = None
    media: tuple[str, ...] = ()  # addresses
    alt: tuple[str, ...] = ()  # alt text of each of `media`, or empty if no alt text is known
    image: str = "none"  # outcome of fetching the image: `none`, `ok` or `failed`
    accounts: tuple[FoundAccount, ...] = ()

    def without_text(self) -> Hit:
        """Returns the hit as it may be shown if the terms of its source do not let the text be shown."""
        silent = replace(self, text="", mentions=(), matches=(), withheld=True, author_id=None, author_name=None)
        return replace(silent, lang=None, media=(), alt=(), image="none", accounts=())


def read_hit(hit: Mapping[str, Any], sources: Sources, state: SearchState = ALL, names: Names = NO_CORRECTIONS) -> Hit:
    """Reads a hit of Elasticsearch's answer. Leaves out what the terms of its source do not let be shown.

    A mention matches if the words of the query match it, or the filters of the state for mentions. An account matches
    if the state has it.
    """
    source = hit["_source"]
    nested = hit.get("inner_hits", {}).get("mentions", {}).get("hits", {}).get("hits", [])
    matched = {inner["_nested"]["offset"] for inner in nested}
    author = source.get("author", {})
    found = Hit(
        id=source["id"],
        text=source["text"],
        score=hit.get("_score") or 0.0,
        source=source["source"],
        reviewer=source.get("reviewer"),
        created_at=source.get("created_at"),
        mentions=tuple(
            _mention(each, place in matched or _is_chosen(each, state, names))
            for place, each in enumerate(source["mentions"])
        ),
        matches=_matches(source["text"], hit.get("highlight", {})),
        feed=source.get("feed", UNKNOWN),
        author_id=author.get("id"),
        author_name=author.get("name"),
        lang=source.get("lang"),
        media=tuple(source.get("media", ())),
        alt=tuple(source.get("alt", ())),
        image=source.get("image", {}).get("status", "none"),
        accounts=tuple(
            FoundAccount(each["start"], each["end"], each["name"], each["name"] in state.accounts)
            for each in source.get("accounts", ())
        ),
    )
    return found if sources.of(found.feed).may_show_text else found.without_text()


def _is_chosen(mention: Mapping[str, Any], state: SearchState, names: Names) -> bool:
    if not state.types and not state.names:
        return False
    has_name = not state.names or names.canonical_of(mention["text"]) in map(names.canonical, state.names)
    return has_name and (not state.types or mention["type"] in state.types)


def _mention(mention: Mapping[str, Any], matched: bool) -> FoundMention:
    return FoundMention(
        start=mention["start"],
        end=mention["end"],
        text=mention["text"],
        type=mention["type"],
        probability=mention["probability"],
        source=mention["source"],
        matched=matched,
        name=mention.get("name", ""),
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
