"""Moving the edges of a mention by words and by characters. Pure; offsets are code points of the tweet."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]+")
"""A word with its inner apostrophes, or a run of signs: so `#` and `@` stand apart from the name behind them."""


@dataclass(frozen=True)
class Span:
    """[start, end) of `text`; `edge` is the one that moves."""

    text: str
    start: int
    end: int
    edge: Literal["start", "end"] = "end"

    @property
    def covered(self) -> str:
        return self.text[self.start : self.end]

    def switch(self) -> Span:
        return replace(self, edge="start" if self.edge == "end" else "end")

    def by_word(self, step: Literal[-1, 1]) -> Span:
        """Move the edge to the next word's boundary of its own kind: starts for the start, ends for the end."""
        bounds = [word.start() if self.edge == "start" else word.end() for word in WORD.finditer(self.text)]
        place = self.start if self.edge == "start" else self.end
        ahead = [bound for bound in bounds if (bound > place if step > 0 else bound < place)]
        return self._to(min(ahead) if step > 0 else max(ahead)) if ahead else self

    def by_character(self, step: Literal[-1, 1]) -> Span:
        return self._to((self.start if self.edge == "start" else self.end) + step)

    def _to(self, place: int) -> Span:
        """Put the edge there, unless nothing would be left between the two or the text ends."""
        start, end = (place, self.end) if self.edge == "start" else (self.start, place)
        return replace(self, start=start, end=end) if 0 <= start < end <= len(self.text) else self


def first_free(text: str, taken: list[tuple[int, int]]) -> Span:
    """The first word outside every taken span, where a new mention begins; else the first word."""
    words = [(word.start(), word.end()) for word in WORD.finditer(text) if word[0][0].isalnum()] or [(0, len(text))]
    free = [word for word in words if all(word[1] <= start or end <= word[0] for start, end in taken)]
    return Span(text, *(free or words)[0])
