"""Limits what is logged while a server is away: aiokafka alone logs hundreds of lines a second then."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress

LIBRARIES = ("aiokafka", "kafka", "faust", "mode", "asyncio", "elastic_transport")
"""Top loggers of the libraries."""

WARNINGS_ONLY = ("aiokafka", "faust", "mode", "elastic_transport")
"""Those whose lower levels are never logged."""

REPEATS = "streams.retry"
"""The logger of the repeated calls. All calls in flight fail together, and each says so."""

EVERY_S = 60.0
"""Time, in seconds, after which a message of the same kind is logged again."""

MOST_KINDS = 1000
"""Largest number of kinds that are remembered."""

VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")
"""Parts of a message that differ between messages of the same kind."""


class OneAMinute(logging.Filter):
    """For a handler. Passes the first message of a kind, and then one a minute, with the number of those left out.

    Messages are of one kind if they come from the same logger, and their text differs at most in numbers. For
    `LIBRARIES`, this is the text before the arguments; for `REPEATS`, the text with them. Other loggers are not
    limited. Tracebacks become one line, except at the level DEBUG.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  # kind -> time of the last message, number left out
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != REPEATS and record.name.split(".", 1)[0] not in LIBRARIES:
            return True
        with suppress(
            Exception
        ):  # a message that cannot be written: the handler reports it, and nobody may stop for it
            return self._limited(record)
        return True

    def _limited(self, record: logging.LogRecord) -> bool:
        text = record.getMessage() if record.name == REPEATS else str(record.msg)
        kind = record.name, VARYING.sub("#", text)
        now = self._clock()
        with self._lock:
            last, left_out = self._kinds.get(kind, (None, 0))
            if last is not None and now - last < EVERY_S:
                self._kinds[kind] = last, left_out + 1
                return False
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds[kind] = now, 0
        _shorten(record, left_out)
        return True


def _shorten(record: logging.LogRecord, left_out: int) -> None:
    text = " ".join(record.getMessage().split())
    if record.exc_info and not logging.getLogger().isEnabledFor(logging.DEBUG):
        text += f": {record.exc_info[1]!r}"
        record.exc_info = record.exc_text = record.stack_info = None
    if left_out:
        text += f" ({left_out} more like this since the last one)"
    record.msg, record.args = text, None


def install() -> None:
    """Limits what the handlers of the root logger write."""
    for library in WARNINGS_ONLY:
        logging.getLogger(library).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OneAMinute())
