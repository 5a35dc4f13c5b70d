"""Spellings that a person holds for the same, such as `AT&amp;T` and `AT&T`, or `Beyoncé` and `Beyonce`.

Elasticsearch's core has no filter for this, so texts, names and queries are folded here before they reach it.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

from core.letters import plain_letters

#: HTML entities, also escaped again, as in `&amp;amp;`.
ENTITY = re.compile(
    r"&(?:amp;|AMP;|#0{0,5}38;|#[xX]0{0,4}26;)*(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
)

LINE_ENDS = frozenset("\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029")
"""What ends a line or paragraph: as `str.splitlines` has it."""

ROUNDS = 4
"""How often the result of a step is looked at again, as for an entity in full-width letters. Bounds the work."""

MAX_UNIT = 32
"""Largest number of code points that are folded together: a letter and its marks (Unicode Standard Annex 15,
Stream-Safe Text Format). Words have far fewer. Sorting the marks of one letter takes quadratic time."""

SIGNS = "@＠"
"""What an account begins with."""
SIGILS = "#＃" + SIGNS

_ALIKE = str.maketrans(
    dict.fromkeys("‘’‚‛ʹʻʼʽˈ′‵＇`´ꞌ՚׳", "'")
    | dict.fromkeys("“”„‟″‶«»＂〝〞״", '"')
    | dict.fromkeys("‐‑‒–—―⁃−﹘﹣－־", "-")
)
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "ŋ": "n", "æ": "ae", "œ": "oe", "þ": "th"}
    | {"ё": "е"}
)
"""Letters that people also write as these, and that Unicode does not decompose."""

_IGNORED = frozenset("\u034f\u0640\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Code points without a look of their own that are no format characters: a joiner, fillers, the Arabic tatweel."""

_MARKED_SCRIPTS = ("LATIN", "GREEK", "ARABIC", "HEBREW")
"""Scripts that people write with and without their marks. In others, such as Devanagari, a mark is a letter."""

_STRESS = {"\u0300", "\u0301"}  # marks of Cyrillic; the others are part of a letter, as in й

_UNIT = re.compile(  # Hangul that may compose, or a code point; `_units` adds the marks
    r"[\uac00-\ud7a3]?[\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\ud7b0-\ud7fb\uffa0-\uffdc]{1,31}|.", re.DOTALL
)

_CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">"}


def decode_entities(text: str) -> tuple[str, list[int]]:
    """Decodes HTML entities. Returns the result, and the position in `text` of each of its code points and of its end.

    An entity that is unknown or means several code points is left as it is. If it was escaped, only the escape is
    decoded: `M&amp;Ms;` stands for `M&Ms;`.
    """
    if "&" not in text:
        return text, list(range(len(text) + 1))
    parts: list[str] = []
    starts: list[int] = []
    position = 0
    for entity in ENTITY.finditer(text):
        decoded, end = _character(entity[0]), entity.end()
        if decoded is None:
            decoded, end = "&", text.rfind(";", entity.start(), end - 1) + 1
            if not end:
                continue
        parts += [text[position : entity.start()], decoded]
        starts += [*range(position, entity.start()), entity.start()]
        position = end
    parts.append(text[position:])
    starts += range(position, len(text) + 1)
    return "".join(parts), starts


def _character(entity: str) -> str | None:
    """Returns the one character that an entity stands for, however often it was escaped."""
    last = "&" + entity[:-1].rpartition(";")[2].removeprefix("&") + ";"  # all entities before the last mean `&`
    decoded = html.unescape(last)
    return decoded if len(decoded) == 1 else None


def fold(text: str) -> tuple[str, list[int]]:
    """Returns the text as it is indexed and searched, and the position in `text` of each of its code points.

    The last position is the end of `text`. Entities are decoded. Letters in fancy dress, cases, quotes, dashes and
    blanks become one spelling each. Marks that people leave out, and what nobody sees, are dropped.
    """
    folded, starts = _folded_once(text)
    for _ in range(ROUNDS):
        again, of_folded = _folded_once(folded)
        if again == folded:
            break
        folded, starts = again, [starts[place] for place in of_folded]
    return folded, starts


