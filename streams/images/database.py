"""A SQLite file for data that may be lost at any time. A thread of its own uses it, and faults are never raised.

Several processes may share the file (SQLite's WAL mode). A damaged file, or one of another version, is replaced by an
empty one. A file that was deleted or replaced meanwhile is opened again. Only its owner can read it.
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
"""Longest wait, in seconds, for another process to finish writing."""

CHECKPOINT_MS = 50
"""Longest wait, in milliseconds, for readers before the write-ahead log is emptied. Writers wait meanwhile."""

OPERATION_S = 2.0
"""Longest time, in seconds, for one operation, and for its wait in the queue. A file system may hang, but no
image may wait for it."""

MAX_WAITING, MAX_WAITING_BYTES = 1000, 256_000_000
"""Largest number of operations in the queue, and of bytes that they write. Further operations are dropped."""

MAX_BUSY = 200
"""After this many dropped operations in a row, the file is not used for a while."""

PAUSE_S = 30.0
"""Seconds for which the file is not used after a fault."""

WAL_BYTES = 16_000_000
"""Size, in bytes, to which the write-ahead log is cut after each checkpoint."""

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class OtherVersion(Exception):
    """Another version of the program wrote the file."""


class Busy(Exception):
    """The operation did not start in time. This says nothing about the file."""


class Hangs(Exception):
    """An operation did not end in time."""


class _Operation(Generic[T]):
    """An operation in the thread's queue."""

    def __init__(self, work: Work[T]) -> None:
        #: The function to call. None once the caller has stopped waiting.
        self.work: Work[T] | None = work
        #: When the operation started, by `time.monotonic`. Infinite until then.
        self.began_s = math.inf


class Database:
    """Opens the file at its first use.

    `schema` holds the statements that make the tables, separated by `;`. Whoever changes it must raise `version`.
    `clock` gives seconds, by default Unix time.
    """

    def __init__(self, path: Path, schema: str, version: int, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._schema = [statement for statement in schema.split(";") if statement.strip()]
        self._version = version
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, f"sqlite-{path.stem}")
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._failed_at = float("-inf")
        self._warned: set[str] = set()
        self._busy = 0
        self._running: _Operation[Any] | None = None
        self._waiting = self._waiting_bytes = 0

    @property
    def paused(self) -> bool:
        """Whether the file is not used at present, after a fault."""
        return 0 <= self._clock() - self._failed_at < PAUSE_S

    @property
    def exists(self) -> bool:
        """Whether there is a file yet. Any use makes one."""
        return self._path.exists()

    async def read(self, work: Work[T]) -> T | None:
        """Returns the result of `work`, or None if the file cannot be used."""
        return await self._run(work)

    async def write(self, work: Work[T], size: int = 0) -> T | None:
        """Like `read`, in one transaction. `size` is the number of bytes that it writes."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                return work(connection)

        return await self._run(transaction, size)

    async def empty_log(self) -> None:
        """Empties the write-ahead log, which may still hold deleted bytes. A process that is reading can prevent it."""

        def checkpoint(connection: sqlite3.Connection) -> None:
            connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_MS}")
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # if busy, it does nothing
            finally:
                connection.execute(f"PRAGMA busy_timeout = {round(LOCK_S * 1000)}")

        if self.exists:
            await self._run(checkpoint)

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(OPERATION_S):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Work[T], size: int = 0) -> T | None:
        if self.paused:
            return None
        operation = _Operation(work)
        self._waiting += 1
        self._waiting_bytes += size
        try:
            result = await self._with_deadline(operation)
        except Busy as busy:
            self._busy += 1
            if self._busy >= MAX_BUSY:  # every image waits, and hardly any gets a result
                self._failed_at = self._clock()
            self._report("busy", busy)
        except Exception as error:  # the contract: a file with a fault counts as a missing file
            self._failed_at = self._clock()
            self._report("hangs" if isinstance(error, Hangs) else "error", error)
        else:
            self._busy = 0
            return result
        finally:
            operation.work = None
            self._waiting -= 1
            self._waiting_bytes -= size
        return None

    async def _with_deadline(self, operation: _Operation[T]) -> T:
        """Runs the operation in the thread. Raises `Busy`, `Hangs`, and what the work raises."""
        if self._waiting > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            raise Busy(f"{self._waiting - 1} operations are waiting, with {self._waiting_bytes} bytes")
        submitted = self._thread.submit(self._do, operation)
        future = asyncio.wrap_future(submitted)
        # marks an exception as retrieved even if this call has given up by then
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([future], timeout=OPERATION_S)
        if not future.done() and not submitted.cancel():  # it has started, and cannot be withdrawn
            now_s = time.monotonic()
            await asyncio.wait([future], timeout=min(operation.began_s, now_s) + OPERATION_S - now_s)
        if not future.done():
            if self._hangs():
                raise Hangs(f"an operation takes longer than {OPERATION_S:g} s")
            raise Busy(f"not started within {OPERATION_S:g} s; {self._waiting} operations are waiting")
        return future.result()

    def _hangs(self) -> bool:
        running = self._running
        return running is not None and time.monotonic() - running.began_s >= OPERATION_S

    def _report(self, fault: str, error: Exception) -> None:
        metrics.CACHE_FAULTS.labels(self._path.stem, fault).inc()
        log.log(
            logging.DEBUG if fault in self._warned else logging.WARNING,
            "%s %s (logged once): %s: %s",
            self._path,
            "is too slow for the load" if fault == "busy" else f"is not used for {PAUSE_S:g} s",
            type(error).__name__,
            str(error),  # the exception itself would keep its frames alive, and with them a whole image
        )
        self._warned.add(fault)

    def _do(self, operation: _Operation[T]) -> T:
        """Does the operation, in the thread."""
        work = operation.work
        if work is None:
            raise Busy("the caller has stopped waiting")
        operation.began_s = time.monotonic()
        self._running = operation
        try:
            return self._use_file(work)
        finally:
            self._running = None

    def _use_file(self, work: Work[T]) -> T:
        if self._connection is None or self._opened != _identity(self._path):
            self._close()
            self._open()
        assert self._connection is not None
        try:
            return work(self._connection)
        except sqlite3.DatabaseError as error:
            if _damaged(error):
                self._close()
                with self._exclusive():
                    if _identity(self._path) == self._opened:
                        self._remove()
            raise

    def _open(self) -> None:
        with self._exclusive():
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
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                self._prepare(connection)
            connection.executescript("PRAGMA incremental_vacuum")  # `execute` would free only one page
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
            raise OtherVersion(f"the file has version {version}, not {self._version}")
        for statement in self._schema:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {self._version}")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keeps other processes from opening or removing the file."""
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
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _damaged(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE
