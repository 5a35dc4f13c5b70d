"""The thresholds in force, and what people's answers say of the precision above them."""

from __future__ import annotations

from dataclasses import dataclass

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
        self._table, self._desk_table = table, DeskTable(table, "the thresholds")
        self._logs: dict[float, ThresholdLog] = {}  # by the promise

    def start(self) -> None:
        """Begins to read the topic in the background."""
        self._desk_table.start()

    async def close(self) -> None:
        await self._desk_table.close()

    def levels(self, info: CheckpointInfo) -> Known[tuple[Level, ...]]:
        """Returns the shared threshold, then those of sources with answers. Empty if the thresholds do not move."""
        if self._desk_table.problem:
            return Known(problem=self._desk_table.problem if self._desk_table.has_failed else "")
        promised = info.target_precision
        log = self._logs.setdefault(promised, ThresholdLog(self._table, promised or None))
        state = log.now(Calibrated(info.name, info.model_version, info.threshold))
        return Known(() if state is None else _levels(state))


def _levels(state: Thresholds) -> tuple[Level, ...]:
    most = sorted(state.sources.items(), key=lambda one: (-one[1].answers, one[0]))[:MOST]

    def level(source: str | None, precision: Recent) -> Level:
        told = precision.reported
        return Level(source or "", state.threshold(source), state.interval(source), told.right, told.answers)

    return (level(None, state.precision), *(level(name, each.precision) for name, each in most if each.answers))
