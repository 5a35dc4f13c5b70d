"""Terminals that count cells in different ways. Each is an emulator that draws what the program writes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pyte
import regex
from pyte import modes
from wcwidth import wcwidth

Width = Callable[[str], int]


class Emulator(pyte.Screen):
    """pyte's terminal with another count of cells. `joins` makes a grapheme cluster one sign, as newer terminals do.

    pyte itself drops the rest of a line after a sign without width, so `draw` is written anew.
    """

    def __init__(self, width: Width, *, joins: bool = False, wraps: bool = False) -> None:
        super().__init__(80, 24)
        self._width, self._joins, self._wraps = width, joins, wraps

    def draw(self, data: str) -> None:
        for sign in regex.findall(r"\X", data) if self._joins else data:
            self._draw(sign, 2 if len(sign) > 1 and _is_emoji(sign) else max(map(self._width, sign)))

    def _draw(self, sign: str, width: int) -> None:
        line = self.buffer[self.cursor.y]
        if width == 0:
            place = max(0, self.cursor.x - 1)
            line[place] = line[place]._replace(data=line[place].data + sign)
            return
        if self.cursor.x + width > self.columns:
            if modes.DECAWM in self.mode or self._wraps:
                self.carriage_return()
                self.linefeed()
                line = self.buffer[self.cursor.y]
            else:
                self.cursor.x = self.columns - width
        for place in range(width):
            line[self.cursor.x + place] = self.cursor.attrs._replace(data="" if place else sign)
        self.cursor.x += width


def rows_of(screen: pyte.Screen) -> list[str]:
    """Returns what is in the cells. `pyte.Screen.display` counts them by its own widths again."""
    return [
        "".join(screen.buffer[row][column].data for column in range(screen.columns)).rstrip()
        for row in range(screen.lines)
    ]


def _is_emoji(sign: str) -> bool:
    return regex.search(r"[\p{Extended_Pictographic}\p{Regional_Indicator}\ufe0f]", sign) is not None


def _known(char: str) -> int:
    return max(0, wcwidth(char))


def _spacing_marks(char: str) -> int:
    return 1 if unicodedata.category(char) == "Mc" else _known(char)


def _all_marks(char: str) -> int:
    return max(1, _known(char))


def _wide_emoji(char: str) -> int:
    return 2 if _is_emoji(char) and char > "\x7f" else _all_marks(char)


def _narrow(char: str) -> int:
    return min(1, _known(char))


def _ambiguous(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "AWF" else _known(char)


EMULATORS: dict[str, Callable[[], pyte.Screen]] = {
    "pyte as it is": lambda: pyte.Screen(80, 24),
    "as wcwidth": lambda: Emulator(_known),
    "spacing marks take a cell": lambda: Emulator(_spacing_marks),
    "every mark and joiner takes a cell": lambda: Emulator(_all_marks),
    "every part of an emoji takes two cells": lambda: Emulator(_wide_emoji),
    "no sign is wide": lambda: Emulator(_narrow),
    "every code point takes one cell": lambda: Emulator(lambda _: 1),
    "clusters are one sign": lambda: Emulator(_known, joins=True),
    "wraps always, marks take a cell": lambda: Emulator(_all_marks, wraps=True),
    "ambiguous signs are wide": lambda: Emulator(_ambiguous),
}
#: The terminals that cannot show every sign: pyte drops some, and lines of ambiguous signs end at the right edge.
CUTTING = {"pyte as it is", "ambiguous signs are wide"}
