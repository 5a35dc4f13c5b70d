"""Lists of names, from which other names are put into training posts."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from core.errors import UserError

FILES = {"PER": ("persons", "music_artists"), "LOC": ("cities",), "ORG": ("companynames", "sportsteams")}
"""Lists of each type: files NAME.txt with a name a line. Lists of works are of no use, since MISC is more than works;
nor is a list of buildings that consists of addresses."""
MOST_WORDS = 4
"""Longer names are left out: posts hardly have any."""

_ASIDE = re.compile(r"\([^()]*\)|,.*")
"""What tells two names apart in an encyclopedia: `Belmont (North Carolina)`, `Abbotsford, British Columbia`."""
_QUOTES = re.compile(r"[\"“”„]|''+|(?<!\w)['‘’]|['’](?!\w)")
_LEGAL_FORM = re.compile(r"(?: (?:Co|Corp|Inc|Ltd|Limited|LLC|PLC|plc|GmbH|AG|SA|AB)\.?)+$")
_SUFFIX = re.compile(r"[IVX]+|(?:Jr|Sr)\.?")
_TITLES = ("the", "dj", "sir")


def cleaned(name: str) -> tuple[str, ...]:
    """Returns the words of a listed name, without explanations, quotation marks and legal forms.

    Returns none for a name that is no good: too long, without a letter, or with a word that has no letter or digit.
    """
    plain = " ".join(_QUOTES.sub("", _ASIDE.sub("", name)).split())
    words = tuple(_LEGAL_FORM.sub("", plain).split())
    good = len(words) <= MOST_WORDS and all(any(map(str.isalnum, word)) for word in words)
    return words if good and any(map(str.isalpha, "".join(words))) else ()


def without_titles(name: Sequence[str]) -> Sequence[str]:
    """Returns the words of a person's name that name the person alone: `Sir` and `III` do not."""
    while len(name) > 1 and _SUFFIX.fullmatch(name[-1]):
        name = name[:-1]
    while len(name) > 1 and name[0].casefold() in _TITLES:
        name = name[1:]
    return name


@dataclass(frozen=True)
class Names:
    """Names by type, in lists. Each list of a type is as likely as the others, however long it is."""

    lists: dict[str, tuple[tuple[tuple[str, ...], ...], ...]]
    """Type -> lists of names, each as words."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads the lists. Raises `UserError` if one is missing, broken or empty."""
        return cls({kind: tuple(_read(folder / f"{name}.txt") for name in names) for kind, names in FILES.items()})

    @property
    def digest(self) -> str:
        """A hash of all names."""
        return hashlib.sha256(repr(self.lists).encode()).hexdigest()

    def draw(self, kind: str, words: int, chance: random.Random) -> tuple[str, ...]:
        """Returns another name of this type for one of so many words.

        For a person named by one word, it is the first or the last word of a name, without titles and numerals.
        """
        name = chance.choice(chance.choice(self.lists[kind]))
        return (without_titles(name)[chance.choice((0, -1))],) if kind == "PER" and words == 1 else name


def _read(path: Path) -> tuple[tuple[str, ...], ...]:
    try:
        lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"data.names: {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"data.names: {path}: not UTF-8 at byte {error.start}") from None
    names = tuple(filter(None, map(cleaned, lines)))
    if not names:
        raise UserError(f"data.names: {path}: contains no names")
    return names
