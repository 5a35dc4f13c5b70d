"""The runner: every item ends in the last stage or in the dead letters, and only then is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.errors import Retry, Stop
from core.events import DeadLetter
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.item import Item, Origin
from streams.pipeline.limits import WINDOW, DeadLetterLimit
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Batcher, BatchStage, Stage
from tests.waiting import turns

Act = Callable[[int], None]


class Pass(Stage[Item[Any]]):
    """Calls `act` with each item's offset."""

    name = "pass"
    workers = 4

    def __init__(self, act: Act = lambda _: None) -> None:
        self.act = act

    async def process(self, item: Item[Any]) -> None:
        await asyncio.sleep(0)
        self.act(item.origin.offset)


class PassBatch(BatchStage[Item[Any]]):
    name = "pass-batch"

    def __init__(self, act: Act = lambda _: None) -> None:
        self.act = act

    def batcher(self) -> Batcher[Item[Any]]:
        return MicroBatcher(max_cost=7, max_items=7, wait_s=0.001, cost=lambda _: 1)

    async def process(self, items: Sequence[Item[Any]]) -> None:
        for item in items:
            self.act(item.origin.offset)


class Letters:
    def __init__(self) -> None:
        self.sent: list[DeadLetter] = []
        self.away = 0

    async def send(self, letter: DeadLetter, key: bytes | None) -> None:
        if self.away:
            self.away -= 1
            raise Retry("broker away")
        self.sent.append(letter)


class Running:
    def __init__(self, pipeline: Pipeline[Item[Any]], letters: Letters) -> None:
        self.pipeline, self.letters = pipeline, letters
        self.acked: list[int] = []

    async def submit(self, count: int, partition: int = 0) -> None:
        for offset in range(count):

            async def acknowledge(offset: int = offset) -> None:
                self.acked.append(offset if partition == 0 else -offset)

            await self.pipeline.submit(Origin("tweets", partition, offset, b"k", b"v", 0.0), acknowledge)


@asynccontextmanager
async def running(
    stages: Sequence[Stage[Item[Any]] | BatchStage[Item[Any]]],
    run: int = 10**6,
    share: float = 1.0,
    in_flight: int = 64,
    clock: Callable[[], float] = lambda: 0.0,
) -> AsyncIterator[Running]:
    letters = Letters()
    pipeline: Pipeline[Item[Any]] = Pipeline(
        "test",
        stages,
        item=Item[Any],
        dead_letters=letters,
        limit=DeadLetterLimit(run, share),
        in_flight=in_flight,
        retry_max_s=0.002,
        clock=clock,
    )
    pipeline.start()
    try:
        yield Running(pipeline, letters)
    finally:
        await pipeline.close()


def poison(*offsets: int, error: Callable[[], Exception] = lambda: RuntimeError("bug")) -> Act:
    def act(offset: int) -> None:
        if offset in offsets:
            raise error()

    return act


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param(lambda act: [Pass(act), PassBatch(), Pass()], id="first stage"),
        pytest.param(lambda act: [Pass(), PassBatch(act), Pass()], id="batch stage"),
        pytest.param(lambda act: [Pass(), PassBatch(), Pass(act)], id="last stage"),
    ],
)
async def test_an_exception_for_one_item_is_its_dead_letter_and_its_neighbours_go_on(stages: Any) -> None:
    reached: list[int] = []
    async with running([*stages(poison(50)), Pass(reached.append)]) as run:
        await run.submit(200)
        assert await run.pipeline.drain(5)
        assert run.acked == list(range(200))
        assert sorted(reached) == [offset for offset in range(200) if offset != 50]
        (letter,) = run.letters.sent
        assert (letter.offset, letter.error, letter.reason, letter.value) == (50, "RuntimeError", "bug", "v")


async def test_a_passing_fault_is_waited_out_and_nothing_dies() -> None:
    faults = {3: 4, 9: 2}

    def act(offset: int) -> None:
        if faults.get(offset):
            faults[offset] -= 1
            raise Retry("away")

    async with running([Pass(act), PassBatch(act)]) as run:
        await run.submit(20)
        assert await run.pipeline.drain(5)
        assert run.acked == list(range(20))
        assert run.letters.sent == []


