"""The private parts of Faust, aiokafka and kafka-python that we replace or lean on are still the ones we read.

Nothing but reading tells whether a changed part still fits: the ways in which these parts lose records need a certain
rebalance or hole. So an update that changes one of them fails here. Comments and layout do not count.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import tokenize
from typing import Any

import pytest
from aiokafka import client
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from faust.app import base
from faust.tables import recovery
from faust.transport import consumer
from faust.transport.drivers import aiokafka as driver
from kafka import cluster
from mode import threads

REPLACED: list[tuple[Any, str]] = [
    (consumer.Consumer.perform_seek, "fb84a3ee6ae9"),
    (consumer.Consumer.getmany, "8468d6f9e141"),
    (consumer.Consumer._drain_messages, "3cc2d2bad16e"),
    (consumer.Consumer.ack, "83cc0ad75a29"),
    (consumer.Consumer._filter_tps_with_pending_acks, "1724b3555bd1"),
    (consumer.Consumer._filter_committable_offsets, "6232912034b0"),
    (driver.Consumer._to_message, "e20ceb92c6ec"),
    (driver.AIOKafkaConsumerThread._create_worker_consumer, "f283c3eca62a"),
    (driver.AIOKafkaConsumerThread._commit, "728c9122908a"),
    (driver.AIOKafkaConsumerThread.verify_event_path, "50dfba0c8f03"),
    (driver.AIOKafkaConsumerThread.on_start, "62a726b8a143"),
    (threads.ServiceThread.on_crash, "9fd5978a4670"),
    (base.App._create_directories, "205253adb946"),
]
LEANED_ON: list[tuple[Any, str]] = [
    (consumer.Consumer.on_partitions_revoked, "e19963e7e040"),
    (consumer.Consumer.on_partitions_assigned, "47b4496a3457"),
    (consumer.Consumer.on_buffer_full, "4a2332a63e8c"),
    (consumer.Consumer.on_buffer_drop, "fb14fc302d93"),
    (consumer.Consumer.resume_partitions, "b7541502594e"),
    (consumer.Consumer._wait_next_records, "c34256c0fb33"),
    (consumer.Consumer.force_commit, "c7fe97efa84b"),
    (consumer.Consumer._commit_tps, "04c26e33b27e"),
    (consumer.Consumer._commit_offsets, "f1fafd828ebb"),
    (consumer.Fetcher, "7185d9fb449a"),
    (driver.AIOKafkaConsumerThread._fetch_records, "86a9aeddd3a9"),
    (driver.AIOKafkaConsumerThread.getmany, "a3318261fb18"),
    (driver.ConsumerRebalanceListener, "4ead3f0ef1a3"),
    (recovery.Recovery._resume_streams, "2e0bbba90e6d"),
    (fetcher.FetchResult, "ce8e85f806a3"),
    (fetcher.PartitionRecords, "2052b8177d0c"),
    (fetcher.Fetcher.fetched_records, "2510a6f4da3b"),
    (fetcher.Fetcher.seek_to, "32d5d0c7d0e2"),
    (fetcher.Fetcher._update_fetch_positions, "843a652bce9d"),
    (fetcher.Fetcher._proc_fetch_request, "7ba996ef7098"),
    (group_coordinator.GroupCoordinator.fetch_committed_offsets, "631143b23b97"),
    (group_coordinator.GroupCoordinator._do_fetch_commit_offsets, "3fdc11429086"),
    (client.AIOKafkaClient._metadata_update, "2889705daf15"),
    (cluster.ClusterMetadata.metadata_request, "1d28599d3a93"),
    (subscription_state.Assignment, "af3f127218b8"),
    (subscription_state.TopicPartitionState, "1060c8c91972"),
    (threads.ServiceThread._serve, "13654adc0176"),
    (base.BootStrategy._should_enable_kafka_producer, "da7d4efa7ecd"),
]


@pytest.mark.parametrize(
    ("part", "expected"),
    [pytest.param(part, digest, id=part.__qualname__) for part, digest in [*REPLACED, *LEANED_ON]],
)
def test_the_source_is_the_one_that_was_read(part: Any, expected: str) -> None:
    actual = digest(part)
    assert actual == expected, (
        f"{part.__module__}.{part.__qualname__} has changed. Read the change, compare it with streams/consumer, "
        f"run tests/families/kafka, and then put {actual!r} here"
    )


def digest(part: Any) -> str:
    """Returns a digest of the source without comments and white space."""
    tokens = tokenize.generate_tokens(io.StringIO(inspect.getsource(part)).readline)
    code = "".join(token.string for token in tokens if token.type != tokenize.COMMENT)
    return hashlib.sha256("".join(code.split()).encode()).hexdigest()[:12]
