"""The thresholds in force, and what people's answers say of the precision above them."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import Retry
from desk.overview.kafka_watch import Known
from desk.table import DeskTable
from model.checkpoint import CheckpointInfo
from sinks.connect.kafka import Brokers
from streams.confidence import Interval, Recent
from streams.threshold_log import AnswerTable, Calibrated, ThresholdLog
from streams.thresholds import Thresholds

MOST = 8
"""Sources that are shown, those with the most answers."""


@dataclass(frozen=True)
class Level:
    """One threshold. `source` is empty for the one that sources share."""

    source: str
    threshold: float
    interval: Interval
    right: int
    answers: int

    @property
    def share(self) -> float | None:
        return self.right / self.answers if self.answers else None


class ThresholdWatch:
    """Follows the topic of the thresholds. `start` it, and `close` it at the end."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        table = AnswerTable(brokers, topic)
        self._table, self._log = DeskTable(table, "the thresholds"), ThresholdLog(table)

    def start(self) -> None:
        """Begins to read the topic in the background."""
        self._table.start()

    async def close(self) -> None:
        await self._table.close()

    async def levels(self, info: CheckpointInfo) -> Known[tuple[Level, ...]]:
        """Returns the shared threshold, then those of sources with answers. Empty if the thresholds do not move."""
        if self._table.problem:
            return Known(problem=self._table.problem if self._table.has_failed else "")
        try:
            self._log.table.check()
        except Retry as error:
            return Known(problem=str(error))
        state = await self._log.now(Calibrated(info.name, info.model_version, info.threshold, info.target_precision))
        return Known(() if state is None else _levels(state))


def _levels(state: Thresholds) -> tuple[Level, ...]:
    most = sorted(state.sources.items(), key=lambda one: (-one[1].answers, one[0]))[:MOST]

    def level(source: str | None, precision: Recent) -> Level:
        told = precision.reported
        return Level(source or "", state.threshold(source), state.interval(source), told.right, told.answers)

    return (level(None, state.precision), *(level(name, each.precision) for name, each in most if each.answers))
