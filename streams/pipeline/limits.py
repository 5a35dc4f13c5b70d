"""Stops the worker when too many events fail in our own stages, as after a bad deployment.

Events that are rejected for what they hold do not count. `streams.pipeline.alert` reports them.
"""

from __future__ import annotations

from collections import deque

from core.errors import Stop

WINDOW = 500


class DeadLetterLimit:
    """Raises `Stop` at `run` failures in a row, or when more than `share` of the last `WINDOW` events failed."""

    def __init__(self, run: int, share: float) -> None:
        self._run_limit = run
        self._share_limit = share
        self._run = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def passed(self) -> None:
        """Counts an event that was processed."""
        self._run = 0
        self._recent.append(False)

    def failed(self, reason: str) -> None:
        """Counts an event that becomes a dead letter through no fault of its own. Raises `Stop` at a limit."""
        self._run += 1
        self._recent.append(True)
        if self._run >= self._run_limit:
            raise Stop(f"{self._run} events in a row failed (MNER_DEAD_LETTER_RUN), the last: {reason}")
        share = sum(self._recent) / len(self._recent)
        if len(self._recent) == WINDOW and share > self._share_limit:
            raise Stop(f"{share:.0%} of the last {WINDOW} events failed (MNER_DEAD_LETTER_SHARE), the last: {reason}")
