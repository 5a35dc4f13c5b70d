"""What runs in aiokafka's loop: fetching, positioning and committing.

Nothing here awaits between reading a position and using it, so a seek can't come between.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiokafka
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import ensure_TPset
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from core.errors import Retry
from sinks.answers import kafka
from streams.consumer.placement import Commit, Known, Placed, Read, place
from streams.consumer.progress import Account, Progress
from streams.consumer.report import report
from streams.retry import retry_forever

log = logging.getLogger(__name__)

SERVICES = logging.getLogger("faust.services")
"""Where Faust's classes log that they start and stop, ours among them. Not one of Faust's own loggers: `mode` would
replace it by one with the name of our module, and then each start and stop would fill lines of the worker's log."""

READ_COMMITTED = "read_committed"

EPOCHS = itertools.count(1)
"""Numbers for positionings. They never come twice in a process, so an older one is always smaller."""

AGAIN_S = 1.0
"""Time, in seconds, until the brokers are asked again."""

COMMIT_S = 30.0
"""Longest time, in seconds, for a commit. A commit that comes too late is made again with newer offsets."""


@dataclass(frozen=True)
class Fetched:
    """The answer of one fetch, and each partition's position behind it."""

    records: Mapping[TP, list[Any]] = field(default_factory=dict)
    positions: Mapping[TP, int] = field(default_factory=dict)
    epochs: Mapping[TP, int] = field(default_factory=dict)
    lost: frozenset[TP] = frozenset()
    """Partitions whose position is outside the log."""

    slipped: frozenset[TP] = frozenset()
    """Partitions whose position is not where the fetch before this one ended."""


