"""Counts the outcomes of a feed's messages. Each message has one outcome, so their sum is the number received."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from streams import metrics

SENT, LIFECYCLE, DEAD = "sent", "lifecycle", "dead"
"""Outcomes of a message: at least one post of it was sent; else a lifecycle event; else it became a dead letter. Any
other outcome is the reason why nothing was sent."""


@dataclass
class Account:
    """The counts of one run. `outcomes` adds up to `received`."""

    source: str
    received: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    posts: int = 0
    lifecycle: int = 0
    letters: int = 0
    gaps: int = 0
    reconnects: Counter[str] = field(default_factory=Counter)  # by fault
    last_at: float | None = None  # the platform's Unix time of the last message that has one
    saved_at: float | None = None  # Unix time at which the cursor was saved
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        metrics.FEED_GAPS.labels(self.source)  # a counter that appears later hides its first increase

    def message(self, outcome: str, at: float | None) -> None:
        """Counts a message with its outcome. `at`: Unix time of the message, by the platform."""
        self.received += 1
        self.outcomes[outcome] += 1
        metrics.FEED_RECEIVED.labels(self.source).inc()
        if outcome not in {SENT, LIFECYCLE, DEAD}:
            metrics.FEED_SKIPPED.labels(self.source, outcome).inc()
        if at is not None:
            if self.last_at is None:
                metrics.FEED_LAG.labels(self.source).set_function(self._lag)
            self.last_at = at

    def lag_s(self, now: float | None = None) -> float | None:
        """Returns the seconds from the last message, by the platform's time, to now. None before the first message."""
        return None if self.last_at is None else (time.time() if now is None else now) - self.last_at

    def _lag(self) -> float:
        return self.lag_s() or 0.0

    def record(self, kind: str) -> None:
        """Counts a record that was sent: a `post`, a `lifecycle` event or a `dead_letter`."""
        self.posts += kind == "post"
        self.lifecycle += kind == "lifecycle"
        self.letters += kind == "dead_letter"
        metrics.FEED_SENT.labels(self.source, kind).inc()

    def reconnect(self, fault: str) -> None:
        """Counts a connection that ended."""
        self.reconnects[fault] += 1
        metrics.FEED_RECONNECTS.labels(self.source, fault).inc()

    def gap(self) -> None:
        """Counts a gap."""
        self.gaps += 1
        metrics.FEED_GAPS.labels(self.source).inc()

    @property
    def skipped(self) -> dict[str, int]:
        """Reason -> number of skipped messages, the most frequent reason first."""
        return {reason: count for reason, count in self.outcomes.most_common() if reason not in {SENT, LIFECYCLE, DEAD}}

    def line(self) -> str:
        """Returns all counts in one line. The numbers before the brackets add up to the first."""
        skipped = self.skipped
        parts = [f"{self.outcomes[SENT]} sent"]
        parts += [f"{self.outcomes[LIFECYCLE]} lifecycle"] if self.outcomes[LIFECYCLE] else []
        dead = self.outcomes[DEAD]
        parts += [f"{dead} dead letter{'s' * (dead != 1)}"] if dead else []
        reasons = ", ".join(f"{reason} {count}" for reason, count in skipped.items())
        parts += [f"{sum(skipped.values())} skipped ({reasons})"] if skipped else []
        said = f"{self.source}: {self.received} received: {', '.join(parts)}"
        ended = ", ".join(f"{fault} {count}" for fault, count in sorted(self.reconnects.items()))
        said += f"; reconnects: {ended}" if ended else ""
        return said + (f"; gaps: {self.gaps}" if self.gaps else "")

    def as_json(self) -> dict[str, Any]:
        """Returns all counts as `--json` writes them."""
        return {
            "source": self.source,
            "received": self.received,
            "sent": self.outcomes[SENT],
            "lifecycle": self.outcomes[LIFECYCLE],
            "dead": self.outcomes[DEAD],
            "skipped": self.skipped,
            "records": {"post": self.posts, "lifecycle": self.lifecycle, "dead_letter": self.letters},
            "reconnects": dict(self.reconnects),
            "gaps": self.gaps,
        }
