"""The query language for people: reads what a person types. Pure; every text can be read.

| typed | means |
|---|---|
| `paris hilton` | both words, anywhere in the post |
| `"paris hilton"`, `“paris hilton”` | these words side by side |
| `-berlin`, `-"new york"` | no post with this word or phrase |
| `#paris` | the hashtag and the word |
| `Jean-Claude`, `AT&T`, `O’Brien` | parts of one name, side by side |
| `par*` | words that begin so |

Every other sign is text. That includes a dash between blanks, an en or em dash, and a quotation mark without a partner.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from core.errors import UserError
from core.json_text import SURROGATE
from core.spelling import fold

MAX_WORDS = 256
"""Most words of a query. Elasticsearch refuses a query with too many clauses; 1024 is the lowest limit that it sets."""

MAX_TOKEN = 255
"""Characters after which Elasticsearch cuts a word in two."""

MINUS = frozenset("-‐‑−－﹣")
"""Signs that exclude a word that follows. Dashes are text, since programs put them between words by themselves."""

OPENERS = frozenset("([{<+")
"""Signs that may stand before a quotation mark."""


@dataclass(frozen=True)
class Term:
    """A word or phrase of a query."""

    raw: str  # as it was typed, without quotation marks, minus and star
    folded: str  # as `core.spelling.fold` spells it
    excluded: bool = False
    is_prefix: bool = False  # whether words that begin so match as well

    @property
    def has_words(self) -> bool:
        """Whether Elasticsearch finds a word in the term. A term without one may still hold an emoji, or only signs."""
        return any(map(str.isalnum, self.folded))


@dataclass(frozen=True)
class Query:
    """What a person typed."""

    text: str  # as it was typed, without what no text can hold
    wanted: tuple[Term, ...] = ()
    unwanted: tuple[Term, ...] = ()
    signs: str = ""  # the whole query, if it holds only signs: no word, no emoji

    @property
    def is_blank(self) -> bool:
        """Whether every post matches."""
        return not (self.wanted or self.unwanted or self.signs)

    @property
    def name(self) -> str:
        """The wanted words as one text, to compare with names."""
        return " ".join(term.raw for term in self.wanted)


def cleaned(text: str) -> str:
    """Returns the text without lone surrogates and NUL, which no text can hold."""
    return SURROGATE.sub("", text).replace("\0", " ")


def parse(text: str) -> Query:
    """Reads a query. Raises `UserError` only if it is too long."""
    text = cleaned(text)
    if len(text.split()) + len(text) // MAX_TOKEN > MAX_WORDS:
        raise UserError(f"the query is too long: it may have up to {MAX_WORDS} words")
    terms = _terms(text)
    if any(map(_says_something, terms)):
        terms = [term for term in terms if _says_something(term)]
    elif terms:
        return Query(text, signs=text.strip())
    wanted = tuple(term for term in terms if not term.excluded)
    return Query(text, wanted, tuple(term for term in terms if term.excluded))


def _terms(text: str) -> list[Term]:
    """Cuts the folded text into terms. Folding leaves one kind of blank and one kind of quotation mark."""
    folded, starts = fold(text)
    terms: list[Term] = []
    place = 0
    while place < len(folded):
        if folded[place] == " ":
            place += 1
            continue
        excluded = _excludes(folded, place, text[starts[place]])
        place += excluded
        opening = _after_openers(folded, place)
        if end := _end_of_phrase(folded, opening):
            start, following, stars = opening + 1, end + 1, ""
        else:
            start, end, stars = place, _end_of_word(folded, place), "*"
            following = end
        bare = folded[start:end].rstrip(stars) if stars else folded[start:end]
        raw = text[starts[start] : starts[start + len(bare)]]
        is_prefix = len(bare) < end - start and bare[-1:].isalnum() and len(bare) <= MAX_TOKEN
        terms.append(Term(raw, bare, excluded, is_prefix))
        place = following
    return terms


def _excludes(folded: str, place: int, raw: str) -> bool:
    """Whether a minus stands here, directly before a word or a phrase. `raw` is its code point as it was typed."""
    return raw in MINUS and folded[place] == "-" and folded[place + 1 : place + 2] not in ("", " ", "-")


def _after_openers(folded: str, place: int) -> int:
    while place < len(folded) and folded[place] in OPENERS:
        place += 1
    return place


def _end_of_phrase(folded: str, place: int) -> int:
    """Returns the place of the quotation mark that ends the phrase that begins here, or 0 if none begins.

    A mark before a letter ends no phrase, since it is a part of the word, as in `צה"ל`.
    """
    if folded[place : place + 1] != '"':
        return 0
    end = folded.find('"', place + 1)
    while end != -1 and folded[end + 1 : end + 2].isalnum():
        end = folded.find('"', end + 1)
    return max(end, 0)


def _end_of_word(folded: str, place: int) -> int:
    end = folded.find(" ", place)
    return len(folded) if end == -1 else end


def _says_something(term: Term) -> bool:
    """Whether the term holds a word or an emoji."""
    return any(character.isalnum() or unicodedata.category(character) == "So" for character in term.folded)
