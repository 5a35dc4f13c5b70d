"""A topic that is deleted and made again, or gets more partitions, under a running worker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from kafka.admin import NewPartitions

from streams import topics
from streams.settings import Settings
from tests.families.kafka.side_by_side import Scenario, play, side_by_side
from tests.families.kafka.topics_of import (
    admin,
    make,
    remove,
    send,
    until,
    until_all_committed,
    until_extracted,
)
from tests.streams.conftest import Start

NOTICED_S = 30.0
AWAY_S = 4.0
"""Longer than the workers of these tests take to notice that the topic is gone."""

BEFORE = 40


@dataclass(frozen=True)
class Case:
    """`away_s`: how long the topic stays away, at least. `partitions`, `fed`: of the topic that is made again."""

    id: str
    away_s: float
    partitions: int
    fed: int


CASES = [
    Case("at once, the new log is shorter", 0, 4, 8),
    Case("at once, the new log is longer", 0, 4, 400),
    Case("at once, the new log is as long", 0, 4, 40),
    Case("after a while, the new log is shorter", AWAY_S, 4, 8),
    Case("after a while, the new log is longer", AWAY_S, 4, 400),
    Case("at once, with more partitions", 0, 8, 80),
    Case("at once, with fewer partitions", 0, 2, 80),
    Case("after a while, with more partitions", AWAY_S, 8, 80),
]


async def make_again(posts: Settings, start: Start, case: Case) -> None:
    worker = start(posts, only=("extract",))
    await asyncio.to_thread(send, posts, range(BEFORE))
    await until_all_committed(posts)
    await asyncio.to_thread(remove, posts)
    await asyncio.sleep(case.away_s)
    await made(posts, case.partitions)
    new = range(BEFORE, BEFORE + case.fed)
    await asyncio.to_thread(send, posts, new)
    await until_extracted(posts, new, NOTICED_S)
    await until_all_committed(posts)
    assert worker.code is None
    assert not errors(worker.output())


finished = side_by_side(make_again, CASES, "finished")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_a_topic_made_again_is_read_from_its_beginning(finished: Callable[[Case], None], case: Case) -> None:
    finished(case)


async def new_partitions_are_read_from_their_beginning(posts: Settings, start: Start) -> None:
    worker = start(posts, "cli.main", only=("extract",))  # one that looks as often as in production
    await asyncio.to_thread(send, posts, range(BEFORE))
    await until_all_committed(posts)
    with admin(posts) as client:
        client.create_partitions({posts.name(topics.TWEETS): NewPartitions(12)})
    await until(lambda: grown(posts, 12))
    new = range(BEFORE, BEFORE + 240)
    await asyncio.to_thread(send, posts, new)
    await until_extracted(posts, new, NOTICED_S)
    await until_all_committed(posts)
    assert worker.code is None
    assert not errors(worker.output())


async def a_topic_is_made_again_twice_under_load(posts: Settings, start: Start) -> None:
    worker = start(posts, only=("extract",))
    number = 0
    for _ in range(3):
        await asyncio.to_thread(remove, posts) if number else None
        await made(posts, 4) if number else None
        new = range(number, number + 300)
        number = new.stop
        await asyncio.to_thread(send, posts, new)
        await until_extracted(posts, new, NOTICED_S)
    await until_all_committed(posts)
    assert worker.code is None


SCENARIOS = [
    Scenario(new_partitions_are_read_from_their_beginning),
    Scenario(a_topic_is_made_again_twice_under_load),
]
played = side_by_side(play, SCENARIOS, "played")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in SCENARIOS])
def test_all_is_read_when(played: Callable[[Scenario], None], case: Scenario) -> None:
    played(case)


async def made(settings: Settings, partitions: int) -> None:
    """Kafka deletes in the background: a topic of the same name can be made a moment later."""

    def attempt() -> bool:
        try:
            make(settings, partitions)
        except Exception as error:
            if "exists" not in repr(error).lower():
                raise
            return False
        return True

    await until(attempt, 30, "the topic is made again")


def grown(settings: Settings, partitions: int) -> bool:
    with admin(settings) as client:
        (described,) = client.describe_topics([settings.name(topics.TWEETS)])
    return len(described["partitions"]) == partitions


def errors(output: str) -> list[str]:
    """Returns the lines of errors after the worker was ready."""
    _, _, after = output.partition("worker ready")
    wrong: Callable[[str], object] = re.compile(r" (ERROR|CRITICAL) |Traceback").search
    return [line for line in after.splitlines() if wrong(line)]
