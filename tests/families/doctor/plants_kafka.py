"""Faults of Kafka, planted on a real broker. Each is a context manager, which takes the fault away at its end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.assignors.abstract import ConsumerProtocolAssignment
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

from streams import topics
from streams.agents.names import AgentName
from streams.settings import Settings
from tests.altered import alter
from tests.families.kafka.topics_of import admin, commit, ends, send


@contextmanager
def beyond_the_end(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    """Partition 0 is committed 1000 records too far. In partition 1, three records are unread."""
    wait_for_coordinator(deployment)
    send(deployment, range(16))
    commit(
        deployment,
        {
            place: end + 1000 * (place.partition == 0) - 3 * (place.partition == 1)
            for place, end in ends(deployment).items()
        },
    )
    yield


@contextmanager
def below_the_start(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    """Kafka deletes three unread records of each partition, as retention does."""
    wait_for_coordinator(deployment)
    send(deployment, range(40))
    commit(deployment, dict.fromkeys(ends(deployment), 2))
    with admin(deployment) as client:
        client.delete_records(dict.fromkeys(ends(deployment), 5))
    yield


@contextmanager
def alive(
    deployment: Settings,
    *,
    strategy: Any = RangePartitionAssignor,
    members: int = 1,
    committed: dict[TopicPartition, Any] | None = None,
) -> Iterator[None]:
    """Members of the extract agent's group that fetch. They commit only `committed`."""
    stop, has_committed = threading.Event(), threading.Event()
    consumers = [
        KafkaConsumer(
            deployment.name(topics.TWEETS),
            bootstrap_servers=deployment.kafka,
            group_id=deployment.name(AgentName.EXTRACT.group),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[strategy],
        )
        for _ in range(members)
    ]

    def poll(consumer: Any) -> None:
        while not stop.is_set():
            consumer.poll(timeout_ms=100)
            if committed and consumer.assignment() and not has_committed.is_set():
                consumer.commit(committed)  # here, since no two threads may use one consumer
                has_committed.set()

    threads = [threading.Thread(target=poll, args=(consumer,)) for consumer in consumers]
    for thread in threads:
        thread.start()
    try:
        wait_for_group(deployment, members)
        assert committed is None or has_committed.wait(60)
        yield
    finally:
        stop.set()
        for thread, consumer in zip(threads, consumers, strict=True):
            thread.join()
            consumer.close()


def wait_for_coordinator(deployment: Settings) -> None:
    """Waits until a fresh broker keeps offsets."""
    with admin(deployment) as client:
        for _ in range(600):
            try:
                client.describe_groups(["warm-up"])
                return
            except KafkaError:
                threading.Event().wait(0.1)
    raise AssertionError("the broker never kept offsets")


def wait_for_group(deployment: Settings, members: int) -> None:
    group = deployment.name(AgentName.EXTRACT.group)
    with admin(deployment) as client:
        for _ in range(600):
            with suppress(KafkaError):  # a fresh broker has no coordinator yet
                found = client.describe_groups([group])[group]
                if found["group_state"] == "Stable" and len(found["members"]) == members:
                    return
            threading.Event().wait(0.1)
    raise AssertionError(f"{group} never had {members} members")


@contextmanager
def lag_stands_still(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker holds four posts, one of each partition, and does not finish them."""
    send(deployment, range(4))
    with alive(deployment):
        yield


@contextmanager
def deaf_worker(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker commits nothing, although more posts wait than it may hold."""
    send(deployment, range(40))
    with alive(deployment):
        yield


@contextmanager
def one_deaf_partition(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    """All partitions but one are committed to their end again and again."""
    send(deployment, range(40))
    reached = {place: end for place, end in ends(deployment).items() if place.partition != 2}
    with alive(deployment, committed=offsets(reached)):
        yield


def offsets(reached: dict[TopicPartition, int]) -> dict[TopicPartition, Any]:
    from kafka.structs import OffsetAndMetadata

    return {place: OffsetAndMetadata(end, "", -1) for place, end in reached.items()}


class FirstPartitionOnly(RangePartitionAssignor):  # type: ignore[misc]  # kafka-python has no types
    """Gives partition 0 to the first member and the others to nobody."""

    name = "first"
    given: ClassVar[list[int]] = [0]

    @classmethod
    def assign(cls, cluster: Any, members: Any) -> Any:
        first, *others = sorted(members, key=lambda member: member.member_id)
        (topic,) = first.metadata.topics
        nothing = ConsumerProtocolAssignment(cls.version, [], b"")
        given = ConsumerProtocolAssignment(cls.version, [(topic, cls.given)], b"")
        return {first.member_id: given} | dict.fromkeys((member.member_id for member in others), nothing)


class AllToOne(FirstPartitionOnly):
    """Gives every partition to one member and none to the others."""

    name = "one"
    given: ClassVar[list[int]] = [0, 1, 2, 3]


@contextmanager
def nobody_s_partitions(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    send(deployment, range(40))
    with alive(deployment, strategy=FirstPartitionOnly):
        yield


@contextmanager
def idle_member(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with alive(deployment, strategy=AllToOne, members=2):
        yield


def altered(topic: str, **values: str) -> Any:
    """A topic with other settings."""

    @contextmanager
    def plant(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
        alter(str(deployment.kafka), deployment.name(topic), values)
        yield

    return plant


@contextmanager
def more_partitions(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with admin(deployment) as client:
        client.create_partitions({deployment.name(topics.DECISIONS): 6})
    yield


@contextmanager
def answers_in_two_orders(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with admin(deployment) as client:
        client.create_partitions({deployment.name(topics.THRESHOLDS): 2})
    yield


@contextmanager
def missing_topic(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    with admin(deployment) as client:
        client.delete_topics([deployment.name(topics.TOMBSTONES)])
    yield


@contextmanager
def without_zstd(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment lacks the libraries of zstd, as after an installation without extras."""
    from aiokafka import codec as of_workers
    from kafka import codec as of_commands

    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setattr(of_workers, "cramjam", None)
    monkeypatch.setattr(of_commands, "zstd", None)
    yield


@contextmanager
def codec_of_topic(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with (
        altered(topics.EXTRACTIONS, **{"compression.type": "zstd"})(deployment, monkeypatch),
        without_zstd(monkeypatch),
    ):
        yield


@contextmanager
def codec_of_records(deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    producer = KafkaProducer(bootstrap_servers=deployment.kafka, compression_type="zstd", linger_ms=50)
    for _ in range(50):
        producer.send(deployment.name(topics.TWEETS), b"{}" * 100, partition=1)
    producer.close()
    with without_zstd(monkeypatch):
        yield


@contextmanager
def fresh_record(deployment: Settings, _: pytest.MonkeyPatch) -> Iterator[None]:
    send(deployment, range(4))
    yield
