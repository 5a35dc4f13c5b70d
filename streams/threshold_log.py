"""The topic `thresholds`: people's answers about drawn mentions, in one order, and the thresholds that follow.

Every process reads the whole topic, and `streams.thresholds` turns the answers into thresholds. So all have the same
ones, and none has to lead. A record holds no text, no name and no id of a post: its key is a digest.

An answer counts from `DELAY_S` after the broker stored it. An extraction is routed by what counted when the broker
stored the extraction. So the routing of an extraction depends on two topics alone, and a replay of `extractions` routes
as before. This needs brokers whose clocks agree within `DELAY_S`, and a process that reads the topic up to its end. One
that does not waits (`ThresholdLog.check`).
"""

from __future__ import annotations

import logging
import math
import time
from bisect import bisect_right
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from core.errors import Retry, UserError
from core.events import Decision, Extraction
from sinks.connect.kafka import Brokers
from sinks.table import Table
from streams import metrics
from streams.routing import is_drawn
from streams.thresholds import Answer, Control, Thresholds

DELAY_S = 10.0
"""Seconds from the moment when the broker stores an answer until it counts."""

CHECK_S = 2.0
"""Seconds between two looks for the end of the topic."""

log = logging.getLogger(__name__)


class ToldAnswer(Answer):
    """A record of the topic. Its `id` is its key."""

    model: str
    model_version: int = Field(ge=0, lt=2**40)
    #: How an answer moves the thresholds. A later rule has another number, so that a replay follows the one of then.
    rule: Literal[1] = 1


class Placed(NamedTuple):
    """An answer and the moment from which it counts, in Unix seconds."""

    answer: ToldAnswer
    moment: float


class Calibrated(NamedTuple):
    """A checkpoint and its own threshold, which is another one for each runtime. The thresholds start there."""

    model: str
    model_version: int
    threshold: float


def answers(decision: Decision, share: float) -> list[ToldAnswer]:
    """Returns the answers of a decision that move a threshold: those about drawn mentions, by whoever looked at them.

    `share`: that of the spot checks. Mentions below the threshold are drawn as well, although people are asked about
    all of them: without them there were no way back once everything goes to people.
    """
    task = decision.task
    if decision.kind not in {"settle", "answer"} or decision.copy_of is not None or not task.questions:
        return []
    return [
        ToldAnswer(
            id=sha256(f"{task.id} {before.start} {before.end} {before.type}".encode()).hexdigest()[:32],
            at=int(decision.decided_at.timestamp() * 1e6),
            source=task.tweet.source,
            probability=before.probability,
            threshold=task.threshold,
            is_right=verdict.action == "accept",
            model=task.model,
            model_version=task.model_version,
        )
        for verdict in decision.verdicts
        if (before := verdict.before) is not None
        and not verdict.is_candidate
        and (verdict.is_audit or is_drawn(task.tweet, before, share))
    ]


