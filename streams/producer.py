"""Sends records from inside a worker. A send returns when every in-sync replica has the record."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from core.errors import Reject, UserError
from core.events import HEADERS, DeadLetter
from sinks.answers import kafka
from sinks.answers.answer import Reaction
from streams.topics import MAX_MESSAGE_BYTES

CLOSE_S = 5.0
"""Longest time, in seconds, that a producer may take to close after its session was lost."""

UNCLASSED = KafkaError
"""aiokafka raises its base class when its sender has died, and then for every record."""


class Producer:
    """An idempotent producer (KIP-98) with acks=all. An async context manager.

    Entering raises `UserError` when no broker answers.
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._server = f"Kafka at {brokers}"
        self._producer = self._made()
        self._renewing = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._partitioner = DefaultPartitioner()

    async def __aenter__(self) -> Producer:
        try:
            await self._producer.start()
        except KafkaError as error:
            told = kafka.answer(error, self._server)
            if told.reaction is Reaction.STOP:
                raise UserError(told.sentence) from None
            raise UserError(f"no Kafka broker answers at {self._brokers} ({error}): is MNER_KAFKA right?") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*self._closing)
        await self._producer.stop()

    async def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Sends one record and returns when the brokers have it.

        Raises `Retry` when the brokers cannot take it now, and `Reject` when they can never take it. Raises `Stop` when
        they refuse this client. `sinks.answers.kafka` says which error is which.
        """
        producer = self._producer
        try:
            await producer.send_and_wait(topic, value=value, key=key, headers=HEADERS)
        except KafkaError as error:
            if kafka.row_for(error).reaction is not Reaction.SPLIT:
                raise await self._classed(producer, error, topic) from None
            if error.args:  # the client refused it
                raise self._too_large(topic, value) from None
            # A batch was too large, and this record may have been one of many in it.
            await self._send_alone(await self._renew(producer, topic), topic, key, value)

    async def _send_alone(self, producer: Any, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Sends one record in a batch of its own."""
        try:
            partitions = sorted(await producer.partitions_for(topic))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None, headers=HEADERS)
            partition = self._partitioner(key, partitions, partitions)
            await (await producer.send_batch(batch, topic, partition=partition))
        except KafkaError as error:
            if kafka.row_for(error).reaction is not Reaction.SPLIT:
                raise await self._classed(producer, error, topic) from None
            await self._renew(producer, topic)  # the broker never saw the number of the refused record
            raise self._too_large(topic, value) from None

    async def _classed(self, producer: Any, error: KafkaError, topic: str) -> Exception:
        """Returns the error for the pipeline. Renews the producer when the broker will not accept it again."""
        told = kafka.answer(error, self._server, f"topic {topic}")
        if kafka.row_for(error).renew or type(error) is UNCLASSED or told.reaction is Reaction.REJECT:
            await self._renew(producer, topic)
        return told.error()

    async def _renew(self, used: Any, topic: str) -> Any:
        """Puts a new producer, with a new session, in place of `used`. Raises `Retry` when that fails for now."""
        async with self._renewing:
            if self._producer is used:
                fresh = self._made()
                try:
                    await fresh.start()
                except KafkaError as error:
                    await fresh.stop()
                    raise kafka.answer(error, self._server, f"topic {topic}").error() from None
                self._producer = fresh
                closing = asyncio.create_task(_close(used))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            return self._producer

    def _too_large(self, topic: str, value: bytes | None) -> Reject:
        return Reject(f"the record has {len(value or b'')} bytes, more than the topic {topic} allows")

    def _made(self) -> Any:
        return AIOKafkaProducer(
            bootstrap_servers=self._brokers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_request_size=MAX_MESSAGE_BYTES,
            request_timeout_ms=20_000,
        )


async def _close(producer: Any) -> None:
    with contextlib.suppress(KafkaError, TimeoutError):
        await asyncio.wait_for(producer.stop(), CLOSE_S)


class DeadLetterTopic:
    """Sends dead letters to their topic, with the key of the original event."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, letter: DeadLetter, key: bytes | None) -> None:
        await self._producer.send(self._topic, key, letter.model_dump_json().encode())
