"""Finds the one large record that breaks the connection each time it is sent, and that would be sent for ever.

If something exceeds a limit, servers and the proxies before them answer with a refusal, or they hang up. Only a record
that is sent alone can be blamed, if it is large, and if a small write passes right afterwards. A server that restarts
breaks connections too, so a record is blamed only after some time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from core.errors import Retry
from sinks.answers.answer import Slow

LARGE = 65_536
"""A smaller record, in bytes or characters, is never blamed."""

PATIENCE, SPAN_S = 5, 60.0
"""Times in a row that a record must break the connection, and the seconds from the first to the last time."""


class Blame:
    """Counts how often each record broke the connection. `answers` returns whether a small write passes now."""

    def __init__(self, answers: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic) -> None:
        self._answers = answers
        self._clock = clock
        self._breaks: dict[str, list[float]] = {}
        """Name -> the times of its breaks in a row, in seconds."""

    async def is_due(self, name: str, size: int, fault: Retry) -> bool:
        """Returns whether the record, which was sent alone and met `fault`, must be rejected."""
        broke = isinstance(fault, Slow) and fault.broke
        if size < LARGE or not broke or not await self._answers():
            self.passed([name])
            return False
        times = self._breaks.setdefault(name, [])
        times.append(self._clock())
        if len(times) < PATIENCE or times[-1] - times[0] < SPAN_S:
            return False
        self.passed([name])
        return True

    def passed(self, names: Iterable[str]) -> None:
        """Forgets what these records did."""
        if self._breaks:
            for name in names:
                self._breaks.pop(name, None)
