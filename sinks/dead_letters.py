"""Reads the dead-letter topic: events that could not be processed, each with the reason and its origin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from pydantic import ValidationError

from core.errors import Retry
from core.events import DeadLetter, explain
from sinks.answers.kafka import answer
from sinks.no_creation import creates_none

#: Seconds after which a silent broker counts as unreachable, while the topic holds unread letters.
IDLE_S = 10.0


@dataclass(frozen=True)
class Letter:
    """A dead letter, the time it was written, and its place in the dead-letter topic."""

    at: datetime
    partition: int
    offset: int
    letter: DeadLetter


def read(brokers: str, topic: str, newest: int | None = None) -> list[Letter]:
    """Returns the dead letters in the topic, oldest first, or only the last `newest` of them.

    Returns none if the topic does not exist. Raises `Retry` when the brokers do not answer for now. Raises `Stop` when
    they refuse us, or when a library for the topic's compression is missing.
    """
    consumer = None
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=brokers.split(","),
            enable_auto_commit=False,
            bootstrap_timeout_ms=int(IDLE_S * 1000),
        )
        creates_none(consumer)
        ends = _seek(consumer, topic, newest)
        letters = list(_until(consumer, ends))
    except KafkaError as error:
        raise answer(error, f"Kafka at {brokers}", f"topic {topic}").error() from None
    finally:
        if consumer is not None:
            consumer.close()
    letters.sort(key=lambda letter: (letter.at, letter.partition, letter.offset))
    return letters if newest is None else letters[len(letters) - min(newest, len(letters)) :]


def _seek(consumer: Any, topic: str, newest: int | None) -> dict[Any, int]:
    """Seeks each partition to the first record to read. Returns the end offsets of partitions with records to read."""
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    for partition in partitions:
        first = starts[partition] if newest is None else max(starts[partition], ends[partition] - newest)
        consumer.seek(partition, first)
    return {partition: end for partition, end in ends.items() if end > consumer.position(partition)}


def _until(consumer: Any, ends: dict[Any, int]) -> Iterator[Letter]:
    """Yields the letters before the offsets `ends`, in order of arrival."""
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        fetched = consumer.poll(timeout_ms=int(IDLE_S * 1000))
        if not fetched:
            raise Retry(f"Kafka sent no dead letter for {IDLE_S:g} s, but the topic holds more")
        for partition, records in fetched.items():
            for record in records:
                if record.offset < ends.get(partition, 0) and record.value is not None:
                    yield _letter(record)


def _letter(record: Any) -> Letter:
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    try:
        letter = DeadLetter.model_validate_json(record.value)
    except ValidationError as error:  # written by another program; show it anyway
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            stage="dead letters",
            error="ValidationError",
            reason=f"this is not a dead letter: {explain(error)}",
            value=record.value.decode(errors="replace"),
        )
    return Letter(at, record.partition, record.offset, letter)
