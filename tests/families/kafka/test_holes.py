"""Offsets without a record, and records of transactions: nothing is lost, held back, or read that was aborted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from core.events import HEADERS
from local.stack import Stack
from streams import topics
from streams.settings import Settings
from tests.conftest import Given
from tests.families.kafka.side_by_side import QUICK, bare_settings, with_topics
from tests.families.kafka.topics_of import (
    committed,
    ends,
    extracted,
    ids,
    make,
    post,
    reads_again,
    send,
    transact,
    until,
    until_all_committed,
    until_extracted,
)
from tests.streams.conftest import Start, started

PER_CASE = 10_000
"""Numbers of posts that a case may use."""


@dataclass(frozen=True)
class Case:
    """A partition. Of `steps`, "r3" is three posts, "a3" three in an aborted transaction, "c3" in a committed one."""

    id: str
    steps: Sequence[str]


CASES = [
    Case("a hole at the head", ["a3", "r4"]),
    Case("a hole behind record 0", ["r1", "a5", "r3"]),
    Case("a marker behind record 0", ["c1", "r3"]),
    Case("a hole in the middle", ["r5", "a4", "r5"]),
    Case("a hole at the end", ["r5", "a4"]),
    Case("a marker at the end", ["r2", "c3"]),
    Case("a wide hole", ["r2", "a700", "r2"]),
    Case("a wide hole at the head and at the end", ["a300", "r1", "a300"]),
    Case("nothing but holes", ["a5", "a1"]),
    Case("many small transactions", ["c1", "a1", "c1", "a1", "c2", "a2", "c1", "a1"]),
    Case("a hole behind record 1", ["r2", "a1", "r1"]),
]


@dataclass
class Outcome:
    """What became of the case in one partition. Offsets are those committed, and the end of the log."""

    kept: set[str] = field(default_factory=set)
    sent: int = 0
    first: Counter[str] = field(default_factory=Counter)
    first_offsets: tuple[int | None, int] = None, 0
    again: Counter[str] = field(default_factory=Counter)
    again_offsets: tuple[int | None, int] = None, 0
    output: str = ""


@pytest.fixture(scope="module", params=[pytest.param(False, id="before the start"), pytest.param(True, id="running")])
def outcomes(
    request: pytest.FixtureRequest, servers: Stack | Given, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Outcome]]:
    """Runs all cases at once: each has a partition of its own."""
    folder = tmp_path_factory.mktemp("holes")
    settings = with_topics(bare_settings(servers, folder).changed(partitions=len(CASES)))
    with started(folder, QUICK) as start:
        yield asyncio.run(run_cases(settings, start, running=request.param))


async def run_cases(settings: Settings, start: Start, *, running: bool) -> dict[str, Outcome]:
    found = {case.id: Outcome() for case in CASES}
    worker = start(settings, only=("extract",)) if running else None
    await asyncio.gather(*(feed(settings, place, case, found[case.id]) for place, case in enumerate(CASES)))
    worker = worker or start(settings, only=("extract",))
    with suppress(AssertionError):  # each case looks for itself
        await until_all_committed(settings)
    count(settings, found, again=False)
    await asyncio.to_thread(worker.stop)
    other = start(settings, only=("extract",))
    for place, case in enumerate(CASES):
        found[case.id].sent = last = PER_CASE * (place + 1) - 1
        await asyncio.to_thread(send, settings, [last], partition=place)
    with suppress(AssertionError):
        await until_all_committed(settings)
    count(settings, found, again=True)
    for outcome in found.values():
        outcome.output = worker.output() + other.output()
    return found


async def feed(settings: Settings, place: int, case: Case, outcome: Outcome) -> None:
    number = PER_CASE * place
    for step in case.steps:
        numbers = range(number, number + int(step[1:]))
        number = numbers.stop
        if step[0] == "r":
            await asyncio.to_thread(send, settings, numbers, partition=place)
        else:
            await transact(settings, numbers, commit=step[0] == "c", partition=place)
        outcome.kept |= ids(numbers) if step[0] != "a" else set()


def count(settings: Settings, outcomes: dict[str, Outcome], *, again: bool) -> None:
    found, held, reached = extracted(settings), committed(settings), ends(settings)
    for place, case in enumerate(CASES):
        own = ids(range(PER_CASE * place, PER_CASE * (place + 1)))
        partition = TopicPartition(settings.name(topics.TWEETS), place)
        counts = Counter({each: times for each, times in found.items() if each in own})
        offsets = held.get(partition), reached[partition]
        outcome = outcomes[case.id]
        if again:
            outcome.again, outcome.again_offsets = counts, offsets
        else:
            outcome.first, outcome.first_offsets = counts, offsets


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_holes_lose_nothing_and_hold_nothing_back(outcomes: dict[str, Outcome], case: Case) -> None:
    outcome = outcomes[case.id]
    assert outcome.first == dict.fromkeys(outcome.kept, 1), "the aborted are not extracted, the others once"
    assert outcome.first_offsets[0] == outcome.first_offsets[1], "all is committed"
    assert outcome.again == dict.fromkeys(outcome.kept | ids([outcome.sent]), 1), "a restart reads nothing again"
    assert outcome.again_offsets[0] == outcome.again_offsets[1], "all is committed after the restart"
    assert not reads_again(outcome.output)


async def test_a_transaction_is_read_once_it_is_committed_and_holds_back_what_follows(
    bare: Settings, start: Start
) -> None:
    settings = bare.changed(partitions=1)
    assert settings.kafka is not None
    topics.create(settings.kafka, topics.plan(settings))
    worker = start(settings, only=("extract",))
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, transactional_id=settings.name("open")) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(settings.name(topics.TWEETS), post(0), b"t0", 0)
        await asyncio.to_thread(send, settings, [1])
        await asyncio.sleep(3)  # the time in which a reader of uncommitted records would read them
        assert not extracted(settings)
        await producer.commit_transaction()
    await until_extracted(settings, [0, 1])
    await until_all_committed(settings)
    assert worker.code is None


@pytest.mark.timeout(240)
async def test_a_topic_that_kafka_has_compacted(bare: Settings, start: Start) -> None:
    """Updates of one key, all but the last compacted away: a hole behind record 0, and another at the end."""
    settings = bare.changed(partitions=1)
    assert settings.kafka is not None
    make(
        settings,
        1,
        **{
            "cleanup.policy": "compact",
            "segment.ms": "200",
            "min.cleanable.dirty.ratio": "0.01",
            "max.compaction.lag.ms": "300",
            "delete.retention.ms": "0",
        },
    )
    topics.create(settings.kafka, topics.plan(settings))
    await asyncio.to_thread(send, settings, [0])
    for number in (5, 5, 5, 5, 6):
        await asyncio.to_thread(_same_key, settings, number)
    await until(lambda: _first_offsets(settings)[:2] != [0, 1], 120, "Kafka compacts")
    worker = start(settings, only=("extract",))
    await asyncio.to_thread(send, settings, [7])
    await until_extracted(settings, [0, 6, 7])
    await until_all_committed(settings)
    assert committed(settings) == ends(settings)
    assert worker.code is None


def _same_key(settings: Settings, number: int) -> None:
    """Forty versions of one post, the last of them post `number`, in a segment of their own."""
    producer = KafkaProducer(bootstrap_servers=settings.kafka, acks="all", linger_ms=0, batch_size=0)
    try:
        for _ in range(40):
            producer.send(settings.name(topics.TWEETS), post(number), b"same", HEADERS, 0)
        producer.flush(30)
    finally:
        producer.close()


def _first_offsets(settings: Settings) -> list[int]:
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    try:
        place = TopicPartition(settings.name(topics.TWEETS), 0)
        consumer.assign([place])
        consumer.seek_to_beginning()
        found = [record.offset for records in consumer.poll(timeout_ms=2000).values() for record in records]
        return found[:3]
    finally:
        consumer.close()
