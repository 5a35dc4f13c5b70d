"""What an answer of X that is no post means: try again later, or give up and say what to do.

Source: docs.x.com, fundamentals/response-codes-and-errors and fundamentals/handling-disconnections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.json_text import read_json
from core.text import one_line, shorten, without_secrets
from streams.feeds.adapters.x import fields
from streams.feeds.source import Disconnected, Fault, FeedRefused

MAX_DETAIL = 200
"""Longest part, in characters, of X's own words in a message."""

REMEDIES = {
    401: "set MNER_X_TOKEN to the bearer token of your app, as developer.x.com shows it",
    402: "add credits to the project at developer.x.com",
    403: "put the app into a project whose access includes the filtered stream, at developer.x.com",
    409: "the app has no rules, so it would receive nothing: list them in a file and add --rules rules.yaml",
}
"""Status -> what to do, where the person must act."""
OTHERWISE = "check --server, or install a newer mner"
RATE_LIMITED = (420, 429)


def answer(status: int, headers: Mapping[str, str], body: bytes) -> Disconnected | FeedRefused:
    """Returns the error for an HTTP status that is not 200."""
    said = detail(_parsed(body))
    named = f"HTTP {status}" + (f": {said}" if said else "")
    if status in RATE_LIMITED:
        return spent(said) if _is_spent(said) else Disconnected("rate_limit", named, _reset(headers))
    if 400 <= status < 500 and status != 408:
        return FeedRefused(f"X refuses this feed ({named}); {REMEDIES.get(status, OTHERWISE)}")
    return Disconnected("http", named)


def in_body(message: Any) -> Disconnected | FeedRefused | None:
    """Returns the error that stands in place of a post, or None. X sends it with the status 200, and hangs up."""
    if not isinstance(message, dict) or not message.get("errors") or message.get("data") is not None:
        return None
    said = detail(message)
    if _is_spent(said):
        return spent(said)
    fault: Fault = "rate_limit" if "toomanyconnections" in said.replace(" ", "").lower() else "http"
    return Disconnected(fault, f"an error in the stream: {said}")


def spent(said: str) -> FeedRefused:
    """Returns the error for a project that has read all posts of its plan."""
    return FeedRefused(f"the X project has read all posts of its plan ({said}); wait for its next period, or extend it")


def detail(message: Any) -> str:
    """Returns X's own words about an error, as one line."""
    body = fields.as_object(message)
    errors = fields.as_list(body.get("errors"))
    words: list[str] = []
    for part in (body, *errors[:2]):
        for name in ("title", "value", "detail", "message", "reason", "details", "connection_issue"):
            value = part.get(name) if isinstance(part, dict) else None
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, str) and value.strip() and value not in words:
                words.append(value)
    return shorten(one_line(without_secrets(": ".join(words).strip())), MAX_DETAIL)


def _parsed(body: bytes) -> Any:
    try:
        return read_json(body)
    except (ValueError, RecursionError):
        return None


def _is_spent(said: str) -> bool:
    return any(word in said.replace(" ", "").lower() for word in ("usagecapexceeded", "usage-capped", "productcap"))


def _reset(headers: Mapping[str, str]) -> float | None:
    """Returns the Unix time from which X takes requests again."""
    digits = fields.whole(headers.get("x-rate-limit-reset", "").strip())
    return None if digits is None else float(digits)
