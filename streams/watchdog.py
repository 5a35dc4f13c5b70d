"""Ends a worker that stands still, from a thread of its own.

The thread watches two things. The event loop must answer a ping, so a stage that blocks the loop is noticed. Each
pipeline that holds events must make progress. The stacks of all threads go to standard error, and the process ends
with `STUCK`. Kafka then delivers what was not acknowledged to another worker.

Time in which the whole process is paused does not count, for example while its container is frozen. The thread sees a
pause as a check that comes late.

A call that holds Python's global lock for ever, such as a regular expression, stops this thread too. For that case a
timer of `faulthandler`, which needs no lock, dumps the stacks and ends the process with exit code 1. This timer cannot
tell a pause, so it has a margin: a pause of more than `LOCKED_STALLS` times `stall_s` ends the process as well.
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
from pathlib import Path
from typing import Protocol, Self

log = logging.getLogger(__name__)

STUCK = 3
"""Exit code of a worker that stood still."""

LOOKS = 20
"""Number of checks per `stall_s`."""

LOCKED_STALLS = 4
"""Times `stall_s` after which a process is ended in which not even the watchdog runs."""

REPORT_S = 5.0
"""Longest time, in seconds, to report a stall. Then the process ends without the rest of the report."""


class Progress(Protocol):
    """What the watchdog reads of a pipeline, from another thread."""

    name: str

    @property
    def moved_at(self) -> float:
        """Time of the last progress. Each progress changes it."""

    @property
    def open(self) -> int:
        """Events taken and not yet acknowledged."""


def end_process(reason: str, report_s: float = REPORT_S) -> None:
    """Reports the reason and the stacks, and ends the process with `STUCK`.

    A reader of standard error that has stopped reading blocks the report. Then the process ends with exit code 1.
    """
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(report_s, exit=True, file=nowhere)  # needs no lock, unlike a thread
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
        self._look_s = stall_s / LOOKS
        self._end = end
        self._clock = clock
        self._looked_at = clock()
        self._awake_s = 0.0  # time that counts: pauses of the process are left out
        self._pinged_at: float | None = None  # in `_awake_s`; None when the loop has answered
        self._moved = [(pipeline.moved_at, 0.0) for pipeline in pipelines]  # last progress, and its time in `_awake_s`
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._looked_at = self._clock()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def pong(self) -> None:
        """The event loop answers."""
        self._pinged_at = None

    def look(self, ping: Callable[[], object]) -> str | None:
        """Returns why the process must end, or None while it makes progress. Pings a loop that has answered."""
        now = self._clock()
        # a look that comes much too late follows a pause, in which nothing could make progress
        self._awake_s += min(now - self._looked_at, 2 * self._look_s)
        self._looked_at = now
        return self._loop_stall(ping) or (None if self._loop_is_late() else self._pipeline_stall())

    def _loop_is_late(self) -> bool:
        """A loop that does not answer moves no pipeline either. It is the cause, and the reason to give."""
        return self._pinged_at is not None and self._awake_s - self._pinged_at > 2 * self._look_s

    def _loop_stall(self, ping: Callable[[], object]) -> str | None:
        pinged_at = self._pinged_at
        if pinged_at is None:
            self._pinged_at = self._awake_s
            ping()
        elif self._awake_s - pinged_at > self._stall_s:
            return f"the event loop has been blocked for {self._awake_s - pinged_at:.0f} s"
        return None

    def _pipeline_stall(self) -> str | None:
        for place, pipeline in enumerate(self._pipelines):
            moved_at, since = self._moved[place]
            if not pipeline.open or pipeline.moved_at != moved_at:
                self._moved[place] = pipeline.moved_at, self._awake_s
            elif self._awake_s - since > self._stall_s:
                still_s = self._awake_s - since
                return f"{pipeline.name}: {pipeline.open} events in flight and none done for {still_s:.0f} s"
        return None

    def _watch(self) -> None:
        try:
            while not self._stopped.wait(self._look_s):
                if reason := self.look(lambda: self._loop.call_soon_threadsafe(self.pong)):
                    self._end(reason)
                    return
                locked_s = LOCKED_STALLS * self._stall_s
                faulthandler.dump_traceback_later(locked_s, exit=True, file=sys.__stderr__ or sys.stderr)
        finally:
            faulthandler.cancel_dump_traceback_later()
