"""Finds where an address ends: a URL, an e-mail address, or a host with a path, such as `bit.ly/2x`.

The rules are those of people and of platforms (twitter-text's `validUrl`, linkify-it), where these agree:

- Punctuation at the end of an address, and a bracket that was not opened in it, belong to the sentence.
- A comma, semicolon or exclamation mark before a capital letter ends it: `https://x.y/z,Hamburg`.
- Emoji, and punctuation that is not ASCII, end it. So do letters such as those of Chinese right after ASCII ones.
- A code of `t.co` has letters and digits only, ten at most.
- `http://`, `https://` and `pic.twitter.com/` begin an address wherever they stand: `Londonhttps://t.co/x`. So does
  what is left of them in a text that was cut: `Londonhttps:/…`.

A host without a path, such as `Amazon.com`, is no address here: it may be a name.
"""

from __future__ import annotations

import re
import unicodedata

SCHEME = re.compile(r"https?://", re.IGNORECASE)
START = re.compile(r"https?:(?P<slashes>/{0,2})|www\.", re.IGNORECASE)
SHORT = re.compile(r"https?://t\.co/(?:(?!https?:)[A-Za-z0-9]){1,10}+(?!\?)(?:…(?!\S))?", re.IGNORECASE)
CUT = re.compile(r"(?:htt|https?(?::/{0,2})?)…(?!\S)|https?:/{0,2}(?=(?:\.{3})?(?!\S))", re.IGNORECASE)
"""The beginning of an address, where a text was cut."""
LAST = re.compile(r"https?(?:\.{3})?\s*\Z", re.IGNORECASE)
"""The same at the end of a text, right after a word. Alone, it is a word as any other."""
PICTURE = re.compile(r"pic\.(?:twitter|x)\.com/[A-Za-z0-9]")
DOMAINS = (
    "com|org|net|edu|gov|mil|int|info|biz|io|co|ly|me|tv|fm|gl|gg|ai|app|dev|be|am|to|cc|ws|us|uk|eu|de|at|ch|fr|it|es"
    "|pt|nl|dk|se|no|fi|is|ie|pl|cz|sk|hu|ro|bg|gr|tr|ru|ua|by|rs|hr|si|lt|lv|ee|il|ir|ae|sa|in|pk|cn|hk|tw|jp|kr|th|vn"
    "|sg|my|id|ph|au|nz|za|ng|ke|eg|ma|ca|mx|br|ar|cl|pe|ve|ph|news|blog|social|online|site|xyz|shop|club|link|page"
)
HOST = rf"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?\.){{1,8}}(?:{DOMAINS})(?![\w-])"
WITHIN = rf"[A-Za-z0-9-]{{0,62}}(?:[A-VX-Za-vx-z0-9]www\.{HOST}|[A-Za-z0-9]{PICTURE.pattern})"
"""A word with an address that begins in it, such as `Londonpic.twitter.com/x`."""
WITH_PATH = re.compile(rf"(?!{WITHIN}){HOST}(?=/[A-Za-z0-9])")
MAIL = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._%+-]{{0,62}}[A-Za-z0-9_%+-])?@{HOST}")
BARE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,600}[@/][A-Za-z0-9]")
"""What both an e-mail address and a host with a path begin with."""

WWW = re.compile(rf"www\.{HOST}")

CLOSERS = {"(": ")", "[": "]"}
EXCLUDED = frozenset('<>"{}|\\^` ')
NEVER = EXCLUDED | set(CLOSERS.values())
TRAILING = ".,;:!?'*~&@$"
BREAKS = ",;!"
OPEN_TO_ALL = "/=_-%."
"""After one of these, a letter of any script belongs to the address."""
OWN_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK")
LONGEST_BRACKET = 200


def end_of_address(text: str, position: int) -> int | None:
    """Returns the end of the address that begins at `position`, where a word may begin. None if there is none."""
    if text[position : position + 1] in "hHwW":
        if short := SHORT.match(text, position):
            return short.end()
        if cut := CUT.match(text, position):
            return cut.end()
        if start := START.match(text, position):
            # `http:` alone stands in a text that was cut
            return _end(text, start.end()) if start["slashes"] != "" else _cut(text, start.end())
    if not BARE.match(text, position) or text[max(0, position - 1) : position] in ("@", "/"):
        return None  # no e-mail address begins after `@`, as in `@name@mastodon.social`
    if mail := MAIL.match(text, position):
        return mail.end()
    host = WITH_PATH.match(text, position)
    return _end(text, host.end()) if host else None


def begins_within_word(text: str, position: int) -> bool:
    """Returns whether an address begins at `position`, right after a letter."""
    if text[position] in "hH":
        return any(pattern.match(text, position) for pattern in (SCHEME, CUT, LAST))
    if text[position] == "p":
        return PICTURE.match(text, position) is not None
    return text[position] == "w" and text[position - 1] not in "wW" and WWW.match(text, position) is not None


def _end(text: str, first: int) -> int:
    """Returns the end of an address of which everything before `first` is certain."""
    end = first
    while end < len(text) and _continues(text, end, first):
        closer = CLOSERS.get(text[end])
        end = _closing(text, end, closer) if closer else end + 1
    if (cut := _cut(text, end)) > end:
        return cut
    while end > first and text[end - 1] in TRAILING:
        end -= 1
    if end - 2 >= first and text[end - 2 : end] in ("'s", "’s"):
        end -= 2
    return end


def _cut(text: str, end: int) -> int:
    """Returns the position after the mark of an address that was cut, as in `http://t.co/8o…`."""
    return end + 1 if text[end : end + 1] == "…" and not text[end + 1 : end + 2].strip() else end


def _continues(text: str, place: int, first: int) -> bool:
    """Returns whether the code point at `place` belongs to the address."""
    character, before = text[place], text[place - 1]
    if character.isascii():
        return _continues_in_ascii(text, place)
    category = unicodedata.category(character)[0]
    if category == "M":
        return place > first
    is_own = unicodedata.name(character, "").split(" ", 1)[0] in OWN_SCRIPTS
    return category in "LN" and (is_own or before in OPEN_TO_ALL or not before.isascii())


def _continues_in_ascii(text: str, place: int) -> bool:
    character, before, after = text[place], text[place - 1], text[place + 1 : place + 2]
    if character in "hH":
        return not (before.isalnum() and SCHEME.match(text, place))
    if character in CLOSERS:
        return _closing(text, place, CLOSERS[character]) > 0
    if character in BREAKS and after.isalpha():
        return after.isascii() and after.islower()
    if character == "." and before == ".":
        return after == "/"
    return character.isprintable() and character not in NEVER


def _closing(text: str, place: int, closer: str) -> int:
    """Returns the position after the bracket that closes the one at `place`, or 0 if the address does not hold it."""
    depth = 0
    for end in range(place, min(len(text), place + LONGEST_BRACKET)):
        character = text[end]
        if character.isspace() or character in EXCLUDED:
            return 0
        depth += (character == text[place]) - (character == closer)
        if depth == 0:
            return end + 1
    return 0
