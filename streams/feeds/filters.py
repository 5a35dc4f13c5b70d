"""Selects the posts of a feed by language and word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import UserError
from core.events import Tweet

LANGUAGE = re.compile(r"[a-z]{2}(?:-[A-Za-z]{2})?")
"""What counts as a language without `lang:`. Other languages, such as `lang:yue`, need it."""


NO_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""Characters of scripts that put no blanks between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


@dataclass(frozen=True)
class Filters:
    """A post passes if it has one of the languages, if any are given, and one of the words, if any are given."""

    languages: tuple[str, ...] = ()
    words: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def parse(cls, values: Iterable[str]) -> Filters:
        """Reads values of `--filter`: `lang:CODE`, `word:WORD`, or either without its name.

        Two lower-case letters, with or without a region (`en`, `pt-BR`), are a language. Anything else is a word.
        """
        languages, words = [], []
        for value in values:
            kind, colon, rest = value.partition(":")
            kind, name = (kind, rest.strip()) if colon and kind in {"lang", "word"} else ("", value.strip())
            if not name:
                raise UserError(f"--filter {value!r} names no language and no word; write lang:en or word:Paris")
            if kind == "lang" or (not kind and LANGUAGE.fullmatch(name)):
                languages.append(_tag(name))
            else:
                words.append(_pattern(_folded(name)))
        return cls(tuple(languages), tuple(words))

    def __bool__(self) -> bool:
        return bool(self.languages or self.words)

    def refusal(self, post: Tweet) -> str | None:
        """Returns why the post is not wanted: `language` or `word`. Returns None if it is wanted.

        Edits are always wanted, since the old text of a post must not stay.
        """
        if post.edit > 0:
            return None
        if self.languages and not self._speaks(post.lang):
            return "language"
        if self.words:
            text = _folded(post.text)
            if not any(word.search(text) for word in self.words):
                return "word"
        return None

    def _speaks(self, lang: str | None) -> bool:
        """`en` also stands for `en-GB` (RFC 4647, 3.3.1). A post without a language has none of the wanted ones."""
        tag = _tag(lang or "")
        return any(f"{tag}-".startswith(f"{wanted}-") for wanted in self.languages)


def _tag(language: str) -> str:
    """Returns a language tag in the one form in which tags are compared."""
    return language.casefold().replace("_", "-")


def _folded(text: str) -> str:
    """Returns the text case-folded and in NFC."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _pattern(word: str) -> re.Pattern[str]:
    """Returns a pattern of a whole word. In scripts without blanks between words, any part of the text matches."""
    before = "" if NO_BLANKS.match(word[0]) else r"(?<!\w)"
    after = "" if NO_BLANKS.match(word[-1]) else r"(?!\w)"
    return re.compile(before + re.escape(word) + after)
