"""Ids of statuses as places in a server's time. Mastodon's ids are times, other software's grow in another way."""

from __future__ import annotations

import time
from datetime import datetime

FIRST_MS, AHEAD_MS = 1_400_000_000_000, 365 * 86_400_000
"""Ids that would be older, or further ahead of our clock, are no times. Other software counts, writes letters, or has
times since another year."""
OVERLAP_MS = 30_000
"""How far before the cursor a timeline is read, in milliseconds. A post of another server arrives late, and has an id
of the time when it was written. So a cursor may also lie this far ahead of the clock, and nothing is lost."""


class Highest:
    """The highest id so far. An id that is not of the server's time does not move it.

    Such an id is ahead of the clock, or has another form than the highest one. Two ids of one form in a row prove that
    the server writes this form. Then the highest one was wrong.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name
        self._form: int | None = None  # of the last id

    def see(self, name: str | None, now_s: float) -> str | None:
        """Returns the highest id after this one, or None if this id does not count. `now_s`: Unix seconds."""
        if name is None or (seconds_of(name) or 0.0) > now_s + OVERLAP_MS / 1000:
            return None
        last, self._form = self._form, _form(name)
        if self.name is None or self._form == _form(self.name):
            self.name = max(self.name, name, key=rank)
        elif self._form == last:
            self.name = name
        else:
            return None
        return self.name


def rank(name: str | None) -> tuple[int, str]:
    """Orders ids by time: they are numbers, or texts of one length."""
    return len(name or ""), name or ""


def id_at(moment: datetime) -> str:
    """Returns the first id of Mastodon at this time."""
    return str(max(0, int(moment.timestamp() * 1000)) << 16)


def before(name: str) -> str:
    """Returns an id that is a little older, or the same if it tells no time."""
    time_ms = _milliseconds(name)
    return str((time_ms - OVERLAP_MS) << 16) if time_ms is not None else name


def seconds_of(name: str) -> float | None:
    """Returns the time in an id, in Unix seconds, or None if it tells no time."""
    time_ms = _milliseconds(name)
    return time_ms / 1000 if time_ms is not None else None


def _form(name: str) -> int:
    """Returns 0 for a time, and the length of any other id."""
    return 0 if _milliseconds(name) is not None else len(name)


def _milliseconds(name: str) -> int | None:
    """Returns the time in an id of Mastodon: milliseconds since 1970 before the last 16 bits. None for other ids."""
    time_ms = int(name) >> 16 if name.isascii() and name.isdigit() and len(name) < 30 else 0
    return time_ms if FIRST_MS <= time_ms <= time.time() * 1000 + AHEAD_MS else None
