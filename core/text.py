"""Makes strangers' text safe to show. Posts, image text and model output all pass through here."""

from __future__ import annotations

import re
import unicodedata

#: Direction marks. They can make a line read differently from its code points (Unicode TR 36, section 2.5).
BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

#: Categories that `plain` drops: format characters (BIDI among them), lone surrogates, private use, unassigned.
_DROPPED = {"Cf", "Cs", "Co", "Cn"}

#: User and password in a URL: what stands between its slashes and the last `@` before a blank or the path.
_LOGIN = re.compile(r"//[^\s/<>\"']*@")
#: A port, or the word for it: no `@` follows in the same word, up to the next URL.
_PORT = r"(?:\d{1,5}|port)\b(?!(?:(?!://)[^\s<>\"']){0,256}@)"
#: The same for a password with a slash or a blank, which should have been escaped. A port is no password.
_UNESCAPED = re.compile(
    rf"//[^\s/<>\"':@\[]*:(?!{_PORT})[^\s<>\"'@][^\n<>\"'@]{{0,256}}@(?:[^\s<>\"'@]*@)*", re.IGNORECASE
)
#: User and password before a host and port, without a scheme.
_BARE = re.compile(r"(?<![\w/.%+-])[\w.%+-]{1,64}:[^\s:/<>\"']{1,256}@(?=[\w.-]{1,255}:\d)")
#: The header `Authorization` with any scheme, and the schemes of HTTP without it. Digest has several parts.
_HEADER = re.compile(
    r"(\bAuthorization[\"']?\s*[:=]\s*[\"']?(?!Digest\b)[\w-]+|\b(?:Basic|Bearer|ApiKey|AWS4-HMAC-SHA256))\s+[^\s<>\"']+"
    r"|(\bDigest)\s+\w+=[^\n]*",
    re.IGNORECASE,
)


def printable(text: str) -> str:
    """Returns the text with every control character made visible, so that no escape sequence reaches a terminal.

    One code point becomes one code point, so offsets stay valid. Line feeds stay.
    """
    return "".join(_visible(char) for char in text)


def one_line(text: str) -> str:
    """Returns the text as `printable` does, with line feeds made visible too."""
    return printable(text).replace("\n", "␤")


def plain(text: str, most: int) -> str:
    """Returns one line of at most `most` characters, in Unicode's composed form (NFC).

    Control characters become spaces. Direction marks and other invisible characters are dropped.
    """
    spaced = "".join(" " if unicodedata.category(char) == "Cc" else char for char in text[: 4 * most])
    kept = "".join(char for char in spaced if unicodedata.category(char) not in _DROPPED)
    return " ".join(unicodedata.normalize("NFC", kept).split())[:most].rstrip()


def without_secrets(text: str) -> str:
    """Returns the text without the passwords that a URL or an HTTP header of it holds."""
    text = _BARE.sub("***@", _UNESCAPED.sub("//***@", _LOGIN.sub("//***@", text)))
    return _HEADER.sub(r"\1\2 ***", text)


def shorten(text: str, most: int, ending: str = "…") -> str:
    """Returns the text, cut to at most `most` characters if it is longer. A cut text ends with `ending`."""
    return text if len(text) <= most else text[: most - len(ending)] + ending


def _visible(char: str) -> str:
    code = ord(char)
    if char == "\n" or (code >= 0x20 and unicodedata.category(char) not in {"Cc", "Zl", "Zp"} and char not in BIDI):
        return char
    if code < 0x20:
        return chr(0x2400 + code)  # the Control Pictures block
    return "␡" if code == 0x7F else "\ufffd"
