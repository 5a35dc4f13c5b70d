"""Runs work once when several callers ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class FlightClosed(Exception):
    """`SingleFlight.close` cancelled the work before it ended."""


@dataclass
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    callers: int = 0


class SingleFlight(Generic[T]):
    """One task per key. All callers of a key get the task's result or its exception.

    A cancelled caller does not disturb the others. When the last caller of a task is cancelled, the task is cancelled
    too, unless `finish_abandoned` is set.
    """

    def __init__(self, *, finish_abandoned: bool = False) -> None:
        self._finish_abandoned = finish_abandoned
        self._flights: dict[str, _Flight[T]] = {}
        self._closed = False

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    async def do(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Returns the result of `work`, which is called only if no task runs for the key.

        Raises what `work` raises, and `FlightClosed` if `close` cancels the task.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(work()))
            flight.task.add_done_callback(lambda task: self._forget(key, task))
        flight.callers += 1
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if self._closed and flight.task.cancelled():
                raise FlightClosed from None
            raise
        finally:
            flight.callers -= 1
            if not flight.callers and not self._finish_abandoned:
                flight.task.cancel()
                self._forget(key, flight.task)  # at once, so that no caller joins a task that is being cancelled

    async def close(self) -> None:
        """Cancels all tasks and waits until they have ended."""
        self._closed = True
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: str, task: asyncio.Task[T]) -> None:
        if key in self._flights and self._flights[key].task is task:
            del self._flights[key]
