"""Reports events that are rejected for what they hold, such as a file in the wrong encoding.

They never stop the worker: it would meet the same events again after each start. A person must look at their source.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable

from core.events import DeadLetter
from core.text import one_line, shorten
from streams import metrics
from streams.pipeline.limits import WINDOW, Recent

log = logging.getLogger(__name__)

RUN = 20
"""Number of bad events in a row that is reported."""

SHARE = 0.5
"""Largest share of the last events that may be bad without a report."""

PAUSE_S = 60.0
"""Shortest time, in seconds, between two lines of the log."""

KINDS = 100
"""Most kinds of reasons that are told apart between two lines."""

PARTICULARS = re.compile(r" \(got .*|\d+")
"""What differs between two reasons of one kind."""


class BadEvents:
    """Counts the bad events of one agent. Logs a warning when many come in a row, or make up half of the last ones."""

    def __init__(self, agent: str, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds."""
        self._agent = agent
        self._clock = clock
        self._recent = Recent()
        self._kinds: Counter[str] = Counter()  # since the last line of the log
        self._examples: dict[str, str] = {}  # kind -> the first reason of that kind
        self._logged_at: float | None = None
        metrics.BAD.labels(agent)
        metrics.BAD_RUN.labels(agent).set(0)

    def passed(self) -> None:
        """Counts an event that is not bad."""
        if self._recent.run:
            metrics.BAD_RUN.labels(self._agent).set(0)
        self._recent.add(counts=False)

    def add(self, letter: DeadLetter) -> None:
        """Counts a bad event, by its dead letter."""
        self._recent.add(counts=True)
        metrics.BAD.labels(self._agent).inc()
        metrics.BAD_RUN.labels(self._agent).set(self._recent.run)
        kind = PARTICULARS.sub("", letter.reason[:500])
        if kind in self._kinds or len(self._kinds) < KINDS:
            self._kinds[kind] += 1
            self._examples.setdefault(kind, letter.reason)
        if not self._are_many():
            return
        now = self._clock()
        if self._logged_at is None or now - self._logged_at >= PAUSE_S:
            self._logged_at = now
            self._report(letter.topic)

    def _are_many(self) -> bool:
        return self._recent.run >= RUN or self._recent.share > SHARE

    def _report(self, topic: str) -> None:
        kind, count = self._kinds.most_common(1)[0]
        run = self._recent.run
        many = f"the last {run} events" if run >= RUN else f"more than half of the last {WINDOW} events"
        log.warning(
            "%s: %s of topic %s became dead letters for what they hold. The most frequent reason (%d times): %s. "
            "The worker goes on. `mner dead-letters list` shows them; fix the program that writes to the topic",
            self._agent,
            many,
            topic,
            count,
            one_line(shorten(self._examples[kind], 300)),
        )
        self._kinds.clear()
        self._examples.clear()