def account_name(text: str) -> str:
    """Returns the spelling under which an account is stored, searched and counted: plain small letters, no `@`."""
    return unicodedata.normalize("NFC", plain_letters(text.lstrip(SIGNS))[0].lower())


def normalise(text: str) -> str:
    """Returns the name under which a mention is counted and matched. All spellings of a name give the same.

    The text is folded. A leading `#` or `@`, quotation marks around it, and the punctuation at the end of its words
    are dropped, so that `U.S.` and `US` are one name. Text that has nothing else keeps its punctuation.
    """
    name = text
    for _ in range(ROUNDS):
        name, before = _named_once(name), name
        if name == before:
            break
    return name


def _named_once(text: str) -> str:
    folded = " ".join(fold(text)[0].split())
    name = _bare(folded)
    for _ in range(ROUNDS):
        name = _bare(name)
    return name or folded or " ".join(text.split()) or text


def _folded_once(text: str) -> tuple[str, list[int]]:
    if text.isascii() and "&" not in text:
        return _ascii(text), list(range(len(text) + 1))
    decoded, of_text = decode_entities(text)
    read, of_decoded = plain_letters(decoded)
    parts: list[str] = []
    starts: list[int] = []
    for position, unit in _units(read):
        folded = _unit(unit)
        parts.append(folded)
        starts += [of_text[of_decoded[position]]] * len(folded)
    return "".join(parts), [*starts, len(text)]


def _ascii(text: str) -> str:
    return text.translate(_ASCII).lower()


_ASCII = dict.fromkeys([*range(0x20), 0x7F], " ") | {ord("`"): "'"}


def _units(text: str) -> list[tuple[int, str]]:
    """Splits a text into code points with their marks, and Hangul that belongs together, with the position of each."""
    units: list[tuple[int, str]] = []
    for match in _UNIT.finditer(text):
        if units and _is_mark(match[0]) and len(units[-1][1]) < MAX_UNIT:
            units[-1] = units[-1][0], units[-1][1] + match[0]
        else:
            units.append((match.start(), match[0]))
    return units


@lru_cache(maxsize=8192)
def _is_mark(unit: str) -> bool:
    return len(unit) == 1 and (unicodedata.category(unit)[0] == "M" or unit in "\uff9e\uff9f")


@lru_cache(maxsize=32768)
def _unit(unit: str) -> str:
    """Folds a code point with its marks."""
    if unit[0].isspace() or unicodedata.category(unit[0]) == "Cc":
        return " "
    plain = unicodedata.normalize("NFKC", unit.translate(_ALIKE)).translate(_ALIKE).casefold().translate(_LETTERS)
    kept = "".join(character for character in plain if not _is_ignored(character))
    return unicodedata.normalize("NFKC", _without_marks(kept)).translate(_LETTERS)


def _is_ignored(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cf", "Cs") or character in _IGNORED or "\ufe00" <= character <= "\ufe0f"


def _without_marks(text: str) -> str:
    """Drops the marks that people leave out."""
    kept: list[str] = []
    script = ""
    for character in unicodedata.normalize("NFD", text):
        if unicodedata.category(character) in ("Mn", "Me"):
            if script in _MARKED_SCRIPTS or (script == "CYRILLIC" and character in _STRESS):
                continue
        else:
            script = unicodedata.name(character, "").split(" ", 1)[0]
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def _bare(folded: str) -> str:
    """Returns a folded name without sigils, quotation marks around it, and punctuation at the end of its words."""
    words = " ".join(_word(word) for word in folded.lstrip(" '\"" + SIGILS).rstrip(" '\"").split())
    name = words.strip(" '\"")
    for opening, closing in _CLOSERS.items():
        if name.startswith(opening) and closing not in name[:-1]:
            name = name[1:].removesuffix(closing)
        elif name.endswith(closing) and opening not in name:
            name = name[:-1]
    return name.strip()


def _word(word: str) -> str:
    """Returns a word without the punctuation at its end, and initials such as `u.s.` without their dots."""
    bare = word.rstrip(".,;:!?")
    letters = bare.split(".")
    return "".join(letters) if all(len(part) == 1 and part.isalpha() for part in letters) else bare
