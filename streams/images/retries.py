"""Retries requests: only passing failures, a few times, with jitter, and never beyond the caller's deadline."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from streams.images.errors import HostFault
from streams.metrics import RETRIES

FIRST_S, LONGEST_S = 0.2, 2.0
"""Upper bound, in seconds, of the first wait and of any wait. A wait is random; its upper bound doubles each time."""

RESERVE_S = 0.2
"""Seconds that must be left for the request after a wait."""

MAX_AFTER_S = 86_400.0
"""Longest Retry-After, in seconds. A longer one counts as one day."""

AGAIN_IN = "may be asked again in"
"""Text before the seconds of a Retry-After header in the reason of a refusal."""

T = TypeVar("T")


def retry_after_s(value: str, now: datetime) -> float | None:
    """Returns the seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3). None for anything else."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,20}", value):
        return min(float(value), MAX_AFTER_S)
    if len(value) > 64:
        return None
    try:
        when = parsedate_to_datetime(value)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):  # the parser raises any of these for malformed dates
        return None
    return min(max(seconds.total_seconds(), 0.0), MAX_AFTER_S)


class RetryBudget:
    """The retries that one image may use over all its hops.

    `deadline` is the caller's, as a time of `clock`. If a wait would outlast it, the failure is raised at once, so that
    another image can use the slot.
    """

    def __init__(
        self,
        count: int,
        deadline: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._left = count
        self._deadline = deadline
        self._clock = clock
        self._sleep = sleep
        self._jitter = wait_random_exponential(multiplier=FIRST_S, max=LONGEST_S)

    async def run(self, ask: Callable[[], Awaitable[T]], worth_it: Callable[[], bool]) -> T:
        """Calls `ask` until it succeeds, fails for good, or `worth_it` returns false. Raises the last failure."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, HostFault) and error.passes and worth_it()),
            wait=self._wait_s,
            stop=self._give_up,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(ask)

    def _wait_s(self, state: RetryCallState) -> float:
        """Returns the server's Retry-After plus jitter, so that many workers do not return at the same moment."""
        error = state.outcome.exception() if state.outcome else None
        return self._jitter(state) + (error.after_s if isinstance(error, HostFault) else 0.0)

    def _give_up(self, state: RetryCallState) -> bool:
        if self._left == 0 or self._clock() + state.upcoming_sleep + RESERVE_S >= self._deadline:
            return True
        self._left -= 1
        RETRIES.inc()
        return False
