"""What the tests of this folder ask and tell the broker."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic, OffsetSpec
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NoError, NotCoordinatorError
from kafka.structs import OffsetAndMetadata

from core.events import HEADERS
from streams import topics
from streams.agents.names import AgentName
from streams.settings import Settings
from tests.streams import stub_model


def reads_again(output: str) -> bool:
    """Whether a worker says that it reads records again, since a log was cut or a library lost some."""
    return re.search("read(ing)? again", output) is not None


def post(number: int) -> bytes:
    return json.dumps({"id": f"t{number}", "text": stub_model.text(number), "source": "file"}).encode()


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    assert settings.kafka is not None
    client = topics.admin(settings.kafka)
    try:
        yield client
    finally:
        client.close()


def places(settings: Settings, topic: str = topics.TWEETS) -> list[TopicPartition]:
    """Returns the partitions. Waits for those of a topic that was just made, which a broker learns a moment later."""
    deadline = time.monotonic() + 30
    with admin(settings) as client:
        while not (described := client.describe_topics([settings.name(topic)])[0])["partitions"]:
            assert time.monotonic() < deadline, described
            time.sleep(0.05)
    return [TopicPartition(settings.name(topic), number) for number in range(len(described["partitions"]))]


def send(
    settings: Settings, numbers: Iterable[int], *, rate: float = 0.0, partition: int | None = None, **options: Any
) -> None:
    """Puts post n into `partition`, by default into partition n modulo their number.

    `rate`: posts per second, 0 for no limit. `options`: of the producer.
    """
    count = len(places(settings))
    producer = KafkaProducer(bootstrap_servers=settings.kafka, acks="all", **options)
    try:
        for number in numbers:
            key = f"t{number}".encode()
            place = number % count if partition is None else partition
            producer.send(settings.name(topics.TWEETS), post(number), key, HEADERS, place)
            time.sleep(1 / rate if rate else 0)
        producer.flush(30)
    finally:
        producer.close()


async def transact(settings: Settings, numbers: Iterable[int], *, commit: bool, partition: int = 0) -> None:
    """Puts posts into one partition in a transaction, which is committed or aborted."""
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka, transactional_id=settings.name(f"t{partition}")
    ) as producer:
        await producer.begin_transaction()
        for number in numbers:
            await producer.send(settings.name(topics.TWEETS), post(number), f"t{number}".encode(), partition)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


def extracted(settings: Settings) -> Counter[str]:
    """Returns the ids of all extractions, with how often each was made."""
    with admin(settings) as client:
        topic = places(settings, topics.EXTRACTIONS)
        ends = client.list_partition_offsets(dict.fromkeys(topic, OffsetSpec.LATEST))
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    found: Counter[str] = Counter()
    try:
        consumer.assign(topic)
        consumer.seek_to_beginning()
        while any(consumer.position(place) < ends[place].offset for place in topic):
            for records in consumer.poll(timeout_ms=200).values():
                found.update(record.key.decode() for record in records)
    finally:
        consumer.close()
    return found


def ids(numbers: Iterable[int]) -> set[str]:
    return {f"t{number}" for number in numbers}


async def until(what: Callable[[], bool], timeout_s: float = 60.0, says: str | Callable[[], str] = "") -> None:
    """Asks in a thread until `what` is true. `says`: what was waited for, or what is missing at the end."""
    deadline = time.monotonic() + timeout_s
    while not await asyncio.to_thread(what):
        told = says if isinstance(says, str) else says()
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {told}"
        await asyncio.sleep(0.1)


async def until_extracted(settings: Settings, numbers: Iterable[int], timeout_s: float = 60.0) -> None:
    wanted = ids(numbers)
    missing: set[str] = set()

    def complete() -> bool:
        nonlocal missing
        missing = wanted - set(extracted(settings))
        return not missing

    await until(complete, timeout_s, lambda: f"{len(missing)} of {len(wanted)} lost: {sorted(missing)[:5]}")


def ends(settings: Settings, topic: str = topics.TWEETS) -> dict[TopicPartition, int]:
    with admin(settings) as client:
        found = client.list_partition_offsets(dict.fromkeys(places(settings, topic), OffsetSpec.LATEST))
    return {place: offset.offset for place, offset in found.items()}


def committed(settings: Settings, agent: AgentName = AgentName.EXTRACT) -> dict[TopicPartition, int]:
    group = settings.name(agent.group)
    with admin(settings) as client:
        if group not in {one["group_id"] for one in client.list_groups()}:
            return {}
        return {place: offset.offset for place, offset in client.list_group_offsets(group)[group].items()}


async def until_all_committed(settings: Settings, timeout_s: float = 30.0) -> None:
    """Waits until the group has committed the end of each partition that holds anything."""
    behind: list[str] = []

    def all_committed() -> bool:
        held = committed(settings)
        behind[:] = [
            f"{place.partition}: {held.get(place)} of {end}"
            for place, end in ends(settings).items()
            if end and held.get(place) != end
        ]
        return not behind

    await until(all_committed, timeout_s, lambda: f"{len(behind)} partitions behind: {behind[:8]}")


def commit(settings: Settings, offsets: Mapping[TopicPartition, int], note: str = "") -> None:
    """Sets what the extract agent's group has committed. Its workers must be stopped."""
    group = settings.name(AgentName.EXTRACT.group)
    with admin(settings) as client:
        wanted = {place: OffsetAndMetadata(offset, note, -1) for place, offset in offsets.items()}
        early = {NotCoordinatorError, CoordinatorLoadInProgressError}
        answers: set[object] = early
        for _ in range(300):  # a new broker has no coordinator yet
            with suppress(CoordinatorNotAvailableError):
                answers = set(client.alter_group_offsets(group, wanted).values())
            if not answers & early:
                break
            time.sleep(0.1)
    assert answers == {NoError}, f"the broker refuses: {answers}"
    held = committed(settings)
    assert {place: held[place] for place in offsets} == dict(offsets)


def make(settings: Settings, partitions: int, **config: str) -> None:
    """Makes the topic of posts as given."""
    with admin(settings) as client:
        client.create_topics([NewTopic(settings.name(topics.TWEETS), partitions, 1, topic_configs=config)])
        client.wait_for_topics([settings.name(topics.TWEETS)])


def remove(settings: Settings) -> None:
    with admin(settings) as client:
        client.delete_topics([settings.name(topics.TWEETS)])
