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
from streams.consumer.logs import LOG_APPEND_TIME, Logs
from streams.consumer.placement import Known
from streams.consumer.progress import Account, Progress, Seen
from streams.consumer.thread import SERVICES, Fetched, Thread
from streams.consumer.watch import Watch

log = logging.getLogger(__name__)

POLL_S = 1.0
"""Longest time, in seconds, that one fetch waits for records."""

LOOK_S = 10.0
"""Time, in seconds, between two comparisons with what the brokers have."""

PLACE_AGAIN_S = 0.5
"""Time, in seconds, until a partition that could not be positioned is tried again. It doubles up to `LOOK_S`."""

PLACE_S = 20.0
"""Time, in seconds, for positioning within a rebalance. Faust gives up after `broker_request_timeout`."""


class Message(ConsumerMessage):
    """A record on its way to the pipeline. `before` is the offset handed on before it in this epoch."""

    __slots__ = ("before", "epoch")
    epoch: int
    before: int | None


class Consumer(driver.Consumer):
    """Hands records to Faust's streams in order, and commits what is done."""

    logger = SERVICES
    _thread: Thread

    def __init__(self, transport: Transport, *args: Any, **kwargs: Any) -> None:
        self.account = Account(transport.logs, transport.agent)
        self.progress = self.account.progress
        self._astray: dict[TP, tuple[int, bool]] = {}  # to position again: epoch, and whether the log was cut
        self._watch = Watch(transport.agent)
        self._fetches, self._fetches_seen = 0, 0
        self._handing_on = False
        self._place_again_s, self._place_at = PLACE_AGAIN_S, 0.0
        super().__init__(transport, *args, **kwargs)

    def _new_consumer_thread(self) -> Thread:
        thread = Thread(self, loop=self.loop, beacon=self.beacon)
        thread.account = self.account
        return thread

    async def perform_seek(self) -> None:
        """Faust calls this after each assignment. What takes longer is done before the next fetch."""
        self._place_again_s, self._place_at = PLACE_AGAIN_S, 0.0
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._place(None), PLACE_S)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for tp in revoked:
            self.progress.pop(tp, None)
        if not self.progress:
            self._watch.forget_held()
        await super().on_partitions_revoked(revoked)

    def misplaced(self, tp: TP, epoch: int) -> None:
        """Positions a partition again before the next fetch, unless that has happened since `epoch`."""
        progress = self.progress.get(tp)
        if progress is not None and progress.epoch == epoch:
            self._stray(tp)

    # Reading

    async def _drain_messages(self, fetcher: Any) -> None:
        """Reads until the consumer or the fetcher stops."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await asyncio.sleep(0)
                fetched = await self._fetch()
                if fetched is not None:
                    self._handing_on = True
                    try:
                        await self._hand_on(fetched)
                    finally:
                        self._handing_on = False
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
        placed = await self._placed(active)
        if not placed:
            await self.sleep(POLL_S / 4)
            return None
        self._fetches += 1
        fetched: Fetched = await self._thread.getmany(placed, timeout=POLL_S)  # type: ignore[assignment]
        return fetched or None

    async def _placed(self, active: set[TP]) -> set[TP]:
        """Positions what is not positioned yet, and returns what is. A topic that is gone cannot be positioned."""
        now = asyncio.get_running_loop().time()
        if now >= self._place_at and (unplaced := active - self.progress.keys()):
            await self._place(unplaced)
            if unplaced - self.progress.keys():
                self._place_at = now + self._place_again_s
                self._place_again_s = min(2 * self._place_again_s, LOOK_S)
            else:
                self._place_again_s = PLACE_AGAIN_S
        return active & self.progress.keys()

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
        reached = {tp: (progress.next, progress.read) for tp, progress in known.items()}
        logs = await asyncio.to_thread(self.account.logs.look, {tp: each.seen.known for tp, each in known.items()})
        found = {tp: logs[tp] for tp, each in known.items() if tp in logs and self.progress.get(tp) is each}
        for tp, log_ in found.items():
            offset, read = reached[tp]
            match self._watch.changed(tp, known[tp], offset, log_):
                case None:
                    known[tp].seen = Seen(offset, Known(read, log_.epoch))
                case "recreated" | "cut" as change:
                    self._stray(tp, cut=change == "cut")
        now = asyncio.get_running_loop().time()
        full = self._handing_on and self._fetches == self._fetches_seen
        self._fetches_seen = self._fetches
        for tp, log_ in found.items():
            busy = full or (tp in self._buffered_partitions and known[tp].held)
            if self._watch.is_deaf(tp, known[tp].epoch, reached[tp][0], log_, busy=busy, now=now):
                self.resume_partitions({tp})
                self._stray(tp)  # helps if a seek or the end of a pause got lost
        self._watch.tell_held(found, now)

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
