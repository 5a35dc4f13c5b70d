"""Faust's consumer with our own account of what is read, acknowledged and committed.

Faust keeps the membership of the group, rebalances, flow control and the times of commits. Three things are ours,
since Faust 0.15.3 loses records there (docs/delivery.md):

- **Positioning.** After each assignment, every partition is positioned explicitly (`placement`).
- **Reading.** Each fetch must begin where the one before it ended. What was fetched and not handed on, because a
  rebalance came between, is fetched again.
- **Committing.** An offset is committed when all below it is acknowledged (`progress`).

aiokafka runs in a thread with a loop of its own. `Thread` lives there, and `Consumer` in the loop of the worker. A
partition's `Progress` is replaced in that thread, in one step with the seek. A record carries the epoch of the
`Progress` that it was fetched under, so nothing of an older epoch is handed on, acknowledged or committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Any

from faust import Service
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from core.errors import Retry
from streams import metrics
from streams.consumer.logs import Logs
from streams.consumer.progress import Account, Progress
from streams.consumer.thread import Fetched, Thread

log = logging.getLogger(__name__)

LOG_APPEND_TIME = 1
"""A record's type of timestamp when the broker set it."""

POLL_S = 1.0
"""Longest time, in seconds, that one fetch waits for records."""

LOOK_S = 10.0
"""Time, in seconds, between two comparisons with what the brokers have."""

PLACE_S = 20.0
"""Time, in seconds, for positioning within a rebalance. Faust gives up after `broker_request_timeout`."""


class Message(ConsumerMessage):
    """A record on its way to the pipeline. `before` is the offset handed on before it in this epoch."""

    __slots__ = ("before", "epoch")
    epoch: int
    before: int | None


