"""The cursor of RSS: of each feed what conditional requests need, and which entries were seen. Bounded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import UserError

SEEN = 200
"""Fewest entries of a feed that are remembered. Twice as many as it shows are, if that is more."""


@dataclass(frozen=True)
class Place:
    """Where one feed stands. `seen`: key of an entry -> its mark and its edit number, the oldest first."""

    etag: str | None = None
    modified: str | None = None
    polled: float = 0.0  # Unix seconds
    seen: dict[str, tuple[str, int]] = field(default_factory=dict)

    def after(self, window: dict[str, tuple[str, int]]) -> Place:
        """Returns the place after a poll that showed these entries. Those that the feed no longer shows go first."""
        seen = {key: value for key, value in self.seen.items() if key not in window} | window
        most = max(SEEN, 2 * len(window))
        return replace(self, seen=dict(list(seen.items())[-most:]))


def name_of(feed: str) -> str:
    """Returns what names a feed in the cursor: a hash, since an address may hold a key."""
    return hashlib.sha256(feed.encode()).hexdigest()[:32]


def encoded(places: dict[str, Place]) -> str:
    """Returns the cursor. `places`: by `name_of`."""
    return json.dumps(
        {
            name: [
                place.etag,
                place.modified,
                round(place.polled, 3),
                [[key, *seen] for key, seen in place.seen.items()],
            ]
            for name, place in places.items()
        },
        separators=(",", ":"),
    )


def decoded(cursor: str) -> dict[str, Place]:
    """Reads a cursor. Raises `UserError` for one that this version cannot read."""
    try:
        return {str(name): _place(*fields) for name, fields in json.loads(cursor).items()}
    except (ValueError, TypeError, AttributeError):
        raise UserError(
            "the saved place of these feeds cannot be read; --fresh starts with what they show now"
        ) from None


def _place(etag: Any, modified: Any, polled: Any, seen: Any) -> Place:
    return Place(etag, modified, float(polled), {str(key): (str(mark), int(edit)) for key, mark, edit in seen})
