"""Moves the edges of a mention by words and by characters. Pure; offsets are code points of the post."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

#: A word with its inner apostrophes, or a run of punctuation. So `#` and `@` are separate from the name after them.
WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]+")

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
        """Moves the edge to the same edge of the next (1) or previous (-1) word, or the whole span onto that word."""
        words = [(word.start(), word.end()) for word in WORD.finditer(self.text)]
        if self.edge == "both":
            words = [word for word in words if self.text[word[0]].isalnum()]
            reachable = [word for word in words if (word[0] >= self.end if step > 0 else word[1] <= self.start)]
            if not reachable:
                return self
            start, end = reachable[0 if step > 0 else -1]
            return replace(self, start=start, end=end)
        side = 0 if self.edge == "start" else 1
        place = (self.start, self.end)[side]
        edges = [word[side] for word in words if (word[side] > place if step > 0 else word[side] < place)]
        return self._move_edge(edges[0 if step > 0 else -1]) if edges else self

    def by_character(self, step: Literal[-1, 1]) -> Span:
        if self.edge == "both":
            moved = replace(self, start=self.start + step, end=self.end + step)
            return moved if moved.start >= 0 and moved.end <= len(self.text) else self
        return self._move_edge((self.start if self.edge == "start" else self.end) + step)

    def _move_edge(self, place: int) -> Span:
        """Moves the edge, unless the span would become empty or leave the text."""
        start, end = (place, self.end) if self.edge == "start" else (self.start, place)
        return replace(self, start=start, end=end) if 0 <= start < end <= len(self.text) else self


def first_free(text: str, taken: list[tuple[int, int]]) -> Span:
    """Returns the first word that overlaps no taken span, or else the first word. A new mention starts there."""
    words = [(word.start(), word.end()) for word in WORD.finditer(text) if word[0][0].isalnum()] or [(0, len(text))]
    free = [word for word in words if all(word[1] <= start or end <= word[0] for start, end in taken)]
    return Span(text, *(free or words)[0], edge="both")
