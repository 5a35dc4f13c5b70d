"""Reading the dead-letter topic: what could not be processed, why, and where it came from."""

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

IDLE_S = 10.0
"""A broker that sends nothing for so long, with letters still to come, counts as away."""


@dataclass(frozen=True)
class Letter:
    """A dead letter, when it was written, and at which place of the dead-letter topic."""

    at: datetime
    partition: int
    offset: int
    letter: DeadLetter


def read(brokers: str, topic: str, newest: int | None = None) -> list[Letter]:
    """Every dead letter that the topic holds now, or the `newest` ones; oldest first.

    A topic that is not there holds none. Raises `Retry` when the brokers are away.
    """
    consumer = None
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=brokers.split(","),
            allow_auto_create_topics=False,
            enable_auto_commit=False,
            bootstrap_timeout_ms=int(IDLE_S * 1000),
        )
        ends = _seek(consumer, topic, newest)
        letters = list(_until(consumer, ends))
    except KafkaError as error:
        raise Retry(f"Kafka at {brokers} is away: {error}") from None
    finally:
        if consumer is not None:
            consumer.close()
    letters.sort(key=lambda letter: (letter.at, letter.partition, letter.offset))
    return letters if newest is None else letters[len(letters) - min(newest, len(letters)) :]


def _seek(consumer: Any, topic: str, newest: int | None) -> dict[Any, int]:
    """Stand at the first record wanted of each partition; gives the offset after the last one, where there is any."""
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    for partition in partitions:
        first = begins[partition] if newest is None else max(begins[partition], ends[partition] - newest)
        consumer.seek(partition, first)
    return {partition: end for partition, end in ends.items() if end > consumer.position(partition)}


def _until(consumer: Any, ends: dict[Any, int]) -> Iterator[Letter]:
    """Letters up to the offsets `ends`, as they come."""
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        fetched = consumer.poll(timeout_ms=int(IDLE_S * 1000))
        if not fetched:
            raise Retry(f"Kafka sent no dead letter for {IDLE_S:g} s, though there are more")
        for partition, records in fetched.items():
            for record in records:
                if record.offset < ends.get(partition, 0) and record.value is not None:
                    yield _letter(record)


def _letter(record: Any) -> Letter:
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    try:
        letter = DeadLetter.model_validate_json(record.value)
    except ValidationError as error:  # written by something else: still worth showing
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
