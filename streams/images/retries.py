"""When to ask again: only for what may pass, a few times, with jitter, and never beyond the caller's deadline."""

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
"""Seconds: the ceiling under which the first wait is drawn, doubled for each next one, and where it stops growing."""

RESERVE_S = 0.2
"""Seconds: what must be left after the wait, since a request needs some time too."""

MAX_AFTER_S = 86_400.0
"""Seconds: a server that sends us away for longer is understood as one day."""

AGAIN_IN = "may be asked again in"
"""What the reason of a refusal says of Retry-After, before the seconds."""

T = TypeVar("T")


def retry_after_s(value: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: a number or a date); None if it is nonsense."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,20}", value):
        return min(float(value), MAX_AFTER_S)
    if len(value) > 64:
        return None
    try:
        when = parsedate_to_datetime(value)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):  # what the parser lets out, depending on the nonsense
        return None
    return min(max(seconds.total_seconds(), 0.0), MAX_AFTER_S)


class Repeats:
    """The requests for one image that may still be sent again, over all its hops.

    `until` is the caller's deadline in the time of `clock`. Where the wait would outlast it, there is none: the failure
    is raised at once, since the slot is better used by another image.
    """

    def __init__(
        self,
        count: int,
        until: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._left = count
        self._until = until
        self._clock = clock
        self._sleep = sleep
        self._jitter = wait_random_exponential(multiplier=FIRST_S, max=LONGEST_S)

    async def patiently(self, ask: Callable[[], Awaitable[T]], worth_it: Callable[[], bool]) -> T:
        """Calls `ask` until it succeeds, fails for good, or `worth_it` says no. Raises its last failure."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, HostFault) and error.passes and worth_it()),
            wait=self._wait_s,
            stop=self._give_up,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(ask)

    def _wait_s(self, state: RetryCallState) -> float:
        """At least what the server asked for, and jitter on top, so that a crowd does not come back as one."""
        error = state.outcome.exception() if state.outcome else None
        return self._jitter(state) + (error.after_s if isinstance(error, HostFault) else 0.0)

    def _give_up(self, state: RetryCallState) -> bool:
        if self._left == 0 or self._clock() + state.upcoming_sleep + RESERVE_S >= self._until:
            return True
        self._left -= 1
        RETRIES.inc()
        return False
