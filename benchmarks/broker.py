"""The broker's side of a measurement: the topics of a run, and their records with the time of arrival."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from sinks.connect.kafka import Brokers, client_options
from streams import topics
from streams.settings import Settings

FEED_TIME = {"message.timestamp.type": "CreateTime"}
"""Posts keep the stamp of the feed: the latency counts from there."""


@dataclass(frozen=True)
class Record:
    """A record of a topic."""

    key: str
    value: bytes
    at_ms: int
    """Unix milliseconds, by the clock that the topic uses."""


@contextmanager
def fresh_topics(brokers: Brokers, settings: Settings) -> Iterator[None]:
    """Creates the topics of `settings.prefix`, and deletes them if the block succeeds.

    The broker stamps an extraction when it appends it, so that every contender is measured by the same clock.
    """
    wanted = topics.plan(settings)
    client = topics.admin(brokers)
    try:
        client.create_topics(
            [
                NewTopic(
                    topic.name,
                    topic.partitions,
                    topic.replication,
                    topic_configs=topic.config | (FEED_TIME if topic.name == settings.name(topics.TWEETS) else {}),
                )
                for topic in wanted
            ]
        )
        client.wait_for_topics([topic.name for topic in wanted])
        yield
        client.delete_topics([topic.name for topic in wanted])
    finally:
        client.close()


class Log:
    """Reads a topic without a consumer group. A context manager."""

    def __init__(self, brokers: Brokers, topic: str, partitions: int) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer = KafkaConsumer(**client_options(brokers), group_id=None, enable_auto_commit=False)
        self._consumer.assign(self._partitions)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def count(self) -> int:
        """Returns the number of records in the topic."""
        return sum(self._ends().values())

    def records(self) -> list[Record]:
        """Returns all records, in order within each partition."""
        ends = self._ends()
        self._consumer.seek_to_beginning(*self._partitions)
        found: list[Record] = []
        while any(self._consumer.position(partition) < end for partition, end in ends.items()):
            for records in self._consumer.poll(timeout_ms=1000).values():
                found += [Record(record.key.decode(), record.value, record.timestamp) for record in records]
        return found

    def _ends(self) -> dict[Any, int]:
        return dict(self._consumer.end_offsets(self._partitions))


def uncommitted(brokers: Brokers, settings: Settings) -> int:
    """Returns how many posts the consumer group of extract has not committed."""
    client = topics.admin(brokers)
    try:
        group = settings.name("mner-extract")
        offsets = client.list_group_offsets(group)[group]
    finally:
        client.close()
    with Log(brokers, settings.name(topics.TWEETS), settings.partitions) as log:
        committed: int = sum(each.offset for each in offsets.values())
        return log.count() - committed
