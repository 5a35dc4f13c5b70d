"""Reads the user names of a corpus as accounts, as the stream does, so that no mention in it is one.

The published corpora treat them as words: Twitter-2017 and the Broad Twitter Corpus label most by who stands behind
them, Twitter-2015 hardly any, WNUT-17 none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.spelling import SIGNS
from model.accounts import accounts_in
from model.training.corpus import Example, legal


@dataclass(frozen=True, slots=True)
class WordAccount:
    """An account that covers the words [start, end)."""

    start: int
    end: int


def as_accounts(examples: Sequence[Example]) -> list[Example]:
    """Returns the examples with their accounts, and without the gold mentions that overlap one. No word of an account
    is left open.

    In a data set with more lone `@` than words that begin with it, the word behind a lone one is a name: the corpus has
    split most signs off. In others a lone `@` means "at".
    """
    lone: Counter[str] = Counter()  # data set -> lone signs, minus words that begin with one
    for example in examples:
        lone[example.data] += sum(1 if len(word) == 1 else -1 for word in example.words if word[0] in SIGNS)
    return [_as_accounts(each, splits=lone[each.data] > 0) for each in examples]


def _as_accounts(example: Example, *, splits: bool) -> Example:
    accounts = accounts_of(example.words, splits=splits)
    if not accounts:
        return example
    tags = legal(example.tags)
    for start, end in mentions(tags):
        if any(account.start < end and start < account.end for account in accounts):
            tags[start:end] = ["O"] * (end - start)
    if tags:
        for account in accounts:
            tags[account.start : account.end] = ["O"] * (account.end - account.start)
    return replace(example, tags=tuple(tags), accounts=accounts)


def accounts_of(words: Sequence[str], *, splits: bool) -> tuple[WordAccount, ...]:
    """Returns the accounts among the words of a post. `splits`: whether a name may be the word behind its `@`."""
    text = ""
    places: list[tuple[int, int]] = []
    for word in words:
        glued = word == "_" or text.endswith("_") or (splits and text[-1:] in tuple(SIGNS))
        text += "" if glued or not text else " "
        places.append((len(text), len(text) + len(word)))
        text += word
    found = []
    for account in accounts_in(text):
        own = [place for place, (start, end) in enumerate(places) if start < account.end and account.start < end]
        found.append(WordAccount(own[0], own[-1] + 1))
    return tuple(found)


def mentions(tags: Sequence[str]) -> list[tuple[int, int]]:
    """Returns the words [start, end) of each mention in strict BIO."""
    begins = [place for place, tag in enumerate(tags) if tag[0] == "B"]
    ends = [next((end for end in range(start + 1, len(tags)) if tags[end][0] != "I"), len(tags)) for start in begins]
    return list(zip(begins, ends, strict=True))
