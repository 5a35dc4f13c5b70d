"""Splits a raw post into words as the training data does. Offsets are code points of the raw text.

The published corpora split off punctuation, but keep inner hyphens and numbers such as `3-1` and `10,000` whole.
Some of them split `@name` and `#Word` after the sigil, others do not. Here a sigil before a word is read but never
labelled: the mention in `#NBA` is `NBA`. A URL is one word.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

URL = re.compile(r"(?:https?:|www\.)[^\s<>\"“”()\[\]{}|\\^`]*", re.IGNORECASE)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
SIGILS = "#@"
JOINERS = "-‐‑–"
NUMBER_JOINERS = ".,:/"
ZERO_WIDTH_SPACE = "\u200b"

Kind = Literal["word", "mark", "format", "space", "symbol"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a post."""

    text: str  # with HTML entities such as `&amp;` decoded
    start: int  # code point of the raw text
    end: int  # code point of the raw text, exclusive
    labelled: bool = True


@lru_cache(maxsize=4096)
def kind(character: str) -> Kind:
    """Returns the role of a code point. A lone surrogate counts as space, since no tokenizer can read it."""
    category = unicodedata.category(character)
    if category[0] in "LN":
        return "word"
    if category[0] == "M":
        return "mark"
    if category == "Cf" and character != ZERO_WIDTH_SPACE:
        return "format"
    return "space" if category[0] in "ZC" else "symbol"


def decode_entities(text: str) -> tuple[str, list[int]]:
    """Decodes HTML entities. Returns the result, and the position in `text` of each of its code points and of its end.

    An entity that is unknown or means several code points is left as it is.
    """
    parts: list[str] = []
    starts: list[int] = []
    position = 0
    for entity in ENTITY.finditer(text):
        decoded = html.unescape(entity[0])
        if len(decoded) != 1:
            continue
        parts += [text[position : entity.start()], decoded]
        starts += [*range(position, entity.start()), entity.start()]
        position = entity.end()
    parts.append(text[position:])
    starts += range(position, len(text) + 1)
    return "".join(parts), starts


def split_words(text: str) -> list[Word]:
    """Returns the words of a raw post, in order, none overlapping, none empty."""
    decoded, starts = decode_entities(text)
    words: list[Word] = []
    position = 0
    while position < len(decoded):
        first, end = position, _end_of_word(decoded, position)
        position = end
        if kind(decoded[first]) in ("space", "format"):
            continue
        while kind(decoded[end - 1]) == "format":  # such as a zero-width joiner: at the end it joins nothing
            end -= 1
        # a sigil right before a word is not labelled; a sigil alone is a word like any other
        labelled = not (decoded[first] in SIGILS and end < len(decoded) and kind(decoded[end]) == "word")
        words.append(Word(decoded[first:end], starts[first], starts[end], labelled))
    return words


def _end_of_word(text: str, position: int) -> int:
    """Returns the end of the word, symbol or single blank that begins at `position`."""
    if url := URL.match(text, position):
        return url.end()
    is_word = kind(text[position]) == "word"
    blank = kind(text[position]) in ("space", "format")
    end = position + 1
    while end < len(text) and not blank:
        following = kind(text[end])
        if following in ("mark", "format") or (is_word and following == "word"):
            end += 1
        elif is_word and _joins(text, end):
            end += 2
        else:
            break
    return end


def _joins(text: str, position: int) -> bool:
    """Returns whether the symbol at `position` is part of a word, as in `game-winning` and `10,000`."""
    if position + 1 >= len(text):
        return False
    before, symbol, after = text[position - 1], text[position], text[position + 1]
    if symbol in JOINERS:
        return kind(before) == kind(after) == "word"
    return symbol in NUMBER_JOINERS and before.isdigit() and after.isdigit()
