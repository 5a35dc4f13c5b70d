"""Posts and notices of X's API v1.1. Old recordings, and the archives that X gives its users, have this form.

Source: docs.x.com, the data dictionary and the streaming messages of v1.1.
"""

from __future__ import annotations

from typing import Any

from core.events import Tweet
from streams.feeds.adapters.common import UNREADABLE
from streams.feeds.adapters.x import fields
from streams.feeds.adapters.x.compliance import compliance_event, is_event
from streams.feeds.source import Adapted

NOTICES = frozenset({"limit", "disconnect", "warning", "friends", "friends_str", "event", "control", "for_user"})
"""Names of messages that are about the stream, or about one user's own timeline."""


def v1_object(status: Any) -> Adapted:
    """Returns the post of a status, or the event of a notice such as `delete`. A repost is the post that it repeats."""
    if not isinstance(status, dict):
        return Adapted(skipped=UNREADABLE)
    if fields.first_id(status, "id_str", "id") is None:
        if is_event(status):
            return compliance_event(status)
        return Adapted(skipped="notice" if NOTICES & status.keys() else UNREADABLE)
    original = status.get("retweeted_status")
    if original is not None:
        post = status_post(original) if isinstance(original, dict) else None
    else:
        post = status_post(status)
    return Adapted((post,)) if post else Adapted(skipped=UNREADABLE)


def status_post(status: dict[str, Any]) -> Tweet | None:
    """Returns the post of a status, or None if its id or text cannot be read."""
    own = fields.first_id(status, "id_str", "id")
    if own is None:
        return None
    name, edit = fields.versions(_history(status), own)
    extended = fields.as_object(status.get("extended_tweet"))
    texts = (extended.get("full_text"), status.get("full_text"), status.get("text"))
    return fields.post(
        {
            "id": fields.named(name),
            "text": fields.unescaped(next((text for text in texts if isinstance(text, str)), None)),
            "created_at": fields.created(name, own, status.get("created_at")),
            "author": _author(status.get("user")),
            "lang": fields.language(status.get("lang")),
            "media": _media(status, extended),
            "edit": edit,
            "reply_to": fields.named(fields.first_id(status, "in_reply_to_status_id_str", "in_reply_to_status_id")),
            "quote_of": _quoted(status),
        }
    )


def first_version(status: dict[str, Any]) -> str | None:
    """Returns the id of the first version of a status, which names all versions. None if the status has no id."""
    own = fields.first_id(status, "id_str", "id")
    return None if own is None else fields.versions(_history(status), own)[0]


def _history(status: dict[str, Any]) -> Any:
    """Returns the ids of all versions. The API and the archives keep them under different names."""
    history = fields.as_object(status.get("edit_history"))
    info = fields.as_object(status.get("edit_info"))
    initial = fields.as_object(info.get("initial"))
    later = fields.as_object(fields.as_object(info.get("edit")).get("editControlInitial"))
    ids = (history.get("edit_tweet_ids"), initial.get("editTweetIds"), later.get("editTweetIds"))
    return next((found for found in ids if isinstance(found, list)), None)


def _author(user: Any) -> dict[str, Any] | None:
    found = fields.as_object(user)
    digits = fields.first_id(found, "id_str", "id")
    name = fields.unescaped(found.get("name")) or found.get("screen_name")
    return {"id": fields.named(digits), "name": name} if digits or name else None


def _media(status: dict[str, Any], extended: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the photos. Only `extended_entities` has all of them; `entities` has the first one."""
    for holder in (extended, status):
        for name in ("extended_entities", "entities"):
            entries = fields.as_list(fields.as_object(holder.get(name)).get("media"))
            if entries:
                objects = [entry for entry in entries if isinstance(entry, dict)]
                photos = [fields.photo(entry, "media_url_https", "ext_alt_text") for entry in objects]
                return [found for found in photos if found is not None]
    return []


def _quoted(status: dict[str, Any]) -> str | None:
    """Returns our name of the quoted post. A quoted post that comes along tells its first version, which names it."""
    digits = fields.first_id(status, "quoted_status_id_str", "quoted_status_id")
    quoted = fields.as_object(status.get("quoted_status"))
    digits = digits or fields.first_id(quoted, "id_str", "id")
    return None if digits is None else fields.named(fields.versions(_history(quoted), digits)[0])