async def test_a_dead_letter_is_on_the_broker_before_its_event_is_acknowledged() -> None:
    async with running([Pass(poison(0))]) as run:
        run.letters.away = 3
        acked_when_sent: list[list[int]] = []
        send = run.letters.send

        async def spy(letter: DeadLetter, key: bytes | None) -> None:
            acked_when_sent.append(list(run.acked))
            await send(letter, key)

        run.letters.send = spy  # type: ignore[method-assign]
        await run.submit(1)
        assert await run.pipeline.drain(5)
        assert acked_when_sent == [[], [], [], []]
        assert run.acked == [0]


async def test_stop_halts_and_acknowledges_nothing_more_of_any_partition() -> None:
    async with running([Pass(poison(5, error=lambda: Stop("wrong password")))]) as run:
        await run.submit(20)
        assert not await run.pipeline.drain(5)
        assert isinstance(run.pipeline.halted.exception(), Stop)
        assert run.acked == list(range(5))
        await run.submit(4, partition=1)
        await turns()
        assert run.acked == list(range(5))


async def test_one_item_that_hangs_bounds_what_is_taken_after_it_and_stops_the_clock_of_the_watchdog() -> None:
    class Hang(Stage[Item[Any]]):
        name = "hang"
        workers = 4

        async def process(self, item: Item[Any]) -> None:
            if item.origin.offset == 3:
                await asyncio.Event().wait()

    now = 7.0
    async with running([Hang()], in_flight=10, clock=lambda: now) as run:
        assert run.pipeline.moved_at == 7.0
        now = 8.0
        submitting = asyncio.create_task(run.submit(1000))
        await turns()
        assert run.pipeline.open == 10
        assert run.acked == [0, 1, 2]
        assert run.pipeline.moved_at == 8.0
        now = 9.0
        await turns()
        assert run.pipeline.moved_at == 8.0
        submitting.cancel()


async def test_after_a_rebalance_what_was_forgotten_holds_no_slot() -> None:
    gate = asyncio.Event()

    class Hold(Stage[Item[Any]]):
        name = "hold"
        workers = 64

        async def process(self, item: Item[Any]) -> None:
            await gate.wait()

    acked: list[tuple[int, int]] = []

    def acknowledge(generation: int, offset: int) -> Callable[[], Awaitable[None]]:
        async def note() -> None:
            acked.append((generation, offset))

        return note

    async with running([Hold()], in_flight=5) as run:
        for generation in (1, 2):
            for offset in range(4):
                origin = Origin("tweets", 0, offset, b"k", b"v", 0.0, generation)
                submitting = run.pipeline.submit(origin, acknowledge(generation, offset))
                await asyncio.wait_for(submitting, timeout=5)
        gate.set()
        assert await run.pipeline.drain(5)
        await turns()
        gate.clear()
        for offset in range(4, 9):
            origin = Origin("tweets", 0, offset, b"k", b"v", 0.0, 2)
            await asyncio.wait_for(run.pipeline.submit(origin, acknowledge(2, offset)), timeout=5)
        sixth = Origin("tweets", 0, 9, b"k", b"v", 0.0, 2)
        submitting_sixth = asyncio.create_task(run.pipeline.submit(sixth, acknowledge(2, 9)))
        await turns()
        assert not submitting_sixth.done()
        submitting_sixth.cancel()
    assert acked == [(2, offset) for offset in range(4)]


async def test_failures_in_a_row_stop_the_worker_and_the_last_is_not_acknowledged() -> None:
    async with running([Pass(poison(*range(100)))], run=10) as run:
        await run.submit(50)
        await run.pipeline.drain(5)
        assert "10 events in a row failed" in str(run.pipeline.halted.exception())
        assert len(run.letters.sent) < 10
        assert len(run.acked) < 10


def test_a_share_of_failures_stops_only_once_the_window_is_full() -> None:
    limit = DeadLetterLimit(run=10**6, share=0.5)
    for _ in range(WINDOW // 2 - 1):
        limit.failed("bad")
        limit.passed()
    limit.failed("bad")
    with pytest.raises(Stop, match="of the last 500"):
        limit.failed("bad")


async def test_submit_waits_while_the_pipeline_is_full() -> None:
    gate = asyncio.Event()

    class Hold(Stage[Item[Any]]):
        name = "hold"

        async def process(self, item: Item[Any]) -> None:
            await gate.wait()

    async with running([Hold()], in_flight=4) as run:
        submitting = asyncio.create_task(run.submit(9))
        await turns()
        assert run.pipeline.open == 4
        gate.set()
        await submitting
        assert await run.pipeline.drain(5)
        assert run.acked == list(range(9))
