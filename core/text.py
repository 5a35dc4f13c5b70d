"""Makes text that strangers wrote safe to store and to show."""

from __future__ import annotations

import unicodedata

BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Direction marks. They can make a line read differently from what it says (Unicode TR 36, section 2.5)."""

_DROPPED = {"Cf", "Cs", "Co", "Cn"}
"""Categories that `plain` drops: formats (among them the direction marks), lone surrogates, private use, unassigned."""


def printable(text: str) -> str:
    """Returns the text with every control character made visible, so that no escape sequence reaches a terminal.

    Each code point becomes one code point, so offsets stay valid. Line feeds stay.
    """
    return "".join(_visible(char) for char in text)


def one_line(text: str) -> str:
    """Like `printable`, but line feeds become visible too."""
    return printable(text).replace("\n", "␤")


def plain(text: str, limit: int) -> str:
    """Returns one line of at most `limit` characters, composed (NFC), without control or format characters."""
    spaced = "".join(" " if unicodedata.category(char) == "Cc" else char for char in text[: 4 * limit])
    kept = "".join(char for char in spaced if unicodedata.category(char) not in _DROPPED)
    return " ".join(unicodedata.normalize("NFC", kept).split())[:limit].rstrip()


def _visible(char: str) -> str:
    code = ord(char)
    if char == "\n" or (code >= 0x20 and unicodedata.category(char) not in {"Cc", "Zl", "Zp"} and char not in BIDI):
        return char
    if code < 0x20:
        return chr(0x2400 + code)  # the Control Pictures block
    return "␡" if code == 0x7F else "\ufffd"
