"""The ways to review: the row of tabs on their pages."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from core.errors import Retry, Stop
from sinks.queue.queue import ReviewQueue

WAIT_S = 1.0
"""Longest time, in seconds, that a page waits for the number on a tab."""


@dataclass(frozen=True)
class Way:
    """A tab. `waiting`: number of tasks that only this page shows; None if it is not known, or not of use."""

    address: str
    name: str
    waiting: int | None = None


async def ways(queue: ReviewQueue) -> tuple[Way, ...]:
    """Returns the tabs. If the queue is away, they have no numbers."""
    apart: int | None = None
    with contextlib.suppress(Retry, Stop, TimeoutError):
        async with asyncio.timeout(WAIT_S):
            apart = (await queue.counts()).apart
    return (
        Way("/review", "One by one"),
        Way("/review/words", "By name"),
        Way("/review/disputed", "Disputed", apart),
        Way("/review/agreement", "Agreement"),
    )
