"""A topic that is deleted and made again, or gets more partitions, under a running worker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from kafka.admin import NewPartitions

from streams import topics
from streams.settings import Settings
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
BEFORE = 40


@pytest.mark.parametrize(
    ("away_s", "partitions", "fed"),
    [
        pytest.param(0, 4, 8, id="at once, the new log is shorter"),
        pytest.param(0, 4, 400, id="at once, the new log is longer"),
        pytest.param(0, 4, 40, id="at once, the new log is as long"),
        pytest.param(15, 4, 8, id="after a while, the new log is shorter"),
        pytest.param(15, 4, 400, id="after a while, the new log is longer"),
        pytest.param(0, 8, 80, id="at once, with more partitions"),
        pytest.param(0, 2, 80, id="at once, with fewer partitions"),
        pytest.param(15, 8, 80, id="after a while, with more partitions"),
    ],
)
async def test_a_topic_made_again_is_read_from_its_beginning(
    posts: Settings, start: Start, away_s: float, partitions: int, fed: int
) -> None:
    worker = start(posts, only=("extract",))
    await asyncio.to_thread(send, posts, range(BEFORE))
    await until_all_committed(posts)
    await asyncio.to_thread(remove, posts)
    await asyncio.sleep(away_s)  # a topic that stays away for longer than the worker takes to notice
    await made(posts, partitions)
    new = range(BEFORE, BEFORE + fed)
    await asyncio.to_thread(send, posts, new)
    await until_extracted(posts, new, NOTICED_S)
    await until_all_committed(posts)
    assert worker.code is None
    assert not errors(worker.output())


async def test_new_partitions_are_read_from_their_beginning(posts: Settings, start: Start) -> None:
    worker = start(posts, only=("extract",))
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


async def test_a_topic_made_again_twice_under_load(posts: Settings, start: Start) -> None:
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
