"""Producing from inside the worker: returns when every in-sync replica has the record."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from streams.errors import Reject, Retry, UserError
from streams.events import SCHEMA_VERSION, DeadLetter
from streams.topics import MAX_MESSAGE_BYTES

HEADERS = [("schema", str(SCHEMA_VERSION).encode())]


class Producer:
    """An idempotent producer (KIP-98), acks=all. An async context manager."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._producer = AIOKafkaProducer(
            bootstrap_servers=brokers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_request_size=MAX_MESSAGE_BYTES,
            request_timeout_ms=20_000,
        )

    async def __aenter__(self) -> Producer:
        try:
            await self._producer.start()
        except KafkaError as error:
            raise UserError(f"no Kafka broker answers at {self._brokers} ({error}): is MNER_KAFKA right?") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, topic: str, key: bytes | None, value: bytes) -> None:
        """Raises `Retry` when the broker is away, `Reject` when the record is larger than a topic takes."""
        try:
            await self._producer.send_and_wait(topic, value=value, key=key, headers=HEADERS)
        except MessageSizeTooLargeError:
            raise Reject(f"{len(value)} bytes are more than topic {topic} takes ({MAX_MESSAGE_BYTES})") from None
        except KafkaError as error:
            raise Retry(f"Kafka did not take a record for {topic}: {error!r}") from error


class DeadLetterTopic:
    """Sends dead letters to their topic, under the key that the event came with."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, letter: DeadLetter) -> None:
        key = letter.key.encode() if letter.key is not None else None
        await self._producer.send(self._topic, key, letter.model_dump_json().encode())