class Consumer(driver.Consumer):
    """Hands records to Faust's streams in order, and commits what is done."""

    logger = driver.logger
    _thread: Thread

    def __init__(self, transport: Transport, *args: Any, **kwargs: Any) -> None:
        self.account = Account(transport.logs, transport.agent)
        self.progress = self.account.progress
        self._astray: dict[TP, tuple[int, bool]] = {}  # to position again: epoch, and whether the log was cut
        self._suspect: dict[TP, int] = {}  # partitions that a comparison found too short, with their epoch
        super().__init__(transport, *args, **kwargs)

    def _new_consumer_thread(self) -> Thread:
        thread = Thread(self, loop=self.loop, beacon=self.beacon)
        thread.account = self.account
        return thread

    async def perform_seek(self) -> None:
        """Faust calls this after each assignment. What takes longer is done before the next fetch."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._place(None), PLACE_S)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for tp in revoked:
            self.progress.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    def misplaced(self, tp: TP, epoch: int) -> None:
        """Positions a partition again before the next fetch, unless that has happened since `epoch`."""
        progress = self.progress.get(tp)
        if progress is not None and progress.epoch == epoch:
            self._astray.setdefault(tp, (epoch, False))

    # Reading

    async def _drain_messages(self, fetcher: Any) -> None:
        """Reads until the consumer or the fetcher stops."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await asyncio.sleep(0)
                fetched = await self._fetch()
                if fetched is not None:
                    await self._hand_on(fetched)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise
        except Exception as error:
            log.exception("reading from Kafka failed: %r", error)
            raise

    async def _fetch(self) -> Fetched | None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        active = self._get_active_partitions()
        if not self.flow_active or not active:
            await self.sleep(POLL_S / 4)
            return None
        await self._place_astray()
        if unplaced := active - self.progress.keys():
            await self._place(unplaced)
        fetched: Fetched = await self._thread.getmany(active, timeout=POLL_S)  # type: ignore[assignment]
        return fetched or None

    async def _hand_on(self, fetched: Fetched) -> None:
        for tp in fetched.lost:
            if tp in self.progress and self.progress[tp].epoch == fetched.epochs.get(tp):
                self._stray(tp, cut=True)
        for tp in fetched.slipped:
            self._slipped(tp)
        for tp, record in self.scheduler.iterate(fetched.records):
            progress = self.progress.get(tp)
            if not self.flow_active:
                break
            if progress is not None and progress.epoch == fetched.epochs.get(tp):
                await self._hand_on_one(tp, record, progress)
        for tp, position in fetched.positions.items():
            progress = self.progress.get(tp)
            if progress is None or progress.epoch != fetched.epochs.get(tp):
                continue
            records = fetched.records.get(tp)
            if records and progress.next <= records[-1].offset:  # the flow was stopped between
                self._stray(tp)
            else:
                progress.read_to(position)

    async def _hand_on_one(self, tp: TP, record: Any, progress: Progress) -> None:
        if self._commit_every is not None and self._n_acked >= self._commit_every:
            self._n_acked = 0
            await self.commit()
        if record.offset < progress.next:
            return
        appended = record.timestamp if record.timestamp_type == LOG_APPEND_TIME else None
        message = self._to_message(tp, record)
        message.epoch, message.before = progress.epoch, progress.hand_on(record.offset, appended)
        await self.wait_first(self.callback(message), self.suspend_flow.wait())
        if not self.flow_active:  # it may have got no further than Faust
            self._stray(tp)

    def _to_message(self, tp: TP, record: Any) -> Message:
        return Message(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp / 1000.0 if record.timestamp is not None else None,  # type: ignore[arg-type]
            record.timestamp_type,
            record.headers,
            record.key,
            record.value,
            record.checksum,
            record.serialized_key_size,
            record.serialized_value_size,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    # Positioning

    def _stray(self, tp: TP, *, cut: bool = False) -> None:
        progress = self.progress.get(tp)
        if progress is not None:
            self._astray[tp] = progress.epoch, cut or self._astray.get(tp) == (progress.epoch, True)

    def _slipped(self, tp: TP) -> None:
        progress = self.progress.get(tp)
        if progress is None:
            return
        metrics.OFFSET_RESETS.labels(self.account.agent, "slipped").inc()
        log.error("%s/%d: records from offset %d on were about to be skipped; they are read again", *tp, progress.done)
        self._stray(tp)

    async def _place_astray(self) -> None:
        astray, self._astray = self._astray, {}
        wanted = {
            tp: cut for tp, (epoch, cut) in astray.items() if tp in self.progress and self.progress[tp].epoch == epoch
        }
        if wanted:
            await self._place(wanted, [tp for tp, cut in wanted.items() if cut])

    async def _place(self, only: Collection[TP] | None, cut: Collection[TP] = ()) -> None:
        placed = await self._thread.call_thread(self._thread.place, only, cut)
        if any(one.unusual for one in placed):
            await self.commit()  # before a restart could take the old offset for a good one

    @Service.task
    async def _compare(self) -> None:
        """Looks regularly whether the topics are still the ones that are being read."""
        while not self.should_stop:
            await self.sleep(LOOK_S)
            if self.flow_active and self.progress:
                try:
                    await self._compare_once(dict(self.progress))
                except Retry as error:
                    log.debug("%s", error)

    async def _compare_once(self, known: Mapping[TP, Progress]) -> None:
        reached = {tp: progress.next for tp, progress in known.items()}
        logs = await asyncio.to_thread(self.account.logs.look, known)
        suspect, self._suspect = self._suspect, {}
        for tp, progress in known.items():
            found, current = logs.get((tp.topic, tp.partition)), self.progress.get(tp)
            if found is None or current is None or current.epoch != progress.epoch:
                continue
            if found.topic_id and progress.topic_id and found.topic_id != progress.topic_id:
                self._stray(tp)
            elif reached[tp] > found.end:
                if suspect.get(tp) == progress.epoch:
                    self._stray(tp, cut=True)
                self._suspect[tp] = progress.epoch

    # Committing

    def ack(self, message: Message) -> bool:  # type: ignore[override]
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        progress = self.progress.get(message.tp)
        if progress is None or progress.epoch != message.epoch or not progress.acknowledge(message.offset):
            return False
        self._n_acked += 1
        if self._waiting_for_ack is not None and not self._waiting_for_ack.done():
            self._waiting_for_ack.set_result(None)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Any:
        return [
            tp
            for tp, progress in list(self.progress.items())
            if progress.due and (topics is None or tp in topics or tp.topic in topics)
        ]

    def _filter_committable_offsets(self, tps: Any) -> dict[TP, int]:
        now = {tp: self.progress[tp] for tp in tps if tp in self.progress}
        self.account.offered = {tp: (progress, progress.done) for tp, progress in now.items()}
        return {tp: offset for tp, (_, offset) in self.account.offered.items()}


class Transport(driver.Transport):
    """Gives an app this consumer. `agent` names it in metrics."""

    Consumer = Consumer

    def __init__(self, *args: Any, logs: Logs, agent: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logs, self.agent = logs, agent
