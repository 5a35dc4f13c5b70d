"""Sends records to Kafka in order, and keeps the last position before which all are acknowledged.

The producer is idempotent: when it sends a batch again, the brokers write it once, and in order. If the brokers refuse
one record for its size, all open records of its partition fail too. So each record is compared with the topic's own
limit before it is sent.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.admin import ConfigResource
from kafka.errors import KafkaError, KafkaTimeoutError, UnknownError

from core.errors import UserError
from core.events import HEADERS
from sinks.answers import kafka as kafka_answers
from sinks.answers.answer import Reaction
from sinks.connect.kafka import Brokers, client_options
from sinks.connect.probe import cause
from sinks.no_creation import creates_none
from streams import topics

PATIENCE_S = 60.0
"""Longest time, in seconds, that the brokers may take for one record. Sending ends after it."""

STOP_S = 2.0
"""Longest time, in seconds, that the last records may take when sending ends early."""

WINDOW = 5000
WINDOW_BYTES = 32_000_000
"""Largest number of unacknowledged records, and of their bytes. This bounds the memory, however long a feed is."""

BATCH_BYTES = 16_384
LOOK_S = 0.25
"""Time, in seconds, between two looks at whether to stop while the brokers take their time."""

BATCH_HEADER = 61
"""Bytes of a record batch before its first record (https://kafka.apache.org/documentation/#recordbatch)."""


class TooLarge(Exception):
    """The topic does not take a record of this size. Nothing was sent."""

    def __init__(self, topic: str, size: int) -> None:
        """`size`: bytes of the record's value."""
        super().__init__(f"{size} bytes are more than topic {topic} allows")
        self.size = size


class Feeder(KafkaProducer):  # type: ignore[misc]
    """A producer that can be closed while the brokers do not answer."""

    def flush(self, timeout: float | None = None) -> None:
        """Waits until all records are sent, or for `timeout` seconds. Raises nothing.

        `close` calls this first. After an error, its thread would run on, and Python would report it at the end. After
        kafka-python has split a batch, it raises `UnknownError` here, although the parts are still being sent.
        """
        with contextlib.suppress(KafkaTimeoutError, UnknownError):
            super().flush(timeout)


@dataclass
class Open:
    """A record that is sent and not yet acknowledged. `mark`: position after this record."""

    size: int  # in bytes
    future: Any
    mark: Any


class Sender:
    """An idempotent producer with a bounded window. For one thread.

    `done` is the last mark before which all records are acknowledged. `acknowledged` counts records.
    """

    def __init__(self, brokers: Brokers, limits: Mapping[str, int]) -> None:
        """`limits`: topic -> its largest record batch, in bytes, as planned. The topic's own limit counts if it is
        known.

        Raises `UserError` when no broker answers, or when one refuses this client.
        """
        self.limits = known_limits(brokers, limits)
        self.done: Any = None
        self.acknowledged = 0
        self.open: deque[Open] = deque()
        self._bytes = 0
        self._brokers = brokers
        self._producer = _producer(brokers, min(self.limits.values()))

    def prepare(self) -> None:
        """Asks the brokers about each topic, so that no later send has to wait for it. Raises errors of Kafka."""
        for topic in self.limits:
            self._producer.partitions_for(topic)

    def send(self, topic: str, key: bytes | None, value: bytes, mark: Any = None) -> None:
        """Sends a record, and waits while the window is full. Raises `TooLarge` and errors of Kafka."""
        if batch_bytes(key, value) > self.limits[topic]:
            raise TooLarge(topic, len(value))
        future = self._producer.send(topic, value=value, key=key, headers=HEADERS)
        self.open.append(Open(len(value), future, mark))
        self._bytes += len(value)

    def mark(self, mark: Any) -> None:
        """Names the position after the records that were sent so far."""
        if self.open:
            self.open[-1].mark = mark
        else:
            self.done = mark

    def settle(
        self,
        records: int | None = None,
        most_bytes: int | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
        patience_s: float | None = None,
    ) -> None:
        """Waits until at most `records` records with `most_bytes` bytes are open, or until `stop` says so.

        Raises the error of Kafka for the first refused record, which is then `open[0]`.
        """
        records = WINDOW if records is None else records
        most_bytes = WINDOW_BYTES if most_bytes is None else most_bytes
        deadline = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
        while self.open:
            entry = self.open[0]
            if not entry.future.is_done:
                if len(self.open) <= records and self._bytes <= most_bytes:
                    return
                if stop():
                    return
                left = deadline - time.monotonic()
                try:
                    entry.future.get(timeout=max(0.0, min(LOOK_S, left)))
                except KafkaTimeoutError:
                    if not entry.future.is_done and left > 0:
                        continue
                    raise
            else:
                entry.future.get(timeout=0)
            self.open.popleft()
            self._bytes -= entry.size
            self.acknowledged += 1
            self.done = entry.mark if entry.mark is not None else self.done
            deadline = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)

    def reap(self) -> None:
        """Counts the records that the brokers have acknowledged. Never waits or raises."""
        with contextlib.suppress(KafkaError):
            while self.open and self.open[0].future.is_done:
                self.settle(len(self.open), self._bytes + 1)

    def sentence(self, error: KafkaError, topic: str) -> str:
        """Returns what an error of Kafka means, in one line."""
        return kafka_answers.answer(error, f"Kafka at {self._brokers}", f"topic {topic}").sentence

    def close(self) -> None:
        """Waits a moment for open records, and ends the producer."""
        self._producer.close(timeout=STOP_S)


