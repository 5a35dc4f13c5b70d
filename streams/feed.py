"""Feeds a file of events, one JSON object on each line, into the tweets topic.

The lines are sent unchanged. A broken one becomes a dead letter of the extract agent, with its reason.
"""

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
"""Largest number of unacknowledged events, and of their bytes. This bounds the memory, however long the file is."""


def key_of(line: bytes) -> bytes | None:
    """Returns the post's id, so that all events of a post share a partition. Returns None for a broken line.

    Never raises.
    """
    try:
        event = json.loads(line)
        name = event.get("id") if isinstance(event, dict) else None
        return str(name).encode() if isinstance(name, str | int) else None
    except (ValueError, RecursionError):  # broken JSON, lone surrogates, very long numbers, deep nesting
        return None


def feed(
    lines: Iterable[bytes],
    brokers: str,
    topic: str,
    *,
    rate: float | None = None,
    on_fed: Callable[[int], None] = lambda _: None,
) -> int:
    """Sends every line that is not blank. Returns their number when the broker has them all.

    `rate`: largest number of events per second. `on_fed` is called with the number of lines sent so far.
    Raises `UserError` when the broker is away or refuses a record. The error names the line's number in the file.
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
                awaited.settle(0, 0)  # the producer may have failed on an earlier line
                raise _refused(topic, number, len(value), error) from None
            awaited.add(number, len(value), future)
            sent += 1
            on_fed(sent)
        awaited.settle(0, 0)
    finally:
        producer.close(timeout=5)
    return sent


class _Awaited:
    """Pending acknowledgements in the order of the lines. `WINDOW` and `WINDOW_BYTES` limit them."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._open: deque[tuple[int, int, Any]] = deque()
        self._bytes = 0

    def add(self, number: int, size: int, future: Any) -> None:
        self._open.append((number, size, future))
        self._bytes += size
        self.settle(WINDOW, WINDOW_BYTES)

    def settle(self, events: int, most_bytes: int) -> None:
        """Waits until at most `events` events and `most_bytes` bytes are pending.

        Raises `UserError` for the first refused line.
        """
        while self._open and (len(self._open) > events or self._bytes > most_bytes or self._open[0][-1].is_done):
            number, size, future = self._open.popleft()
            self._bytes -= size
            try:
                future.get(timeout=ACK_S)
            except KafkaError as error:
                raise _refused(self._topic, number, size, error) from None


def _refused(topic: str, number: int, size: int, error: KafkaError) -> UserError:
    """Returns the error for line `number`. The lines before it are acknowledged."""
    if isinstance(error, MessageSizeTooLargeError):
        return UserError(
            f"line {number} has {size} bytes, more than topic {topic} allows. The lines before it are fed: "
            f"continue with line {number + 1}"
        )
    return UserError(f"Kafka did not accept line {number} for topic {topic}: {error!r}; the lines before it are fed")
