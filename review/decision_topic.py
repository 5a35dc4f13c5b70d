"""Publishes decisions to their Kafka topic. A worker applies them to index and queue from there."""

from __future__ import annotations

import asyncio

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError

from core.errors import Retry
from core.events import HEADERS, MAX_DERIVED_BYTES, Decision
from sinks.answers.kafka import answer
from sinks.no_creation import creates_none


class DecisionTopic:
    """A producer for the topic `decisions`."""

    def __init__(self, brokers: str, topic: str, timeout_s: float = 10.0) -> None:
        """Connects. Raises `Retry` when the brokers do not answer, or refuse."""
        self._brokers, self._topic, self._timeout_s = brokers, topic, timeout_s
        millis = int(timeout_s * 1000)
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=brokers.split(","),
                acks="all",
                max_request_size=MAX_DERIVED_BYTES,
                bootstrap_timeout_ms=millis,
                max_block_ms=millis,
                request_timeout_ms=millis // 2,
                delivery_timeout_ms=millis,
            )
        except KafkaError as error:
            raise Retry(answer(error, f"Kafka at {brokers}").sentence) from None
        creates_none(self._producer)

    async def publish(self, decision: Decision) -> None:
        """Returns when the brokers have stored the decision. Raises `Retry` when they do not confirm it in time."""
        await asyncio.to_thread(self._send, decision)

    async def close(self) -> None:
        await asyncio.to_thread(self._producer.close, timeout=self._timeout_s)

    def _send(self, decision: Decision) -> None:
        key, value = decision.task.tweet.id.encode(), decision.model_dump_json().encode()
        try:
            sent = self._producer.send(self._topic, key=key, value=value, headers=HEADERS)
            sent.get(timeout=self._timeout_s)
        except (UnknownTopicOrPartitionError, MessageSizeTooLargeError) as error:
            raise Retry(f"topic {self._topic!r} refuses the decision ({error}): see `mner topics`") from None
        except KafkaError as error:
            told = answer(error, f"Kafka at {self._brokers}", self._topic).sentence
            raise Retry(f"the decision is not confirmed: {told}") from None
