"""Readings of the agents' groups on a real Kafka."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from streams import topics
from streams.agents.names import AgentName
from streams.lag import read
from streams.settings import Settings


def send(settings: Settings, number: int) -> None:
    """Sends as many posts to each partition."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for partition in range(settings.partitions):
        for _ in range(number):
            producer.send(settings.name(topics.TWEETS), b"{}", partition=partition)
    producer.flush()
    producer.close()


def commit(settings: Settings, offset: int, consumer: KafkaConsumer | None = None) -> None:
    """Commits the offset in each partition, as an agent that has finished the posts before it."""
    own = consumer or KafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=settings.name(AgentName.EXTRACT.group), enable_auto_commit=False
    )
    places = [TopicPartition(settings.name(topics.TWEETS), number) for number in range(settings.partitions)]
    own.assign(places)
    own.commit({place: OffsetAndMetadata(offset, "", -1) for place in places})
    own.close()


def test_lag_and_pace_are_those_of_each_agents_topic(settings: Settings) -> None:
    topics.create(str(settings.kafka), topics.plan(settings))
    send(settings, 3)
    first = read(str(settings.kafka), settings)
    assert first.lags == {"extract": 3 * settings.partitions, "deliver": 0, "decide": 0, "erase": 0}
    assert set(first.workers.values()) == {0}

    commit(settings, 2)
    send(settings, 4)
    second = replace(read(str(settings.kafka), settings), at=first.at + 2)
    assert second.lags[AgentName.EXTRACT] == 5 * settings.partitions
    assert second.arrived(first) == 2 * settings.partitions
    assert second.arrived(first, AgentName.DELIVER) == 0
    assert second.done(first) == 0, "nothing was committed before, so nobody knows when it was finished"

    commit(settings, 6)
    third = replace(read(str(settings.kafka), settings), at=second.at + 8)
    assert third.done(second) == settings.partitions / 2
    assert (third.arrived(second), second.arrived(second)) == (0, None)
    assert first.arrived(replace(third, at=first.at - 1)) == 0, "a topic that was made again has no negative pace"


def test_a_deployment_without_topics_has_no_agents_to_read(settings: Settings) -> None:
    reading = read(str(settings.kafka), settings)
    assert (reading.agents, reading.lags, reading.arrived(reading)) == ({}, {}, None)


def test_brokers_that_do_not_answer_are_unreachable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.lag.LIMIT_MS", 500)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(topics.Unreachable):
            read(f"127.0.0.1:{taken.getsockname()[1]}", settings)
