"""Ends a worker that holds events and makes no progress. The watchdog runs in its own thread.

The thread watches two things. The event loop must answer a ping, so a stage that blocks the loop is noticed. Each
pipeline that holds events must make progress. Otherwise the stacks of all threads go to standard error and
the process ends with exit code `STUCK`. Kafka then delivers the unacknowledged events to another worker.

Time in which the whole process is paused does not count, for example while its container is frozen. The thread
recognises a pause because its next check comes late.

A call that never releases Python's global interpreter lock, such as a slow regular expression, stops this thread too.
For that case a timer of `faulthandler`, which needs no lock, dumps the stacks and ends the process with exit code 1.
This timer cannot recognise a pause, so its limit is longer. A pause of more than `LOCKED_STALLS` times `stall_s` ends
the process as well.
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
"""Exit code of a worker that held events and made no progress, or whose event loop was blocked."""

LOOKS = 20
"""Number of checks per `stall_s`."""

LOCKED_STALLS = 4
"""If not even the watchdog can run, the process ends after this many times `stall_s`."""

REPORT_S = 5.0
"""Longest time, in seconds, to report a stall. Then the process ends without the rest of the report."""

_NOWHERE = os.open(os.devnull, os.O_WRONLY)  # now: a process that stalls may have no file descriptor left
"""Where the timer of `end_process` dumps the stacks, which it reports itself."""

_timer = threading.Lock()
"""Held while the timer of `faulthandler` changes. The process has only one."""

_ending = threading.Event()
"""Set once `end_process` has the timer. Nothing may set it again or stop it then."""


class Progress(Protocol):
    """The attributes of a pipeline that the watchdog reads, from another thread."""

    name: str

    @property
    def moved_at(self) -> float:
        """Time of the last progress, in monotonic seconds. It changes each time the pipeline makes progress."""

    @property
    def open(self) -> int:
        """Events taken and not yet acknowledged."""


def end_process(reason: str, report_s: float = REPORT_S) -> None:
    """Reports the reason and the stacks, and ends the process with `STUCK`.

    The report blocks if the reader of standard error has stopped reading. The process then ends after `report_s`
    seconds, with exit code 1. If several threads call this, the first call's time counts.
    """
    try:
        with _timer:
            if not _ending.is_set():
                _ending.set()
                faulthandler.dump_traceback_later(report_s, exit=True, file=_NOWHERE)  # needs no lock, unlike a thread
        log.error("%s", reason)
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    finally:
        os._exit(STUCK)


class Watchdog:
    """A context manager. Enter it in the event loop that it is to watch.

    `stall_s`: longest time, in seconds, without progress. After that, `end` is called once, in the watchdog's thread,
    with the reason.
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
        self._awake_s = 0.0  # seconds that count: pauses of the process are left out
        self._pinged_at: float | None = None  # value of `_awake_s` at the ping; None once the loop has answered
        self._moved = [(pipeline.moved_at, 0.0) for pipeline in pipelines]  # last `moved_at`, and `_awake_s` then
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
        """Notes that the event loop has answered."""
        self._pinged_at = None

    def look(self, ping: Callable[[], object]) -> str | None:
        """Returns the reason to end the process, or None while it makes progress. Pings a loop that has answered."""
        now = self._clock()
        # a check that comes much too late follows a pause, which must not count as a stall
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
        """Checks until the watchdog is left. If a check or the end fails, the timer stays and ends the process."""
        while not self._stopped.wait(self._look_s):
            if reason := self.look(lambda: self._loop.call_soon_threadsafe(self.pong)):
                self._end(reason)
                break
            with _timer:
                if not _ending.is_set():
                    locked_s = LOCKED_STALLS * self._stall_s
                    faulthandler.dump_traceback_later(locked_s, exit=True, file=sys.__stderr__ or sys.stderr)
        with _timer:
            if not _ending.is_set():
                faulthandler.cancel_dump_traceback_later()
