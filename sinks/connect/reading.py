"""A Kafka consumer that reads a topic by hand: in no group, without commits, and without creating topics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from sinks.answers.kafka import answer
from sinks.connect.kafka import Brokers, client_options
from sinks.connect.probe import cause
from sinks.no_creation import creates_none


@contextmanager
def reading(brokers: Brokers, topic: str, idle_s: float) -> Iterator[Any]:
    """Yields a consumer, and closes it at the end. `idle_s`: how long the brokers may take to answer at first.

    Errors of Kafka become `Retry` or `Stop`, which name the topic.
    """
    consumer = None
    try:
        consumer = KafkaConsumer(
            **client_options(brokers),
            group_id=None,
            enable_auto_commit=False,
            bootstrap_timeout_ms=int(idle_s * 1000),
        )
        creates_none(consumer)
        yield consumer
    except KafkaError as error:
        raise answer(cause(error, brokers), f"Kafka at {brokers}", f"topic {topic}").error() from None
    finally:
        if consumer is not None:
            consumer.close()
