"""Ends tasks of the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""Seconds after which a task that has not ended is cancelled again."""


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until all have ended, with a result, an error, or the cancellation. Errors are logged.

    A library may swallow a cancellation that comes while something else ends, as `asyncio.wait_for` does before Python
    3.12 (https://github.com/python/cpython/issues/86296). Such a task goes on, so it is cancelled again.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        ended, running = await asyncio.wait(running, timeout=AGAIN_S)
        for task in ended:
            if not task.cancelled() and (error := task.exception()):
                log.error("%s ended with an error", task.get_name(), exc_info=error)
