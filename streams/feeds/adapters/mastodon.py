"""Makes posts of Mastodon's statuses. See https://docs.joinmastodon.org/entities/Status/ for the fields.

All ids are those of the server that was asked: `mastodon:example.org:1234` for a post, and for an author the same with
the id of the account. A server numbers the posts and accounts of other servers too, so both are unique on it, and stay
the same while it exists. Two servers show a post under two ids.

A status becomes a post with these exceptions: the options of a poll are left out; of a repost (`reblog`), the original
is the post; a post that is not public or unlisted is skipped.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from core.events import Tweet
from core.lifecycle import Lifecycle
from core.moments import read_moment
from core.reading import MAX_SOURCE
from core.text import one_line, shorten
from streams.feeds.adapters.common import UNREADABLE, edit_number, fault_in, post_id, read_post
from streams.feeds.adapters.html import fitting, text_of
from streams.feeds.source import Adapted

PLATFORM = "mastodon"
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
PUBLIC = frozenset({"public", "unlisted"})
KEEP = "to keep it, write it as a post, and run `mner feed FILE`"
"""What a person can do with a status that makes no post."""
QUOTE_LINE = "quote-inline"
"""Class of the line `RE: https://...`, which servers add to a quote for clients that show no quotes."""


def source_name(host: str) -> str:
    """Returns the `source` of the server's posts, such as `mastodon:example.org`."""
    return f"{PLATFORM}:{host}"[:MAX_SOURCE]


def adapt(status: Any, host: str, received: datetime) -> Adapted:
    """Returns the post of a status, as JSON has it. `host` is the server's name, with its port if that is unusual.

    No time is later than `received`: other servers' clocks may be wrong.
    """
    if isinstance(status, dict):
        parts = (status, status.get("reblog"))
        if not all(_is_public(part) for part in parts if isinstance(part, dict)):
            return Adapted(skipped="not_public")
    try:
        return Adapted(posts=(_post(status, host, received),))
    except ValueError:
        return Adapted(skipped=UNREADABLE)


def wrong_in(status: Any, host: str, received: datetime) -> str:
    """Returns why `adapt` cannot read a status: the field, the value that it had, and what a person can do."""
    try:
        _post(status, host, received)
    except ValueError as error:
        return f"{fault_in(error)}; {KEEP}"
    raise AssertionError("the status makes a post")


def _post(status: Any, host: str, received: datetime) -> Tweet:
    """Raises `ValueError` for a status that makes no post."""
    if not isinstance(status, dict):
        raise ValueError(f"data: is no object (got {shown(status)})")
    original = status.get("reblog")
    status = original if isinstance(original, dict) else status
    number, content = _id(status.get("id")), status.get("content")
    if number is None:
        raise ValueError(f"id: is no number and no word of 1 to 64 letters (got {shown(status.get('id'))})")
    if not isinstance(content, str):
        raise ValueError(f"content: is no text (got {shown(content)})")
    created, edited = _moment(status.get("created_at"), received), _moment(status.get("edited_at"), received)
    quoted = _quoted(status)
    fields = {
        "id": post_id(PLATFORM, host, number),
        "text": _text(status, content, is_quote=quoted is not None),
        "created_at": created.isoformat() if created else status.get("created_at"),
        "author": _author(status.get("account"), host),
        "lang": status.get("language"),
        "media": _media(status.get("media_attachments")),
        "source": source_name(host),
        "edit": edit_number(created, edited),
        "reply_to": _on(host, _id(status.get("in_reply_to_id"))),
        "quote_of": _on(host, quoted),
    }
    return read_post({name: value for name, value in fields.items() if value is not None})


def shown(value: Any) -> str:
    """Returns a value of a message as one short line."""
    return shorten(one_line(repr(value)), 80, "...")


def adapt_deletion(payload: Any, host: str, received: datetime) -> Adapted:
    """Returns the end of a post. The payload of the event `delete` is the bare id of the status."""
    number = _id(payload)
    if number is None:
        return Adapted(skipped=UNREADABLE)
    post = post_id(PLATFORM, host, number)
    return Adapted(lifecycle=(Lifecycle(post=post, cause="deleted", at=received, source=source_name(host)),))


def status_id(status: Any) -> str | None:
    """Returns the id of a status on its server."""
    return _id(status.get("id")) if isinstance(status, dict) else None


def moment_of(status: Any) -> float | None:
    """Returns when the status was published, or edited last, in Unix seconds."""
    if not isinstance(status, dict):
        return None
    moment = read_moment(status.get("edited_at") or status.get("created_at"))[0]
    return moment.timestamp() if moment else None


def _is_public(status: dict[str, Any]) -> bool:
    visibility = status.get("visibility")
    return visibility is None or (isinstance(visibility, str) and visibility in PUBLIC)


def _text(status: dict[str, Any], content: str, is_quote: bool) -> str:
    """Returns the content warning, which is plain text, an empty line, and the content."""
    warning = status.get("spoiler_text")
    body = text_of(content, QUOTE_LINE if is_quote else None)
    parts = (text_of(warning.replace("&", "&amp;").replace("<", "&lt;")) if isinstance(warning, str) else "", body)
    return fitting("\n\n".join(part for part in parts if part))


def _author(account: Any, host: str) -> dict[str, str] | None:
    """Returns the id on this server, and the name `user@server`, which people know."""
    if not isinstance(account, dict):
        return None
    author = {}
    if (number := _id(account.get("id"))) is not None:
        author["id"] = post_id(PLATFORM, host, number)
    if isinstance(name := account.get("acct"), str) and name:
        author["name"] = name if "@" in name else f"{name}@{host}"
    return author or None


def _media(attachments: Any) -> list[dict[str, Any]] | None:
    """Returns the media. `url` is empty while a server still works on a file."""
    if not isinstance(attachments, list):
        return None
    return [
        {"url": entry.get("url") or entry.get("remote_url"), "type": entry.get("type"), "alt": entry.get("description")}
        for entry in attachments
        if isinstance(entry, dict)
    ]


def _quoted(status: dict[str, Any]) -> str | None:
    """Returns the id of the quoted status. Servers that are older than Mastodon 4.4, or forks, have `quote_id`."""
    quote = status.get("quote")
    quote = quote if isinstance(quote, dict) else {}
    whole = quote.get("quoted_status")
    candidates = (whole.get("id") if isinstance(whole, dict) else None, quote.get("quoted_status_id"))
    return next((number for value in (*candidates, status.get("quote_id")) if (number := _id(value))), None)


def _on(host: str, number: str | None) -> str | None:
    return post_id(PLATFORM, host, number) if number is not None else None


def _id(value: Any) -> str | None:
    """Returns an id as text, or None. Old servers write numbers, and other software letters too."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**30:
        return str(value)
    return value if isinstance(value, str) and ID.fullmatch(value) else None


def _moment(value: Any, received: datetime) -> datetime | None:
    moment = read_moment(value)[0]
    return min(moment, received) if moment else None
