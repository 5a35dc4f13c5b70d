"""Makes a message of the contract out of one post of the stream, or of a page of the search."""

from __future__ import annotations

import json
from typing import Any

from core.json_text import read_json
from streams.feeds.adapters.common import UNREADABLE, unreadable
from streams.feeds.adapters.x import fields, v2_page
from streams.feeds.source import Received
from streams.feeds.x.answers import in_body


def of_line(line: bytes) -> Received:
    """Returns the message of a line of the stream. Raises `Disconnected` or `FeedRefused` for an error in its place."""
    try:
        page = read_json(line)
    except (ValueError, RecursionError):
        return unreadable(line)
    error = in_body(page)
    if error is not None:
        raise error
    return of_page(page, line)


def of_page(page: Any, raw: bytes | None = None) -> Received:
    """Returns the message of a page with one post. Its cursor is the post's id. The id also tells its time."""
    adapted = v2_page(page)
    data = fields.as_object(fields.as_object(page).get("data"))
    digits = fields.whole(data.get("id"))
    time = fields.time_of(digits)
    kept = (raw if raw is not None else json.dumps(page).encode()) if adapted.skipped == UNREADABLE else None
    return Received(adapted, digits, None if time is None else time.timestamp(), kept)


def is_read(message: Received) -> bool:
    """Returns whether X counts the message as a post that was read."""
    return message.cursor is not None
