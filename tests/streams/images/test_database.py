"""The thread of a SQLite file tells a heavy load, a fault and a hanging disk apart."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from streams.images import database
from streams.images.database import PAUSE_S, Database
from tests.metrics_read import metric
from tests.streams.images.clock import Clock
from tests.waiting import turns

OPERATION_S = 0.6


@pytest.fixture
async def file(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    file = Database(tmp_path / "cache" / "things.sqlite3", "CREATE TABLE thing(name TEXT)", 1, clock)
    assert await file.read(count) == 0
    monkeypatch.setattr(database, "OPERATION_S", OPERATION_S)
    yield file
    await file.close()


def count(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT count(*) FROM thing").fetchone()
    return int(number)


def slowly(connection: sqlite3.Connection) -> bool:
    time.sleep(OPERATION_S / 3)
    connection.execute("INSERT INTO thing VALUES('one')")
    return True


def faults(kind: str) -> float:
    return metric("mner_cache_faults_total", file="things", fault=kind)


async def test_a_long_queue_is_not_a_fault_of_the_file(file: Database, caplog: pytest.LogCaptureFixture) -> None:
    before = faults("busy")
    done = await asyncio.gather(*(file.write(slowly) for _ in range(8)))
    kept = done.count(True)
    assert 1 <= kept <= 4
    assert await file.read(count) == kept  # at once: writes that nobody waits for any more were never started
    assert faults("busy") == before + 8 - kept
    (warning,) = caplog.messages
    assert "is too slow for the load (logged once): Busy: not started within 0.6 s" in warning


async def test_a_file_that_answers_nobody_is_paused(file: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MAX_BUSY", 4)
    monkeypatch.setattr(database, "MAX_WAITING", 0)
    for _ in range(4):
        assert not file.paused
        assert await file.read(count) is None
    assert file.paused


async def test_the_queue_is_limited_in_operations_and_bytes(file: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MAX_WAITING", 2)
    monkeypatch.setattr(database, "MAX_WAITING_BYTES", 100)
    assert await asyncio.gather(*(file.read(count) for _ in range(4))) == [0, 0, None, None]
    assert await asyncio.gather(*(file.write(count, size) for size in (60, 60, 40))) == [0, None, 0]
    assert await file.write(count, 100) == 0


class Body:
    """Stands for a large image whose memory must be freed."""


async def test_a_hanging_disk_is_paused_and_keeps_no_abandoned_work_alive(
    file: Database, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()
    before = faults("hangs")

    async def behind_it() -> weakref.ref[Body]:
        body = Body()
        await asyncio.gather(file.read(lambda connection: go.wait(60)), file.write(lambda connection: body))
        return weakref.ref(body)

    held = await behind_it()
    (warning,) = caplog.messages
    assert "is not used for 30 s (logged once): Hangs: an operation takes longer than 0.6 s" in warning
    gc.collect()
    assert held() is None
    clock.now += PAUSE_S
    assert await file.read(count) is None
    assert faults("hangs") == before + 3
    go.set()
    clock.now += PAUSE_S
    assert await file.read(count) == 0


async def test_abandoned_work_that_has_not_started_is_dropped(file: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OPERATION_S", 30.0)
    go = threading.Event()

    def add(connection: sqlite3.Connection) -> bool:
        connection.execute("INSERT INTO thing VALUES('one')")
        return go.wait(30)

    first = asyncio.create_task(file.write(add))
    second = asyncio.create_task(file.write(add))
    await turns()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)  # the loop delivers the cancellation in its next turn
    go.set()
    assert await first
    assert await file.read(count) == 1


def add_one(path: Path) -> None:
    with closing(sqlite3.connect(path, timeout=2)) as connection, connection:
        connection.execute("INSERT INTO thing VALUES('one')")


async def test_a_log_that_a_reader_keeps_full_holds_up_no_writer(
    file: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "OPERATION_S", 60.0)
    monkeypatch.setattr(database, "LOCK_S", 10.0)
    before = faults("error")
    path = tmp_path / "cache" / "things.sqlite3"
    slow = Database(path, "CREATE TABLE thing(name TEXT)", 1)
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        count(reader)
        await slow.write(lambda connection: connection.execute("INSERT INTO thing VALUES('one')"))
        emptying = asyncio.create_task(slow.empty_log())
        while not emptying.done():
            await asyncio.to_thread(add_one, path)
        await emptying
        assert path.with_name("things.sqlite3-wal").stat().st_size > 0
    assert faults("error") == before, "a busy file is no fault"
    timeout = await slow.read(lambda connection: tuple(connection.execute("PRAGMA busy_timeout").fetchone()))
    assert timeout == (10_000,)
    await slow.empty_log()
    assert path.with_name("things.sqlite3-wal").stat().st_size == 0
    await slow.close()


async def test_a_fault_while_the_log_is_emptied_is_counted(file: Database) -> None:
    before = faults("error")

    def leave_open(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO thing VALUES('one')")

    await file.read(leave_open)
    await file.empty_log()
    assert faults("error") == before + 1
