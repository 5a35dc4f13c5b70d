"""Writes posts in the layout of the published corpora: a line `word TAB tag` for each word, and a blank line after each
post. The comment lines `# id`, `# source` and `# edit` say whose the words are. `model.training.corpus` reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from model.words import split_words

COMMENT = re.compile(r"# (id|source|edit) (.+)")
"""A line before a post. Lines of words have a tab, these have none."""


def lines(post_id: str, source: str, edit: int, text: str, mentions: Iterable[Mapping[str, Any]]) -> str:
    """Returns the lines of one post, with BIO tags. Empty when the text has no words.

    `mentions` have `start`, `end` and `type`. A word that a mention begins or ends in is cut there.
    """
    ordered = sorted(mentions, key=lambda mention: (mention["start"], mention["end"]))
    rows = [f"{word}\t{tag}\n" for word, tag in _tagged(text, ordered)]
    comments = f"# id {post_id}\n# source {quoted(source)}\n# edit {edit}\n"
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
