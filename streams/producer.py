"""Sends records from inside a worker. A send returns when every in-sync replica has the record."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import BrokerResponseError, KafkaError, kafka_errors
from aiokafka.partitioner import DefaultPartitioner

from core.errors import Reject, Retry, UserError
from core.events import HEADERS, DeadLetter
from sinks.answers import kafka
from sinks.answers.answer import Reaction
from sinks.connect.kafka import Brokers, aio_options
from sinks.no_creation import aiokafka_creates_none
from streams.topics import MAX_MESSAGE_BYTES

IDLE_S, CLOSE_S = 60.0, 5.0
"""Longest times, in seconds, that a lost session may take for its last records, and for its end."""

UNCLASSED = KafkaError
"""aiokafka raises its base class when its sender has died, and then for every record."""

TOO_LARGE = {10, 18}
"""Codes that mean that a record is too large."""


class InvalidRecord(BrokerResponseError):  # type: ignore[misc]
    """The topic refuses a record. aiokafka has no class for this code, and would call it an unknown fault."""

    errno = 87
    message = "INVALID_RECORD"
    description = "The broker failed to validate the record"


kafka_errors.setdefault(InvalidRecord.errno, InvalidRecord)


class _Session:
    """A producer of aiokafka, and the records that it has not confirmed yet. A new session has a new producer id."""

    def __init__(self, brokers: Brokers) -> None:
        aiokafka_creates_none()
        self.producer = AIOKafkaProducer(
            **aio_options(brokers),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_request_size=MAX_MESSAGE_BYTES,
            request_timeout_ms=20_000,
        )
        self._pending = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.contextmanager
    def sending(self) -> Iterator[Any]:
        """Yields the producer, which is not closed before the block ends."""
        self._pending += 1
        self._idle.clear()
        try:
            yield self.producer
        finally:
            self._pending -= 1
            if not self._pending:
                self._idle.set()

    async def close_when_idle(self) -> None:
        """Closes the producer once the brokers have answered for its records. Before that, a record could hang."""
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(self._idle.wait(), IDLE_S)
            await asyncio.wait_for(self.producer.stop(), CLOSE_S)


async def _started(brokers: Brokers) -> _Session:
    session = _Session(brokers)
    try:
        await session.producer.start()
    except KafkaError:
        await session.producer.stop()
        raise
    return session


class Producer:
    """An idempotent producer (KIP-98) with acks=all. An async context manager.

    Entering raises `Retry` when no broker answers, and `UserError` when one refuses this client.
    """

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._server = f"Kafka at {brokers}"
        self._session: _Session
        self._renewing = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._partitioner = DefaultPartitioner()

    async def __aenter__(self) -> Producer:
        try:
            self._session = await _started(self._brokers)
        except KafkaError as error:
            told = kafka.answer(error, self._server)
            if told.reaction is Reaction.STOP:
                raise UserError(told.sentence) from None
            raise Retry(f"no Kafka broker answers at {self._brokers} ({error})") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        for closing in self._closing:
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._session.producer.stop()

    async def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Sends one record and returns when the brokers have it.

        Raises `Retry` when the brokers cannot take it now, and `Reject` when they can never take it. Raises `Stop` when
        they refuse this client. `sinks.answers.kafka` says which error is which.
        """
        session = self._session
        try:
            with session.sending() as producer:
                await producer.send_and_wait(topic, value=value, key=key, headers=HEADERS)
        except KafkaError as error:
            if kafka.row_for(error).reaction is not Reaction.SPLIT:
                raise await self._classed(session, error, topic) from None
            if error.args:  # the client refused it
                raise self._refused(error, topic, value) from None
            # The brokers refused a batch, and this record may have been one of many in it.
            await self._send_alone(await self._renewed(session, topic), topic, key, value)

    async def _send_alone(self, session: _Session, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Sends one record in a batch of its own."""
        try:
            with session.sending() as producer:
                partitions = sorted(await producer.partitions_for(topic))
                batch = producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=HEADERS)
                partition = self._partitioner(key, partitions, partitions)
                await (await producer.send_batch(batch, topic, partition=partition))
        except KafkaError as error:
            if kafka.row_for(error).reaction is not Reaction.SPLIT:
                raise await self._classed(session, error, topic) from None
            await self._renewed(session, topic)  # the brokers never saw the number of the refused record
            raise self._refused(error, topic, value) from None

    async def _classed(self, session: _Session, error: KafkaError, topic: str) -> Exception:
        """Returns the error for the pipeline. Renews the session when the brokers will not accept it again."""
        told = kafka.answer(error, self._server, f"topic {topic}")
        if kafka.row_for(error).renew or type(error) is UNCLASSED:
            await self._renewed(session, topic)
        return told.error()

    async def _renewed(self, used: _Session, topic: str) -> _Session:
        """Puts a new session in place of `used`, and returns it. Raises `Retry` when that fails for now."""
        async with self._renewing:
            if self._session is used:
                try:
                    fresh = await _started(self._brokers)
                except KafkaError as error:
                    raise kafka.answer(error, self._server, f"topic {topic}").error() from None
                self._session = fresh
                closing = asyncio.create_task(used.close_when_idle())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            return self._session

    def _refused(self, error: KafkaError, topic: str, value: bytes | None) -> Exception:
        if getattr(error, "errno", None) in {None, *TOO_LARGE}:
            return Reject(f"the record has {len(value or b'')} bytes, more than the topic {topic} allows")
        return kafka.answer(error, self._server, f"topic {topic}").error()


class DeadLetterTopic:
    """Sends dead letters to their topic, with the key of the original event."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, letter: DeadLetter, key: bytes | None) -> None:
        await self._producer.send(self._topic, key, letter.model_dump_json().encode())
