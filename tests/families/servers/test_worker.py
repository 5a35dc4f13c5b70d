"""A worker in the middle of a stream, while its servers are in trouble: it waits, says why, and loses nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from redis.asyncio import Redis

from local.stack import Stack
from streams.settings import Settings
from streams.worker_process import WorkerProcess
from tests.streams.account import assert_exactly_once, books, fed, tweets, until_caught_up
from tests.streams.conftest import Start, start, stubbed

__all__ = ["start", "stubbed"]  # the fixtures
COUNT = 300
Change = Callable[[Settings, bool], Awaitable[Any]]


async def read_only_cluster(settings: Settings, on: bool) -> None:
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        await client.cluster.put_settings(persistent={"cluster.blocks.read_only": on or None})


async def full_disk(settings: Settings, on: bool) -> None:
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        name = settings.name("mentions")
        await client.indices.put_settings(index=name, settings={"index.blocks.read_only_allow_delete": on or None})


async def closed_index(settings: Settings, on: bool) -> None:
    async with AsyncElasticsearch(str(settings.elasticsearch)) as client:
        change = client.indices.close if on else client.indices.open
        await change(index=settings.name("mentions") + "-1")


async def replica(settings: Settings, on: bool) -> None:
    async with Redis.from_url(str(settings.redis)) as client:
        await client.replicaof(*(("127.0.0.1", "1") if on else ("NO", "ONE")))


async def full_memory(settings: Settings, on: bool) -> None:
    async with Redis.from_url(str(settings.redis)) as client:
        await client.config_set("maxmemory", "1" if on else "0")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(read_only_cluster, "is read-only, or blocked, for now", id="a read-only cluster"),
        pytest.param(full_disk, "since its disk is full", id="the flood stage"),
        pytest.param(closed_index, "has closed the index", id="a closed index"),
        pytest.param(replica, "is a replica, which takes no writes", id="a Redis that became a replica"),
        pytest.param(full_memory, "has no memory left", id="a full Redis"),
    ],
)
async def test_a_worker_waits_for_the_trouble_to_end(
    own_servers: Stack, stubbed: Settings, start: Start, change: Change, says: str
) -> None:
    worker = start(stubbed)
    await asyncio.to_thread(fed, stubbed, tweets(range(COUNT)))
    await until_caught_up(stubbed)
    await change(stubbed, True)
    try:
        await asyncio.to_thread(fed, stubbed, tweets(range(COUNT, 2 * COUNT)))
        await until_said(worker, says)
    finally:
        await change(stubbed, False)
    assert worker.code is None
    await until_caught_up(stubbed)
    assert_exactly_once(await books(stubbed), range(2 * COUNT))
    assert "credentials" not in worker.output()


async def until_said(worker: WorkerProcess, words: str) -> None:
    deadline = time.monotonic() + 60
    while words not in worker.output():
        assert worker.code is None, worker.output()[-2000:]
        assert time.monotonic() < deadline, worker.output()[-2000:]
        await asyncio.sleep(0.1)
