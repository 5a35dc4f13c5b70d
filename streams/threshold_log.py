"""The topic `thresholds`: people's answers about drawn mentions, in one order, and the thresholds computed from them.

Every process reads the whole topic, and `streams.thresholds` turns the answers into thresholds. So all have the same
ones, and none has to lead. A record holds no text, name or id of a post. Its key is never used again, so compaction
removes nothing, and the order stays.

An answer counts from `DELAY_S` after the broker stored it. An extraction is routed by what counted when the broker
stored the extraction. So the routing depends on what two topics hold, not on when a worker reads them, and a replay of
`extractions` routes as before. A process that has not read the topic to its end in the last `FRESH_S` does not route.
The delay leaves time for brokers whose clocks differ, and for replicas: Kafka shows a record only when all in-sync
replicas have it (`replica.lag.time.max.ms`, 30 s by default).
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import uuid4

from kafka.errors import KafkaError
from pydantic import Field, TypeAdapter

from core.errors import Retry, UserError
from core.events import Decision, Extraction, Score
from sinks.connect.kafka import Brokers
from sinks.table import Table
from streams import metrics
from streams.thresholds import Answer, Control, Thresholds

DELAY_S = 60.0
"""Seconds from the moment when the broker stores an answer until it counts."""

FRESH_S = 15.0
"""Longest time, in seconds, since the topic was read to its end."""

CHECK_S = 2.0
"""Seconds between two looks for the end of the topic."""

END_MS = 800
"""Longest time, in milliseconds, that a broker may take to tell the end. It is shorter than `sinks.table.CLOSE_S`."""

RULE = 1
"""Number of the rule by which answers move the thresholds (`streams.thresholds`). Another rule needs another number."""

MOST_CALIBRATED = 16
"""Checkpoints whose thresholds are kept in memory, those used last. Others are computed again when they are needed."""

log = logging.getLogger(__name__)


class DrawnAnswer(Answer):
    """A record of the topic."""

    model: str
    model_version: int = Field(ge=0, lt=2**40)
    start: Score  # the checkpoint's threshold
    rule: int = Field(default=RULE, ge=1, le=RULE)


class Placed(NamedTuple):
    """An answer and the moment from which it counts, in Unix seconds."""

    answer: DrawnAnswer
    moment: float


class Calibrated(NamedTuple):
    """A checkpoint, its threshold, where the thresholds begin, and the precision that it promises. Each runtime has its
    own threshold."""

    model: str
    model_version: int
    threshold: float
    promised: float


def calibrated(extraction: Extraction) -> Calibrated | None:
    """Returns what the threshold of an extraction follows. None if the threshold is fixed."""
    if extraction.promised is None:
        return None
    return Calibrated(extraction.model, extraction.model_version, extraction.threshold, extraction.promised)


def answers(decision: Decision) -> list[DrawnAnswer]:
    """Returns the answers of a decision about drawn mentions, by whoever looked at them.

    Mentions below the threshold are drawn as well, although people are asked about all of them. Otherwise nothing
    would lower the threshold once everything goes to people. One without a verdict in a settled task is wrong: an
    accepted mention overlaps it.
    """
    task = decision.task
    if task.checkpoint_threshold is None or decision.kind not in {"settle", "answer"} or decision.copy_of is not None:
        return []
    found = []
    for question in task.questions:
        verdict = next((one for one in decision.verdicts if one.answers(question)), None)
        if question.is_candidate or not question.is_drawn or (verdict is None and decision.kind == "answer"):
            continue
        asked = question.mention
        found.append(
            DrawnAnswer(
                id=sha256(f"{task.id} {asked.start} {asked.end} {asked.type}".encode()).hexdigest()[:32],
                source=task.tweet.source,
                probability=asked.probability,
                threshold=task.threshold,
                is_right=verdict is not None and verdict.action == "accept",
                model=task.model,
                model_version=task.model_version,
                start=task.checkpoint_threshold,
            )
        )
    return found


class AnswerTable(Table[DrawnAnswer]):
    """The records of the topic. Use `entries`: of two answers with one id, the first counts."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        super().__init__(brokers, topic, TypeAdapter(DrawnAnswer), partition=0)
        self._contents = self._into = _Contents()  # another one is filled while the topic is read anew
        self._read_at = self._looked_at = -math.inf

    @property
    def entries(self) -> Sequence[Placed]:
        """All answers, in the order in which the broker stored them. The list grows; a topic read anew has another."""
        return self._contents.placed

    def has(self, id_: str) -> bool:
        """Whether the topic has an answer with this id, as far as it was read."""
        return id_ in self._contents.ids

    def check(self) -> None:
        """Raises `Retry` while answers may be missing that count already."""
        if rule := self._contents.later_rule:
            later = f"answers of rule {rule}, which a later version wrote; update this program"
            raise Retry(f"the topic of the thresholds holds {later}")
        if (age := _now() - self._read_at) > FRESH_S:
            when = f"was last read to its end {age:.0f} s ago" if math.isfinite(age) else "is not read yet"
            raise Retry(f"the topic of the thresholds {when}")

    def _read_whole(self, consumer: Any) -> None:
        if len(consumer.assignment()) != 1:
            raise UserError(f"the topic {self._topic!r} must have one partition, which gives its records one order")
        started = _now()
        self._into = _Contents()
        super()._read_whole(consumer)
        self._contents = self._into
        self._read_at = self._looked_at = started

    def _take(self, consumer: Any) -> None:
        super()._take(consumer)
        if (started := _now()) - self._looked_at < CHECK_S:
            return
        try:
            ((place, end),) = consumer.end_offsets(consumer.assignment(), timeout_ms=END_MS).items()
        except KafkaError:
            return  # `check` raises if this lasts
        position = consumer.position(place)
        if position > end:
            raise Retry(f"the topic {self._topic!r} was made anew")
        if position == end:
            self._read_at = self._looked_at = started

    def _apply_one(self, key: str, record: Any, values: dict[str, DrawnAnswer]) -> None:
        super()._apply_one(key, record, values)
        answer, into = values.pop(key, None), self._into  # `entries` holds it
        if answer is None:
            into.later_rule = max(into.later_rule, _later_rule(record.value))
        elif answer.id not in into.ids:
            into.ids.add(answer.id)
            into.placed.append(Placed(answer, record.timestamp / 1000 + DELAY_S))


