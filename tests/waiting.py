"""How a test waits: for a condition, for turns of the event loop, or for a time that the test sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Waits for a condition that another process, a thread or a socket makes true."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition is not true after {within_s:g} s"
        await asyncio.sleep(0.01)


async def turns(count: int = 200) -> None:
    """Lets the event loop turn. Tasks that wait only for each other then go as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)


class LoopClock:
    """The time of an event loop. A test moves it forward, and then the deadlines of the loop run out.

    Time also passes by itself. So a test sets deadlines that are far away, and no slow machine misses them.
    """

    def __init__(self, real: Callable[[], float]) -> None:
        self._real = real
        self._ahead_s = 0.0

    def __call__(self) -> float:
        return self._real() + self._ahead_s

    def pass_s(self, seconds: float) -> None:
        self._ahead_s += seconds
