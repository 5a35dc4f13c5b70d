"""Contexts that were read before: by the content's hash, and by perceptual hash for copies of one picture.

Pure of policy: what a near-duplicate may lend is `vision.py`'s business. A fault of the file is a miss.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model.vision.values import VisualContext

T = TypeVar("T")

SCHEMA = """
CREATE TABLE contexts (
    reader TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    phash BLOB,
    used REAL NOT NULL,
    context TEXT NOT NULL,
    PRIMARY KEY (reader, sha256)
);
CREATE INDEX by_use ON contexts (used)
"""
SCHEMA_VERSION = 1

MAX_CONTEXT = 100_000
"""Characters of one context's JSON; a longer one, a wall of text, is read again when it comes again."""

SLACK = 64
"""One row in so many of the limit is thrown out beyond need, so that not every new row has to."""

WORDS = 4
"""64-bit words of a hash."""


class Store(Protocol):
    """A SQLite file. Both return None where it cannot be used, and never raise; one thread runs all of the work."""

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T | None: ...

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T | None: ...


class ContextCache:
    """`entries` at most, the least recently used go first. `reader`: who read; what another read is not found."""

    def __init__(self, store: Store, reader: str, entries: int, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._reader = reader
        self._entries = entries
        self._clock = clock
        self._used: dict[str, float] = {}
        self._index: HashIndex | None = None

    async def get(self, sha256: str) -> VisualContext | None:
        found = await self._store.read(lambda connection: self._get(connection, sha256))
        if found is not None:
            self._used[sha256] = self._clock()
            if len(self._used) > SLACK:
                await self._store.write(self._note_use)
        return found

    async def near(self, phash: str, bits: int) -> VisualContext | None:
        """Of the kept picture whose hash differs least, in `bits` of 256 at most."""
        key = _parsed(phash)
        return await self._store.read(lambda connection: self._near(connection, key, bits)) if key else None

    async def put(self, sha256: str, phash: str | None, context: VisualContext) -> None:
        """`phash`: None for what must not be lent to other pictures."""
        if len(body := context.model_dump_json()) <= MAX_CONTEXT:
            key = _parsed(phash)
            await self._store.write(lambda connection: self._put(connection, sha256, key, body))

    def _get(self, connection: sqlite3.Connection, sha256: str) -> VisualContext | None:
        where = (self._reader, sha256)
        row = connection.execute("SELECT context FROM contexts WHERE reader = ? AND sha256 = ?", where).fetchone()
        if row is None:
            return None
        try:
            return VisualContext.model_validate_json(row[0])
        except ValidationError:
            connection.execute("DELETE FROM contexts WHERE reader = ? AND sha256 = ?", where)
            return None

    def _near(self, connection: sqlite3.Connection, phash: bytes, bits: int) -> VisualContext | None:
        sha256 = self._loaded(connection).nearest(phash, bits)
        return None if sha256 is None else self._get(connection, sha256)

    def _put(self, connection: sqlite3.Connection, sha256: str, phash: bytes | None, body: str) -> None:
        index = self._loaded(connection)
        connection.execute(
            "INSERT OR REPLACE INTO contexts (reader, sha256, phash, used, context) VALUES (?, ?, ?, ?, ?)",
            (self._reader, sha256, phash, self._clock(), body),
        )
        if phash is not None:
            index.add(phash, sha256)
        self._note_use(connection)
        (count,) = connection.execute("SELECT count(*) FROM contexts").fetchone()
        if count > self._entries:
            surplus = count - self._entries + self._entries // SLACK
            connection.execute(
                "DELETE FROM contexts WHERE rowid IN (SELECT rowid FROM contexts ORDER BY used LIMIT ?)", (surplus,)
            )

    def _note_use(self, connection: sqlite3.Connection) -> None:
        used, self._used = self._used, {}
        connection.executemany(
            "UPDATE contexts SET used = ? WHERE reader = ? AND sha256 = ?",
            [(moment, self._reader, sha256) for sha256, moment in used.items()],
        )

    def _loaded(self, connection: sqlite3.Connection) -> HashIndex:
        if self._index is None:
            rows = connection.execute(
                "SELECT phash, sha256 FROM contexts WHERE reader = ? AND phash IS NOT NULL ORDER BY used DESC LIMIT ?",
                (self._reader, self._entries),
            ).fetchall()
            self._index = HashIndex(self._entries)
            for phash, sha256 in reversed(rows):
                self._index.add(phash, sha256)
        return self._index


def _parsed(phash: str | None) -> bytes | None:
    """None for what is no hash of 256 bits."""
    try:
        found = bytes.fromhex(phash or "")
    except ValueError:
        return None
    return found if len(found) == 8 * WORDS else None


class HashIndex:
    """The last `size` hashes of 256 bits, with what they belong to. 0.8 ms a search among 100,000, on one core."""

    def __init__(self, size: int) -> None:
        self._words: NDArray[np.uint64] = np.zeros((WORDS, size), np.uint64)
        self._owners: list[str] = []
        self._next = 0

    def add(self, phash: bytes, owner: str) -> None:
        """Takes the place of the oldest when full. A hash of another length is left out."""
        if len(phash) != 8 * WORDS:
            return
        self._words[:, self._next] = np.frombuffer(phash, np.uint64)
        self._owners[self._next : self._next + 1] = [owner]
        self._next = (self._next + 1) % self._words.shape[1]

    def nearest(self, phash: bytes, bits: int) -> str | None:
        """The owner of the hash that differs in the fewest bits, `bits` at most (Hamming)."""
        count = len(self._owners)
        if not count or len(phash) != 8 * WORDS:
            return None
        apart = np.zeros(count, np.uint16)
        for kept, asked in zip(self._words[:, :count], np.frombuffer(phash, np.uint64), strict=True):
            apart += np.bitwise_count(kept ^ asked)
        best = int(apart.argmin())
        return self._owners[best] if apart[best] <= bits else None
