"""Moving the edges of a mention by words and by characters. Pure; offsets are code points of the tweet."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]+")
"""A word with its inner apostrophes, or a run of signs: so `#` and `@` stand apart from the name behind them."""


Edge = Literal["end", "start", "both"]
NEXT_EDGE: dict[Edge, Edge] = {"end": "start", "start": "both", "both": "end"}


@dataclass(frozen=True)
class Span:
    """[start, end) of `text`; `edge` is the one that moves, or both do, from word to word."""

    text: str
    start: int
    end: int
    edge: Edge = "end"

    @property
    def covered(self) -> str:
        return self.text[self.start : self.end]

    def switch(self) -> Span:
        return replace(self, edge=NEXT_EDGE[self.edge])

    def by_word(self, step: Literal[-1, 1]) -> Span:
        """Move the edge to the next word's boundary of its own kind, or the whole span onto the next word."""
        words = [(word.start(), word.end()) for word in WORD.finditer(self.text)]
        if self.edge == "both":
            named = [word for word in words if self.text[word[0]].isalnum()]
            ahead = [word for word in named if (word[0] >= self.end if step > 0 else word[1] <= self.start)]
            return replace(self, start=ahead[-(step < 0)][0], end=ahead[-(step < 0)][1]) if ahead else self
        side = 0 if self.edge == "start" else 1
        place = (self.start, self.end)[side]
        bounds = [word[side] for word in words if (word[side] > place if step > 0 else word[side] < place)]
        return self._to(bounds[-(step < 0)]) if bounds else self

    def by_character(self, step: Literal[-1, 1]) -> Span:
        if self.edge == "both":
            moved = replace(self, start=self.start + step, end=self.end + step)
            return moved if moved.start >= 0 and moved.end <= len(self.text) else self
        return self._to((self.start if self.edge == "start" else self.end) + step)

    def _to(self, place: int) -> Span:
        """Put the edge there, unless nothing would be left between the two or the text ends."""
        start, end = (place, self.end) if self.edge == "start" else (self.start, place)
        return replace(self, start=start, end=end) if 0 <= start < end <= len(self.text) else self


def first_free(text: str, taken: list[tuple[int, int]]) -> Span:
    """The first word outside every taken span, where the search for a new mention begins; else the first word."""
    words = [(word.start(), word.end()) for word in WORD.finditer(text) if word[0][0].isalnum()] or [(0, len(text))]
    free = [word for word in words if all(word[1] <= start or end <= word[0] for start, end in taken)]
    return Span(text, *(free or words)[0], edge="both")
