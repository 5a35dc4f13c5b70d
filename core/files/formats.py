"""Tells formats of posts apart: our own events, and those that platforms and corpora write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

from core.files.split import NOT_JSON, Oversized, Record, Unended, value_of

Format = Literal["events", "jetstream", "x-v2", "x-v1", "x-archive", "conll"]
FORMATS: tuple[Format, ...] = get_args(Format)
EVENTS: frozenset[Format] = frozenset({"events"})

NAMES: dict[Format, str] = {
    "events": "a post",
    "jetstream": "a frame of Jetstream (Bluesky)",
    "x-v2": "a page or a post of X's API v2",
    "x-v1": "a post of X's API v1.1",
    "x-archive": "an entry of an archive that X gives its users",
    "conll": "a sentence of a corpus in CoNLL's layout",
}

ARCHIVE = re.compile(rb"\s*window\.YTD\.([A-Za-z0-9_]{1,64})\.part\d{1,6}\s*=\s*(?=\[)")
"""What a file of an archive begins with: the section, such as `tweets`."""

CONLL = re.compile(rb"-DOCSTART-|# id \S+\s*$|IMGID:\d+\s*$|\S+(?:[ \t]\S+)*[ \t](?:O|[BIES]-[A-Za-z][\w-]*)\s*$")
"""A first line of a corpus: a word with its tag last, or one of the lines that stand before a text."""

SHAPES: dict[str, str] = {
    "data": "a page of X's API; only a feed reads pages. Write each entry of `data` on a line of its own",
    "statuses": ("a page of X's search; only a feed reads pages. Write each entry of `statuses` on a line of its own"),
    "tweet": "an entry of an X archive; only a feed reads archives. Write each `tweet` on a line of its own",
}
"""A field of other programs' objects, and what such an object is."""

KINDS = {"commit", "identity", "account", "sync"}


def format_of(record: Record) -> Format | None:
    """Returns the format of a record, or None if it is none of them."""
    value = None if isinstance(record, Oversized) else value_of(record)
    if not isinstance(value, dict):
        return None
    if "id" in value or "text" in value:
        is_v1 = "id_str" in value and ("full_text" in value or isinstance(value.get("user"), dict))
        return "x-v1" if is_v1 else "events"
    if "time_us" in value and value.get("kind") in KINDS:
        return "jetstream"
    if isinstance(value.get("data"), dict | list):
        return "x-v2"
    if isinstance(value.get("statuses"), list):
        return "x-v1"
    return "x-archive" if isinstance(value.get("tweet"), dict) else None


def problem_of(record: Record, formats: frozenset[Format]) -> str | None:
    """Returns why a record is no post, or None if it looks like one. Where one format is given, any object may be."""
    if isinstance(record, Oversized):
        return f"has {record.size} bytes, which is too long"
    value = value_of(record)
    if isinstance(value, dict):
        is_given = len(formats) == 1 and formats != EVENTS
        return None if is_given or "id" in value or "text" in value else _other_object(value)
    return "is not JSON" if value is NOT_JSON else "is JSON, but not an object with `id` and `text`"


def _other_object(value: dict[str, Any]) -> str:
    for field, shape in SHAPES.items():
        if isinstance(value.get(field), dict | list):
            return f"is {shape}"
    return "is an object with neither `id` nor `text`"


def blocks(records: Iterable[Record]) -> Iterator[Record]:
    """Joins the lines between blank lines. A block takes the place of its first line, blank lines that of the others.

    So numbers of lines stay right. A line that is too long comes as it is. A last block without a blank
    line after it is `Unended`.
    """
    block: list[bytes] = []
    for record in records:
        if isinstance(record, bytes) and record.strip():
            block.append(record)
            continue
        if block:
            yield b"\n".join(block)
            yield from [b""] * (len(block) - 1)
            block = []
        yield record
    if block:
        yield Unended(b"\n".join(block))
