"""The exit code of `mner worker`, whatever ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cli.failures import FAILED
from cli.worker import FAULT, _run
from core.errors import Reject, Retry, Stop, UserError


async def cancelled_from_within() -> int:
    asyncio.current_task().cancel()  # type: ignore[union-attr]
    await asyncio.sleep(3600)
    return 0


async def waits_for_a_cancelled_task() -> int:
    task = asyncio.create_task(asyncio.sleep(3600))
    task.cancel()
    await task
    return 0


async def ends(how: BaseException | int) -> int:
    if isinstance(how, int):
        return how
    raise how


@pytest.mark.parametrize(
    ("work", "code"),
    [
        pytest.param(lambda: ends(0), 0, id="stopped"),
        pytest.param(lambda: ends(3), 3, id="a code of its own"),
        pytest.param(lambda: ends(asyncio.CancelledError()), FAULT, id="cancelled"),
        pytest.param(cancelled_from_within, FAULT, id="cancelled from within"),
        pytest.param(waits_for_a_cancelled_task, FAULT, id="a task was cancelled"),
        pytest.param(lambda: ends(RuntimeError("of ours")), FAULT, id="a fault"),
        pytest.param(lambda: ends(TimeoutError()), FAILED, id="too late"),
        pytest.param(lambda: ends(UserError("u")), FAILED, id="of the user"),
        pytest.param(lambda: ends(Retry("r")), FAILED, id="retry"),
        pytest.param(lambda: ends(Reject("r")), FAILED, id="reject"),
        pytest.param(lambda: ends(Stop("s")), FAILED, id="stop"),
        pytest.param(lambda: ends(OSError(2, "no such file", "x")), FAILED, id="a file"),
    ],
)
def test_every_end_has_its_code(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[], Coroutine[Any, Any, int]], code: int
) -> None:
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(asyncio, "new_event_loop", lambda: loop)  # the worker leaves its loop open
    assert _run(work()) == code
    loop.close()
