"""Compaction removes what an erased post left in a topic, on a real broker."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource

from streams import topics
from streams.settings import Settings
from streams.topics import Difference


def values(brokers: str, topic: str) -> list[bytes | None]:
    with closing(KafkaConsumer(bootstrap_servers=brokers, group_id=None)) as consumer:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        end, found = consumer.end_offsets([place])[place], []
        while consumer.position(place) < end:
            found += [record.value for records in consumer.poll(200).values() for record in records]
    return found


def test_an_erased_record_is_gone_after_compaction(settings: Settings) -> None:
    brokers = str(settings.kafka)
    planned = next(t for t in topics.plan(settings) if t.name == settings.name(topics.EXTRACTIONS))
    assert int(planned.config["max.compaction.lag.ms"]) <= 6 * topics.HOUR_MS
    topics.create(brokers, [replace(planned, partitions=1)])
    client = topics.admin(brokers)
    quick = {"max.compaction.lag.ms": "200"}  # the same setting, so that the test need not wait for hours
    client.alter_configs([ConfigResource("TOPIC", planned.name, quick)])
    client.close()
    producer = KafkaProducer(bootstrap_servers=brokers)
    producer.send(planned.name, b"secret words", key=b"1")
    producer.send(planned.name, None, key=b"1")
    deadline = time.monotonic() + 60
    while b"secret words" in values(brokers, planned.name):
        assert time.monotonic() < deadline, "the broker has not compacted the topic"
        producer.send(planned.name, b"other", key=b"2").get(10)
        time.sleep(0.5)
    producer.close()


def test_no_record_waits_long_for_others_of_its_segment(settings: Settings) -> None:
    """Kafka deletes whole segments, so that a record stays until the last one of its segment is old enough."""
    for topic in topics.plan(settings):
        if "delete" in topic.cleanup:
            assert int(topic.config["segment.ms"]) == min(topic.retention_ms, topics.HOUR_MS)
    assert Difference("t", "segment.ms", "604800000", "3600000").tightens
    assert not Difference("t", "segment.ms", "60000", "3600000").tightens


@pytest.mark.parametrize(("actual", "tightens"), [("9223372036854775807", True), ("21600000", False), ("60000", False)])
def test_compacting_sooner_tightens(actual: str, tightens: bool) -> None:
    assert Difference("t", "max.compaction.lag.ms", actual, "21600000").tightens is tightens
