"""Turns the HTML of a post into plain text, much as a browser does for `innerText` (HTML standard, 3.2.7).

- White space collapses to one space, and none stays at the start or the end of a line. `<pre>` keeps it.
- A paragraph, a heading, a block quote and a list have an empty line before and behind. An item of a list, a row of a
  table and every other block stand on a line of their own. The cells of a row have a tab between them.
- A link is the text that stands in it. Mastodon splits a long address into parts of the classes `invisible` and
  `ellipsis`, which browsers hide or shorten. Their texts together are the whole address, and all of it is kept.
- An emoji of a server is its short code, such as `:blobcat:`. Other images give no text.
- Direction marks and characters without width stay as they are.

The tags are read by one pattern, which never goes back. Parsers that build a tree, and `html.parser` before Python
3.13.6, need minutes for some strangers' HTML.
"""

from __future__ import annotations

import html
import re

from core.events import MAX_TEXT
from core.json_text import SURROGATE

MAX_HTML = 500_000
"""Longest HTML that is read, in characters. What follows is ignored."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PARAGRAPHS = _names("p h1 h2 h3 h4 h5 h6 blockquote ul ol dl pre")
BLOCKS = PARAGRAPHS | _names(
    "address article aside body caption center dd details dialog dir div dt fieldset figcaption figure footer form"
    " header hgroup hr html legend li main menu nav optgroup option search section summary table tbody tfoot thead tr"
)
LISTS = _names("ul ol")
"""A list inside a list has no empty line before it."""

RAW = _names("iframe noembed noframes script style textarea title xmp")
"""Elements whose content has no tags. It gives no text."""
SILENT = _names("audio canvas datalist math noscript object rp select svg template video")
"""Other elements that give no text."""

_SPACES = re.compile(r"[ \t\n\r\f]+")
_EMOJI = re.compile(r"(?:^|[\s-])emoji(?:one)?(?:$|[\s-])")

# Every alternative takes all that it can and gives nothing back (`++`, `*+`). One that finds no end goes to the end of
# the text, as in browsers. So the time grows with the length and no faster.
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"  # a comment
    r"|<(?:[!?]|/[^a-zA-Z])[^>]*+(?:>|\Z)"  # a declaration, or another thing that browsers take for a comment
    r"|<(?P<close>/?)(?P<name>[a-zA-Z][^\s/>]*+)"
    r"(?P<attributes>(?:[^>=]++|=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z))|=)*+)(?:>|(?P<cut>\Z))",
    re.DOTALL,
)
_LONG_NUMBER = re.compile(r"&#\d{20,};?", re.ASCII)
_ATTRIBUTE = re.compile(r"([^\s/=]++)(?:\s*+=\s*+(\"[^\"]*+\"?|'[^']*+'?|\S*+))?")


def text_of(markup: str, dropped_class: str | None = None) -> str:
    """Returns the plain text. Elements of the class `dropped_class` are left out.

    Never raises. Time and memory grow with the length, up to `MAX_HTML`.
    """
    markup = SURROGATE.sub("\ufffd", markup[:MAX_HTML].replace("\0", ""))
    lines, at = _Lines(), 0
    while (token := _TOKEN.search(markup, at)) is not None:
        lines.add(_unescaped(markup[at : token.start()]))
        at = token.end()
        if token["name"] is None or token["cut"] is not None:
            continue
        name, closes, attributes = token["name"].lower(), bool(token["close"]), token["attributes"]
        if not closes and name in RAW:
            at = _end_of(name, markup, at, nests=False)
        elif not closes and _is_left_out(name, attributes, dropped_class):
            at = _end_of(name, markup, at, nests=name != "p")
        elif name == "img" and _EMOJI.search(_classes(attributes)):
            lines.add(attribute(attributes, "alt"))
        else:
            lines.edge(name, closes)
    lines.add(_unescaped(markup[at:]))
    return lines.text()


def fitting(text: str) -> str:
    """Returns the text, cut at a space where it is longer than a post's text may be."""
    if len(text) <= MAX_TEXT:
        return text
    cut = text[: MAX_TEXT + 1]
    return cut[: max(cut.rfind(" "), cut.rfind("\n"), MAX_TEXT - 200)].rstrip()


def attribute(attributes: str, name: str) -> str:
    """Returns the value of an attribute, or an empty text. `attributes` is what stands in a tag behind its name."""
    for found in _ATTRIBUTE.finditer(attributes):
        if found[1].lower() == name:
            value = found[2] or ""
            return _unescaped(value.strip(value[0]) if value[:1] in {'"', "'"} else value)
    return ""


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # Python refuses to read a number of thousands of digits
        return html.unescape(_LONG_NUMBER.sub("\ufffd", text))


def _is_left_out(name: str, attributes: str, dropped_class: str | None) -> bool:
    if name in SILENT:
        return not attributes.endswith("/")
    return dropped_class is not None and dropped_class in _classes(attributes).split()


def _classes(attributes: str) -> str:
    return attribute(attributes, "class") if "class" in attributes.lower() else ""


def _end_of(name: str, markup: str, at: int, nests: bool) -> int:
    """Returns where the element ends whose content begins at `at`. Without an end tag, that is the text's end."""
    depth = 1
    for tag in re.compile(rf"<(/?){re.escape(name)}(?=[\s/>])[^>]*+>?", re.IGNORECASE).finditer(markup, at):
        if tag[1]:
            depth -= 1
        elif nests and not tag[0].endswith("/>"):
            depth += 1
        if depth == 0:
            return tag.end()
    return len(markup)


class _Lines:
    """Collects text. Breaks and gaps are written before the next text, so that none stands at an end."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._blocks = 0  # line feeds that blocks ask for
        self._breaks = 0  # line feeds of `<br>`
        self._gap = ""  # a space or a tab, unless a line ends here
        self._pre = 0
        self._lists = 0

    def edge(self, name: str, closes: bool) -> None:
        """Takes the beginning or the end of an element."""
        if name in LISTS and closes:
            self._lists = max(0, self._lists - 1)
        if name == "br":
            self._breaks += 1
        elif name in BLOCKS:
            is_apart = name in PARAGRAPHS and not (name in LISTS and self._lists)
            self._blocks = max(self._blocks, 2 if is_apart else 1)
        elif name in {"td", "th"} and closes:
            self._gap = "\t"
        if name in LISTS and not closes:
            self._lists += 1
        if name == "pre":
            self._pre = max(0, self._pre - 1) if closes else self._pre + 1

    def add(self, text: str) -> None:
        if self._pre:
            if text:
                self._write(text.replace("\r\n", "\n"))
            return
        spaced = _SPACES.sub(" ", text)
        if spaced.startswith(" "):
            self._gap = self._gap or " "
        if words := spaced.strip(" "):
            self._write(words)
            self._gap = " " if spaced.endswith(" ") else ""

    def text(self) -> str:
        return "".join(self._parts).strip(" \t\n")

    def _write(self, text: str) -> None:
        if self._parts:
            self._parts.append("\n" * max(self._blocks, self._breaks) or self._gap)
        self._parts.append(text)
        self._blocks = self._breaks = 0
        self._gap = ""
