"""Sends records from inside a worker. A send returns when every in-sync replica has the record."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidProducerEpoch,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    TopicAuthorizationFailedError,
    UnknownProducerId,
)

from core.errors import Reject, Retry, Stop, UserError
from core.events import HEADERS, DeadLetter
from streams.topics import MAX_MESSAGE_BYTES

FATAL = (
    ClusterAuthorizationFailedError,
    InvalidProducerEpoch,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    TopicAuthorizationFailedError,
    UnknownProducerId,
)


class Producer:
    """An idempotent producer (KIP-98) with acks=all. An async context manager.

    Entering raises `UserError` when no broker answers.
    """

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

    async def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Sends one record and returns when the brokers have it.

        Raises `Retry` when the broker is away, and `Reject` when the record is larger than the topic allows. Raises
        `Stop` when the broker refuses this client, or when the producer's session is lost: a restart makes a new one.
        """
        try:
            await self._producer.send_and_wait(topic, value=value, key=key, headers=HEADERS)
        except MessageSizeTooLargeError:
            raise Reject(f"the record has {len(value or b'')} bytes, more than the topic {topic} allows") from None
        except FATAL as error:
            raise Stop(f"Kafka refuses all records of this worker for {topic}: {error!r}") from error
        except KafkaError as error:
            raise Retry(f"Kafka did not take a record for {topic}: {error!r}") from error


class DeadLetterTopic:
    """Sends dead letters to their topic, with the key of the original event."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, letter: DeadLetter, key: bytes | None) -> None:
        await self._producer.send(self._topic, key, letter.model_dump_json().encode())
