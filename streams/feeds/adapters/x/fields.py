"""Reads single fields of X's payloads. Nothing here raises for any JSON value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from core.events import Tweet
from core.lifecycle import Cause, Kind, Lifecycle
from core.moments import read_moment
from streams.feeds.adapters.common import post_id, read_post

SOURCE = "x"

ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
"""Ids are positive whole numbers of 63 bits: docs.x.com, fundamentals/x-ids."""

ENTITY = re.compile(r"&(amp|lt|gt);")
CHARACTERS = {"amp": "&", "lt": "<", "gt": ">"}
"""X escapes these three characters of a text, and no other one."""
BARE = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)")

NO_LANGUAGE = frozenset({"und", "zxx", "art", "qam", "qct", "qht", "qme", "qst"})
"""Codes for a text without a language: undetermined, media, mentions, cashtags, hashtags, and very short texts."""
NEW_CODES = {"in": "id", "iw": "he", "ji": "yi"}
"""X writes three languages with the codes that ISO 639 had before 1989."""

SNOWFLAKE_EPOCH_MS = 1288834974657
"""The ids count from this moment: the upper 41 bits are milliseconds since then."""
FIRST_SNOWFLAKE = 27_000_000_000
"""Ids below this one are older than the form, and hold no time."""


def as_object(value: Any) -> dict[str, Any]:
    """Returns the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Returns the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def whole(value: Any) -> str | None:
    """Returns the digits of an id. Returns None for a float: it may have lost digits."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        return str(value)
    return value if isinstance(value, str) and ID.fullmatch(value) and int(value) < 2**63 else None


def first_id(fields: dict[str, Any], *names: str) -> str | None:
    """Returns the first of the named fields that is an id."""
    return next((found for name in names if (found := whole(fields.get(name))) is not None), None)


def named(digits: str | None) -> str | None:
    """Returns our name of a post or an author, such as `x:1234`."""
    return None if digits is None else post_id(SOURCE, digits)


def time_of(digits: str | None) -> datetime | None:
    """Returns when the post with this id was made, or None for ids before November 2010."""
    if digits is None or int(digits) < FIRST_SNOWFLAKE:
        return None
    return datetime.fromtimestamp(((int(digits) >> 22) + SNOWFLAKE_EPOCH_MS) / 1000, UTC)


def moment_of(value: Any) -> datetime | None:
    """Returns the moment that a field of an event names, or None."""
    return read_moment(value)[0]


def unescaped(text: Any) -> Any:
    """Returns the text as its author wrote it. What is no text stays as it is."""
    return ENTITY.sub(lambda found: CHARACTERS[found[1]], text) if isinstance(text, str) else text


def unescaped_if_escaped(text: Any) -> Any:
    """Does the same for a text that X may send without escapes. A bare `<`, `>` or `&` shows that it did."""
    return text if isinstance(text, str) and BARE.search(text) else unescaped(text)


def language(code: Any) -> Any:
    """Returns the language's code, or None for a code that means "no language"."""
    if not isinstance(code, str):
        return code
    return None if code.lower() in NO_LANGUAGE else NEW_CODES.get(code.lower(), code)


def versions(history: Any, own: str) -> tuple[str, int]:
    """Returns the id that names the post, and the number of this version.

    `history`: the ids of all versions, the oldest first. A history that does not hold the version's `own` id is of no
    use: the post then is the first version of its own.
    """
    ids = [found for entry in as_list(history) if (found := whole(entry)) is not None]
    ids = list(dict.fromkeys(ids))
    return (ids[0], ids.index(own)) if own in ids else (own, 0)


def created(first: str, own: str, value: Any) -> Any:
    """Returns when the post was published: the field's value, or the time in the first version's id in a later version.

    The field of a later version says when that was made. All versions need one time, in whole seconds as X writes it.
    """
    known = None if first == own or value is None else time_of(first)
    return value if known is None else known.replace(microsecond=0).isoformat()


def photo(entry: dict[str, Any], url: str, alt: str) -> dict[str, Any] | None:
    """Returns a media entry of ours, or None for a video: X gives only a preview of it.

    `url`, `alt`: names of the fields in the platform's entry.
    """
    kind = entry.get("type")
    if entry.get(url) is None or (isinstance(kind, str) and kind != "photo"):
        return None
    return {"url": entry[url], "type": "photo", "alt": entry.get(alt)}


def post(fields: dict[str, Any]) -> Tweet | None:
    """Returns the post, or None if its id or text cannot be read. A side field that cannot be read is left out."""
    try:
        kept = {name: value for name, value in fields.items() if value is not None}
        read = read_post({"text": None, **kept, "source": SOURCE})
    except (ValueError, RecursionError):
        return None
    return read.model_copy(update={"left_out": {}}) if read.left_out else read


def event(
    kind: Kind,
    at: datetime | None,
    *,
    post: str | None = None,
    author: str | None = None,
    cause: Cause | None = None,
    reason: str | None = None,
) -> Lifecycle | None:
    """Returns an event about a post or an author, named by their digits, or None if something is missing."""
    try:
        return Lifecycle(
            kind=kind, at=at, post=named(post), author=named(author), cause=cause, source=SOURCE, reason=reason
        )
    except ValueError:
        return None


def complete(events: Sequence[Lifecycle | None]) -> tuple[Lifecycle, ...]:
    """Returns the events if none is missing, else nothing: half of an event would hide that the other half is lost."""
    found = tuple(entry for entry in events if entry is not None)
    return found if len(found) == len(events) else ()
