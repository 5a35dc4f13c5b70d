"""Stores the contexts of images. Finds them by the file's hash, or by perceptual hash for near-duplicates.

The caller decides what a near-duplicate may lend. A faulty file counts as a miss.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
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
    added REAL NOT NULL,
    context TEXT NOT NULL,
    PRIMARY KEY (reader, sha256)
);
CREATE INDEX by_use ON contexts (used);
CREATE INDEX by_age ON contexts (added)
"""
SCHEMA_VERSION = 3

MAX_CONTEXT = 100_000
"""Longest context that is kept, in characters of JSON. Images full of text are read again each time."""

SLACK = 64
"""An eviction removes 1/64 of the limit more than necessary, so that not every new row causes another eviction. When
more than 64 uses are unwritten, they are written to disk."""

LONGEST_S = 12 * 3600.0
"""Longest time, in seconds, that a context is kept by default. Strangers' words are not stored for ever."""

HASH_WORDS = 4
"""Number of 64-bit words in a perceptual hash."""

MAX_NEAR = 16
"""Largest number of near-duplicates that a search returns. Several images, such as plain flags, may share a hash."""


class NearDuplicate(NamedTuple):
    """A kept image with a similar perceptual hash."""

    sha256: str
    #: As passed to `ContextCache.put`.
    colours: bytes
    context: VisualContext


class Store(Protocol):
    """A SQLite file. All work runs in one thread. Both methods return None if the file cannot be used; they never
    raise."""

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T | None: ...

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T | None: ...


