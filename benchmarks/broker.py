"""The broker's side of a measurement: topics of one run, how much they hold, what they hold and when it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from streams import topics
from streams.settings import Settings

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
"""The broker's own clock stamps a record when it is in the log: the same for every contender."""


@dataclass(frozen=True)
class Record:
    """`at_ms`: unix milliseconds, as the topic stamps."""

    key: str
    value: bytes
    at_ms: int


@contextmanager
def fresh_topics(brokers: str, settings: Settings) -> Iterator[None]:
    """The topics of `settings.prefix`, extractions stamped by the broker; deleted afterwards."""
    wanted = topics.plan(settings)
    client = topics.admin(brokers)
    try:
        client.create_topics(
            [
                NewTopic(
                    topic.name,
                    topic.partitions,
                    topic.replication,
                    topic_configs=topic.config
                    | (APPEND_TIME if topic.name == settings.name(topics.EXTRACTIONS) else {}),
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
    """Reads one topic from outside, without a group. A context manager."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer = KafkaConsumer(bootstrap_servers=brokers.split(","), group_id=None, enable_auto_commit=False)
        self._consumer.assign(self._partitions)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def count(self) -> int:
        """Records in the topic."""
        return sum(self._ends().values())

    def records(self) -> list[Record]:
        """All of them, each partition in its order."""
        ends = self._ends()
        self._consumer.seek_to_beginning(*self._partitions)
        found: list[Record] = []
        while any(self._consumer.position(partition) < end for partition, end in ends.items()):
            for records in self._consumer.poll(timeout_ms=1000).values():
                found += [Record(record.key.decode(), record.value, record.timestamp) for record in records]
        return found

    def _ends(self) -> dict[Any, int]:
        return dict(self._consumer.end_offsets(self._partitions))


def uncommitted(brokers: str, settings: Settings) -> int:
    """Tweets that the group of extract has not committed."""
    client = topics.admin(brokers)
    try:
        group = settings.name("mner-extract")
        offsets = client.list_group_offsets(group)[group]
    finally:
        client.close()
    with Log(brokers, settings.name(topics.TWEETS), settings.partitions) as log:
        committed: int = sum(one.offset for one in offsets.values())
        return log.count() - committed
