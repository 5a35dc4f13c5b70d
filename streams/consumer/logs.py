"""Asks the brokers what they have of a topic. Blocking, for threads.

aiokafka's client does not read topic ids, and in `read_committed` it does not tell a log's true end. kafka-python does
both.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import for_code
from kafka.protocol.consumer import IsolationLevel, OffsetForLeaderEpochRequest

from core.errors import Retry
from sinks.connect.kafka import Brokers, client_options
from sinks.no_creation import creates_none
from streams import topics
from streams.consumer.placement import MARGIN_MS, UNKNOWN, Known, Log

log = logging.getLogger(__name__)

NO_ID = "00000000-0000-0000-0000-000000000000"
"""What brokers before 2.8 answer."""

ANSWER_S = 8.0
"""Longest time, in seconds, for one answer. A worker that stops may have to wait for it."""

LOG_APPEND_TIME = 1
"""A record's type of timestamp when the broker set it."""

Partition = tuple[str, int]
_Asked = OffsetForLeaderEpochRequest.OffsetForLeaderTopic.OffsetForLeaderPartition


class Logs:
    """Shared by the agents of a worker. Connects on first use, and again after a failure."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._client: KafkaAdminClient | None = None
        self._lock = threading.Lock()
        self._stamps: dict[tuple[str | None, str, int, int], int] = {}  # topic id and record -> type of its time

    def look(self, partitions: Mapping[Partition, Known]) -> dict[Partition, Log]:
        """Returns the logs of those partitions that exist. Raises `Retry` when the brokers do not answer."""
        wanted = {TopicPartition(*partition): known for partition, known in partitions.items()}
        with self._lock:
            try:
                return self._look(self._connected(), wanted)
            except Exception as error:  # whatever the client stumbles over, the worker must go on
                self._close()
                raise Retry(f"Kafka does not tell what its topics hold: {error!r}") from error

    def close(self) -> None:
        free = self._lock.acquire(timeout=1)  # a question may be waiting for brokers that are away
        self._close()
        if free:
            self._lock.release()

    def _connected(self) -> KafkaAdminClient:
        if self._client is None:
            self._client = topics.admin(self._brokers, request_timeout_ms=int(1000 * ANSWER_S))
        return self._client

    def _look(self, client: KafkaAdminClient, wanted: Mapping[TopicPartition, Known]) -> dict[Partition, Log]:
        described = {
            topic["name"]: topic for topic in client.describe_topics(sorted({place.topic for place in wanted}))
        }
        leaders = {
            place: leader
            for place in wanted
            if (leader := _leader(described.get(place.topic), place.partition)) is not None
        }
        if not leaders:
            return {}
        ids = {topic: _id(each) for topic, each in described.items()}
        begins = client.list_partition_offsets(dict.fromkeys(leaders, OffsetSpec.EARLIEST))
        ends = client.list_partition_offsets(dict.fromkeys(leaders, OffsetSpec.LATEST))
        stable = client.list_partition_offsets(
            dict.fromkeys(leaders, OffsetSpec.LATEST), isolation_level=IsolationLevel.READ_COMMITTED
        )
        read = {place: known.read for place, known in wanted.items() if known.read and place in leaders}
        unread = _after(client, {place: last.time - MARGIN_MS for place, last in read.items()})
        newer = _after(client, {place: last.time + MARGIN_MS for place, last in read.items()})
        suspects = {place: offset for place, offset in newer.items() if offset <= read[place].offset}
        no_proof = self._no_proof(suspects, ids)
        epochs = {place: known.epoch for place, known in wanted.items() if known.epoch is not None}
        until = _ends_of_epochs(client, leaders, {place: epochs[place] for place in leaders if place in epochs})
        return {
            (place.topic, place.partition): Log(
                begin=begins[place].offset,
                end=ends[place].offset,
                topic_id=ids[place.topic],
                stable=stable[place].offset,
                epoch=ends[place].leader_epoch,
                known_until=until.get(place),
                unread=unread.get(place),
                newer=None if place in no_proof else newer.get(place),
            )
            for place in leaders
        }

    def _no_proof(self, suspects: Mapping[TopicPartition, int], ids: Mapping[str, str | None]) -> set[TopicPartition]:
        """Returns the partitions whose record at this offset does not prove a cut.

        Such a record has the time of its producer, which may lie ahead, or it cannot be read. Raises `TimeoutError`
        when the brokers do not answer in time.
        """
        keys = {place: (ids[place.topic], *place, offset) for place, offset in suspects.items()}
        unreadable = set()
        if unknown := [place for place, key in keys.items() if key not in self._stamps]:
            consumer = KafkaConsumer(
                **client_options(self._brokers),
                enable_auto_commit=False,
                bootstrap_timeout_ms=int(1000 * ANSWER_S),
            )
            try:
                creates_none(consumer)
                for place in unknown:
                    try:
                        stamp = _stamp(consumer, place, suspects[place])
                    except Exception as error:
                        if isinstance(error, TimeoutError) or getattr(error, "retriable", False):
                            raise
                        log.debug("%s/%d: offset %d cannot be read: %r", *place, suspects[place], error)
                        unreadable.add(place)
                    else:
                        self._stamps[keys[place]] = stamp
            finally:
                consumer.close()
        return unreadable | {
            place for place, key in keys.items() if self._stamps.get(key, LOG_APPEND_TIME) != LOG_APPEND_TIME
        }

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()


def _stamp(consumer: Any, place: TopicPartition, offset: int) -> int:
    """Returns the type of a record's timestamp. The broker stamps what is no record, such as a transaction's marker.

    Raises `TimeoutError` when no answer comes in time, and what the client raises for a record that it cannot read.
    """
    timeout_ms, stamp = int(1000 * ANSWER_S), LOG_APPEND_TIME
    consumer.assign([place])
    consumer.seek(place, offset)
    for record in consumer.poll(timeout_ms=timeout_ms, max_records=1).get(place, []):
        if record.offset == offset:
            stamp = record.timestamp_type
    position = consumer.position(place, timeout_ms=timeout_ms)
    if position is None or position <= offset:  # a marker would have been stepped over
        raise TimeoutError(f"{place.topic}/{place.partition}: offset {offset} was not read")
    return stamp


def _leader(described: dict[str, Any] | None, partition: int) -> int | None:
    """Returns the id of the broker that leads a partition, None if there is no such partition or leader."""
    if described is None or described["error_code"]:
        return None
    for one in described["partitions"]:
        if one["partition_index"] == partition and not one["error_code"]:
            return int(one["leader_id"])
    return None


def _after(client: KafkaAdminClient, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Returns the first offsets with a higher time, in ms, where there are such offsets."""
    if not times:
        return {}
    found = client.list_partition_offsets({place: max(0, time + 1) for place, time in times.items()})
    return {place: one.offset for place, one in found.items() if one.offset >= 0}


def _ends_of_epochs(
    client: KafkaAdminClient, leaders: Mapping[TopicPartition, int], epochs: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Returns the offsets at which leader epochs ended, `UNKNOWN` for an epoch that the log does not have.

    The client asks this for its own consumer only. So the request is made here.
    """
    found: dict[TopicPartition, int] = {}
    for leader in {leaders[place] for place in epochs}:
        asked = defaultdict(list)
        for place, epoch in epochs.items():
            if leaders[place] == leader:
                asked[place.topic].append(_Asked(place.partition, -1, epoch))
        request = OffsetForLeaderEpochRequest(replica_id=-1, topics=list(asked.items()))
        answer = client._manager.run(client._manager.send, request, leader)
        for topic in answer.topics:
            for one in topic.partitions:
                error = for_code(one.error_code)
                if getattr(error, "retriable", False):  # such as another leader since
                    raise error(f"the end of a leader epoch of {topic.topic}/{one.partition}")
                if not one.error_code:
                    found[TopicPartition(topic.topic, one.partition)] = max(one.end_offset, UNKNOWN)
    return found


def _id(described: dict[str, object]) -> str | None:
    found = str(described.get("topic_id") or NO_ID)
    return None if found == NO_ID else found