class AnswerTable(Table[ToldAnswer]):
    """The answers by key, in the order of the topic. Of two with one key the first counts."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        super().__init__(brokers, topic, TypeAdapter(ToldAnswer))
        self._moments: dict[str, float] = {}
        self._entries: tuple[int, list[Placed]] = (-1, [])
        self._read_at = self._looked_at = -math.inf  # monotonic seconds

    @property
    def age_s(self) -> float:
        """Seconds since this process knew all that was in the topic."""
        return time.monotonic() - self._read_at

    @property
    def entries(self) -> list[Placed]:
        """All answers, in the order in which the broker stored them."""
        version = self.version
        if self._entries[0] != version:
            self._entries = version, [Placed(one, self._moments[key]) for key, one in self.values.items()]
        return self._entries[1]

    def _read_whole(self, consumer: Any) -> None:
        if len(consumer.assignment()) != 1:
            raise UserError(f"the topic {self._topic!r} must have one partition, which gives its records one order")
        started = time.monotonic()
        super()._read_whole(consumer)
        self._read_at = self._looked_at = started

    def _take(self, consumer: Any) -> None:
        super()._take(consumer)
        if (started := time.monotonic()) - self._looked_at < CHECK_S:
            return
        ((place, end),) = consumer.end_offsets(consumer.assignment()).items()
        if consumer.position(place) >= end:
            self._read_at = self._looked_at = started

    def _apply_one(self, key: str, record: Any, values: dict[str, ToldAnswer]) -> None:
        if key not in values:
            self._moments[key] = record.timestamp / 1000 + DELAY_S
            super()._apply_one(key, record, values)


class ThresholdLog:
    """The thresholds of all checkpoints, moment by moment. `start` its table before use."""

    def __init__(self, table: AnswerTable, promised: float | None, share: float = 0.0) -> None:
        """`promised`: the precision to keep. None keeps the checkpoint's threshold. `share`: of the spot checks."""
        self.table = table
        self._promised, self._share = promised, share
        self._histories: dict[Calibrated, _History] = {}

    def check(self) -> None:
        """Raises `Retry` while answers may be missing that count already."""
        if (age := self.table.age_s) > DELAY_S:
            raise Retry(f"the topic of the thresholds was last read to its end {age:.0f} s ago")

    def threshold(self, extraction: Extraction, moment: float) -> float:
        """Returns the threshold for an extraction that the broker stored at this moment, in Unix seconds."""
        source = extraction.tweet.source
        checkpoint = Calibrated(extraction.model, extraction.model_version, extraction.threshold)
        found, is_own = self._history(checkpoint).at(source, moment)
        metrics.THRESHOLD.labels(source if is_own and source else "").set(found)
        return found

    def now(self, checkpoint: Calibrated) -> Thresholds | None:
        """Returns the latest thresholds, with what answers say of the precision. None if they do not move."""
        return self._history(checkpoint).state

    async def tell(self, decision: Decision) -> None:
        """Stores the answers of a decision that the topic does not have. Raises `Retry` as `Table.put` does."""
        for one in answers(decision, self._share):
            if self.table.get(one.id) is None:
                await self.table.put(one.id, one)

    def _history(self, checkpoint: Calibrated) -> _History:
        entries = self.table.entries
        history = self._histories.get(checkpoint)
        if history is None or not history.continues_in(entries):
            history = self._histories[checkpoint] = _History(checkpoint, self._promised)
        history.read(entries)
        return history


class _History:
    """The thresholds of one checkpoint: each with the moment from which it is in force."""

    def __init__(self, checkpoint: Calibrated, promised: float | None) -> None:
        self._checkpoint = checkpoint
        self.state = _begin(checkpoint, promised)
        self._read: list[Placed] = []
        self._shared = _Steps()
        self._own: dict[str, _Steps] = {}

    def continues_in(self, entries: list[Placed]) -> bool:
        """Whether these entries begin with those that were read. They do not if the topic was made anew."""
        if entries is self._read or not self._read:
            return True
        read = len(self._read)
        return len(entries) >= read and entries[read - 1] == self._read[-1]

    def read(self, entries: list[Placed]) -> None:
        """Applies the entries that were not read before."""
        if len(entries) == len(self._read) or self.state is None:
            return
        for answer, moment in entries[len(self._read) :]:
            if (answer.model, answer.model_version) != self._checkpoint[:2]:
                continue
            self.state = self.state.after(answer)
            self._shared.add(moment, self.state.threshold())
            source = self.state.sources.get(answer.source) if answer.source is not None else None
            if answer.source is not None and source is not None and source.level is not None:
                own = self._own.setdefault(answer.source, _Steps())
                own.add(moment, self.state.threshold(answer.source))
        self._read = entries

    def at(self, source: str | None, moment: float) -> tuple[float, bool]:
        """Returns the threshold of a source at a moment, and whether it is its own."""
        if source in self._own and (own := self._own[source].last(moment)) is not None:
            return own, True
        shared = self._shared.last(moment)
        return self._checkpoint.threshold if shared is None else shared, False


class _Steps:
    """A value that changes at moments, in their order."""

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._values: list[float] = []

    def add(self, moment: float, value: float) -> None:
        self._moments.append(max(moment, self._moments[-1]) if self._moments else moment)
        self._values.append(value)

    def last(self, moment: float) -> float | None:
        """Returns the value in force at a moment; None before the first one."""
        place = bisect_right(self._moments, moment)
        return self._values[place - 1] if place else None


def _begin(checkpoint: Calibrated, promised: float | None) -> Thresholds | None:
    """Returns the state before any answer. None where the rule does not fit, so that the threshold stays as it is."""
    if promised is None:
        return None
    try:
        return Thresholds.begin(checkpoint.threshold, Control(promised=promised))
    except ValueError as error:
        log.warning("the threshold %g of %s does not follow answers: %s", checkpoint.threshold, checkpoint.model, error)
        return None
