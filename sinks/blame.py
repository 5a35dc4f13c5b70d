"""Finds the one large record that breaks the connection each time it is sent, and that would be sent for ever.

If something exceeds a limit, servers and the proxies before them answer with a refusal, or they hang up. Only a record
that is sent alone can be blamed, if it is large, and if the server answers to something small right afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from sinks.answers.answer import Slow

LARGE = 65_536
"""A smaller record, in bytes or characters, is never blamed."""

PATIENCE = 5
"""Times in a row that a record may break the connection."""


class Blame:
    """Counts how often each record broke the connection. `answers` returns whether the server answers now."""

    def __init__(self, answers: Callable[[], Awaitable[bool]]) -> None:
        self._answers = answers
        self._breaks: Counter[str] = Counter()

    async def is_due(self, name: str, size: int, fault: Slow) -> bool:
        """Returns whether the record, which was sent alone and met `fault`, must be rejected."""
        if size < LARGE or not fault.broke or not await self._answers():
            return False
        self._breaks[name] += 1
        return self._breaks[name] >= PATIENCE

    def passed(self, names: Iterable[str]) -> None:
        """Forgets what these records did."""
        if self._breaks:
            for name in names:
                self._breaks.pop(name, None)
