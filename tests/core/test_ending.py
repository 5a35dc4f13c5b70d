"""Tasks end, also those that swallow a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from core.ending import end


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again(caplog: pytest.LogCaptureFixture) -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        swallowed += 1
        await asyncio.sleep(3600)

    async def wrong() -> None:
        raise ValueError("before it was cancelled")

    calls = {"stubborn": stubborn(), "wrong": wrong(), "idle": asyncio.sleep(3600)}
    tasks = [asyncio.create_task(call, name=name) for name, call in calls.items()]
    await asyncio.sleep(0)
    await end(tasks)
    assert swallowed == 1
    assert all(task.done() for task in tasks)
    assert isinstance(tasks[1].exception(), ValueError)
    assert [record.getMessage() for record in caplog.records] == ["wrong ended with an error"]
    assert "before it was cancelled" in caplog.text
    await end([])
