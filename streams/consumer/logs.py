"""Asks the brokers what they have of a topic. Blocking, for threads.

aiokafka's client does not read topic ids, and in `read_committed` it does not tell a log's true end. kafka-python does
both.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec

from core.errors import Retry
from streams import topics
from streams.consumer.placement import Log

NO_ID = "00000000-0000-0000-0000-000000000000"
"""What brokers before 2.8 answer."""

ANSWER_S = 8.0
"""Longest time, in seconds, for one answer. A worker that stops may have to wait for it."""

Partition = tuple[str, int]


class Logs:
    """Shared by the agents of a worker. Connects on first use, and again after a failure."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self._client: KafkaAdminClient | None = None
        self._lock = threading.Lock()

    def look(
        self, partitions: Iterable[Partition], times: Mapping[Partition, int] | None = None
    ) -> dict[Partition, Log]:
        """Returns the logs of those partitions that exist.

        `times`: the highest append time, in ms, that the group has read of a partition. Raises `Retry` when the brokers
        do not answer.
        """
        wanted = [TopicPartition(*partition) for partition in partitions]
        with self._lock:
            try:
                return self._look(self._connected(), wanted, times or {})
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

    def _look(
        self, client: KafkaAdminClient, wanted: list[TopicPartition], times: Mapping[Partition, int]
    ) -> dict[Partition, Log]:
        described = {
            topic["name"]: topic for topic in client.describe_topics(sorted({place.topic for place in wanted}))
        }
        places = [place for place in wanted if _exists(described.get(place.topic), place.partition)]
        if not places:
            return {}
        begins = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
        ends = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
        after = {place: times[place] + 1 for place in places if place in times}
        newer = client.list_partition_offsets(after) if after else {}
        return {
            (place.topic, place.partition): Log(
                begin=begins[place].offset,
                end=ends[place].offset,
                topic_id=_id(described[place.topic]),
                newer=newer[place].offset if place in newer and newer[place].offset >= 0 else None,
            )
            for place in places
        }

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()


def _exists(described: dict[str, object] | None, partition: int) -> bool:
    if described is None or described["error_code"]:
        return False
    listed = described["partitions"]
    assert isinstance(listed, list)
    return any(one["partition_index"] == partition and not one["error_code"] for one in listed)


def _id(described: dict[str, object]) -> str | None:
    found = str(described.get("topic_id") or NO_ID)
    return None if found == NO_ID else found
