"""Says what a lot of uncertainty is: which share of the mentions has less. Variances alone tell a reviewer nothing.

The mentions are those that the same version of the model has found in the posts here: the confident ones of the index,
and a sample of the uncertain ones of the queue. While too few are known, there is no rank.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from core.errors import Reject, Retry, Stop, UserError, first_line
from sinks.index.index import Index
from sinks.queue.queue import ReviewQueue
from sinks.searching.access import ALIVE

Kind = Literal["aleatoric", "epistemic"]
KINDS: tuple[Kind, ...] = ("aleatoric", "epistemic")

EVERY_S = 600.0
"""Time, in seconds, after which the variances are read again."""

AWAY_S = 30.0
"""The same after a server did not answer."""

FIRST_S = 0.5
"""Longest time, in seconds, that a request waits for the first reading. After that, its tasks have no ranks yet."""

FEWEST = 200
"""Number of mentions below which there is no rank."""

PERCENTS = tuple(step + 0.5 for step in range(100))
"""Percentiles of the index that are read. Each stands for one hundredth of its mentions."""

PAGES, PAGE = 20, 10
"""Places of the queue, evenly apart, at which tasks are read; and tasks that are read at each."""

MOST_VERSIONS = 4
"""Versions of the model that are remembered, those that were asked for last."""

log = logging.getLogger(__name__)


class Variances:
    """The variances of many mentions, some of which stand for several."""

    def __init__(self, weighed: Iterable[tuple[float, float]]) -> None:
        """`weighed`: variances, and how many mentions each stands for."""
        ordered = sorted(weighed)
        self._values = [variance for variance, _ in ordered]
        self._up_to = [0.0, *accumulate(weight for _, weight in ordered)]

    @property
    def mentions(self) -> float:
        return self._up_to[-1]

    def rank(self, variance: float) -> float:
        """Returns the share of mentions, from 0 to 1, that have a smaller variance."""
        return self._up_to[bisect_left(self._values, variance)] / self.mentions


Scale = dict[Kind, Variances]


@dataclass(frozen=True)
class _Reading:
    until: float
    scale: Scale | None = None


class Ranks:
    """The scales of all versions of the model. Reads in the background, and keeps what it has read for a while."""

    def __init__(self, index: Index, queue: ReviewQueue, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._index, self._queue, self._clock = index, queue, clock
        self._readings: dict[int, _Reading] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    async def of(self, model_version: int) -> Scale | None:
        """Returns the scale of a version, or None while there is none. Never raises for a server that is away."""
        known = self._readings.get(model_version)
        if known is None or known.until <= self._clock():
            if model_version not in self._running:
                task = self._running[model_version] = asyncio.create_task(self._read(model_version))
                task.add_done_callback(lambda _: self._running.pop(model_version))
            if known is None:
                await asyncio.wait([self._running[model_version]], timeout=FIRST_S)
                known = self._readings.get(model_version)
        return known.scale if known else None

    def is_late(self, model_version: int) -> bool:
        """Whether there is no scale of a version yet, since it is read for the first time."""
        return model_version in self._running and model_version not in self._readings

    async def _read(self, version: int) -> None:
        try:
            reading = _Reading(self._clock() + EVERY_S, await self._scale(version))
        except (Reject, Retry, Stop, UserError) as error:  # the last scale stays
            log.warning("the ranks of uncertainty cannot be read: %s", first_line(error))
            before = self._readings.get(version)
            reading = _Reading(self._clock() + AWAY_S, before.scale if before else None)
        self._readings.pop(version, None)
        self._readings[version] = reading
        while len(self._readings) > MOST_VERSIONS:
            del self._readings[next(iter(self._readings))]

    async def _scale(self, version: int) -> Scale | None:
        confident, asked = await self._confident(version), await self._asked(version)
        scale = {kind: Variances([*confident[kind], *asked[kind]]) for kind in KINDS}
        return scale if all(each.mentions >= FEWEST for each in scale.values()) else None

    async def _confident(self, version: int) -> dict[Kind, list[tuple[float, float]]]:
        """Returns the percentiles of the index. A mention that a person added has no variance, and does not count."""
        answer = await self._index.aggregated(_percentiles(version))
        own = answer["aggregations"]["mentions"]["own"]
        each = own["doc_count"] / len(PERCENTS)
        return {
            kind: [(value, each) for value in own[kind]["values"].values() if value is not None] if each else []
            for kind in KINDS
        }

    async def _asked(self, version: int) -> dict[Kind, list[tuple[float, float]]]:
        """Returns the variances of a sample of the queue's questions. Each stands for as many as were left out."""
        counts = await self._queue.counts()
        waiting = counts.open + counts.leased
        found: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
        starts = range(0, waiting, PAGE) if waiting <= PAGES * PAGE else [n * waiting // PAGES for n in range(PAGES)]
        read = 0
        for start in starts:
            entries = await self._queue.list(PAGE, start)
            read += len(entries)
            for task in (entry.task for entry in entries if entry.task.model_version == version):
                for question in task.questions:
                    if not (question.is_candidate or question.is_audit):  # not found, and in the index
                        found["aleatoric"].append(question.mention.aleatoric)
                        found["epistemic"].append(question.mention.epistemic)
        weight = max(1.0, waiting / read) if read else 1.0
        return {kind: [(value, weight) for value in values] for kind, values in found.items()}


def _percentiles(version: int) -> dict[str, Any]:
    """Returns the search for the variances of a version's mentions in the index."""
    kinds = {kind: {"percentiles": {"field": f"mentions.{kind}", "percents": PERCENTS}} for kind in KINDS}
    own = {"filter": {"range": {"mentions.aleatoric": {"gt": 0}}}, "aggs": kinds}
    return {
        "query": {"bool": {"filter": [{"term": {"model_version": version}}, ALIVE]}},
        "size": 0,
        "track_total_hits": False,
        "aggs": {"mentions": {"nested": {"path": "mentions"}, "aggs": {"own": own}}},
    }
