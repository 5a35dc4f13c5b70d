"""One SQLite file in a thread of its own, for what may be lost at any time: a fault is gone around, never raised.

Several processes may share the file (SQLite's WAL mode). One that is damaged, or of another version, is made anew. One
that was deleted or replaced under us is opened anew. Readable by its owner alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from streams import metrics

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

LOCK_S = 0.5
"""Seconds that another process's writing is waited for."""

PATIENCE_S = 2.0
"""Seconds for one operation from its start, and for those before it: a file system may hang, an image must not."""

MAX_WAITING, MAX_WAITING_BYTES = 1000, 256_000_000
"""Operations that wait for the thread, and what they would write. What is beyond is given up at once."""

BUSY_TIMES = 200
"""Operations in a row that waited in vain, after which the file is gone around too."""

AWAY_S = 30.0
"""Seconds that the file is left alone after a fault."""

WAL_BYTES = 16_000_000
"""The log beside the file is cut back to this after each checkpoint."""

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class OtherVersion(Exception):
    """The file is not what this version writes."""


class Busy(Exception):
    """The thread did not come to an operation in time. It says nothing of the file."""


class Hangs(Exception):
    """An operation did not come to an end."""


class _Operation(Generic[T]):
    """Waits for the thread. `began_s`: since when it runs, later than ever before; `work`: None when nobody waits."""

    def __init__(self, work: Work[T]) -> None:
        self.work: Work[T] | None = work
        self.began_s = math.inf


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
        self._told: set[str] = set()
        self._busy = 0
        self._running: _Operation[Any] | None = None
        self._waiting = self._waiting_bytes = 0

    @property
    def away(self) -> bool:
        """Whether the file is gone around for a while."""
        return 0 <= self._clock() - self._failed_at < AWAY_S

    async def read(self, work: Work[T]) -> T | None:
        """What `work` returns; None when the file cannot be used."""
        return await self._run(work)

    async def write(self, work: Work[T], size: int = 0) -> T | None:
        """As `read`, in one transaction. `size`: bytes that wait with it."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                return work(connection)

        return await self._run(transaction, size)

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Work[T], size: int = 0) -> T | None:
        if self.away:
            return None
        operation = _Operation(work)
        self._waiting += 1
        self._waiting_bytes += size
        try:
            done = await self._patiently(operation)
        except Busy as busy:
            self._busy += 1
            if self._busy >= BUSY_TIMES:  # it costs every image its patience, and gives hardly any what it wants
                self._failed_at = self._clock()
            self._tell("busy", busy)
        except Exception as error:  # the contract: nobody is worse off with the file than without it
            self._failed_at = self._clock()
            self._tell("hangs" if isinstance(error, Hangs) else "error", error)
        else:
            self._busy = 0
            return done
        finally:
            operation.work = None
            self._waiting -= 1
            self._waiting_bytes -= size
        return None

    async def _patiently(self, operation: _Operation[T]) -> T:
        """Raises `Busy`, `Hangs`, and what the work raises."""
        if self._waiting > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            raise Busy(f"{self._waiting - 1} operations wait, {self._waiting_bytes} bytes")
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._do, operation)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, if nobody else does
        await asyncio.wait([future], timeout=PATIENCE_S)
        if not future.done() and operation.began_s < math.inf:
            await asyncio.wait([future], timeout=operation.began_s + PATIENCE_S - time.monotonic())
        if not future.done():
            if self._hangs():
                raise Hangs(f"an operation takes more than {PATIENCE_S:g} s")
            raise Busy(f"not begun within {PATIENCE_S:g} s, {self._waiting} operations wait")
        return future.result()

    def _hangs(self) -> bool:
        running = self._running
        return running is not None and time.monotonic() - running.began_s >= PATIENCE_S

    def _tell(self, fault: str, error: Exception) -> None:
        metrics.CACHE_FAULTS.labels(self._path.stem, fault).inc()
        log.log(
            logging.DEBUG if fault in self._told else logging.WARNING,
            "%s %s (said once): %s: %s",
            self._path,
            "has more to do than it can" if fault == "busy" else f"is gone around for {AWAY_S:g} s",
            type(error).__name__,
            str(error),  # itself it would hold its frames, and they a body, for as long as somebody keeps the record
        )
        self._told.add(fault)

    def _do(self, operation: _Operation[T]) -> T:
        """In the thread."""
        work = operation.work
        if work is None:
            raise Busy("nobody waits for it any more")
        operation.began_s = time.monotonic()
        self._running = operation
        try:
            return self._done(work)
        finally:
            self._running = None

    def _done(self, work: Work[T]) -> T:
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
