"""Tweets are written by strangers: what of them may reach a terminal."""

from __future__ import annotations

import unicodedata

BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Direction marks, which could make a line read other than it stands (Unicode TR 36, section 2.5)."""


def printable(text: str) -> str:
    """The text with every control character made visible, so that no escape sequence gets through.

    One code point becomes one code point, so that offsets hold. Line feeds stay.
    """
    return "".join(_visible(char) for char in text)


def one_line(text: str) -> str:
    """As `printable`, with line feeds made visible too."""
    return printable(text).replace("\n", "␤")


def _visible(char: str) -> str:
    code = ord(char)
    if char == "\n" or (code >= 0x20 and unicodedata.category(char) not in {"Cc", "Zl", "Zp"} and char not in BIDI):
        return char
    if code < 0x20:
        return chr(0x2400 + code)  # the Control Pictures block
    return "␡" if code == 0x7F else "\ufffd"
