"""What a stopping worker says about events in flight: the true number, and nothing for none.

The pipelines are real. Their stages and Faust are stubs, so that a test decides when an event is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from core.errors import Stop
from core.events import DeadLetter
from streams.agents.names import AgentName
from streams.pipeline.intake import Intake
from streams.pipeline.item import Item, Origin
from streams.pipeline.limits import DeadLetterLimit
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import Stage
from streams.worker import _Agent, _stop


class Held(Stage[Item[Any]]):
    """Holds every event until it is let go."""

    name = "held"
    workers = 10

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def process(self, item: Item[Any]) -> None:
        await self.go.wait()
        if self.error:
            raise self.error


class NoLetters:
    async def send(self, letter: DeadLetter, key: bytes | None) -> None: ...


@dataclass
class Faust:
    """`stopping` is called when Faust stops."""

    stopping: Callable[[], None] = field(default=lambda: None)

    async def stop(self) -> None:
        self.stopping()
        await asyncio.sleep(0.01)


async def agent(name: AgentName, events: int) -> tuple[Any, Held, Faust]:
    stage, faust = Held(), Faust()
    pipeline: Pipeline[Item[Any]] = Pipeline(
        name,
        [stage],
        item=Item,
        dead_letters=NoLetters(),
        limit=DeadLetterLimit(100, 1.0),
        in_flight=100,
    )
    pipeline.start()

    async def acknowledge() -> None: ...

    for offset in range(events):
        await pipeline.submit(Origin("tweets", 0, offset, b"k", b"{}", 0.0), acknowledge)
    await asyncio.sleep(0)
    return _Agent(name, pipeline, Intake(), faust), stage, faust  # type: ignore[arg-type]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("events", [0, 1, 3])
async def test_the_events_that_are_left_are_counted(caplog: pytest.LogCaptureFixture, events: int) -> None:
    one, _, _ = await agent(AgentName.DELIVER, events)
    await _stop([one], 0.05)
    line = f"deliver: {events} events left in flight; Kafka delivers them again"
    assert said(caplog) == ([line] if events else [])


async def test_what_is_done_while_another_agent_drains_is_not_left(caplog: pytest.LogCaptureFixture) -> None:
    quick, stage, _ = await agent(AgentName.EXTRACT, 3)
    slow, _, _ = await agent(AgentName.DELIVER, 2)
    loop = asyncio.get_running_loop()
    drain = quick.pipeline.drain

    async def late(timeout_s: float) -> bool:
        empty: bool = await drain(0.0)  # its own time runs out first
        loop.call_soon(stage.go.set)
        return empty

    quick.pipeline.drain = late
    await _stop([quick, slow], 0.2)
    assert said(caplog) == ["deliver: 2 events left in flight; Kafka delivers them again"]


async def test_what_is_done_after_the_last_commit_is_left(caplog: pytest.LogCaptureFixture) -> None:
    one, stage, faust = await agent(AgentName.EXTRACT, 3)
    faust.stopping = stage.go.set
    await _stop([one], 0.0)
    await asyncio.sleep(0.05)
    assert said(caplog) == ["extract: 3 events left in flight; Kafka delivers them again"]
    assert one.pipeline.open == 3


async def test_a_halted_pipeline_leaves_what_it_held(caplog: pytest.LogCaptureFixture) -> None:
    one, stage, _ = await agent(AgentName.EXTRACT, 3)
    stage.error = Stop("the server refuses us")
    stage.go.set()
    await asyncio.wait([one.pipeline.halted])
    await _stop([one], 5.0)
    assert said(caplog) == ["extract: 3 events left in flight; Kafka delivers them again"]


async def test_a_pipeline_that_halts_while_it_drains_leaves_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    one, stage, _ = await agent(AgentName.EXTRACT, 3)
    other, other_stage, _ = await agent(AgentName.DELIVER, 2)
    other_stage.go.set()
    stage.error = Stop("the server refuses us")
    asyncio.get_running_loop().call_later(0.05, stage.go.set)
    await _stop([one, other], 5.0)
    assert said(caplog) == ["extract: 3 events left in flight; Kafka delivers them again"]
