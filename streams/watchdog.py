"""Ends a worker that stands still, from a thread of its own.

The thread watches two things. The event loop must answer a ping, so a stage that blocks the loop is noticed. Each
pipeline that holds events must make progress. The stacks of all threads go to standard error, and the process ends
with `STUCK`. Kafka then delivers what was not acknowledged to another worker.

A call that holds Python's global lock for ever, such as a regular expression, stops this thread too. For that case a
timer of `faulthandler`, which needs no lock, dumps the stacks and ends the process with exit code 1.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, Self

log = logging.getLogger(__name__)

STUCK = 3
"""Exit code of a worker that stood still."""

LOOKS = 20
"""Looks within the time that a worker may stand still."""


class Progress(Protocol):
    """A pipeline, as far as the watchdog reads it. Both values may be read from another thread."""

    name: str

    @property
    def moved_at(self) -> float:
        """Time of the last progress, in seconds of `time.monotonic`."""

    @property
    def open(self) -> int:
        """Events taken and not yet acknowledged."""


def end_process(reason: str) -> None:
    log.error("%s", reason)
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    os._exit(STUCK)


class Watchdog:
    """A context manager that is entered in the event loop to watch.

    `end` is called once, in the thread, with the reason.
    """

    def __init__(
        self,
        pipelines: Sequence[Progress],
        stall_s: float,
        *,
        end: Callable[[str], None] = end_process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipelines = pipelines
        self._stall_s = stall_s
        self._end = end
        self._clock = clock
        self._answered_at = clock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.pong()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def pong(self) -> None:
        """The event loop answers."""
        self._answered_at = self._clock()

    def stall(self) -> str | None:
        """Returns why the process must end, or None while it makes progress."""
        now = self._clock()
        if now - self._answered_at > self._stall_s:
            return f"the event loop has been blocked for {now - self._answered_at:.0f} s"
        for pipeline in self._pipelines:
            still_s = now - pipeline.moved_at
            if pipeline.open and still_s > self._stall_s:
                return f"{pipeline.name}: {pipeline.open} events in flight and none done for {still_s:.0f} s"
        return None

    def _watch(self) -> None:
        try:
            while not self._stopped.wait(self._stall_s / LOOKS):
                if reason := self.stall():
                    self._end(reason)
                    return
                self._loop.call_soon_threadsafe(self.pong)
                faulthandler.dump_traceback_later(2 * self._stall_s, exit=True, file=sys.__stderr__ or sys.stderr)
        finally:
            faulthandler.cancel_dump_traceback_later()
