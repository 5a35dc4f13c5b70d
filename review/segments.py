"""Splits a text where Unicode's rules split it, so that nobody cuts a letter in two. Offsets are code points. Pure.

A character is an extended grapheme cluster, a word follows the default word boundaries (Unicode Standard Annex 29).
Two rules differ from the annex: a run of letters in a script that writes no spaces between words, such as Thai, stays
one word, because only a dictionary could split it; and no word begins or ends with an invisible sign.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import regex

#: A flag, or any other character. `\X` alone takes quadratic time in a run of flags.
CHARACTER = regex.compile(r"\p{Regional_Indicator}{2}[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]*|\X")
#: The halves of flags, as signs without a rule of their own: `\b` takes quadratic time in a run of flags. Boundaries
#: inside a flag are inside a character, and so do not count.
_PLAIN_FLAGS = dict.fromkeys(range(0x1F1E6, 0x1F200), "+")
_WORD_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.VERSION1)
#: The scripts whose words only a dictionary can find (line breaking class SA of Unicode Standard Annex 14).
_UNSPACED = regex.compile(
    r"[\p{Line_Break=Complex_Context}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]"
)
#: `regex` joins an opening apostrophe, half a flag, a format character or a stray mark to the word after it; the annex
#: does not.
_SIGNS_BEFORE_A_WORD = regex.compile(r"['’\p{Regional_Indicator}\p{Cf}\p{M}]+(?=\p{Alphabetic}|\p{N})")
_NAMES_SOMETHING = regex.compile(r"[\p{Alphabetic}\p{N}]")


@dataclass(frozen=True)
class Segment:
    """The code points [start, end): a word, or a run of signs between words."""

    start: int
    end: int
    is_word: bool  # has a letter or a digit


def is_visible(text: str) -> bool:
    """Whether a reader can see any of the text: not only spaces, controls and format characters."""
    return any(_is_visible(char) for char in text)


@lru_cache(maxsize=8)
def character_edges(text: str) -> tuple[int, ...]:
    """Returns the places between characters in rising order, with 0 and the text's length."""
    return (0, *(character.end() for character in CHARACTER.finditer(text)))


@lru_cache(maxsize=8)
def segments(text: str) -> tuple[Segment, ...]:
    """Returns the words and the runs of signs in reading order. White space belongs to none of them."""
    found: list[Segment] = []
    for start, end in _pieces(text):
        is_word = _NAMES_SOMETHING.search(text, start, end) is not None
        before = found[-1] if found and found[-1].end == start else None
        if before and (_same_run(text, before.end) if is_word and before.is_word else is_word == before.is_word):
            found[-1] = Segment(before.start, end, is_word)
        else:
            found.append(Segment(start, end, is_word))
    return tuple(visible for segment in found if (visible := _trimmed(text, segment)))


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yields the text between two neighbouring word boundaries, unless it is white space."""
    characters = set(character_edges(text))
    places = (place.start() for place in _WORD_BOUNDARY.finditer(text.translate(_PLAIN_FLAGS)))
    edges = [place for place in places if place in characters]
    for start, end in pairwise([0, *edges, len(text)]):
        signs = _SIGNS_BEFORE_A_WORD.match(text, start, end)
        if signs and signs.end() in characters:
            yield start, signs.end()
            yield signs.end(), end
        elif start < end and not text[start:end].isspace():
            yield start, end


def _same_run(text: str, place: int) -> bool:
    """Whether the letters on both sides of `place` are of a script without spaces."""
    return bool(_UNSPACED.match(text, place) and _UNSPACED.match(text, place - 1))


def _trimmed(text: str, segment: Segment) -> Segment | None:
    """Returns the segment without the invisible characters at its ends, or None if nothing is left."""
    edges = character_edges(text)
    inside = edges[bisect_left(edges, segment.start) : bisect_right(edges, segment.end)]
    seen = [(start, end) for start, end in pairwise(inside) if is_visible(text[start:end])]
    return Segment(seen[0][0], seen[-1][1], segment.is_word) if seen else None


def _is_visible(char: str) -> bool:
    return not char.isspace() and unicodedata.category(char) not in {"Cc", "Cf", "Zs", "Zl", "Zp"}
