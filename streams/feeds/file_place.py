"""The cursor of a file feed: a place in the file, and a hash of what stands before it."""

from __future__ import annotations

import hashlib
import re
from typing import Self

from core.files.split import Oversized, Record
from streams.feeds.source import FeedRefused, damaged

REMEDY = "leave out --resume, or give --from-line"
CURSOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{16})", re.ASCII)


class Place:
    """The place after record `number`, counted from 1. `digest`: a hash of all records up to there."""

    def __init__(self, number: int, digest: str) -> None:
        self.number, self.digest = number, digest

    @classmethod
    def read(cls, cursor: str) -> Self:
        """Reads a cursor. Raises `FeedRefused` for one that no file feed has written."""
        found = CURSOR.fullmatch(cursor)
        if found is None:
            raise damaged(cursor, REMEDY)
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.number}:{self.digest}"


class Reckoner:
    """Counts and hashes the records of a file, and compares them with those before the saved place."""

    def __init__(self, unit: str, saved: Place | None = None) -> None:
        """`unit`: what the numbers count, `line` or `post`."""
        self.number = 0
        self._unit, self._saved = unit, saved
        self._hash = hashlib.sha256()

    @property
    def place(self) -> Place:
        """The place after the last record."""
        return Place(self.number, self._hash.hexdigest()[:16])

    def add(self, record: Record) -> None:
        """Takes the next record. Raises `FeedRefused` if the records up to the saved place are others than then."""
        value = b"%d" % record.size if isinstance(record, Oversized) else record.rstrip(b"\r\n")
        self.number += 1
        self._hash.update(b"%d:%b" % (len(value), value))
        saved = self._saved
        if saved is not None and saved.number == self.number and saved.digest != self.place.digest:
            raise _changed(f"its first {self._counted(self.number)} are not those that were read then")

    def end(self) -> None:
        """Raises `FeedRefused` if the file ends before the saved place."""
        if self._saved is not None and self.number < self._saved.number:
            raise _changed(f"it has {self.number} of the {self._counted(self._saved.number)} that were read then")

    def _counted(self, number: int) -> str:
        return f"{number} {self._unit}{'s' * (number != 1)}"


def _changed(how: str) -> FeedRefused:
    return FeedRefused(f"was changed since its last run: {how}; {REMEDY}")
