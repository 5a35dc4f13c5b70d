"""The private parts of Faust and aiokafka that `streams` replaces or leans on are still the ones we read."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

import pytest
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from faust.app import base
from faust.tables import recovery
from faust.transport import consumer
from faust.transport.drivers import aiokafka as driver
from mode import threads

REPLACED: list[tuple[Any, str]] = [
    (consumer.Consumer.perform_seek, "0e8c130ff4b0"),
    (consumer.Consumer.getmany, "4b168d84882a"),
    (consumer.Consumer._drain_messages, "44a2500309e8"),
    (consumer.Consumer.ack, "5fcf41cf4515"),
    (consumer.Consumer._filter_tps_with_pending_acks, "f6f923977423"),
    (consumer.Consumer._filter_committable_offsets, "dc5e9baf5d99"),
    (driver.Consumer._to_message, "7c24f6511b2f"),
    (driver.AIOKafkaConsumerThread.on_start, "38b4e8bd1e10"),
    (driver.AIOKafkaConsumerThread._create_worker_consumer, "c2701bfc3e6f"),
    (driver.AIOKafkaConsumerThread._commit, "932852ce7a23"),
    (driver.AIOKafkaConsumerThread.verify_event_path, "b983e7735f64"),
    (threads.ServiceThread.on_crash, "d1b1624686ba"),
    (base.App._create_directories, "a9f571c3b04a"),
]
LEANED_ON: list[tuple[Any, str]] = [
    (consumer.Consumer.on_partitions_revoked, "d04b7ae72c6f"),
    (consumer.Consumer.on_partitions_assigned, "29ce96596f05"),
    (consumer.Consumer._wait_next_records, "6218e1969a63"),
    (consumer.Consumer.force_commit, "cc094614d22c"),
    (consumer.Consumer._commit_tps, "a20e230b05ae"),
    (consumer.Consumer._commit_offsets, "1a6979904118"),
    (consumer.Fetcher, "c922e4ab78d9"),
    (driver.AIOKafkaConsumerThread._fetch_records, "39a2c6c79fc1"),
    (driver.AIOKafkaConsumerThread.getmany, "26fc5fc9f3b6"),
    (threads.ServiceThread._serve, "67809eae0957"),
    (base.BootStrategy._should_enable_kafka_producer, "c2633729cf04"),
    (driver.ConsumerRebalanceListener, "f3d04f29dfb3"),
    (recovery.Recovery._resume_streams, "d986a6710c1a"),
    (fetcher.FetchResult, "d7db13f06de8"),
    (fetcher.PartitionRecords, "94aa0da0dbec"),
    (fetcher.Fetcher.fetched_records, "be4348896b9b"),
    (fetcher.Fetcher.seek_to, "f0ba6aba6c22"),
    (fetcher.Fetcher._update_fetch_positions, "d7774d8241dc"),
    (fetcher.Fetcher._proc_fetch_request, "59bf948fff47"),
    (group_coordinator.GroupCoordinator.fetch_committed_offsets, "6c049c737916"),
    (group_coordinator.GroupCoordinator._do_fetch_commit_offsets, "b0f359813271"),
    (subscription_state.Assignment, "ce6859542c70"),
    (subscription_state.TopicPartitionState, "2b83334afadf"),
]


@pytest.mark.parametrize(
    ("part", "expected"),
    [pytest.param(part, digest, id=part.__qualname__) for part, digest in [*REPLACED, *LEANED_ON]],
)
def test_the_source_is_the_one_that_was_read(part: Any, expected: str) -> None:
    actual = hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:12]
    assert actual == expected, (
        f"{part.__module__}.{part.__qualname__} has changed. Read the change, compare it with streams/consumer, "
        f"run tests/families/kafka, and then put {actual!r} here"
    )
