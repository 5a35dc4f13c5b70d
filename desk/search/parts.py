"""Cuts the text of a post into its mentions and the matched words, so that a template can draw them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.events import HasSpan

M = TypeVar("M", bound=HasSpan)


@dataclass(frozen=True)
class Piece:
    """A part of a text of which all or nothing matches the query."""

    text: str
    matched: bool


@dataclass(frozen=True)
class Part(Generic[M]):
    """A mention, or the text between two mentions."""

    pieces: tuple[Piece, ...]
    mention: M | None = None


def cut(text: str, mentions: Sequence[M], matches: Sequence[tuple[int, int]] = ()) -> tuple[Part[M], ...]:
    """Returns the parts of a text, in order; together they are the text. Offsets are code points.

    A mention that overlaps an earlier one has no part, since a page can mark a word only once. `matches`: spans that
    match words of the query.
    """
    parts: list[Part[M]] = []
    place = 0
    for mention in sorted(mentions, key=lambda each: (each.start, -each.end)):
        if mention.start < place or mention.end > len(text):
            continue
        if mention.start > place:
            parts.append(Part(_pieces(text, place, mention.start, matches)))
        parts.append(Part(_pieces(text, mention.start, mention.end, matches), mention))
        place = mention.end
    if place < len(text):
        parts.append(Part(_pieces(text, place, len(text), matches)))
    return tuple(parts)


def _pieces(text: str, start: int, end: int, matches: Sequence[tuple[int, int]]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    place = start
    for match in sorted(matches):
        first, last = max(match[0], place), min(match[1], end)
        if first >= last:
            continue
        if first > place:
            pieces.append(Piece(text[place:first], matched=False))
        pieces.append(Piece(text[first:last], matched=True))
        place = last
    if place < end:
        pieces.append(Piece(text[place:end], matched=False))
    return tuple(pieces)
