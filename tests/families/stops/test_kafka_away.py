"""Kafka goes away for longer than any time-out of its clients: the worker waits, says so seldom, and goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.errors import UserError
from local.stack import Stack
from streams.settings import Settings
from streams.worker_process import WorkerProcess
from tests.families.stops.conftest import address, process
from tests.streams.account import assert_exactly_once, books, counted, fed, tweets, until_caught_up
from tests.waiting import until

AWAY_S = 60.0
LINES = 60
"""More lines than this nobody wants to read."""


@asynccontextmanager
async def away(servers: Stack, how: str) -> AsyncIterator[None]:
    """Kills or freezes the broker. At the end it is back."""
    if how == "frozen":
        pid = servers.kafka.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
    else:
        servers.kafka.kill()
        try:
            yield
        finally:
            await asyncio.to_thread(servers.kafka.start)
            await asyncio.to_thread(servers.kafka.ready)


def started(settings: Settings, tmp_path: Path, workers: list[WorkerProcess]) -> WorkerProcess:
    workers.append(process(settings, tmp_path / "worker.log"))
    workers[-1].start()
    return workers[-1]


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_worker_waits_for_kafka_at_its_start(
    own_servers: Stack, stubbed: Settings, tmp_path: Path, workers: list[WorkerProcess], how: str
) -> None:
    async with away(own_servers, how):
        worker = started(stubbed, tmp_path, workers)
        await until(lambda: "waiting for Kafka: no Kafka broker answers" in worker.output(), 60)
        await asyncio.sleep(AWAY_S / 3)
        assert worker.code is None
        assert worker.output().count("\n") < 8
    await asyncio.to_thread(worker.ready)
    await asyncio.to_thread(fed, stubbed, tweets(range(100)))
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(100))
    assert "Traceback" not in worker.output()


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_worker_waits_while_it_runs(
    own_servers: Stack, stubbed: Settings, tmp_path: Path, workers: list[WorkerProcess], how: str
) -> None:
    worker = started(stubbed, tmp_path, workers)
    await asyncio.to_thread(worker.ready)
    await asyncio.to_thread(fed, stubbed, tweets(range(1000)))
    while await counted(stubbed) < 100:
        await asyncio.sleep(0.1)
    before = worker.output().count("\n")
    async with away(own_servers, how):
        await asyncio.sleep(AWAY_S)
        assert worker.code is None
    await until_caught_up(stubbed)
    assert worker.output().count("\n") - before < LINES
    assert_exactly_once(await books(stubbed), range(1000))
    assert "Traceback" not in worker.output()
    assert await asyncio.to_thread(worker.stop) == 0


@pytest.mark.parametrize(
    ("kafka", "says"),
    [
        pytest.param("127.0.0.1", "is not host:port", id="no port"),
        pytest.param("kafka://127.0.0.1:9092", "is not host:port", id="a URL"),
        pytest.param("", "no address for kafka", id="empty"),
    ],
)
def test_a_wrong_address_is_refused(
    own_servers: Stack, stubbed: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kafka: str, says: str
) -> None:
    worker = process(stubbed.model_copy(update={"kafka": kafka}), tmp_path / "worker.log")
    worker.start()
    with pytest.raises(UserError, match="ended with code 2"):
        worker.ready()
    assert says in worker.output()
    assert worker.output().count("\n") == 1


@pytest.mark.parametrize("name", ["a name that does not exist", "a port that nobody listens at", "a silent port"])
async def test_an_address_that_nobody_answers_is_waited_for(
    stubbed: Settings, tmp_path: Path, workers: list[WorkerProcess], silent: socket.socket, name: str
) -> None:
    kafka = {
        "a name that does not exist": "kafka.invalid:9092",
        "a port that nobody listens at": "127.0.0.1:1",
        "a silent port": address(silent),
    }[name]
    worker = started(stubbed.changed(kafka=kafka), tmp_path, workers)
    await until(lambda: "waiting for Kafka: " in worker.output(), 60)
    assert kafka in worker.output()
    assert worker.code is None
    assert await asyncio.to_thread(worker.stop, 15) == 0