class ContextCache:
    """Keeps at most `entries` contexts. Evicts the least recently used, and those read more than `longest_s` ago.

    `reader` is the version of the reader. Contexts of other versions are not found. `clock` gives Unix time.
    """

    def __init__(
        self,
        store: Store,
        reader: str,
        entries: int,
        clock: Callable[[], float] = time.time,
        *,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._store = store
        self._reader = reader
        self._entries = entries
        self._clock = clock
        self._longest_s = longest_s
        self._uses: dict[str, float] = {}  # not written to disk yet
        self._index: HashIndex | None = None
        self._indexed: sqlite3.Connection | None = None

    async def get(self, sha256: str) -> VisualContext | None:
        """Returns the context of the image with this hash."""
        context = await self._store.read(lambda connection: self._get(connection, sha256))
        if context is not None:
            self.used(sha256)
            if len(self._uses) > SLACK:
                await self._store.write(self._write_uses)
        return context

    async def near(self, phash: str, bits: int) -> list[NearDuplicate]:
        """Returns kept images whose hashes differ in at most `bits` of 256 bits, the nearest first."""
        key = _parsed(phash)
        return (await self._store.read(lambda connection: self._near(connection, key, bits)) if key else None) or []

    async def close(self) -> None:
        """Writes the latest uses to disk."""
        if self._uses:
            await self._store.write(self._write_uses)

    def used(self, sha256: str) -> None:
        """Marks a context as used, so that it is kept for longer. A later call writes this to disk."""
        self._uses[sha256] = self._clock()

    async def put(self, sha256: str, phash: str | None, colours: bytes | None, context: VisualContext) -> None:
        """Keeps a context, unless it exceeds `MAX_CONTEXT`. Near-duplicates find it only with `phash` and `colours`."""
        if len(body := context.model_dump_json()) <= MAX_CONTEXT:
            key = _parsed(phash) if colours else None
            await self._store.write(lambda connection: self._put(connection, sha256, key, colours, body))

    async def forget(self, images: Sequence[str]) -> int:
        """Drops the contexts of the images with these hashes, whichever version of the reader read them.

        Returns the number of contexts.
        """

        def delete(connection: sqlite3.Connection) -> int:
            hashes = [(sha256,) for sha256 in images]
            return connection.executemany("DELETE FROM contexts WHERE sha256 = ?", hashes).rowcount

        return await self._store.write(delete) or 0

    async def drop_old(self) -> None:
        """Drops the contexts that were read more than `longest_s` ago."""
        await self._store.write(self._drop_old)

    def _drop_old(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM contexts WHERE added <= ?", (self._clock() - self._longest_s,))

    def _get(self, connection: sqlite3.Connection, sha256: str) -> VisualContext | None:
        where = (self._reader, sha256)
        row = connection.execute(
            "SELECT context, added FROM contexts WHERE reader = ? AND sha256 = ?", where
        ).fetchone()
        if row is None or not 0 <= self._clock() - row[1] < self._longest_s:
            return None
        try:
            return VisualContext.model_validate_json(row[0])
        except ValidationError:
            connection.execute("DELETE FROM contexts WHERE reader = ? AND sha256 = ?", where)
            return None

    def _near(self, connection: sqlite3.Connection, phash: bytes, bits: int) -> list[NearDuplicate]:
        duplicates = []
        for sha256 in self._loaded(connection).nearest(phash, bits):
            where = (self._reader, sha256)
            row = connection.execute("SELECT colours FROM contexts WHERE reader = ? AND sha256 = ?", where).fetchone()
            if row is not None and (context := self._get(connection, sha256)) is not None:
                duplicates.append(NearDuplicate(sha256, bytes(row[0] or b""), context))
        return duplicates

    def _put(
        self, connection: sqlite3.Connection, sha256: str, phash: bytes | None, colours: bytes | None, body: str
    ) -> None:
        index = self._loaded(connection)
        connection.execute(
            "INSERT OR REPLACE INTO contexts (reader, sha256, phash, colours, used, added, context) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._reader, sha256, phash, colours, self._clock(), self._clock(), body),
        )
        if phash is not None:
            index.add(phash, sha256)
        self._write_uses(connection)
        self._drop_old(connection)
        (count,) = connection.execute("SELECT count(*) FROM contexts").fetchone()
        if count > self._entries:
            surplus = count - self._entries + self._entries // SLACK
            connection.execute(
                "DELETE FROM contexts WHERE rowid IN (SELECT rowid FROM contexts ORDER BY used LIMIT ?)", (surplus,)
            )

    def _write_uses(self, connection: sqlite3.Connection) -> None:
        uses, self._uses = self._uses, {}
        connection.executemany(
            "UPDATE contexts SET used = ? WHERE reader = ? AND sha256 = ?",
            [(moment, self._reader, sha256) for sha256, moment in uses.items()],
        )

    def _loaded(self, connection: sqlite3.Connection) -> HashIndex:
        """Returns the index of this connection's file. It is loaded again if the file was replaced meanwhile."""
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
    """Returns None for anything but 256 bits in hex."""
    try:
        key = bytes.fromhex(phash or "")
    except ValueError:
        return None
    return key if len(key) == 8 * HASH_WORDS else None


class HashIndex:
    """The last `size` hashes of 256 bits and their owners. A search among 100,000 takes 0.8 ms on one core."""

    def __init__(self, size: int) -> None:
        self._words: NDArray[np.uint64] = np.zeros((HASH_WORDS, size), np.uint64)
        self._owners: list[str] = []
        self._next = 0

    def add(self, phash: bytes, owner: str) -> None:
        """Adds a hash, in place of the oldest if the index is full. Ignores a hash of another length."""
        if len(phash) != 8 * HASH_WORDS:
            return
        self._words[:, self._next] = np.frombuffer(phash, np.uint64)
        self._owners[self._next : self._next + 1] = [owner]
        self._next = (self._next + 1) % self._words.shape[1]

    def nearest(self, phash: bytes, bits: int) -> list[str]:
        """Returns the owners of up to `MAX_NEAR` hashes that differ in at most `bits` bits, the nearest first."""
        count = len(self._owners)
        if not count or len(phash) != 8 * HASH_WORDS:
            return []
        distances = np.zeros(count, np.uint16)
        for kept, wanted in zip(self._words[:, :count], np.frombuffer(phash, np.uint64), strict=True):
            distances += np.bitwise_count(kept ^ wanted)
        near = np.flatnonzero(distances <= bits)
        nearest = near[distances[near].argsort(kind="stable")]
        return list(dict.fromkeys(self._owners[place] for place in nearest))[:MAX_NEAR]
