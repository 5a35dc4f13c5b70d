"""Reading the dead-letter topic of a real Kafka."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
from kafka import KafkaProducer

from core.errors import Retry
from core.events import DeadLetter
from sinks.dead_letters import read
from streams import topics
from streams.settings import Settings


def dead(number: int) -> DeadLetter:
    return DeadLetter(
        topic="tweets", partition=0, offset=number, stage="decode", error="Reject", reason="no text", value="{}"
    )


@pytest.fixture
def write(settings: Settings) -> Callable[[bytes, int], None]:
    """Writes one value to a partition of the dead-letter topic. The broker stamps it."""
    topics.create(str(settings.kafka), topics.plan(settings))
    topic = settings.name(topics.DEAD)

    def one(value: bytes, partition: int) -> None:
        producer = KafkaProducer(bootstrap_servers=settings.kafka)
        producer.send(topic, value, partition=partition % settings.partitions).get(timeout=10)
        producer.close()

    return one


def test_letters_come_oldest_first_across_partitions_and_can_be_limited_to_the_newest(
    settings: Settings, write: Callable[[bytes, int], None]
) -> None:
    written = (3, 0, 2, 1)
    started = time.time()
    for number in written:
        write(dead(number).model_dump_json().encode(), number)
    brokers, topic = str(settings.kafka), settings.name(topics.DEAD)
    everything = read(brokers, topic)
    assert [letter.letter for letter in everything] == [dead(number) for number in written]
    assert all(started - 1 < letter.at.timestamp() < time.time() + 1 for letter in everything)
    assert [letter.letter.offset for letter in read(brokers, topic, newest=2)] == [2, 1]
    assert read(brokers, topic, newest=0) == []


def test_a_record_of_another_kind_is_shown_as_it_is(settings: Settings, write: Callable[[bytes, int], None]) -> None:
    write(b"\xff not json", 0)
    (letter,) = read(str(settings.kafka), settings.name(topics.DEAD))
    assert "not a dead letter" in letter.letter.reason
    assert letter.letter.value == "\ufffd not json"


def test_a_missing_topic_has_no_letters(settings: Settings) -> None:
    assert read(str(settings.kafka), settings.name("nothing.here")) == []


def test_unreachable_brokers_raise_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.dead_letters.IDLE_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Retry, match="is unreachable"):
            read(f"127.0.0.1:{taken.getsockname()[1]}", "tweets.dead")
