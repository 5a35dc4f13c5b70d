"""The functions that all adapters share: unique ids, numbers of edits, and the last step to a post. All are pure."""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from core import reading
from core.events import Tweet, explain
from core.text import one_line, shorten
from streams.feeds.source import Adapted, Received

UNREADABLE = "unreadable"
"""Reason of a message that no adapter can read. Its bytes become a dead letter."""

MAX_FAULT = 500

HASHED = "sha256-"
FIRST_POST = datetime(2006, 1, 1, tzinfo=UTC)
"""A time before the first post of any platform here. It stands for a publication time that is unknown."""

EDITS_PER_E = 3200
"""How many edit numbers there are between an age and 2.718 times this age. The last number is reached after 24
years."""


def post_id(platform: str, *parts: str) -> str:
    """Returns an id that is unique over all platforms and servers, such as `mastodon:example.org:1234`.

    The parts are joined by colons. If the result is no valid id, or the last part has a colon, a hash replaces the
    parts: `at:sha256-...`. So two posts never share an id.
    """
    joined = ":".join((platform, *parts))
    is_clear = all(parts) and ":" not in parts[-1] and not parts[0].startswith(HASHED)
    if is_clear and re.fullmatch(reading.IDENTIFIER, joined):
        return joined
    encoded = json.dumps(parts).encode()  # lists of different parts have different texts
    return f"{platform}:{HASHED}{hashlib.sha256(encoded).hexdigest()}"


def author_id(name: str) -> str:
    """Returns the id of an author for posts and lifecycle events: the platform's own, or a hash if that is too long."""
    if len(name) <= reading.MAX_ID:
        return name
    return HASHED + hashlib.sha256(name.encode()).hexdigest()


def edit_number(created: datetime | None, edited: datetime | None) -> int:
    """Returns `edit` of a post: 0 if it was not edited, else a number from 1 to 65,535 that grows with `edited`.

    For platforms that tell when a post was edited, but not how often. The number is a logarithm of the time since
    publication. Two edits get different numbers if they lie two seconds apart in the first hour, or three hours apart
    after a year.
    """
    if edited is None:
        return 0
    seconds = max(0.0, (edited - (created or FIRST_POST)).total_seconds())
    return min(reading.MAX_EDIT, 1 + int(EDITS_PER_E * math.log1p(seconds)))


def read_post(fields: dict[str, Any]) -> Tweet:
    """Returns the post with these fields, as `core.events.Tweet` names them.

    Side fields are read as in any event, and faults are noted in `left_out`. Raises `ValidationError` for a wrong `id`
    or `text`, such as a text of more than `core.events.MAX_TEXT` characters.
    """
    return Tweet.model_validate_json(json.dumps(fields, default=str))


def unreadable(raw: bytes, error: Exception | None = None) -> Received:
    """Returns a message that cannot be read. It becomes a dead letter with the error as its reason."""
    return Received(Adapted(skipped=UNREADABLE), raw=raw, why=None if error is None else fault_in(error))


def fault_in(error: Exception) -> str:
    """Returns the field that an error is about, and what is wrong with it."""
    if isinstance(error, ValidationError):
        said = explain(error)
    elif isinstance(error, json.JSONDecodeError):
        said = f"is not JSON: {error}"
    elif isinstance(error, KeyError):
        said = f"has no field {error}"
    elif isinstance(error, RecursionError):
        said = "is nested too deep"
    else:
        said = str(error) or type(error).__name__
    return shorten(one_line(said), MAX_FAULT)
