"""Stops the worker when too many events fail in our own stages, as after a bad deployment.

Events that are rejected for what they hold do not count. `streams.pipeline.alert` reports them.
"""

from __future__ import annotations

from collections import deque

from core.errors import Stop

WINDOW = 500
"""Number of the last events of which a share is taken."""


class Recent:
    """The last `WINDOW` events, and how many of the counted ones came last in a row."""

    def __init__(self) -> None:
        self.run = 0
        self._last: deque[bool] = deque(maxlen=WINDOW)

    def add(self, *, counts: bool) -> None:
        self.run = self.run + 1 if counts else 0
        self._last.append(counts)

    @property
    def share(self) -> float:
        """The share of the counted ones. 0 as long as there were fewer than `WINDOW` events."""
        return sum(self._last) / WINDOW if len(self._last) == WINDOW else 0.0


class DeadLetterLimit:
    """Raises `Stop` at `run` failures in a row, or when more than `share` of the last `WINDOW` events failed."""

    def __init__(self, run: int, share: float) -> None:
        self._run_limit = run
        self._share_limit = share
        self._recent = Recent()

    def passed(self) -> None:
        """Counts an event that was processed."""
        self._recent.add(counts=False)

    def failed(self, reason: str) -> None:
        """Counts an event that becomes a dead letter through no fault of its own. Raises `Stop` at a limit."""
        self._recent.add(counts=True)
        run, share = self._recent.run, self._recent.share
        if run >= self._run_limit:
            raise Stop(f"{run} events in a row failed (MNER_DEAD_LETTER_RUN), the last: {reason}")
        if share > self._share_limit:
            raise Stop(f"{share:.0%} of the last {WINDOW} events failed (MNER_DEAD_LETTER_SHARE), the last: {reason}")
