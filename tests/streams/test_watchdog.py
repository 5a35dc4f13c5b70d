"""The watchdog ends a process whose event loop or pipelines stand still."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from streams.watchdog import Watchdog


@dataclass
class StubPipeline:
    name: str = "extract"
    moved_at: float = 0.0
    open: int = 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("pipeline", "now", "reason"),
    [
        pytest.param(StubPipeline(), 10.0, None, id="still for as long as it may be"),
        pytest.param(StubPipeline(), 10.1, "extract: 1 events in flight and none done for 10 s", id="still for longer"),
        pytest.param(StubPipeline(open=0), 99.0, None, id="nothing in flight"),
        pytest.param(StubPipeline(moved_at=95.0), 99.0, None, id="it moves"),
    ],
)
def test_a_pipeline_that_holds_events_must_move(pipeline: StubPipeline, now: float, reason: str | None) -> None:
    clock = Clock()
    watchdog = Watchdog([pipeline], 10.0, clock=clock)
    clock.now = now
    watchdog.pong()
    assert watchdog.stall() == reason


def test_a_loop_that_does_not_answer_is_blocked() -> None:
    clock = Clock()
    watchdog = Watchdog([], 10.0, clock=clock)
    clock.now = 10.1
    assert watchdog.stall() == "the event loop has been blocked for 10 s"
    watchdog.pong()
    assert watchdog.stall() is None


async def test_a_loop_that_answers_lives_and_one_that_sleeps_ends() -> None:
    reasons: list[str] = []
    with Watchdog([], 0.3, end=reasons.append):
        await asyncio.sleep(1)
        assert reasons == []
        time.sleep(1)  # noqa: ASYNC251 (a stage that blocks the loop is what is tested)
    assert len(reasons) == 1
    assert "the event loop has been blocked" in reasons[0]
