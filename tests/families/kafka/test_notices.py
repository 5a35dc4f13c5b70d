"""What a worker tells of its topics while it runs, and what it must not tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from core.events import HEADERS
from streams import topics
from streams.consumer.placement import Commit
from streams.settings import Settings
from tests.altered import alter
from tests.families.kafka.never import LATE_S
from tests.families.kafka.side_by_side import Scenario, play, side_by_side
from tests.families.kafka.topics_of import (
    admin,
    commit,
    committed,
    ends,
    extracted,
    ids,
    post,
    reads_again,
    remove,
    send,
    until,
    until_all_committed,
    until_extracted,
)
from tests.streams.conftest import Start

IMPATIENT = "tests.families.kafka.impatient_worker"
DEAF = "tests.families.kafka.deaf_worker"
BEFORE = 40
AHEAD_MS = 50 * 60_000
"""Brokers refuse times that are more than an hour ahead."""


def stamp(settings: Settings, kind: str) -> None:
    alter(str(settings.kafka), settings.name(topics.TWEETS), {"message.timestamp.type": kind})


def send_stamped(settings: Settings, numbers: range, time_ms: int) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka, acks="all")
    topic = settings.name(topics.TWEETS)
    sent = [producer.send(topic, post(number), b"t%d" % number, HEADERS, number % 4, time_ms) for number in numbers]
    for each in sent:
        each.get(timeout=30)
    producer.close()


async def old_records_bear_times_in_the_future(posts: Settings, start: Start) -> None:
    """The topic once kept the producers' times, and then the broker's."""
    stamp(posts, "CreateTime")
    await asyncio.to_thread(send_stamped, posts, range(8), int(1000 * time.time()) + AHEAD_MS)
    stamp(posts, "LogAppendTime")
    for round_ in range(2):
        worker = start(posts, only=("extract",))
        await asyncio.to_thread(send, posts, range(8 + 8 * round_, 16 + 8 * round_))
        await until_all_committed(posts)
        await asyncio.sleep(3)  # the time for some looks
        assert not reads_again(worker.output())
        await asyncio.to_thread(worker.stop)
    assert extracted(posts) == dict.fromkeys(ids(range(24)), 1)


async def a_worker_is_deaf(posts: Settings, start: Start) -> None:
    """Faust has paused a partition for ever. The worker notices it, tells it once, and reads on."""
    worker = start(posts, DEAF, only=("extract",))
    await asyncio.to_thread(send, posts, range(BEFORE))
    await until_extracted(posts, range(BEFORE))
    await until_all_committed(posts)
    told = [line for line in worker.output().splitlines() if "records wait from offset" in line]
    assert len(told) == 1
    assert "WARNING" in told[0]
    assert "10 records wait from offset 0 on" in told[0]
    assert worker.code is None


async def a_full_pipeline_is_not_deaf(posts: Settings, start: Start) -> None:
    never = posts.changed(model_factory="tests.families.kafka.never:load", model_timeout_s=100.0, in_flight=8)
    worker = start(never, IMPATIENT, only=("extract",))
    await asyncio.to_thread(send, posts, range(1000))
    await until(lambda: "looked at topics" in worker.output(), 20, "the worker positions its partitions")
    looks = worker.output().count("looked at topics")
    await asyncio.sleep(12)  # three times as long as an impatient worker waits
    assert worker.output().count("looked at topics") >= looks + 4, "it looked"
    assert all(committed(posts).get(place, 0) < end for place, end in ends(posts).items()), "records waited"
    assert "records wait" not in worker.output()
    assert worker.code is None


async def a_transaction_is_left_open(posts: Settings, start: Start) -> None:
    worker = start(posts, IMPATIENT, only=("extract",))
    async with AIOKafkaProducer(bootstrap_servers=posts.kafka, transactional_id=posts.name("open")) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(posts.name(topics.TWEETS), post(1), b"t1", 1)
        await asyncio.to_thread(send, posts, range(4))
        says = f"{posts.name(topics.TWEETS)}/1: a transaction that is open at offset 0 has held back 2 offsets"
        await until(lambda: says in worker.output(), 20, "the worker tells it")
        await asyncio.sleep(3)
        assert worker.output().count("a transaction that is open") == 1
        await producer.commit_transaction()
    await until_extracted(posts, range(4))
    await until_all_committed(posts)
    assert "records wait" not in worker.output(), "what a transaction holds back does not wait for the worker"


async def an_idle_partition_gets_a_note(posts: Settings, start: Start) -> None:
    """A commit of an earlier version, and no record since."""
    await asyncio.to_thread(send, posts, range(BEFORE))
    commit(posts, ends(posts))
    worker = start(posts, only=("extract",))
    await until(lambda: all(noted(posts)), 20, "every commit has a note")
    assert not extracted(posts)
    assert not reads_again(worker.output())


async def an_earlier_version_had_not_committed_what_is_deleted(posts: Settings, start: Start) -> None:
    """It left its commit before a marker, and retention has deleted all since. Nobody knows whether it was read."""
    await asyncio.to_thread(send, posts, range(BEFORE))
    commit(posts, {place: end - 1 for place, end in ends(posts).items()})
    with admin(posts) as client:
        client.delete_records(ends(posts))
    worker = start(posts, only=("extract",))
    await until(lambda: "had perhaps read, though it had not committed them" in worker.output(), 20)
    assert "before they were read" not in worker.output()


def noted(settings: Settings) -> list[bool]:
    with admin(settings) as client:
        held = next(iter(client.list_group_offsets(settings.name("mner-extract")).values()))
    return [Commit(each.offset, each.metadata or "").topic_id is not None for each in held.values()]


async def a_topic_is_deleted_with_events_in_flight(posts: Settings, start: Start) -> None:
    late = posts.changed(model_factory="tests.families.kafka.never:load_late", model_timeout_s=100.0)
    worker = start(late, IMPATIENT, only=("extract",))
    await asyncio.to_thread(send, posts, range(BEFORE))
    await asyncio.sleep(LATE_S / 2)  # they are in the model
    await asyncio.to_thread(remove, posts)
    await until_extracted(posts, range(BEFORE))
    await asyncio.sleep(12)  # the time for some commits
    lines = [line for line in worker.output().splitlines() if " ERROR " in line or "Traceback" in line]
    assert not lines
    assert worker.code is None
    looks = worker.output().count("looked at topics")
    assert looks < 40, f"{looks} looks, which is more than one in half a second"


async def a_topic_is_deleted_before_a_worker_notices_it(posts: Settings, start: Start) -> None:
    """It looks as seldom as in production, so it commits to a topic that is gone."""
    late = posts.changed(model_factory="tests.families.kafka.never:load_late", model_timeout_s=100.0)
    worker = start(late, "cli.main", only=("extract",))
    await asyncio.to_thread(send, posts, range(BEFORE))
    await asyncio.sleep(LATE_S / 2)
    await asyncio.to_thread(remove, posts)
    await until_extracted(posts, range(BEFORE))
    await asyncio.sleep(30)
    assert not [line for line in worker.output().splitlines() if " ERROR " in line or "Traceback" in line]
    assert worker.code is None


SCENARIOS = [
    Scenario(old_records_bear_times_in_the_future),
    Scenario(a_worker_is_deaf),
    Scenario(a_full_pipeline_is_not_deaf),
    Scenario(a_transaction_is_left_open),
    Scenario(an_idle_partition_gets_a_note),
    Scenario(an_earlier_version_had_not_committed_what_is_deleted),
    Scenario(a_topic_is_deleted_with_events_in_flight),
    Scenario(a_topic_is_deleted_before_a_worker_notices_it),
]
played = side_by_side(play, SCENARIOS, "played")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in SCENARIOS])
def test_the_worker_tells_what_it_should(played: Callable[[Scenario], None], case: Scenario) -> None:
    played(case)
