"""Runs stages side by side over bounded queues.

Every item passes the stages or becomes a dead letter. Then it is acknowledged.

    submit ─► queue ─► stage ─► queue ─► stage ─► ... ─► acknowledge in order
                          └── failed ─► dead letter ─────────┘

`submit` waits while `in_flight` items are open, so backpressure reaches Kafka. An item is acknowledged after its last
stage has returned or the broker has its dead letter. `Stop`, or a fault of the pipeline itself, halts the pipeline.
It then acknowledges nothing more and sets `halted`, and the worker ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol

from core.errors import BatchFailed, Stop
from core.events import DeadLetter
from core.isolate import isolate
from streams import metrics
from streams.pipeline.acknowledge import Acknowledge, InOrder
from streams.pipeline.alert import BadEvents
from streams.pipeline.item import Origin
from streams.pipeline.limits import DeadLetterLimit
from streams.pipeline.stage import BatchStage, I, Stage
from streams.retry import MAX_S, retry_forever

log = logging.getLogger(__name__)
Forward = Callable[[I], Awaitable[None]]


class DeadLetters(Protocol):
    """Sends dead letters. `send` returns when the broker has the letter and raises `Retry` when the broker is away."""

    async def send(self, letter: DeadLetter, key: bytes | None) -> None: ...


class Pipeline(Generic[I]):
    """The stages of one agent. `item` makes an item from a Kafka record."""

    def __init__(
        self,
        name: str,
        stages: Sequence[Stage[I] | BatchStage[I]],
        *,
        item: Callable[[Origin], I],
        dead_letters: DeadLetters,
        limit: DeadLetterLimit,
        in_flight: int,
        retry_max_s: float = MAX_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._stages = stages
        self._item = item
        self._dead_letters = dead_letters
        self._limit = limit
        self._slots = asyncio.Semaphore(in_flight)
        self._retry_max_s = retry_max_s
        self._clock = clock
        self._bad_events = BadEvents(name, clock)
        self._order = InOrder()
        self._queues: list[asyncio.Queue[I]] = [asyncio.Queue(maxsize=in_flight) for _ in stages]
        self._tasks: list[asyncio.Task[None]] = []
        self._empty = asyncio.Event()
        self.halted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.moved_at = clock()
        self.acknowledged = 0
        self.dead = 0

    @property
    def open(self) -> int:
        """Items taken and not yet acknowledged."""
        return self._order.open

    def start(self) -> None:
        metrics.IN_FLIGHT.labels(self.name).set_function(lambda: self.open)
        metrics.OLDEST.labels(self.name).set_function(self._oldest_s)
        for counter in (metrics.ACKNOWLEDGED, metrics.DEAD):  # one that appears later hides its first increase
            counter.labels(self.name)
        for index, stage in enumerate(self._stages):
            stage.alive = self._moved
            inbox = self._queues[index]
            forward = self._queues[index + 1].put if index + 1 < len(self._stages) else self._finish
            if isinstance(stage, BatchStage):
                self._spawn(self._run_batches(stage, inbox, forward))
            else:
                for _ in range(stage.workers):
                    self._spawn(self._run_each(stage, inbox, forward))

    def _oldest_s(self) -> float:
        """Returns the age of the oldest open event, in seconds."""
        oldest = self._order.oldest()
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    async def submit(self, origin: Origin, acknowledge: Acknowledge) -> None:
        """Takes a record; waits while the pipeline is full. Must be called in offset order for each partition."""
        await self._slots.acquire()
        if self._order.open == 0:
            self._moved()
        self._free(self._order.taken(origin, acknowledge))
        await self._queues[0].put(self._item(origin))

    async def drain(self, timeout_s: float) -> bool:
        """Waits until nothing is in flight. Returns False when `timeout_s` ran out or the pipeline halted."""
        if self.open:
            self._empty.clear()
            emptied = asyncio.ensure_future(self._empty.wait())
            awaited: set[asyncio.Future[Any]] = {emptied, self.halted}
            await asyncio.wait(awaited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            emptied.cancel()
        return self.open == 0

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.halted.done() and not self.halted.cancelled():
            self.halted.exception()  # marks it as retrieved, so that asyncio does not log it: the worker reports it

    async def _run_each(self, stage: Stage[I], inbox: asyncio.Queue[I], forward: Forward[I]) -> None:
        while True:
            item = await inbox.get()
            try:
                await self._retry(lambda item=item: stage.process(item), stage.name)  # type: ignore[misc]
            except Stop:
                raise
            except Exception as error:
                log.debug("%s failed for %s", stage.name, item.origin, exc_info=True)
                item.fail(stage.name, error)
            await (self._finish(item) if item.dead or item.void else forward(item))

    async def _run_batches(self, stage: BatchStage[I], inbox: asyncio.Queue[I], forward: Forward[I]) -> None:
        batcher = stage.batcher()
        running: set[asyncio.Task[None]] = set()
        arrival: asyncio.Task[I] | None = None
        try:
            while True:
                if arrival is None and not batcher.full():
                    arrival = asyncio.create_task(inbox.get())
                due = batcher.due(self._clock(), idle=not running)
                if len(running) >= stage.batches:
                    due = None
                awaited: set[asyncio.Task[Any]] = {*running, *([arrival] if arrival else [])}
                await asyncio.wait(awaited, timeout=due, return_when=asyncio.FIRST_COMPLETED)
                if arrival is not None and arrival.done():
                    batcher.add(arrival.result(), self._clock())
                    arrival = None
                    while not inbox.empty() and not batcher.full():
                        batcher.add(inbox.get_nowait(), self._clock())
                for task in [task for task in running if task.done()]:
                    running.discard(task)
                    task.result()
                if len(running) < stage.batches and batcher.due(self._clock(), idle=not running) == 0:
                    running.add(asyncio.create_task(self._run_batch(stage, batcher.take(), forward)))
        finally:
            for left in [*running, *([arrival] if arrival else [])]:
                left.cancel()

    async def _run_batch(self, stage: BatchStage[I], items: list[I], forward: Forward[I]) -> None:
        await self._process_batch(stage, items)
        for item in items:
            await (self._finish(item) if item.dead else forward(item))

    async def _process_batch(self, stage: BatchStage[I], items: list[I]) -> None:
        async def process(batch: Sequence[I]) -> None:
            async def call() -> None:  # an earlier call may have marked some of the items as failed
                if alive := [item for item in batch if item.dead is None]:
                    await stage.process(alive)

            try:
                await self._retry(call, stage.name)
            except Stop:
                raise
            except Exception as error:
                raise BatchFailed(str(error)) from error

        def fail(item: I, failure: BatchFailed) -> bool:
            error = failure.__cause__ or failure
            log.debug("%s failed for %s", stage.name, item.origin, exc_info=error)
            item.fail(stage.name, error)
            return False

        await isolate(items, process, fail)

    async def _finish(self, item: I) -> None:
        if item.dead is not None:
            letter = item.dead
            self._judge(letter, bad=item.bad)
            level = logging.DEBUG if item.bad else logging.INFO  # a wrong file would fill the log
            log.log(level, "dead letter: %s/%d@%d in %s: %s", *_where(letter), letter.stage, letter.reason)
            await self._retry(lambda: self._dead_letters.send(letter, item.origin.key), "dead letters")
            self.dead += 1
            metrics.DEAD.labels(self.name).inc()
        elif not item.void:  # a void item has passed no stage
            self._limit.passed()
            self._bad_events.passed()
        if self.halted.done():
            return  # a halted pipeline acknowledges nothing more
        acknowledged = await self._order.done(item.origin)
        self.acknowledged += acknowledged
        metrics.ACKNOWLEDGED.labels(self.name).inc(acknowledged)
        if acknowledged:
            self._moved()
        self._free(acknowledged)
        if not self.open:
            self._empty.set()

    def _judge(self, letter: DeadLetter, *, bad: bool) -> None:
        """Counts a dead letter. Raises `Stop` when too many events fail through no fault of their own."""
        if bad:
            self._bad_events.add(letter)
        else:
            self._bad_events.passed()
            self._limit.failed(letter.reason)

    def _free(self, slots: int) -> None:
        """Releases the slots of events that were acknowledged, or forgotten after a rebalance.

        So `in_flight` bounds the memory, and the number of events that Kafka delivers again after a crash.
        """
        for _ in range(slots):
            self._slots.release()

    async def _retry(self, call: Callable[[], Awaitable[None]], stage: str) -> None:
        await retry_forever(call, what=f"{self.name}: {stage}", max_s=self._retry_max_s, on_retry=self._moved)

    def _moved(self) -> None:
        self.moved_at = self._clock()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:
                if not isinstance(error, Stop):
                    log.exception("%s: fault of the pipeline itself", self.name)
                if not self.halted.done():
                    self.halted.set_exception(error)

        self._tasks.append(asyncio.create_task(guarded()))


def _where(letter: DeadLetter) -> tuple[str, int, int]:
    return letter.topic, letter.partition, letter.offset
