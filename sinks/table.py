"""A table that lives in a compacted topic: small values by key, which people change and every process reads.

The topic is the only copy. A process reads it whole when it starts, and follows it from then on. Kafka's compaction
keeps the last record of each key. A record without a value deletes its key.

Of two writes of one key, the one that Kafka appended last wins, in every process.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, MessageSizeTooLargeError
from pydantic import TypeAdapter, ValidationError

from core.errors import Retry, UserError, first_line
from core.events import HEADERS, explain
from core.text import plain
from core.threads import Threads
from sinks.answers.kafka import answer
from sinks.connect.confirming import confirming
from sinks.connect.kafka import Brokers, client_options
from sinks.connect.probe import cause
from sinks.no_creation import creates_none

V = TypeVar("V")

POLL_MS = 200
"""Longest wait, in milliseconds, for new records."""

CLOSE_S = 1.0
"""Longest times, in seconds, to wait for the reader and for the producer when a table is closed."""

AGAIN_S = 1.0
"""Seconds between two attempts to read the topic after a fault."""

AT_ONCE = 4
"""Changes that wait for Kafka at the same time. Each takes a thread."""

log = logging.getLogger(__name__)


class Table(Generic[V]):
    """The values of one topic by key. `start` it before use, and `close` it at the end.

    Reads are from memory and never fail. While the brokers are away, the last values stay.
    """

    def __init__(
        self,
        brokers: Brokers,
        topic: str,
        values: TypeAdapter[V],
        timeout_s: float = 10.0,
        *,
        prefix: str = "",
        partition: int | None = None,
    ) -> None:
        """`values` reads and checks a value. Records that it refuses are logged and left out.

        `prefix`: how the keys of this table begin, where tables share a topic. Other keys are passed over.

        `partition`: where values are put; None puts all values of a key in one.
        """
        self._brokers, self._topic, self._adapter, self._timeout_s = brokers, topic, values, timeout_s
        self._prefix, self._partition = prefix, partition
        self._changed = threading.Condition()
        self._values: dict[str, V] = {}
        self._version = 0
        self._positions: dict[int, int] = {}  # partition -> offset of the next record
        self._threads = Threads(f"table {topic}", AT_ONCE)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._producer: Any = None

    @property
    def values(self) -> Mapping[str, V]:
        """All values, as of now. Later changes do not show in it."""
        with self._changed:
            return MappingProxyType(self._values)

    @property
    def version(self) -> int:
        """A number that grows with every change of the values in this process."""
        with self._changed:
            return self._version

    def get(self, key: str) -> V | None:
        return self.values.get(key)

    async def start(self) -> None:
        """Reads the whole topic, then follows it in a thread.

        Raises `Retry` when the brokers do not answer or refuse, or when they do not have the topic.
        """
        await self._threads.run(self._start)

    async def put(self, key: str, value: V) -> None:
        """Sets a value. Returns when Kafka has stored it and this process reads it.

        Raises `Retry` when that is not confirmed in time. The value may still be stored; to put it again does no harm.
        Raises `UserError` when the value is larger than the topic takes.
        """
        await self._threads.run(self._send, key, self._adapter.dump_json(value))

    async def delete(self, key: str) -> None:
        """Deletes a key, if it exists. Returns and raises as `put` does."""
        await self._threads.run(self._send, key, None)

    async def close(self) -> None:
        await self._threads.run(self._close)

    def _start(self) -> None:
        with self._telling():
            consumer = self._consumer()
            try:
                self._read_whole(consumer)
                self._producer = confirming(self._brokers, self._timeout_s)
            except BaseException:
                consumer.close()
                raise
        self._thread = threading.Thread(target=self._follow, args=(consumer,), name=f"table {self._topic}", daemon=True)
        self._thread.start()

    def _close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        if self._producer is not None:
            with contextlib.suppress(KafkaError):  # who sent a value knows its fate
                self._producer.close(timeout=CLOSE_S)

    def _send(self, key: str, value: bytes | None) -> None:
        if self._producer is None:
            raise RuntimeError("the table is not started")
        until = time.monotonic() + self._timeout_s
        try:
            with self._telling():
                sent = self._producer.send(
                    self._topic, key=key.encode(), value=value, headers=HEADERS, partition=self._partition
                )
                stored = sent.get(timeout=self._timeout_s)
        except MessageSizeTooLargeError:
            raise UserError(f"{key}: the value is too large to be kept ({len(value or b'')} bytes)") from None
        with self._changed:
            read = self._changed.wait_for(
                lambda: self._positions.get(stored.partition, 0) > stored.offset, until - time.monotonic()
            )
        if not read:
            raise Retry(f"topic {self._topic!r} has stored {key!r}, but it was not read back in {self._timeout_s:g} s")

    def _consumer(self) -> Any:
        """Returns a consumer that stands at the beginning of every partition."""
        consumer = KafkaConsumer(
            **client_options(self._brokers),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",  # an unknown offset is an error: the topic was made anew
            bootstrap_timeout_ms=int(self._timeout_s * 1000),
        )
        try:
            creates_none(consumer)
            places = [
                TopicPartition(self._topic, number) for number in consumer.partitions_for_topic(self._topic) or ()
            ]
            if not places:
                raise Retry(f"Kafka at {self._brokers} does not have the topic {self._topic!r}")
            consumer.assign(places)
            for place, first in consumer.beginning_offsets(places).items():
                consumer.seek(place, first)
        except BaseException:
            consumer.close()
            raise
        return consumer

    def _read_whole(self, consumer: Any) -> None:
        """Reads up to the present end of the topic, and replaces all values."""
        places = sorted(consumer.assignment())
        ends = consumer.end_offsets(places)
        values: dict[str, V] = {}
        until = time.monotonic() + self._timeout_s
        while any(consumer.position(place) < end for place, end in ends.items()):
            if self._stopping.is_set():
                raise Retry(f"the table of the topic {self._topic!r} is closed")
            fetched = consumer.poll(timeout_ms=POLL_MS)
            if fetched:
                until = time.monotonic() + self._timeout_s
            elif time.monotonic() > until:
                raise Retry(f"Kafka at {self._brokers} sent nothing of topic {self._topic!r} for {self._timeout_s:g} s")
            self._apply(fetched, values)
        with self._changed:
            self._values, self._version = values, self._version + 1
            self._positions = {place.partition: consumer.position(place) for place in places}
            self._changed.notify_all()

    def _follow(self, consumer: Any) -> None:
        """Applies new records until the table is closed. After a fault, reads the topic from its beginning."""
        while not self._stopping.is_set():
            try:
                if consumer is None:
                    consumer = self._consumer()
                    self._read_whole(consumer)
                self._take(consumer)
            except Exception as error:  # whatever it is, people must see later changes
                log.warning("topic %s cannot be read now; trying again: %s", self._topic, first_line(error))
                if consumer is not None:
                    consumer.close()
                consumer = None
                self._stopping.wait(AGAIN_S)
        if consumer is not None:
            consumer.close()

    def _take(self, consumer: Any) -> None:
        fetched = consumer.poll(timeout_ms=POLL_MS)
        if not fetched:
            return
        values = dict(self._values)  # only this thread changes them
        self._apply(fetched, values)
        with self._changed:
            self._values, self._version = values, self._version + 1
            self._positions |= {place.partition: consumer.position(place) for place in fetched}
            self._changed.notify_all()

    def _apply(self, fetched: Mapping[Any, list[Any]], values: dict[str, V]) -> None:
        for record in (record for records in fetched.values() for record in records):
            key = (record.key or b"").decode(errors="replace")
            if not key.startswith(self._prefix):
                continue
            self._apply_one(key, record, values)

    def _apply_one(self, key: str, record: Any, values: dict[str, V]) -> None:
        values.pop(key, None)
        if record.value is None:
            return
        try:
            values[key] = self._adapter.validate_json(record.value)
        except ValidationError as error:  # of a later version, or of another program
            log.warning("topic %s: %s is left out: %s", self._topic, plain(key, 100), explain(error))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turns errors of Kafka into `Retry`, except for a value that is too large."""
        try:
            yield
        except MessageSizeTooLargeError:
            raise
        except KafkaError as error:
            told = answer(cause(error, self._brokers), f"Kafka at {self._brokers}", f"topic {self._topic!r}")
            raise Retry(told.sentence) from None
