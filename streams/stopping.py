"""Requests to stop a worker. From the first one on, the process ends within a set time, whatever hangs."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Awaitable
from contextlib import suppress
from types import FrameType
from typing import Any

from streams.watchdog import end_process

log = logging.getLogger(__name__)

ONE_S = 0.5
"""Signals that come this soon, in seconds, after the first count as the same: a terminal and a wrapper may both send
one."""

AT_ONCE = "mner: stopped at once, by a second signal; Kafka delivers again what was in flight\n"


class Stopping:
    """SIGTERM, Ctrl-C and, when `owned`, the end of standard input. For the main thread, within its event loop.

    A second signal ends the process at once, with exit code 128 plus the signal's number. `limit_s`: time, in seconds,
    from the first request until a thread ends the process. The loop may hang by then.
    """

    def __init__(self, *, owned: bool, limit_s: float) -> None:
        self.requested = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._limit_s = limit_s
        self._signalled_at: float | None = None
        self._begun = threading.Event()
        threading.Thread(target=self._limit, name="stop-limit", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)  # a handler of the loop would wait while the loop is blocked
        if owned:
            self._loop.add_reader(sys.stdin.fileno(), self._closed)

    def begin(self) -> None:
        """Starts the time limit. A worker that ends by itself calls this too."""
        self._begun.set()

    async def before(self, task: asyncio.Task[Any]) -> bool:
        """Waits until the task is done or a stop is requested. Returns whether the task is done."""
        waiting = asyncio.create_task(self.requested.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return task.done()

    def _signalled(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = now
            self._request()
        elif now - self._signalled_at > ONE_S:
            _say(AT_ONCE)
            os._exit(128 + number)

    def _closed(self) -> None:
        self._loop.remove_reader(sys.stdin.fileno())
        self._request()

    def _request(self) -> None:
        self.begin()
        self._loop.call_soon_threadsafe(self.requested.set)

    def _limit(self) -> None:
        self._begun.wait()
        time.sleep(self._limit_s)
        end_process(f"the worker did not stop within {self._limit_s:.0f} s")


def _say(line: str) -> None:
    """Writes to standard error, unless that would block. The log may be locked, and the reader may have stopped."""
    with suppress(OSError, ValueError):
        place = sys.__stderr__.fileno() if sys.__stderr__ else 2
        if select.select([], [place], [], 0)[1]:  # other processes share the file, so it must stay in blocking mode
            os.write(place, line.encode())


async def within(seconds: float, what: str, *works: Awaitable[object]) -> bool:
    """Waits for all of `works`, for at most this time. Logs what fails, and leaves alone what hangs.

    Returns whether all have ended. `what` continues the sentence "not done within 5 s: ".
    """
    if not works:
        return True
    tasks = [asyncio.ensure_future(work) for work in works]
    done, hanging = await asyncio.wait(tasks, timeout=seconds)
    for task in done:
        if not task.cancelled() and (error := task.exception()):
            log.warning("%s failed: %r", what, error)
    if hanging:
        log.warning("not done within %.0f s, and left: %s", seconds, what)
    return not hanging
