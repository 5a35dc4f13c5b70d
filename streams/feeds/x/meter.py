"""Counts the posts that X was read for, month by month, and keeps a budget. Reads cost money."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.atomic import atomic_write
from core.errors import UserError
from streams import metrics
from streams.feeds.source import FeedRefused

AHEAD = 50
"""Posts that the file counts before they are read. After a crash it holds up to this many too many. Posts that have
arrived, but wait to be read, are not counted."""


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)

    month: str = Field(pattern=r"^\d{4}-\d{2}$")  # of UTC
    reads: int = Field(ge=0)


class Meter:
    """The reads of this month, in a file. `reads` counts those of every run."""

    def __init__(self, path: Path, budget: int | None = None, clock: Callable[[], float] = time.time) -> None:
        """`budget`: largest number of posts a month. `clock` returns Unix seconds.

        Raises `UserError` for a file that is damaged.
        """
        self._path, self._budget, self._clock = path, budget, clock
        kept = self._load()
        self._month, self.reads = kept.month, kept.reads
        self._written = self.reads
        self._turn()

    def add(self, posts: int = 1) -> None:
        """Counts posts that were read."""
        self._turn()
        self.reads += posts
        metrics.FEED_X_READS.inc(posts)
        if self.reads > self._written:
            self._write(self.reads + AHEAD)

    def left(self) -> int | None:
        """Returns how many posts may still be read this month, or None if there is no budget."""
        self._turn()
        return None if self._budget is None else max(0, self._budget - self.reads)

    def check(self) -> None:
        """Raises `FeedRefused` if the budget is spent."""
        if self.left() == 0:
            raise FeedRefused(
                f"the budget of {self._budget:,} posts for {self._month} is spent ({self.reads:,} read); "
                "raise --budget, or wait for the next month (UTC)"
            )

    def save(self) -> None:
        """Writes the exact number."""
        if self._written != self.reads:
            self._write(self.reads)

    def line(self) -> str:
        """Returns the count in one line."""
        budget = "" if self._budget is None else f" of {self._budget:,}"
        return f"x: {self.reads:,}{budget} posts read in {self._month}"

    def _turn(self) -> None:
        """Starts at 0 with each month."""
        month = time.strftime("%Y-%m", time.gmtime(self._clock()))
        if month != self._month:
            self._month, self.reads, self._written = month, 0, 0

    def _load(self) -> _Kept:
        try:
            return _Kept.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Kept(month="1970-01", reads=0)
        except (ValidationError, OSError):
            raise UserError(
                f"{self._path} cannot be read, so the posts read this month are unknown; "
                'write {"month": "2026-11", "reads": 0} into it, with the numbers that developer.x.com shows'
            ) from None

    def _write(self, reads: int) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as file:
                file.write(_Kept(month=self._month, reads=reads).model_dump_json().encode() + b"\n")
        except OSError as error:
            raise UserError(f"{self._path} cannot be written: {error.strerror or error}") from None
        self._written = reads
