"""Finds the one record that breaks the connection each time it is sent, and that would be sent for ever.

If a record exceeds a limit, servers and the proxies before them answer with a refusal, or they hang up. A firewall may
hang up because of what a small record holds. A record is blamed only if it is sent alone, and if a small write passes
right afterwards. A server that restarts breaks connections too, so a record is blamed only after some time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from core.errors import Retry
from sinks.answers.answer import Slow

log = logging.getLogger(__name__)

LARGE = 65_536
"""Size, in bytes or characters, from which on a record is probably too large for something on the way."""

PATIENCE, SPAN_S = 5, 60.0
"""Times in a row that a record must break the connection, and the seconds from the first to the last time."""

SMALL_SPAN_S = 1800.0
"""The same seconds for a record that is smaller than `LARGE`. It is less likely to be the cause."""

GAP_S = 600.0
"""Longest time, in seconds, between two breaks in a row. A break that comes later is the first one of a new row."""


@dataclass
class _Breaks:
    """The breaks in a row of one record. `since`, `last`: times of the first and the last one, in seconds.

    `told`: whether they were logged.
    """

    since: float
    last: float
    count: int = 0
    told: bool = False


class Blame:
    """Counts how often each record broke the connection. `answers` returns whether a small write passes now."""

    def __init__(self, answers: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic) -> None:
        self._answers = answers
        self._clock = clock
        self._breaks: dict[str, _Breaks] = {}

    async def is_due(self, name: str, size: int, fault: Retry) -> bool:
        """Returns whether the record, which was sent alone and met `fault`, must be rejected. `name`: id of its post.

        Logs a warning when a small record is suspected.
        """
        broke = isinstance(fault, Slow) and fault.broke
        if not broke or not await self._answers():
            self.passed([name])
            return False
        now = self._clock()
        self._breaks = {each: breaks for each, breaks in self._breaks.items() if now - breaks.last <= GAP_S}
        breaks = self._breaks.setdefault(name, _Breaks(now, now))
        breaks.last = now
        breaks.count += 1
        lasted_s = now - breaks.since
        if breaks.count < PATIENCE or lasted_s < SPAN_S:
            return False
        if size < LARGE and lasted_s < SMALL_SPAN_S:
            self._tell(name, breaks)
            return False
        self.passed([name])
        return True

    def passed(self, names: Iterable[str]) -> None:
        """Forgets what these records did."""
        if self._breaks:
            for name in names:
                self._breaks.pop(name, None)

    def _tell(self, name: str, breaks: _Breaks) -> None:
        if not breaks.told:
            breaks.told = True
            log.warning(
                "the connection has broken %d times in a row when post %s was sent alone, while other writes passed. "
                "If this goes on for %.0f minutes, the post becomes a dead letter",
                *(breaks.count, name, SMALL_SPAN_S / 60),
            )


def reason(what: str, server: str, size: int, fault: Retry) -> str:
    """Returns why a record that is due is rejected. `what`: what the record is, such as "task"."""
    if size >= LARGE:
        return f"the {what} is too large for {server}, or for a proxy before it: {fault}"
    return f"the connection to {server} breaks each time this {what} is sent, while other writes pass: {fault}"
