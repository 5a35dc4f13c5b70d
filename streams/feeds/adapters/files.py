"""The adapters of files: one for each format in `core.files.formats`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import dropwhile, takewhile
from typing import Any

from core.errors import UserError
from core.files.formats import Format
from core.json_text import read_json
from model.conll import comment_in
from streams.feeds.adapters import bluesky
from streams.feeds.adapters.common import UNREADABLE, post_id, read_post, unreadable
from streams.feeds.adapters.x import archive_object, single_pages, v1_object, v2_page, without_others
from streams.feeds.adapters.x.archive import DELETED, POSTS
from streams.feeds.source import Adapted, Received

Adapter = Callable[[bytes], Iterable[Received]]

PLACES = ("geo", "coordinates", "place")
"""Fields of a post that tell where its author was. They are left out."""


NO_POST = "is no post with an id and a text that can be read"

SIGN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],]', re.DOTALL)
"""A string of JSON, or a sign that begins, ends or separates values."""


def adapter_of(form: Format, section: str = "") -> Adapter:
    """Returns the adapter of a format. `section`: that of an X archive. Raises `UserError` for one without posts."""
    if form == "x-archive":
        section = section or "tweets"
        if section not in POSTS | DELETED:
            raise UserError(f"holds the section {section} of an X archive, which has no posts; feed tweets.js")
        return _of_json(lambda entry: [(archive_object(entry, section), entry)])
    return ADAPTERS[form]


def as_they_stand(record: bytes) -> Iterable[Received]:
    """Our own events are sent unchanged, but without the author's place."""
    return (Received(Adapted(lines=(without_place(record),))),)


def without_place(record: bytes) -> bytes:
    """Returns an event without the fields in `PLACES`. All other bytes stay, also those of a broken event."""
    if b"\\u00" not in record and not any(f'"{field}"'.encode() in record for field in PLACES):
        return record
    try:
        event = read_json(record)
    except ValueError:
        return record
    if not isinstance(event, dict) or not event.keys() & set(PLACES):
        return record
    members = (member for name, member in _members(record) if name not in PLACES)
    return b"{" + b",".join(members) + b"}"


def _members(record: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields the name of each field of an object, and the field's bytes. The object must be valid JSON."""
    depth = start = 0
    name = b""
    for token in SIGN.finditer(record):
        sign = token[0]
        if depth == 1 and sign in (b",", b"}") and name:
            yield read_json(name), record[start : token.start()]
            name, start = b"", token.end()
        elif depth == 1 and not name:
            name = sign
        elif depth == 0:
            start = token.end()
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(sign, 0)


KEPT = ("id", "source", "edit", "created_at")
"""Comments of an export that are fields of a post."""


def is_comment(line: str) -> bool:
    """Whether a line is a comment of an export."""
    return comment_in(line) is not None


def sentence(block: bytes) -> Iterable[Received]:
    """Reads a block of a corpus, whose first column holds the words. The id is a hash of the words.

    A block of an export names its post and author. So the post keeps its id, and what was erased stays erased.
    """
    lines = block.decode("utf-8", "replace").split("\n")
    about = dict(reversed([comment for line in takewhile(is_comment, lines) if (comment := comment_in(line))]))
    lines = list(dropwhile(is_comment, lines))
    words = [line.split()[0] for line in lines if line.strip() and not line.startswith(("IMGID:", "-DOCSTART-"))]
    if not words:
        return (Received(Adapted(skipped="no_words")),)
    text = " ".join(words)
    name = post_id("conll", hashlib.sha256(text.encode()).hexdigest()[:32])
    fields: dict[str, Any] = {"id": name, "source": "conll"} | {key: about[key] for key in KEPT if key in about}
    if "author" in about:
        fields["author"] = {"id": about["author"]}
    try:
        return (Received(Adapted((read_post(fields | {"text": text}),))),)
    except ValueError as error:
        return (unreadable(block, error),)


def _of_json(read: Callable[[Any], Iterable[tuple[Adapted, Any]]]) -> Adapter:
    """Returns an adapter of records in JSON.

    `read` yields the posts of each part of a record, and the part. A part that cannot be read keeps its own bytes: if
    each kept those of the whole page, a page of n parts could need n times its size.
    """

    def adapter(record: bytes) -> Iterator[Received]:
        try:
            value = json.loads(record.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError) as error:
            yield unreadable(record, error)
            return
        place = 0
        for place, (adapted, part) in enumerate(read(value), start=1):
            if adapted.skipped != UNREADABLE:
                yield Received(adapted)
            elif part is value:
                yield Received(adapted, raw=record, why=f"the record {NO_POST}")
            else:
                yield Received(adapted, raw=json.dumps(part).encode(), why=f"entry {place} of the page {NO_POST}")
        if not place:
            yield Received(Adapted(skipped="empty"))

    return adapter


def _pages(value: Any) -> Iterator[tuple[Adapted, Any]]:
    """Reads a page of X's API v2, or a single post of it."""
    page = {"data": value} if isinstance(value, dict) and "data" not in value and "id" in value else value
    parts = single_pages(page)
    for part in parts:
        adapted = v2_page(part)
        yield adapted, value if len(parts) == 1 else without_others(part) if adapted.skipped == UNREADABLE else None


def _statuses(value: Any) -> Iterator[tuple[Adapted, Any]]:
    """Reads a post of X's API v1.1, or a page of its search."""
    found = value.get("statuses") if isinstance(value, dict) else None
    for status in found if isinstance(found, list) else [value]:
        yield v1_object(status), status


ADAPTERS: dict[Format, Adapter] = {
    "events": as_they_stand,
    "jetstream": lambda record: (bluesky.adapt(record),),
    "x-v2": _of_json(_pages),
    "x-v1": _of_json(_statuses),
    "conll": sentence,
}