class Thread(driver.AIOKafkaConsumerThread):
    """The thread of a `Consumer`, which gives it the account."""

    logger = SERVICES
    account: Account

    def __post_init__(self) -> None:
        super().__post_init__()
        self._turn = 0
        self._spoiled: set[TP] = set()
        self._topic_ids: dict[str, str | None] = {}  # of the topics that were read last

    async def on_start(self) -> None:
        """Waits while the brokers are away. Faust would crash."""
        self.time_started = time.monotonic()
        await retry_forever(self._connect, what=f"{self.account.agent}: waiting for Kafka")

    async def _connect(self) -> None:
        self._consumer = self._create_consumer(loop=self.thread_loop)
        try:
            await self._consumer.start()
        except KafkaError as error:
            await self._consumer.stop()
            raise kafka.answer(error, "Kafka").error() from None

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Logs one line. Faust would print a traceback past the log."""
        log.error(msg.format(*fmt))

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = READ_COMMITTED  # Faust sets it in its transactions only
        return consumer

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Does nothing: Faust would log errors about slow agents whenever a server is unreachable."""

    async def _fetch_records(  # type: ignore[override]
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109
        max_records: int | None = None,
    ) -> Fetched:
        self._turn += 1
        turn = self._turn
        self._spoiled.clear()
        if slipped := self._slipped(consumer):
            return Fetched(slipped=slipped)
        try:
            records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        except OffsetOutOfRangeError as error:
            return Fetched(lost=frozenset(ensure_TPset(error.args[0])), epochs=self._epochs())
        except NoOffsetForPartitionError:
            await asyncio.sleep(0.05)  # it is being positioned
            return Fetched()
        if turn != self._turn:  # Faust has given this fetch up, and another one runs
            self._spoiled.update(ensure_TPset(records))
            return Fetched()
        if self._spoiled:
            return Fetched(slipped=frozenset({*self._spoiled, *ensure_TPset(records)}))
        return Fetched(records, self._positions(consumer), self._epochs())

    def _epochs(self) -> dict[TP, int]:
        return {tp: progress.epoch for tp, progress in list(self.account.progress.items())}

    def _slipped(self, consumer: aiokafka.AIOKafkaConsumer) -> frozenset[TP]:
        progress = self.account.progress
        positions = self._positions(consumer)
        return frozenset(tp for tp, now in positions.items() if tp in progress and progress[tp].next != now)

    def _positions(self, consumer: aiokafka.AIOKafkaConsumer) -> dict[TP, int]:
        assignment = _assignment(consumer)
        if assignment is None or not assignment.active:
            return {}
        states = {tp: assignment.state_value(tp) for tp in assignment.tps}
        return {TP(*tp): state.position for tp, state in states.items() if state.has_valid_position}

    async def place(self, only: Collection[TP] | None, cut: Collection[TP]) -> list[Placed]:
        """Positions all assigned partitions, or `only` those. Returns where each is read from.

        A partition in `cut` was seen to be perhaps another log than before.
        """
        consumer = self._ensure_consumer()
        assignment = _assignment(consumer)
        wanted = [tp for tp in assignment.tps if only is None or tp in only] if assignment else []
        decided: dict[TopicPartition, Placed] = {}
        while assignment and wanted and assignment.active:
            try:
                decided = await self._decide(consumer, wanted, cut)
                if any(one.unusual for one in decided.values()):  # a new leader may be about to catch up
                    await asyncio.sleep(AGAIN_S)
                    decided = await self._decide(consumer, wanted, cut)
                break
            except Retry as error:
                log.info("%s; asked again in %.0f s", error, AGAIN_S)
                await asyncio.sleep(AGAIN_S)
        if not assignment or not assignment.active:
            return []  # another rebalance has come
        for tp, one in decided.items():
            consumer._fetcher.seek_to(tp, one.place.offset)
            self._topic_ids[tp.topic] = one.log.topic_id
            committed = one.commit.offset if one.commit else None
            self.account.progress[TP(*tp)] = Progress(
                next(EPOCHS), one.place.offset, committed, one.log.topic_id, one.known, reset=one.outdated
            )
        report([one for one in decided.values() if one.unusual], self.account.agent)
        return list(decided.values())

    async def _decide(
        self, consumer: aiokafka.AIOKafkaConsumer, wanted: list[TopicPartition], cut: Collection[TP]
    ) -> dict[TopicPartition, Placed]:
        """First what was committed, then what the logs hold: so no log seems shorter than it was at the commit."""
        found = await consumer._coordinator.fetch_committed_offsets(wanted)
        commits = {tp: Commit(commit.offset, commit.metadata or "") for tp, commit in found.items()}
        seen = {tp: self.account.progress[TP(*tp)].seen for tp in cut if TP(*tp) in self.account.progress}
        known = {tp: seen[tp].known if tp in seen else self._known(tp, commits.get(tp)) for tp in wanted}
        logs = await asyncio.to_thread(self.account.logs.look, known)
        decided = {}
        for tp in wanted:
            if tp in logs:  # a topic that is gone is revoked soon
                where = place(
                    commits.get(tp),
                    logs[tp],
                    read=known[tp].read,
                    cut=tp in cut,
                    reached=seen[tp].next if tp in seen else None,
                    topic_id=self._topic_ids.get(tp.topic),
                )
                read = None if where.reason == "recreated" else known[tp].read
                below = read and Read(read.time, min(read.offset, where.offset - 1))
                now_known = Known(below, logs[tp].epoch)
                decided[tp] = Placed(tp.topic, tp.partition, where, commits.get(tp), logs[tp], now_known)
        return decided

    def _known(self, tp: TopicPartition, commit: Commit | None) -> Known:
        """What was known before this positioning: this worker has perhaps read more than it has committed."""
        progress = self.account.progress.get(TP(*tp))
        committed = commit.known if commit else Known()
        return committed if progress is None else Known(progress.read, committed.epoch)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commits what is still of the current epoch. Returns False when the group has moved on meanwhile."""
        consumer, offered = self._ensure_consumer(), self.account.offered
        due = {tp: offered[tp] for tp in offsets if tp in offered and self.account.progress.get(tp) is offered[tp][0]}
        notes = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, progress.note)
            for tp, (progress, offset) in due.items()
        }
        if not notes:
            return False
        try:
            await asyncio.wait_for(consumer.commit(notes), COMMIT_S)
        except (CommitFailedError, IllegalStateError, TimeoutError) as error:
            log.info("not committed, and tried again if the partitions are still ours: %r", error)
            return False
        except Exception as error:
            log.exception("the commit failed: %r", error)
            await self.crash(error)
            return False
        for progress, offset in due.values():
            progress.committed, progress.reset = offset, False
        return True


def _assignment(consumer: aiokafka.AIOKafkaConsumer) -> Any:
    """Returns aiokafka's assignment of the consumer, or None before the first one."""
    subscription = consumer._subscription.subscription
    return subscription.assignment if subscription else None
