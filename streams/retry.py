"""Repeats calls that fail for a while, with exponential backoff and jitter (AWS Architecture Blog, 2015)."""

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
MAX_S = 5.0
"""Shortest first wait, and longest wait unless the error asks for more, in seconds."""

WARN_AT = 3
"""Repeat that is logged as a warning, unless the caller names another one."""

LONGEST_RUN = 64
"""Largest number of repeats between two warnings. It doubles from warning to warning; the other repeats are logged at
DEBUG."""


def backoff_s(attempt: int, max_s: float, floor_s: float = 0.0) -> float:
    """Returns the seconds to wait before repeat number `attempt`, which counts from 1.

    The wait is random. Its upper bound doubles with each attempt, up to `max_s`. It is never below `floor_s`.
    """
    ceiling = min(max_s, FIRST_S * 2 ** min(attempt, 20))
    return max(floor_s, random.uniform(ceiling / 2, ceiling))


async def retry_forever(
    call: Callable[[], Awaitable[T]],
    *,
    what: str,
    max_s: float = MAX_S,
    warn_at: int = WARN_AT,
    on_retry: Callable[[], None] = lambda: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Calls until `call` does not raise `Retry`, and returns its result.

    The number of tries has no limit, since the event stays unacknowledged meanwhile. `what` names the call in the log.
    `max_s`: longest wait between two tries, in seconds. If the `after_s` of the fault is longer, it is used instead.
    `warn_at`: the first repeat that is logged as a warning.
    """
    attempt, warns = 0, warn_at
    while True:
        try:
            result = await call()
        except Retry as fault:
            attempt += 1
            on_retry()
            wait = backoff_s(attempt, max_s, fault.after_s)
            log.log(
                logging.WARNING if attempt == warns else logging.DEBUG,
                "%s: %s; try %d follows in %.1f s",
                what,
                fault,
                attempt + 1,
                wait,
            )
            if attempt == warns:
                warns += min(warns, LONGEST_RUN)
            await sleep(wait)
        else:
            if attempt >= warn_at:
                log.warning("%s: succeeded after %d repeats", what, attempt)
            return result
