"""Single flight: one task per key, shared by all who ask at the same time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from core.single_flight import FlightClosed, SingleFlight
from tests.waiting import turns


class Work:
    """Work that waits to be released. Counts how often it began, ended and was cancelled."""

    def __init__(self) -> None:
        self.began = self.ended = self.cancelled = 0
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> str:
        self.began += 1
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1
        if self.error is not None:
            raise self.error
        return "result"


async def cancel(task: asyncio.Task[str]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_callers_of_one_key_share_one_task() -> None:
    flights, work = SingleFlight[str](), Work()
    callers = [asyncio.create_task(flights.do("a", work)) for _ in range(3)]
    await turns()
    assert "a" in flights
    work.may_end.set()
    assert await asyncio.gather(*callers) == ["result"] * 3
    assert work.began == 1
    assert "a" not in flights


async def test_an_exception_reaches_every_caller_and_is_not_remembered() -> None:
    flights, work = SingleFlight[str](), Work()
    work.error = ValueError("broken")
    work.may_end.set()
    results = await asyncio.gather(flights.do("a", work), flights.do("a", work), return_exceptions=True)
    assert list(results) == [work.error, work.error]
    work.error = None
    assert await flights.do("a", work) == "result"


async def test_different_keys_have_different_tasks() -> None:
    flights, first, second = SingleFlight[str](), Work(), Work()
    first.may_end.set()
    second.may_end.set()
    await asyncio.gather(flights.do("a", first), flights.do("b", second))
    assert first.began == second.began == 1


async def test_a_cancelled_caller_does_not_disturb_the_others() -> None:
    flights, work = SingleFlight[str](), Work()
    leaves, stays = (asyncio.create_task(flights.do("a", work)) for _ in range(2))
    await turns()
    await cancel(leaves)
    work.may_end.set()
    assert await stays == "result"
    assert work.cancelled == 0


@pytest.mark.parametrize(
    ("finish_abandoned", "ended", "cancelled"),
    [pytest.param(False, 0, 1, id="is cancelled"), pytest.param(True, 1, 0, id="ends if asked to")],
)
async def test_a_task_without_callers(finish_abandoned: bool, ended: int, cancelled: int) -> None:
    flights, work = SingleFlight[str](finish_abandoned=finish_abandoned), Work()
    caller = asyncio.create_task(flights.do("a", work))
    await turns()
    await cancel(caller)
    assert ("a" in flights) is finish_abandoned
    work.may_end.set()
    await turns()
    assert (work.ended, work.cancelled) == (ended, cancelled)
    assert "a" not in flights


async def test_closing_cancels_the_tasks_and_tells_their_callers() -> None:
    flights, work = SingleFlight[str](finish_abandoned=True), Work()
    caller = asyncio.create_task(flights.do("a", work))
    await turns()
    await flights.close()
    with pytest.raises(FlightClosed):
        await caller
    assert work.cancelled == 1
