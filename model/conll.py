"""Writes posts in the layout of the published corpora: a line `word TAB tag` for each word, and a blank line after each
post. Comment lines before the words, such as `# id` and `# source`, say whose they are (`NAMES`).

`model.training.corpus` reads it for training, and `read` for an import."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from core.text import plain
from model.words import split_words

NAMES = ("id", "source", "edit", "author", "created_at", "received_at", "reviewer", "decided_at")
"""What the comments name: the post, its author (an id), and the person who decided."""

COMMENT = re.compile(rf"# ({'|'.join(NAMES)}) (.+)")
"""A line before a post. Lines of words have a tab, these have none."""


TAG = re.compile(r"O|([BI])-(\S+)")


@dataclass(frozen=True)
class Block:
    """One post of a file. `comments`: by name. `spans`: start, end and type of each mention in `text`."""

    comments: dict[str, str]
    text: str
    spans: tuple[tuple[int, int, str], ...]


def lines(
    post_id: str,
    source: str,
    edit: int,
    text: str,
    mentions: Iterable[Mapping[str, Any]],
    others: Mapping[str, str] | None = None,
) -> str:
    """Returns the lines of one post, with BIO tags. Empty when the text has no words.

    `mentions` have `start`, `end` and `type`. A word that a mention begins or ends in is cut there. `others`: further
    comments, by name.
    """
    ordered = sorted(mentions, key=lambda mention: (mention["start"], mention["end"]))
    rows = [f"{word}\t{tag}\n" for word, tag in _tagged(text, ordered)]
    comments = f"# id {post_id}\n# source {quoted(source)}\n# edit {edit}\n"
    comments += "".join(f"# {name} {quoted(others[name])}\n" for name in NAMES if others and name in others)
    return "".join([comments, *rows, "\n"]) if rows else ""


def _tagged(text: str, mentions: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    edges = sorted({edge for mention in mentions for edge in (mention["start"], mention["end"])})
    begun: Mapping[str, Any] | None = None
    for word in split_words(text):
        cuts = [word.start, *(edge for edge in edges if word.start < edge < word.end), word.end]
        for start, end in pairwise(cuts):
            over = next((each for each in mentions if each["start"] <= start and end <= each["end"]), None)
            tag = "O" if over is None else f"{'I' if over is begun else 'B'}-{over['type']}"
            begun = over
            yield (word.text if len(cuts) == 2 else text[start:end]), tag


def comment_in(row: str) -> tuple[str, str] | None:
    """Returns name and value of a comment line, or None for another line."""
    found = COMMENT.fullmatch(row.strip()) if "\t" not in row else None
    return (found[1], unquoted(found[2])) if found else None


def read(rows: Iterable[str]) -> Block:
    """Returns the post of a block of lines. Blanks join its words, since the lines do not tell what stood between.

    Raises `ValueError` for a line that is no word with a tag.
    """
    comments: dict[str, str] = {}
    spans: list[tuple[int, int, str]] = []
    text = ""
    for row in rows:
        if not text and (comment := comment_in(row)):
            comments.setdefault(*comment)  # of two lines with one name, the first holds
            continue
        word, _, tag = row.rstrip("\r\n").partition("\t")
        found = TAG.fullmatch(tag)
        if not word.strip() or not found:
            raise ValueError(f"expected a word, a tab and a tag (got {plain(row, 80)!r})")
        start = len(text) + bool(text)
        text = f"{text} {word}" if text else word
        if found[1] == "I" and spans and spans[-1][1] == start - 1 and spans[-1][2] == found[2]:
            spans[-1] = (spans[-1][0], len(text), found[2])
        elif found[1]:
            spans.append((start, len(text), found[2]))
    return Block(comments, text, tuple(spans))


def quoted(value: str) -> str:
    """Returns a value for a comment line: as it is, or as a JSON string if it has blanks or other odd characters."""
    return value if re.fullmatch(r"[^\s\"\x00-\x1f]+", value) else json.dumps(value)


def unquoted(value: str) -> str:
    """Returns the value that `quoted` wrote."""
    try:
        read = json.loads(value) if value.startswith('"') else value
    except ValueError:
        return value
    return read if isinstance(read, str) else value
