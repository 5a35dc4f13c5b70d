"""Lifecycle events of X: its compliance streams, the notices of API v1.1, and the results of batch compliance jobs.

Source: docs.x.com, compliance/streams (data objects) and compliance/batch-compliance.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from core.lifecycle import Cause, Lifecycle
from streams.feeds.adapters.common import UNREADABLE
from streams.feeds.adapters.x import fields
from streams.feeds.source import Adapted

Subject = Literal["tweets", "users"]
"""What the ids of a batch compliance job name."""
Events = tuple[Lifecycle | None, ...]


def _erase_post(digits: str | None, at: datetime | None) -> Events:
    return (fields.event("erase", at, post=digits, cause="deleted"),)


def _hide_post(cause: Cause) -> Callable[[str | None, datetime | None], Events]:
    return lambda digits, at: (fields.event("hide", at or fields.time_of(digits), post=digits, cause=cause),)


def _show_post(cause: Cause) -> Callable[[str | None, datetime | None], Events]:
    return lambda digits, at: (fields.event("show", at, post=digits, cause=cause),)


def _erase_author(digits: str | None, at: datetime | None) -> Events:
    """Removes the author's posts, and hides those that arrive later."""
    return (
        fields.event("erase", at, author=digits, cause="deleted"),
        fields.event("hide", at, author=digits, cause="deleted"),
    )


def _hide_author(cause: Cause) -> Callable[[str | None, datetime | None], Events]:
    return lambda digits, at: (fields.event("hide", at, author=digits, cause=cause),)


def _show_author(cause: Cause) -> Callable[[str | None, datetime | None], Events]:
    return lambda digits, at: (fields.event("show", at, author=digits, cause=cause),)


def _restore_author(digits: str | None, at: datetime | None) -> Events:
    """Ends both names of one state: the stream calls a deactivated account deleted, a batch job deactivated."""
    return (*_show_author("deleted")(digits, at), *_show_author("deactivated")(digits, at))


def _scrub_author(digits: str | None, at: datetime | None) -> Events:
    return (fields.event("scrub_geo", at, author=digits),)


def _scrub_post(digits: str | None, at: datetime | None) -> Events:
    return (fields.event("scrub_geo", at or fields.time_of(digits), post=digits),)


POST_EVENTS: dict[str, Callable[[str | None, datetime | None], Events]] = {
    "delete": _erase_post,
    "drop": _hide_post("dropped"),
    "undrop": _show_post("dropped"),
    "withheld": _hide_post("withheld"),
    "status_withheld": _hide_post("withheld"),
}
AUTHOR_EVENTS: dict[str, Callable[[str | None, datetime | None], Events]] = {
    "user_delete": _erase_author,
    "user_undelete": _restore_author,
    "user_protect": _hide_author("protected"),
    "user_unprotect": _show_author("protected"),
    "user_suspend": _hide_author("suspended"),
    "user_unsuspend": _show_author("suspended"),
    "user_withheld": _hide_author("withheld"),
    "scrub_geo": _scrub_author,
}
NO_DUTY = {"tweet_edit": "edit", "user_profile_modification": "profile"}
"""Events that change nothing that is kept -> why they are skipped. The edit itself comes as a post."""

POST_REASONS: dict[str, Callable[[str | None, datetime | None], Events]] = {
    "suspended": _hide_post("suspended"),
    "protected": _hide_post("protected"),
    "deactivated": _hide_post("deactivated"),
    "bounced": _hide_post("dropped"),
    "scrub_geo": _scrub_post,
}
AUTHOR_REASONS: dict[str, Callable[[str | None, datetime | None], Events]] = {
    "suspended": _hide_author("suspended"),
    "protected": _hide_author("protected"),
    "deactivated": _hide_author("deactivated"),
    "scrub_geo": _scrub_author,
}
"""Reason in the result of a batch job -> what to do. Any other reason for the action `delete` erases."""


def is_event(message: dict[str, Any]) -> bool:
    """Returns whether a message without an id is an event of this module."""
    return any(name in message for name in (*POST_EVENTS, *AUTHOR_EVENTS, *NO_DUTY))


def compliance_event(message: Any) -> Adapted:
    """Returns the events of one message of a compliance stream, of API v2 (in `data`) or v1.1."""
    outer = fields.as_object(message)
    events = fields.as_object(outer.get("data")) if "data" in outer else outer
    for name, body in events.items():
        if name in NO_DUTY:
            return Adapted(skipped=NO_DUTY[name])
        if name in POST_EVENTS or name in AUTHOR_EVENTS:
            found = _events(name, fields.as_object(body))
            return Adapted(lifecycle=found) if found else Adapted(skipped=UNREADABLE)
    return Adapted(skipped=UNREADABLE)


def _events(name: str, body: dict[str, Any]) -> tuple[Lifecycle, ...]:
    at = fields.moment_of(body.get("event_at")) or _from_milliseconds(body.get("timestamp_ms"))
    if name in POST_EVENTS:
        subject = fields.as_object(body.get("tweet") or body.get("status") or body)
        return fields.complete(POST_EVENTS[name](fields.first_id(subject, "id_str", "id"), at))
    subject = fields.as_object(body.get("user") or body)
    digits = fields.first_id(subject, "user_id_str", "user_id", "id_str", "id")
    if name == "scrub_geo":
        at = at or fields.time_of(fields.first_id(body, "up_to_tweet_id", "up_to_status_id_str", "up_to_status_id"))
    return fields.complete(AUTHOR_EVENTS[name](digits, at))


def _from_milliseconds(value: Any) -> datetime | None:
    digits = fields.whole(value)
    return None if digits is None else fields.moment_of(int(digits) / 1000)


def compliance_result(line: Any, subject: Subject) -> Adapted:
    """Returns the events of one line of a batch compliance job's result.

    `subject`: what the job's ids name. The lines do not say it. Results name no other subject than those that need an
    action, and none says that a post or a user is back.
    """
    verdict = fields.as_object(line)
    digits = fields.first_id(verdict, "id")
    reason = verdict.get("reason")
    if digits is None or not isinstance(reason, str) or verdict.get("action") not in ("delete", "scrub_geo"):
        return Adapted(skipped=UNREADABLE)
    at = fields.moment_of(verdict.get("redacted_at"))
    reasons, erase = (POST_REASONS, _erase_post) if subject == "tweets" else (AUTHOR_REASONS, _erase_author)
    react = _scrub(subject) if verdict["action"] == "scrub_geo" else reasons.get(reason, erase)
    found = fields.complete(react(digits, at))
    return Adapted(lifecycle=found) if found else Adapted(skipped=UNREADABLE)


def _scrub(subject: Subject) -> Callable[[str | None, datetime | None], Events]:
    return _scrub_post if subject == "tweets" else _scrub_author
