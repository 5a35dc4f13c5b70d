"""A worker that writes to Redis is ready only once Redis answers."""

from __future__ import annotations

import asyncio
import time

import pytest

from local.stack import Stack
from streams.agents.names import AgentName
from streams.settings import Settings
from streams.worker import WRITERS
from streams.worker_process import READY, WorkerProcess
from tests.conftest import ROOT
from tests.streams.conftest import stubbed

__all__ = ["stubbed"]  # the fixture


@pytest.mark.parametrize("agent", sorted(WRITERS))
async def test_a_worker_waits_for_redis_before_it_is_ready(
    own_servers: Stack, stubbed: Settings, agent: AgentName
) -> None:
    await asyncio.to_thread(own_servers.redis.stop)
    worker = WorkerProcess(stubbed, stubbed.home / "worker.log", only=(agent,), python_path=ROOT)
    try:
        worker.start()
        deadline = time.monotonic() + 60
        while "reaching the review queue" not in worker.output():
            assert READY not in worker.output()
            assert worker.code is None, worker.output()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        await asyncio.to_thread(start_redis, own_servers)
        await asyncio.to_thread(worker.ready)
    finally:
        await asyncio.to_thread(start_redis, own_servers)
        worker.kill()


def start_redis(stack: Stack) -> None:
    if not stack.redis.alive:
        stack.redis.start()
        stack.redis.ready()
