"""Decodes a feed, and refuses other documents and those that would take a parser too long. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html import unescape

from streams.feeds.adapters.html import attribute

MAX_TAGS = 50_000
"""Most tags of an XML feed, beside those in CDATA sections. The parser needs about 0.1 ms for each."""
HEAD = 4096
"""Characters of the beginning, where a document says what it is."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITHOUT_MARK = ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be"))
#: Other codecs of Python, such as punycode, are no encodings of a feed, and slow.
_ENCODINGS = re.compile(r"(?:utf|iso|cp|koi8|gb|big5|euc|shift|mac|latin|ascii|tis|hz|johab|ptcp|kz)[\w-]*", re.ASCII)
_DECLARED = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.ASCII | re.IGNORECASE)
#: Possessive and atomic: a hostile beginning must not make the expressions go back.
_DECLARATION = re.compile(r"\A\s*+<\?xml[^>]{0,1000}\?>")
_CDATA = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)", re.DOTALL)
_HTML = re.compile(r"\s*+(?:(?><!--.{0,2000}?-->)\s*+)*+(?:<!doctype\s+html|<html[\s>])", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"<link\s([^<>]{1,2000})>", re.IGNORECASE)
_FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json")


class NotAFeed(Exception):
    """The bytes are no feed. The message says why, in one line."""


def decoded(body: bytes, content_type: str) -> str:
    """Returns the text: by its byte order mark, else by the first encoding that fits all bytes.

    The order is: the header's encoding, the document's, UTF-8, and Windows-1252, which always fits.
    """
    for mark, name in _MARKS + _WITHOUT_MARK:
        if body.startswith(mark):
            return body.decode(name, "replace")
    for name in _named(body, content_type):
        try:
            return body.decode(name)
        except (UnicodeError, LookupError):
            continue
    return body.decode("cp1252", "replace")


def _named(body: bytes, content_type: str) -> Iterator[str]:
    names = [found[1] for found in (_CHARSET.search(content_type),) if found]
    names += [found[1].decode("ascii") for found in (_DECLARED.search(body[:HEAD]),) if found]
    for name in (*names, "utf-8"):
        try:
            known = codecs.lookup(name).name
        except LookupError:
            continue
        if known in {"ascii", "iso8859-1"}:
            known = "cp1252"  # what servers call so, is this one (Encoding Standard, 4.2)
        if _ENCODINGS.fullmatch(known) and known != "utf-7":
            yield known


def checked_xml(text: str) -> bytes:
    """Returns the text of an XML feed as UTF-8. Raises `NotAFeed` for an HTML page, for entities and for too many tags.

    An entity that a document declares can grow to gigabytes ("billion laughs").
    """
    if _HTML.match(text[:HEAD]):
        raise NotAFeed(_html_page(text))
    if "<!ENTITY" in text.upper():
        raise NotAFeed("the document declares entities, which can grow without limit; no feed needs them")
    tags = _CDATA.sub("", text).count("<")
    if tags > MAX_TAGS:
        raise NotAFeed(f"the document has {tags} tags; {MAX_TAGS} are allowed")
    return _DECLARATION.sub("", text.replace("\0", ""), count=1).encode("utf-8", "replace")


def _html_page(text: str) -> str:
    """Returns the reason to refuse an HTML page, with the feed that the page names."""
    for link in _LINK.finditer(text[:200_000]):
        kind, address = attribute(link[1], "type").strip().lower(), attribute(link[1], "href")
        if kind in _FEED_TYPES and address:
            return f"the address leads to an HTML page; give the address of its feed: {unescape(address)[:500]}"
    return "the address leads to an HTML page, which names no feed"
