"""Tells at most once in ten minutes that a topic is gone. aiokafka tells it as an error, several times at each look."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

SAYS = "Topic %s not found in cluster metadata"
AGAIN_S = 600.0
"""Time, in seconds, after which it is told again."""


class Missing(logging.Filter):
    """For the logger of `aiokafka.cluster`."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg != SAYS or not isinstance(record.args, tuple):
            return True
        (topic,) = record.args
        now = time.monotonic()
        if now - self._told.get(topic, -AGAIN_S) >= AGAIN_S:
            self._told[topic] = now
            log.warning("topic %s does not exist; it is read once it is made again", topic)
        return False


MISSING = Missing()


def tell_once() -> None:
    logging.getLogger("aiokafka.cluster").addFilter(MISSING)  # a logger takes a filter once
