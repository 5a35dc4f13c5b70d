"""Breaks and cuts styled text so that it fits a terminal, whichever way that terminal counts cells. Pure.

Terminals disagree on the width of a text: one draws the vowel signs of Devanagari as cells of their own, another joins
a family of emoji into one sign. So these functions count what the widest terminal would draw, code point by code point.
There is one exception: letters of ambiguous width (class A of Unicode Standard Annex 11) count as one cell, as in
nearly all terminals.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import regex
from rich.cells import get_character_cell_size
from rich.text import Text

from review.segments import CHARACTER

_WORD = regex.compile(r"\s*\S+\s*")
#: Signs that some terminals draw as emoji. Of a flag, they draw each half.
_EMOJI = regex.compile(r"[\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}]")
#: Private use and not yet assigned.
_UNKNOWN = {"Co", "Cn"}


def most_cells(text: str) -> int:
    """Returns the number of cells that the text takes in the terminal that draws it widest."""
    return sum(map(_most_cells, text))


def wrap(text: Text, width: int) -> list[Text]:
    """Breaks the text at line feeds and white space into lines of at most `width` cells.

    A word that is longer than a line is broken between characters; a character that is longer, inside.
    """
    return [part for line in text.split("\n", allow_blank=True) for part in _wrap_line(line, max(1, width))]


def cut(text: Text, width: int) -> Text:
    """Returns the text, with an ellipsis for what does not fit into `width` cells."""
    if most_cells(text.plain) <= width:
        return text
    place, room = 0, width - 1
    for character in CHARACTER.finditer(text.plain):
        room -= most_cells(character[0])
        if room < 0:
            break
        place = character.end()
    return text[:place].append("…" if width > 0 else "")


def _wrap_line(line: Text, width: int) -> list[Text]:
    breaks: list[int] = []
    room = width
    for word in _WORD.finditer(line.plain):
        visible = most_cells(word[0].rstrip())
        if visible > room and room < width and visible <= width:
            breaks.append(word.start())
            room = width
        if visible <= room:
            room -= most_cells(word[0])
            continue
        for place, cells in _pieces(word[0], width):
            if cells > room and room < width:
                breaks.append(word.start() + place)
                room = width
            room -= cells
    parts = list(line.divide(breaks))
    for part in parts:
        part.rstrip()
    return parts


def _pieces(word: str, width: int) -> Iterator[tuple[int, int]]:
    """Yields the place and the cells of each character, or of each of its code points where it is wider than a line."""
    for character in CHARACTER.finditer(word):
        cells = most_cells(character[0])
        if cells <= width:
            yield character.start(), cells
        else:
            yield from ((place, _most_cells(word[place])) for place in range(*character.span()))


@lru_cache(maxsize=4096)
def _most_cells(char: str) -> int:
    if char < "\x7f":
        return 1
    wide = unicodedata.east_asian_width(char) in {"W", "F"} or unicodedata.category(char) in _UNKNOWN
    return 2 if wide or _EMOJI.match(char) else max(1, get_character_cell_size(char))
