"""Judges, at regular looks, whether a partition is still the log that is being read, and whether it is read at all."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from faust.types import TP

from streams import metrics
from streams.consumer.placement import UNKNOWN, Log
from streams.consumer.progress import Progress

log_ = logging.getLogger(__name__)

DEAF_S = 60.0
"""Time, in seconds, for which records wait and none comes, although the pipeline takes events."""

HELD_S = 60.0
"""Time, in seconds, for which an open transaction holds records back, before it is told."""


class StandingStill:
    """Measures for how long the value of a partition has stood still."""

    def __init__(self) -> None:
        self._since: dict[TP, tuple[Hashable, float]] = {}

    def s(self, tp: TP, value: Hashable, now: float) -> float:
        """Returns for how many seconds the value has been the same. None never stands still."""
        before, since = self._since.get(tp, (None, now))
        if value is None or value != before:
            since = now
        self._since[tp] = value, since
        return now - since


@dataclass
class Watch:
    """What is remembered from one look to the next."""

    agent: str
    """Its name in metrics."""

    _short: dict[TP, int] = field(default_factory=dict)  # partitions whose log was too short, with their epoch
    _silent: StandingStill = field(default_factory=StandingStill)
    _open: StandingStill = field(default_factory=StandingStill)
    _told: dict[TP, int | None] = field(default_factory=dict)  # offset of the open transaction that was told

    def changed(
        self, tp: TP, progress: Progress, reached: int, log: Log
    ) -> Literal["recreated", "cut", "short"] | None:
        """Returns what has perhaps happened to the log. `reached`: how far it was read before the brokers were asked.

        Without leader epochs, a log that is "short" must be so twice, since a new leader may be about to catch up.
        """
        if log.topic_id and progress.topic_id and log.topic_id != progress.topic_id:
            return "recreated"
        was_short = self._short.pop(tp, None) == progress.epoch
        if log.known_until is not None and (log.known_until == UNKNOWN or log.known_until < reached):
            return "cut"
        if reached > log.end:
            self._short[tp] = progress.epoch
            return "cut" if was_short else "short"
        read = progress.seen.known.read
        return "cut" if read and log.newer is not None and log.newer <= read.offset else None

    def is_deaf(self, tp: TP, epoch: int, reached: int, log: Log, *, busy: bool, now: float) -> bool:
        """Returns whether records have waited for long and none came, and tells it.

        `epoch`: of the positioning. `busy`: the pipeline takes no further event.
        """
        stable = log.end if log.stable is None else log.stable
        silent_s = self._silent.s(tp, None if busy or reached >= stable else (epoch, reached), now)
        if silent_s < DEAF_S:
            return False
        metrics.OFFSET_RESETS.labels(self.agent, "deaf").inc()
        log_.warning(
            "%s/%d: %d records wait from offset %d on, and none came for %.0f s. The partition is positioned again. "
            "If this line comes again, restart the worker",
            *(*tp, stable - reached, reached, silent_s),
        )
        return True

    def tell_held(self, logs: Mapping[TP, Log], now: float) -> None:
        """Tells once of each transaction that has been open for long. Nothing behind it is delivered."""
        held = 0
        for tp, log in logs.items():
            open_at = log.stable if log.stable is not None and log.stable < log.end else None
            if self._open.s(tp, open_at, now) < HELD_S:
                continue
            held += 1
            if self._told.get(tp) != open_at:
                self._told[tp] = open_at
                log_.warning(
                    "%s/%d: a transaction that is open at offset %d has held back %d offsets for %.0f s. Its producer "
                    "must end it; see `kafka-transactions.sh find-hanging` and `abort`",
                    *(*tp, open_at, log.end - (open_at or 0), HELD_S),
                )
        metrics.HELD_BACK.labels(self.agent).set(held)

    def forget_held(self) -> None:
        """This worker reads no partition any more. Another one tells what is held back."""
        metrics.HELD_BACK.labels(self.agent).set(0)
