"""Waiting out passing faults: exponential backoff with full jitter (AWS Architecture Blog, 2015)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from core.errors import Retry

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_S = 0.1
TOLD_AT = 3
"""Repeats after which a fault is worth a line in the log."""


def backoff_s(attempt: int, max_s: float, floor_s: float = 0.0) -> float:
    """Seconds to wait before try `attempt` (1 is the first repeat), at least `floor_s`."""
    ceiling = min(max_s, FIRST_S * 2 ** min(attempt, 20))
    return max(floor_s, random.uniform(ceiling / 2, ceiling))


async def patiently(
    call: Callable[[], Awaitable[T]],
    *,
    what: str,
    max_s: float,
    on_retry: Callable[[], None] = lambda: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Call until it does not raise `Retry`. There is no limit of tries: the event stays unacknowledged meanwhile."""
    attempt = 0
    while True:
        try:
            result = await call()
        except Retry as fault:
            attempt += 1
            on_retry()
            wait = backoff_s(attempt, max_s, fault.after_s)
            log.log(
                logging.WARNING if attempt == TOLD_AT or attempt % 20 == 0 else logging.DEBUG,
                "%s: %s; try %d in %.1f s",
                what,
                fault,
                attempt + 1,
                wait,
            )
            await sleep(wait)
        else:
            if attempt >= TOLD_AT:
                log.warning("%s: passed after %d repeats", what, attempt)
            return result
