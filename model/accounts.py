"""Finds the accounts in a post: the user names behind `@`. Needs only the text, and no model.

The rules are those of platforms, where these agree (twitter-text's `validMentionPrecedingChars`, Mastodon's
`MENTION_RE`, the AT Protocol's handles):

- `@name` is one in any script. A name that begins in Latin letters has only these, digits and underscores, so it ends
  before the Japanese in `@NHKのニュース`.
- `@name@host.tld` is one account, and so is a host's name, as in `@name.bsky.social`.
- Digits alone are a price or a time, as in `@100`.
- A name right before the `…` that ends the text of a repost may be cut, so it is none.
- Behind a Latin letter, a digit or one of `_!#$%&*@`, the sign begins no account. `RT@name` is the exception.
- Neither does it inside of an address, such as `a@b.org` and `https://host.tld/@name`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from core.events import Account
from core.spelling import SIGNS, account_name
from model.addresses import HOST
from model.words import split_words

Convention = Literal["account", "mention"]
"""Whether a user name is an account, or a word that may be a mention, as in most of the training corpora."""

MAX_NAME = 255
"""Longest name, in characters. A longer one is no account."""

NO_ACCOUNT_BEHIND = frozenset("_!#$%&*＃" + SIGNS)
NO_ACCOUNT_BEFORE = (*SIGNS, "://")
CUT = ("…", "...")
"""What platforms put at the end of a text that they cut, perhaps within a name."""
SERVER = re.compile(r"[A-Za-z0-9]\.[A-Za-z]{2,63}/\Z")
"""The end of a server's name and a slash, as in `medium.com/@name`. `model.addresses` takes no `@` right after it."""
REPOST = re.compile(r"(?<![A-Za-z0-9_+~.-])rt", re.IGNORECASE)

FEDIVERSE = re.compile(
    r"[A-Za-z0-9_]++(?:[.-]++[A-Za-z0-9_]++)*+"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}(?:[xX][nN]--[A-Za-z0-9-]{1,59}|[A-Za-z]{2,63})(?![\w@])"
)
HANDLE = re.compile(HOST)
CHUNK = re.compile(r"\S+")
MAY_BE_ADDRESS = re.compile(r"[/+-]|www\.", re.IGNORECASE)
"""What stands before an `@` that belongs to an address, unless a letter stands right before it."""


def accounts_in(text: str) -> tuple[Account, ...]:
    """Returns the accounts of a raw post, in order, none overlapping. Each begins with its `@`."""
    return tuple(
        account
        for chunk in CHUNK.finditer(text)
        if any(sign in chunk[0] for sign in SIGNS)
        for account in _accounts(chunk[0], chunk.start())
    )


def _accounts(chunk: str, offset: int) -> list[Account]:
    found: list[Account] = []
    end = 0
    for place in _signs(chunk):
        if place < end or not _may_begin(chunk, place):
            continue
        end = _end_of_name(chunk, place + 1)
        name = chunk[place + 1 : end]
        if _is_name(name) and not chunk.startswith(NO_ACCOUNT_BEFORE, end) and chunk[end:] not in CUT:
            found.append(Account(start=offset + place, end=offset + end, name=account_name(name)))
    return found


def _signs(chunk: str) -> list[int]:
    """Returns the places of each `@` that is in no address."""
    places = [place for place, character in enumerate(chunk) if character in SIGNS]
    if not MAY_BE_ADDRESS.search(chunk, 0, places[-1]):
        return places
    begin = {word.start for word in split_words(chunk)}
    return [place for place in places if place in begin]


def _may_begin(text: str, place: int) -> bool:
    before = text[place - 1 : place]
    if not before:
        return True
    if before in NO_ACCOUNT_BEHIND or (before == "/" and SERVER.search(text[max(0, place - 70) : place])):
        return False
    return not _is_latin(before) or REPOST.fullmatch(text, place - 2, place) is not None


def _end_of_name(text: str, first: int) -> int:
    """Returns the end of the name that begins at `first`. It is `first` if none does."""
    for form in (FEDIVERSE, HANDLE):
        if match := form.match(text, first):
            return match.end()
    latin = _is_latin(text[first : first + 1])
    end = first
    if text[first : first + 1] != "_" and not text[first : first + 1].isalnum():
        return end
    while end < len(text) and _continues(text[end], latin):
        end += 1
    return end


def _continues(character: str, latin: bool) -> bool:
    if latin:
        return _is_latin(character)
    return character == "_" or character.isalnum() or unicodedata.category(character)[0] == "M"


def _is_latin(character: str) -> bool:
    """Whether the code point is a Latin letter or an ASCII digit, or an underscore."""
    if character.isascii():
        return character.isalnum() or character == "_"
    return unicodedata.name(character, "").startswith("LATIN ")


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME and any(map(str.isalpha, name))