def batch_bytes(key: bytes | None, value: bytes) -> int:
    """Returns the bytes of a record batch with this one record, which the brokers compare with the topic's limit."""
    headers = sum(_sized(len(name.encode())) + _sized(len(held)) for name, held in HEADERS)
    body = 3 + (1 if key is None else _sized(len(key))) + _sized(len(value)) + _varint(len(HEADERS)) + headers
    return BATCH_HEADER + _sized(body)


def _sized(length: int) -> int:
    return _varint(length) + length


def _varint(number: int) -> int:
    """Returns the bytes of a number as a zigzag varint."""
    return max(1, ((number << 1).bit_length() + 6) // 7)


def known_limits(brokers: Brokers, planned: Mapping[str, int]) -> dict[str, int]:
    """Returns each topic's largest record batch, in bytes. Unknown limits are those in `planned`."""
    found = dict(planned)
    try:
        client = topics.admin(brokers)
    except UserError:
        return found  # the producer meets the same trouble, and tells it
    try:
        resources = [ConfigResource("TOPIC", name, ["max.message.bytes"]) for name in planned]
        described = client.describe_configs(resources, config_filter="all")["topic"]
        for name in planned:
            with contextlib.suppress(KeyError, TypeError, ValueError):
                found[name] = int(described[name]["max.message.bytes"]["value"])
    except (KafkaError, KeyError, TypeError, ValueError, OSError):
        pass  # an ACL forbids it, the topic is missing, or the broker is too old
    finally:
        client.close()
    return found


def _producer(brokers: Brokers, smallest: int) -> Feeder:
    try:
        producer = Feeder(
            **client_options(brokers),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            batch_size=min(BATCH_BYTES, smallest),  # so that no batch of several records is too large
            max_request_size=2 * topics.MAX_MESSAGE_BYTES,  # `send` knows the limit of each topic
            max_block_ms=int(PATIENCE_S * 1000),
            request_timeout_ms=int(PATIENCE_S * 500),
            delivery_timeout_ms=int(PATIENCE_S * 1000),
        )
    except KafkaError as error:
        told = kafka_answers.answer(cause(error, brokers), f"Kafka at {brokers}", "a topic")
        if told.reaction is Reaction.STOP:
            raise UserError(told.sentence) from None
        remedy = "is it running? is MNER_KAFKA correct?"
        raise UserError(f"no Kafka broker answers at {brokers} ({error}): {remedy}") from None
    creates_none(producer)
    return producer
