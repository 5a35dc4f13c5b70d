"""One SQLite file in a thread of its own, for what may be lost at any time: a fault is gone around, never raised.

Several processes may share the file (SQLite's WAL mode). One that is damaged, or of another version, is made anew. One
that was deleted or replaced under us is opened anew. Readable by its owner alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from streams import metrics

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

LOCK_S = 0.5
"""Seconds that another process's writing is waited for."""

PATIENCE_S = 2.0
"""Seconds for one operation, those before it included: a file system may hang, an image must not."""

AWAY_S = 30.0
"""Seconds that the file is left alone after a fault."""

WAL_BYTES = 16_000_000
"""The log beside the file is cut back to this after each checkpoint."""

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class OtherVersion(Exception):
    """The file is not what this version writes."""


class Database:
    """`schema`: statements that make the tables, separated by `;`. `version`: to be raised with the schema."""

    def __init__(self, path: Path, schema: str, version: int, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._schema = [statement for statement in schema.split(";") if statement.strip()]
        self._version = version
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, f"sqlite-{path.stem}")
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._failed_at = float("-inf")
        self._told = False

    async def read(self, work: Work[T]) -> T | None:
        """What `work` returns; None when the file cannot be used."""
        return await self._run(work)

    async def write(self, work: Work[T]) -> T | None:
        """As `read`, in one transaction."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                return work(connection)

        return await self._run(transaction)

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Work[T]) -> T | None:
        if 0 <= self._clock() - self._failed_at < AWAY_S:
            return None
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)
        except Exception as error:  # the contract: nobody is worse off with the file than without it
            self._failed_at = self._clock()
            metrics.CACHE_FAULTS.inc()
            log.log(
                logging.DEBUG if self._told else logging.WARNING,
                "%s is gone around (said once): %s: %s",
                self._path,
                type(error).__name__,
                error,
            )
            self._told = True
            return None

    def _do(self, work: Work[T]) -> T:
        if self._connection is None or self._opened != _identity(self._path):
            self._close()
            self._open()
        assert self._connection is not None
        try:
            return work(self._connection)
        except sqlite3.DatabaseError as error:
            if _damaged(error):
                self._close()
                with self._alone():
                    if _identity(self._path) == self._opened:
                        self._remove()
            raise

    def _open(self) -> None:
        with self._alone():
            try:
                self._connection = self._connect()
            except (sqlite3.DatabaseError, OtherVersion) as error:
                if not (isinstance(error, OtherVersion) or _damaged(error)):
                    raise
                self._remove()
                self._connection = self._connect()
            self._opened = _identity(self._path)

    def _connect(self) -> sqlite3.Connection:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        connection = sqlite3.connect(self._path, timeout=LOCK_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                self._prepare(connection)
            connection.executescript("PRAGMA incremental_vacuum")  # `execute` would do one page
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == self._version:
            return
        if version or objects:
            raise OtherVersion(f"version {version}, not {self._version}")
        for statement in self._schema:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {self._version}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process opens or removes the file meanwhile."""
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o700)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _damaged(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE
