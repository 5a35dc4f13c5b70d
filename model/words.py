"""Splits a raw post into words as the training data does. Offsets are code points of the raw text.

The published corpora split off punctuation, but keep inner hyphens and numbers such as `3-1` and `10,000` whole.
Some of them split `@name` and `#Word` after the sigil, others do not. Here a sigil before a word is read but never
labelled: the mention in `#NBA` is `NBA`. An address is one word.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from core.letters import PLAIN_SIGNS, plain_letters
from core.spelling import LINE_ENDS, SIGILS, decode_entities
from model.addresses import begins_within_word, end_of_address

JOINERS = "-‐‑–－"
NUMBER_JOINERS = ".,:/．，：／"
ZERO_WIDTH_SPACE = "\u200b"
SENTENCE_ENDS = frozenset(".!?…。！？।؟")
"""Words after which a sentence begins."""

Kind = Literal["word", "mark", "format", "space", "symbol"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a post."""

    text: str  # with HTML entities such as `&amp;` decoded, and letters and signs such as 𝐏 and ＆ read as plain ones
    start: int  # code point of the raw text
    end: int  # code point of the raw text, exclusive
    labelled: bool = True
    line: int = 0  # line of the post that the word stands in


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


def split_words(text: str) -> list[Word]:
    """Returns the words of a raw post, in order, none overlapping, none empty."""
    decoded, of_text = decode_entities(text)
    read, of_decoded = plain_letters(decoded)
    starts = [of_text[place] for place in of_decoded]
    words: list[Word] = []
    position, line = 0, 0
    while position < len(read):
        first, end = position, _end_of_word(read, starts, position)
        position = end
        if kind(read[first]) in ("space", "format"):
            line += read[first] in LINE_ENDS
            continue
        while kind(read[end - 1]) == "format":  # such as a zero-width joiner: at the end it joins nothing
            end -= 1
        # a sigil right before a word is not labelled; a sigil alone is a word like any other
        labelled = not (read[first] in SIGILS and end < len(read) and kind(read[end]) == "word")
        words.append(Word(read[first:end].translate(PLAIN_SIGNS), starts[first], starts[end], labelled, line))
    return words


def _end_of_word(text: str, starts: list[int], position: int) -> int:
    """Returns the end of the word, symbol or single blank that begins at `position`."""
    first = kind(text[position])
    if first in ("space", "format"):
        return position + 1
    if (end_of_url := end_of_address(text, position)) is not None:
        return end_of_url
    is_word = first == "word"
    end = position + 1
    while end < len(text):
        following = kind(text[end])
        if following in ("mark", "format") or (is_word and following == "word" and not _begins(text, starts, end)):
            end += 1
        elif is_word and following == "symbol" and _joins(text, starts, end):
            end += 2
        else:
            break
    return end


def _begins(text: str, starts: list[int], position: int) -> bool:
    """Returns whether an address begins within a word. `㏗ttp://` has its `H` inside of a code point."""
    return text[position] in "hHwp" and starts[position] > starts[position - 1] and begins_within_word(text, position)


def _joins(text: str, starts: list[int], position: int) -> bool:
    """Returns whether the symbol at `position` is part of a word, as in `game-winning` and `10,000`."""
    if position + 1 >= len(text):
        return False
    before, symbol, after = text[position - 1], text[position], text[position + 1]
    if symbol in JOINERS:
        return kind(before) == kind(after) == "word" and not _begins(text, starts, position + 1)
    return symbol in NUMBER_JOINERS and before.isdigit() and after.isdigit()
