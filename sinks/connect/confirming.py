"""A Kafka producer for single records that people wait for: each is confirmed, or known to have failed."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer

from sinks.connect.kafka import Brokers, client_options
from sinks.no_creation import creates_none


def confirming(brokers: Brokers, timeout_s: float, **options: Any) -> Any:
    """Returns a producer whose records are stored or have failed after `timeout_s`, and which creates no topics.

    `options`: further ones of the producer. Raises errors of Kafka when the brokers do not answer.
    """
    millis = int(timeout_s * 1000)
    producer = KafkaProducer(
        **client_options(brokers),
        acks="all",
        # Not idempotent: such a producer of kafka-python 3.0.12 never sends again after a record has expired in a
        # silent broker's hands. So write only what counts once if it is stored twice.
        enable_idempotence=False,
        max_in_flight_requests_per_connection=1,
        bootstrap_timeout_ms=millis,
        max_block_ms=millis,
        request_timeout_ms=millis // 2,
        delivery_timeout_ms=millis,
        **options,
    )
    creates_none(producer)
    return producer
