"""Letters in fancy dress, such as 𝐏𝐚𝐫𝐢𝐬, Ｐａｒｉｓ, ⓟⓐⓡⓘⓢ and ᴘᴀʀɪs, as the plain letters that they stand for.

Cyrillic and Greek letters that look like Latin ones are read as these where all other letters of the word are Latin.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Literal

DRESSES = frozenset({"<font>", "<wide>", "<circle>", "<square>", "<super>", "<sub>", "<compat>"})
"""Tags of Unicode's compatibility decompositions under which a letter may stand for another."""

NAMED = re.compile(
    r"(?:NEGATIVE (?:CIRCLED|SQUARED)|PARENTHESIZED|REGIONAL INDICATOR SYMBOL|LATIN LETTER SMALL CAPITAL)"
    r"(?: LATIN (?:CAPITAL|SMALL))?(?: LETTER)? ([A-Z])"
)
"""Names of letters that have no decomposition, or one with brackets."""

LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТУХІЈЅԌԚԜΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",
    "aeopcyxijshdqwABEKMHOPCTYXIJSGQWABEZHIKMNOPTYXo",
)
"""Letters of Unicode's table of confusables that look the same in most fonts. Every value is one letter."""

PLAIN_SIGNS = {
    code: plain
    for code in (*range(0xFE50, 0xFE6C), *range(0xFF01, 0xFF5F))
    if (plain := unicodedata.normalize("NFKC", chr(code))).isascii() and not plain.isalnum()
}
"""Full-width and small signs such as ＆ and ﹠, and the ASCII signs that they stand for."""

LETTERS = re.compile(r"[^\W\d_]+")
LATIN, GREEK_OR_CYRILLIC = re.compile(r"[A-Za-z]"), re.compile(r"[\u0370-\u052f]")

INFORMATION, EMOJI = "\u2139", "\ufe0f"
REGIONAL = range(0x1F1E6, 0x1F200)

REGIONS = frozenset(
    a + b
    for a, rest in re.findall(
        r"([A-Z]):([A-Z]+)",
        "A:CDEFGILMOQRSTUWXZ B:ABDEFGHIJLMNOQRSTVWYZ C:ACDFGHIKLMNOPRUVWXYZ D:EGJKMOZ E:ACEGHRSTU F:IJKMOR "
        "G:ABDEFGHILMNPQRSTUWY H:KMNRTU I:CDELMNOQRST J:EMOP K:EGHIMNPRWYZ L:ABCIKRSTUVY "
        "M:ACDEFGHKLMNOPQRSTUVWXYZ N:ACEFGILOPRUZ O:M P:AEFGHKLMNRSTWY Q:A R:EOSUW S:ABCDEGHIJKLMNORSTVXYZ "
        "T:ACDFGHJKLMNORTVWZ U:AGMNSYZ V:ACEGINU W:FS X:K Y:ET Z:AMW",
    )
    for b in rest
)
"""Pairs of letters that have a flag: ISO 3166 and Unicode's exceptional reservations."""


def plain_letters(text: str) -> tuple[str, list[int]]:
    """Reads letters in fancy dress as plain ones.

    Returns the result, and the position in `text` of each of its code points and of its end. A flag stays a flag. A
    single enclosed letter, such as Ⓜ or 🅿, is a symbol unless a letter follows.
    """
    if text.isascii():
        return text, list(range(len(text) + 1))
    if GREEK_OR_CYRILLIC.search(text) and LATIN.search(text):
        text = LETTERS.sub(_in_one_script, text)
    if not any(map(plain_letter, set(text))):
        return text, list(range(len(text) + 1))
    parts: list[str] = []
    starts: list[int] = []
    position = 0
    while position < len(text):
        end = _end_of_run(text, position)
        is_read = _is_read(text, position, end)
        for place in range(position, end):
            letters = (plain_letter(text[place]) if is_read else None) or text[place]
            parts.append(letters)
            starts += [place] * len(letters)
        position = end
    return "".join(parts), [*starts, len(text)]


@lru_cache(maxsize=8192)
def plain_letter(character: str) -> str | None:
    """Returns the letters or digits that a code point stands for, or None if it stands for itself."""
    if character.isascii():
        return None
    if named := NAMED.fullmatch(unicodedata.name(character, "")):
        small = "SMALL" in unicodedata.name(character)
        return named[1].lower() if small else named[1]
    dress = unicodedata.decomposition(character).split(" ", 1)[0]
    plain = unicodedata.normalize("NFKC", character)
    if dress not in DRESSES or not plain.isalnum():
        return None
    category = unicodedata.category(character)
    stands = {
        "<font>": True,
        "<wide>": plain.isascii(),
        "<circle>": plain.isascii() and plain.isalpha(),
        "<square>": plain.isascii() and plain.isalpha(),
        "<super>": category == "Lm" and plain.isascii(),  # not ², ª and ™, which have a meaning of their own
        "<sub>": category == "Lm" and plain.isascii(),
        "<compat>": category[0] in "LN" and plain.isascii() and plain.isalpha(),  # ﬁ, Ⅷ, ſ
    }
    return plain if stands[dress] else None


def _in_one_script(word: re.Match[str]) -> str:
    latin = word[0].translate(LOOKALIKES)
    return latin if LATIN.search(word[0]) and not GREEK_OR_CYRILLIC.search(latin) else word[0]


def _end_of_run(text: str, position: int) -> int:
    """Returns the end of the enclosed letters that begin at `position`, or of the single code point."""
    end = position + 1
    if enclosure := _enclosure(text[position]):
        while end < len(text) and (_enclosure(text[end]) == enclosure or text[end] == EMOJI):
            end += 1
    return end


def _is_read(text: str, start: int, end: int) -> bool:
    """Returns whether a run is read as letters. An enclosed letter alone is a symbol, and pairs may be flags."""
    following, enclosure = text[end : end + 1], _enclosure(text[start])
    if enclosure is None:
        return text[start] != INFORMATION and following != EMOJI
    letters = [plain_letter(character) or "" for character in text[start:end] if character != EMOJI]
    if enclosure == "regional" and not len(letters) % 2:
        return not all(a + b in REGIONS for a, b in zip(letters[::2], letters[1::2], strict=True))
    return len(letters) > 1 or following.isalpha()


@lru_cache(maxsize=8192)
def _enclosure(character: str) -> Literal["regional", "other"] | None:
    """Returns the kind of an enclosed letter, such as Ⓜ; None for every other code point."""
    if character.isascii() or unicodedata.category(character) != "So" or plain_letter(character) is None:
        return None
    return "regional" if ord(character) in REGIONAL else "other"
