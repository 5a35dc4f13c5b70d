"""Feeding a file of tweet events, one JSON a line, into the tweets topic, as it stands: what is broken in it is for
the extract agent to refuse, with its reason, not for the feed to swallow."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from core.errors import UserError
from core.events import HEADERS
from streams.topics import EVENT_BYTES

ACK_S = 60.0
WINDOW = 5000
WINDOW_BYTES = 32_000_000
"""What may be unacknowledged, in events and in bytes: so much of a file is held in memory, however long it is."""


def key_of(line: bytes) -> bytes | None:
    """The tweet's id, so that all events of one tweet share a partition; none for what cannot be read. Never raises."""
    try:
        event = json.loads(line)
        name = event.get("id") if isinstance(event, dict) else None
        return str(name).encode() if isinstance(name, str | int) else None
    except (ValueError, RecursionError):  # also a lone surrogate, a number of ten thousand digits, a tower of brackets
        return None


def feed(
    lines: Iterable[bytes],
    brokers: str,
    topic: str,
    *,
    rate: float | None = None,
    on_fed: Callable[[int], None] = lambda _: None,
) -> int:
    """Send every non-blank line; returns how many. `rate`: events a second at most. Returns when the broker has all.

    Raises `UserError` when the broker is away or refuses a record; it names the line, counted from 1, blank ones too.
    """
    try:
        producer = KafkaProducer(
            bootstrap_servers=brokers.split(","), acks="all", linger_ms=5, max_request_size=EVENT_BYTES
        )
    except KafkaError as error:
        raise UserError(f"no Kafka broker answers at {brokers} ({error}): is it up, is MNER_KAFKA right?") from None
    started = time.monotonic()
    sent, awaited = 0, _Awaited(topic)
    try:
        for number, line in enumerate(lines, start=1):
            value = line.rstrip(b"\r\n")
            if not value.strip():
                continue
            if rate is not None:
                time.sleep(max(0.0, started + sent / rate - time.monotonic()))
            try:
                future = producer.send(topic, value=value, key=key_of(value), headers=HEADERS)
            except KafkaError as error:
                awaited.settle(0, 0)  # it may be an earlier line that the producer failed on
                raise _refused(topic, number, len(value), error) from None
            awaited.add(number, len(value), future)
            sent += 1
            on_fed(sent)
        awaited.settle(0, 0)
    finally:
        producer.close(timeout=5)
    return sent


class _Awaited:
    """Acknowledgements to come, in the order of the lines, within the window."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._open: deque[tuple[int, int, Any]] = deque()
        self._bytes = 0

    def add(self, number: int, size: int, future: Any) -> None:
        self._open.append((number, size, future))
        self._bytes += size
        self.settle(WINDOW, WINDOW_BYTES)

    def settle(self, events: int, most_bytes: int) -> None:
        """Look at those that came; wait until no more than this is open. Raises `UserError` of the first refused."""
        while self._open and (len(self._open) > events or self._bytes > most_bytes or self._open[0][-1].is_done):
            number, size, future = self._open.popleft()
            self._bytes -= size
            try:
                future.get(timeout=ACK_S)
            except KafkaError as error:
                raise _refused(self._topic, number, size, error) from None


def _refused(topic: str, number: int, size: int, error: KafkaError) -> UserError:
    """The lines before `number` are acknowledged."""
    if isinstance(error, MessageSizeTooLargeError):
        return UserError(
            f"line {number} is larger than topic {topic} takes: {size} bytes. No tweet is so large, and the "
            f"lines before it are fed: feed on from line {number + 1}"
        )
    return UserError(f"Kafka did not take line {number} for topic {topic}: {error!r}; the lines before it are fed")
