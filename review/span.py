"""Moves the edges of a mention by words and by characters, never into a character. Pure; offsets are code points."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from review.segments import character_edges, segments

Edge = Literal["end", "start", "both"]
NEXT_EDGE: dict[Edge, Edge] = {"end": "start", "start": "both", "both": "end"}


@dataclass(frozen=True)
class Span:
    """The code points [start, end) of `text`."""

    text: str
    start: int
    end: int
    edge: Edge = "end"  # which edge moves; "both" moves the whole span from word to word

    @property
    def covered(self) -> str:
        return self.text[self.start : self.end]

    def switch(self) -> Span:
        return replace(self, edge=NEXT_EDGE[self.edge])

    def by_word(self, step: Literal[-1, 1]) -> Span:
        """Moves a start to the next word's start, an end to the next word's end, the whole span onto the next word.

        A run of signs counts as a word, except when the whole span moves.
        """
        if self.edge == "both":
            words = [word for word in segments(self.text) if word.is_word]
            reachable = [word for word in words if (word.start >= self.end if step > 0 else word.end <= self.start)]
            if not reachable:
                return self
            word = reachable[0 if step > 0 else -1]
            return replace(self, start=word.start, end=word.end)
        if self.edge == "start":
            return self._move_edge(_next(self.start, step, [word.start for word in segments(self.text)]))
        return self._move_edge(_next(self.end, step, [word.end for word in segments(self.text)]))

    def by_character(self, step: Literal[-1, 1]) -> Span:
        edges = character_edges(self.text)
        start, end = _next(self.start, step, edges), _next(self.end, step, edges)
        if self.edge == "both":
            stays = start == self.start or end == self.end  # at an end of the text
            return self if stays else replace(self, start=start, end=end)
        return self._move_edge(start if self.edge == "start" else end)

    def _move_edge(self, place: int) -> Span:
        """Moves the edge, unless the span would become empty."""
        start, end = (place, self.end) if self.edge == "start" else (self.start, place)
        return replace(self, start=start, end=end) if start < end else self


def first_free(text: str, taken: list[tuple[int, int]]) -> Span:
    """Returns the first word that overlaps no taken span, or else the first word. A new mention starts there."""
    words = [(word.start, word.end) for word in segments(text) if word.is_word] or [(0, len(text))]
    free = [word for word in words if all(word[1] <= start or end <= word[0] for start, end in taken)]
    return Span(text, *(free or words)[0], edge="both")


def _next(place: int, step: Literal[-1, 1], edges: Sequence[int]) -> int:
    """Returns the next of the rising `edges` after or before `place`; `place` itself when there is none."""
    at = bisect_right(edges, place) if step > 0 else bisect_left(edges, place) - 1
    return edges[at] if 0 <= at < len(edges) else place
