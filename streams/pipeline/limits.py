"""Stops the worker when too many events become dead letters, as after a bad deployment."""

from __future__ import annotations

from collections import deque

from core.errors import Stop

WINDOW = 500


class DeadLetterLimit:
    """Raises `Stop` at `run` dead letters in a row, or when more than `share` of the last `WINDOW` events died."""

    def __init__(self, run: int, share: float) -> None:
        self._run_limit = run
        self._share_limit = share
        self._run = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)

    def passed(self) -> None:
        """Counts an event that was processed."""
        self._run = 0
        self._recent.append(False)

    def died(self, reason: str) -> None:
        """Counts an event that becomes a dead letter. Raises `Stop` when a limit is reached."""
        self._run += 1
        self._recent.append(True)
        if self._run >= self._run_limit:
            raise Stop(f"{self._run} dead letters in a row (MNER_DEAD_LETTER_RUN), the last: {reason}")
        share = sum(self._recent) / len(self._recent)
        if len(self._recent) == WINDOW and share > self._share_limit:
            raise Stop(
                f"{share:.0%} of the last {WINDOW} events are dead letters (MNER_DEAD_LETTER_SHARE), the last: {reason}"
            )
