"""Feeds events, each a JSON object, into the tweets topic. `core.files` reads them from files.

The events are sent as they come. A broken one becomes a dead letter of the extract agent, with its reason.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, RecordListTooLargeError, UnknownError

from core.errors import UserError
from core.events import HEADERS
from core.files.posts import reason_of
from core.files.split import Oversized, Record
from core.files.stream import FileBroke
from sinks.answers import kafka as kafka_answers
from sinks.answers.answer import Reaction
from sinks.no_creation import creates_none
from streams.topics import EVENT_BYTES

PATIENCE_S = 60.0
"""Longest time, in seconds, that the brokers may take for one event. Feeding ends after it."""

STOP_S = 5.0
"""Longest time, in seconds, that the last events may take when feeding ends early."""

WINDOW = 5000
WINDOW_BYTES = 32_000_000
"""Largest number of unacknowledged events, and of their bytes. This bounds the memory, however long the file is."""


class FeedEnded(UserError):
    """Feeding ended early. The message says why, how many events are in the topic, and with which line to go on."""

    def __init__(self, reason: str, *, interrupted: bool = False) -> None:
        """`interrupted`: whether the person at the terminal ended it."""
        super().__init__(reason)
        self.interrupted = interrupted


class Feeder(KafkaProducer):  # type: ignore[misc]
    """A producer that can be closed while the brokers do not answer."""

    def flush(self, timeout: float | None = None) -> None:
        """Waits until everything is sent, or for `timeout` seconds. Never raises when that was too short.

        `close` calls this first. An error would leave its thread running, and Python would report it at the end. After
        kafka-python has split a batch, it raises `UnknownError` here, although the parts are still being sent.
        """
        with contextlib.suppress(KafkaTimeoutError, UnknownError):
            super().flush(timeout)


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
    lines: Iterable[Record],
    brokers: str,
    topic: str,
    *,
    rate: float | None = None,
    first: int = 1,
    unit: str = "line",
    on_fed: Callable[[int], None] = lambda _: None,
) -> int:
    """Sends every line that is not blank. Returns their number when the broker has them all.

    `rate`: largest number of events per second. `first`: number of the first line to send, counted from 1. `unit`: what
    the numbers count, a line or a post. `on_fed` is called with the number of lines sent so far. Raises `UserError`
    when no broker answers, or when a line is too long. Raises `FeedEnded` when the brokers fail on the way, when the
    file cannot be read on, or on Ctrl-C. Both errors name the line to go on with.
    """
    try:
        producer = Feeder(
            bootstrap_servers=brokers.split(","),
            acks="all",
            enable_idempotence=False,  # with it, one line that is too large fails every other open line as well
            max_in_flight_requests_per_connection=1,  # keeps the order of the lines when one is sent again
            linger_ms=5,
            max_request_size=EVENT_BYTES,
            max_block_ms=int(PATIENCE_S * 1000),
            request_timeout_ms=int(PATIENCE_S * 500),
            delivery_timeout_ms=int(PATIENCE_S * 1000),
        )
    except KafkaError as error:
        told = kafka_answers.answer(error, f"Kafka at {brokers}", f"topic {topic}")
        if told.reaction is Reaction.STOP:
            raise UserError(told.sentence) from None
        remedy = "is it running? is MNER_KAFKA correct?"
        raise UserError(f"no Kafka broker answers at {brokers} ({error}): {remedy}") from None
    creates_none(producer)
    sending = _Sending(producer, topic, unit)
    try:
        return sending.send(lines, rate, first, on_fed)
    except KeyboardInterrupt:
        producer.close(timeout=STOP_S)
        raise FeedEnded(f"stopped: {sending.summary()}", interrupted=True) from None
    except KafkaError as error:
        producer.close(timeout=STOP_S)
        told = kafka_answers.answer(error, f"Kafka at {brokers}", f"topic {topic}")
        raise FeedEnded(f"{told.sentence}; {sending.summary()}") from None
    except (OSError, FileBroke) as error:
        producer.close(timeout=STOP_S)
        raise FeedEnded(f"cannot read on: {reason_of(error)}; {sending.summary()}") from None
    finally:
        producer.close(timeout=STOP_S)


@dataclass(frozen=True)
class _Open:
    """An event that is sent and not yet acknowledged."""

    number: int  # of its line
    size: int  # in bytes
    future: Any


class _Sending:
    """Sends lines in order, and knows which of them the brokers have."""

    def __init__(self, producer: Any, topic: str, unit: str) -> None:
        self._producer = producer
        self._topic = topic
        self._unit = unit
        self._open: deque[_Open] = deque()
        self._bytes = 0
        self._acknowledged = 0
        self._next = 1  # the first line that the brokers may lack, unless one is open

    def send(self, lines: Iterable[Record], rate: float | None, first: int, on_fed: Callable[[int], None]) -> int:
        started = time.monotonic()
        sent = 0
        for number, line in enumerate(lines, start=1):
            value = b"" if isinstance(line, Oversized) else line.rstrip(b"\r\n")
            if number >= first and isinstance(line, Oversized):
                self._settle(0, 0)
                raise self._too_long(number, line.size)
            if number < first or not value.strip():
                self._next = self._next if self._open else number + 1
                continue
            if rate is not None:
                time.sleep(max(0.0, started + sent / rate - time.monotonic()))
            self._next = self._next if self._open else number
            try:
                future = self._producer.send(self._topic, value=value, key=key_of(value), headers=HEADERS)
            except MessageSizeTooLargeError:
                self._settle(0, 0)  # the producer may have failed on an earlier line
                raise self._too_long(number, len(value)) from None
            self._open.append(_Open(number, len(value), future))
            self._bytes += len(value)
            self._settle(WINDOW, WINDOW_BYTES)
            sent += 1
            on_fed(sent)
        self._settle(0, 0)
        return sent

    def summary(self) -> str:
        """Says how many events are in the topic, and with which line to go on."""
        done = [entry for entry in self._open if entry.future.is_done and entry.future.succeeded()]
        late = [entry for entry in self._open if not (entry.future.is_done and entry.future.succeeded())]
        line = late[0].number if late else max([self._next, *(entry.number + 1 for entry in done)])
        again = sum(entry.number > line for entry in done)
        count = self._acknowledged + len(done)
        said = f"{count} events are in topic {self._topic}; go on with `mner feed --from-line {line}`"
        said += "" if self._unit == "line" else f" ({self._unit} {line})"
        return f"{said}, which sends {again} of them again, without harm" if again else said

    def _settle(self, events: int, most_bytes: int) -> None:
        """Waits until at most `events` events and `most_bytes` bytes are pending.

        Raises `UserError` for a line that is too long, and the error of Kafka for any other refused line.
        """
        while self._open and (len(self._open) > events or self._bytes > most_bytes or self._open[0].future.is_done):
            entry = self._open[0]
            try:
                entry.future.get(timeout=PATIENCE_S)
            except (MessageSizeTooLargeError, RecordListTooLargeError):
                raise self._too_long(entry.number, entry.size) from None
            self._open.popleft()
            self._bytes -= entry.size
            self._acknowledged += 1
            self._next = entry.number + 1

    def _too_long(self, number: int, size: int) -> UserError:
        """Returns the error for line `number`. The lines before it are acknowledged."""
        unit = self._unit
        return UserError(
            f"{unit} {number} has {size} bytes, more than topic {self._topic} allows. The {unit}s before it are fed: "
            f"continue with {unit} {number + 1}, as `mner feed --from-line {number + 1}` does"
        )
