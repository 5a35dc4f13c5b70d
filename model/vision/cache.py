"""Contexts that were read before: by the content's hash, and by perceptual hash for copies of one picture.

Pure of policy: what a near-duplicate may lend is `vision.py`'s business. A fault of the file is a miss.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

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
    colours BLOB,
    used REAL NOT NULL,
    context TEXT NOT NULL,
    PRIMARY KEY (reader, sha256)
);
CREATE INDEX by_use ON contexts (used)
"""
SCHEMA_VERSION = 2

MAX_CONTEXT = 100_000
"""Characters of one context's JSON; a longer one, a wall of text, is read again when it comes again."""

SLACK = 64
"""One row in so many of the limit is thrown out beyond need, so that not every new row has to."""

UNUSED_S = 30 * 86_400.0
"""Seconds that a context is kept unused: what strangers wrote in their pictures is not stored for ever."""

WORDS = 4
"""64-bit words of a hash."""

LENDERS = 16
"""Pictures whose hashes are near that are looked at: plain flags share one, and of some there may be nothing kept."""


class Lender(NamedTuple):
    """A kept picture whose hash is near. `colours`: as they were put."""

    sha256: str
    colours: bytes
    context: VisualContext


class Store(Protocol):
    """A SQLite file. Both return None where it cannot be used, and never raise; one thread runs all of the work."""

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T | None: ...

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T | None: ...


class ContextCache:
    """`entries` at most, the least recently used go first, and what nobody used for `UNUSED_S`.

    `reader`: who read; what another read is not found.
    """

    def __init__(self, store: Store, reader: str, entries: int, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._reader = reader
        self._entries = entries
        self._clock = clock
        self._used: dict[str, float] = {}
        self._index: HashIndex | None = None
        self._indexed: sqlite3.Connection | None = None

    async def get(self, sha256: str) -> VisualContext | None:
        found = await self._store.read(lambda connection: self._get(connection, sha256))
        if found is not None:
            self.used(sha256)
            if len(self._used) > SLACK:
                await self._store.write(self._note_use)
        return found

    async def near(self, phash: str, bits: int) -> list[Lender]:
        """Kept pictures whose hashes differ in `bits` of 256 at most, the nearest first."""
        key = _parsed(phash)
        return (await self._store.read(lambda connection: self._near(connection, key, bits)) if key else None) or []

    async def close(self) -> None:
        """Notes what was used since the last time."""
        if self._used:
            await self._store.write(self._note_use)

    def used(self, sha256: str) -> None:
        """Who lent is kept for longer, as who was got is; noted on disk with the next that is put."""
        self._used[sha256] = self._clock()

    async def put(self, sha256: str, phash: str | None, colours: bytes | None, context: VisualContext) -> None:
        """Lent to other pictures only with both, `phash` and `colours`."""
        if len(body := context.model_dump_json()) <= MAX_CONTEXT:
            key = _parsed(phash) if colours else None
            await self._store.write(lambda connection: self._put(connection, sha256, key, colours, body))

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

    def _near(self, connection: sqlite3.Connection, phash: bytes, bits: int) -> list[Lender]:
        found = []
        for sha256 in self._loaded(connection).nearest(phash, bits):
            where = (self._reader, sha256)
            row = connection.execute("SELECT colours FROM contexts WHERE reader = ? AND sha256 = ?", where).fetchone()
            if row is not None and (context := self._get(connection, sha256)) is not None:
                found.append(Lender(sha256, bytes(row[0] or b""), context))
        return found

    def _put(
        self, connection: sqlite3.Connection, sha256: str, phash: bytes | None, colours: bytes | None, body: str
    ) -> None:
        index = self._loaded(connection)
        connection.execute(
            "INSERT OR REPLACE INTO contexts (reader, sha256, phash, colours, used, context) VALUES (?, ?, ?, ?, ?, ?)",
            (self._reader, sha256, phash, colours, self._clock(), body),
        )
        if phash is not None:
            index.add(phash, sha256)
        self._note_use(connection)
        connection.execute("DELETE FROM contexts WHERE used < ?", (self._clock() - UNUSED_S,))
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
        """Of this very file: where it was deleted and made anew, nothing that was in the old one hides the new."""
        if self._index is None or self._indexed is not connection:
            rows = connection.execute(
                "SELECT phash, sha256 FROM contexts WHERE reader = ? AND phash IS NOT NULL ORDER BY used DESC LIMIT ?",
                (self._reader, self._entries),
            ).fetchall()
            self._index, self._indexed = HashIndex(self._entries), connection
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

    def nearest(self, phash: bytes, bits: int) -> list[str]:
        """The owners of the hashes that differ in the fewest bits, `bits` at most (Hamming): `LENDERS` at most, the
        nearest first."""
        count = len(self._owners)
        if not count or len(phash) != 8 * WORDS:
            return []
        apart = np.zeros(count, np.uint16)
        for kept, asked in zip(self._words[:, :count], np.frombuffer(phash, np.uint64), strict=True):
            apart += np.bitwise_count(kept ^ asked)
        near = np.flatnonzero(apart <= bits)
        best = near[apart[near].argsort(kind="stable")]
        return list(dict.fromkeys(self._owners[place] for place in best))[:LENDERS]