@dataclass
class _Contents:
    """What was read of the topic."""

    placed: list[Placed] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    later_rule: int = 0  # 0: none


class ThresholdLog:
    """The thresholds of all checkpoints, moment by moment. `start` its table before use."""

    def __init__(self, table: AnswerTable) -> None:
        self.table = table
        self._histories: OrderedDict[Calibrated, _History] = OrderedDict()
        self._shown: set[str] = set()  # sources whose threshold the metric shows
        self._reading = asyncio.Lock()

    async def follow(self, extractions: Iterable[Extraction]) -> None:
        """Prepares the thresholds of these extractions. Raises `Retry` while answers may be missing that count."""
        followed = set(filter(None, map(calibrated, extractions)))
        if not followed:
            return
        self.table.check()
        for each in sorted(followed):
            await self._read(each)
        while len(self._histories) > max(MOST_CALIBRATED, len(followed)):
            self._histories.popitem(last=False)
        latest = max(followed, key=lambda each: each.model_version)
        in_force = self._histories[latest].in_force(time.time())
        for source in self._shown - in_force.keys():
            metrics.THRESHOLD.remove(source)
        for source, threshold in in_force.items():
            metrics.THRESHOLD.labels(source).set(threshold)
        self._shown = set(in_force)

    def threshold(self, extraction: Extraction, moment: float) -> float:
        """Returns the threshold for an extraction that the broker stored at this moment, in Unix seconds.

        `follow` must have prepared it.
        """
        key = calibrated(extraction)
        return extraction.threshold if key is None else self._histories[key].at(extraction.tweet.source, moment)

    async def now(self, of: Calibrated) -> Thresholds | None:
        """Returns the latest thresholds, with what answers say of the precision. None if they do not move."""
        return (await self._read(of)).state

    async def store(self, decision: Decision) -> None:
        """Stores the answers of a decision that the topic does not have. Raises `Retry` as `Table.put` does."""
        for answer in answers(decision):
            if not self.table.has(answer.id):
                await self.table.put(f"{answer.id}/{uuid4().hex}", answer)

    async def _read(self, of: Calibrated) -> _History:
        """Returns the history, with all answers read so far. It is computed beside the event loop."""
        return await asyncio.shield(asyncio.create_task(self._read_alone(of)))  # its thread goes on in any case

    async def _read_alone(self, of: Calibrated) -> _History:
        async with self._reading:
            entries = self.table.entries
            for name in [name for name, each in self._histories.items() if each.entries is not entries]:
                del self._histories[name]  # the topic was read anew
            history = self._histories.setdefault(of, _History(of, entries))
            self._histories.move_to_end(of)
            if history.is_behind:
                await asyncio.to_thread(history.read)
            return history


class _History:
    """The thresholds of one checkpoint: each with the moment from which it is in force."""

    def __init__(self, of: Calibrated, entries: Sequence[Placed]) -> None:
        self._of = of
        self.entries = entries
        self.state = _begin(of)
        self._read = 0  # entries
        self._shared = _Steps()
        self._own: dict[str, _Steps] = {}

    @property
    def is_behind(self) -> bool:
        return self._read < len(self.entries) and self.state is not None

    def read(self) -> None:
        """Applies the entries that were not read before."""
        end = len(self.entries)
        for answer, moment in self.entries[self._read : end]:
            if self.state is None or (answer.model, answer.model_version, answer.start) != self._of[:3]:
                continue
            self.state = self.state.after(answer)
            self._shared.add(moment, self.state.threshold())
            if (source := answer.source) is not None and self.state.is_apart(source):
                self._own.setdefault(source, _Steps()).add(moment, self.state.threshold(source))
        self._read = end

    def in_force(self, moment: float) -> dict[str, float]:
        """Returns the thresholds at a moment of the sources that have their own. The empty name has the shared one."""
        return {"": self.at("", moment)} | {source: self.at(source, moment) for source in self._own}

    def at(self, source: str, moment: float) -> float:
        """Returns the threshold of a source at a moment."""
        own = self._own[source].last(moment) if source in self._own else None
        shared = self._shared.last(moment) if own is None else own
        return self._of.threshold if shared is None else shared


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


def _begin(of: Calibrated) -> Thresholds | None:
    """Returns the state before any answer. None where the rule does not fit, so that the threshold stays as it is."""
    try:
        return Thresholds.begin(of.threshold, Control(promised=of.promised))
    except ValueError as error:
        log.warning("the threshold %g of %s does not follow answers: %s", of.threshold, of.model, error)
        return None


def _later_rule(value: bytes | None) -> int:
    """Returns the number of a later rule that a record names, and 0 if it names none."""
    try:
        rule = json.loads(value or b"").get("rule", 0)
    except (ValueError, AttributeError):
        return 0  # of another program
    return rule if isinstance(rule, int) and rule > RULE else 0


def _now() -> float:
    """Returns seconds that go on while the machine sleeps, where the system counts these."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
