"""What the group has committed lies outside the log, or belongs to another log: nothing is lost, and it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from streams.settings import Settings
from tests.families.kafka.side_by_side import Scenario, play, side_by_side
from tests.families.kafka.topics_of import (
    admin,
    commit,
    committed,
    ends,
    extracted,
    ids,
    make,
    places,
    reads_again,
    remove,
    send,
    until,
    until_all_committed,
    until_extracted,
)
from tests.streams.conftest import Start

BEFORE = 40
"""Posts that the group has read, acknowledged and committed at the beginning of each case: ten in each partition."""


@dataclass(frozen=True)
class Case:
    """`committed` is a function of a partition's end. `said`: what the worker's log must say, None for nothing."""

    id: str
    committed: Callable[[int], int]
    fed_before_start: int
    fed_after_start: int
    said: str | None
    partitions: tuple[int, ...] = (0, 1, 2, 3)


CASES = [
    Case("a thousand beyond the end, fed before the start", lambda end: end + 1000, 12, 0, "read further than"),
    Case("a thousand beyond the end, fed after the start", lambda end: end + 1000, 0, 12, "read further than"),
    Case("three beyond the end, fed after the start", lambda end: end + 3, 0, 200, "read further than"),
    Case("one beyond the end", lambda end: end + 1, 0, 8, "read further than"),
    Case("beyond the end in one partition", lambda end: end + 50, 12, 12, "partition 2 from 0 (committed", (2,)),
    Case("far beyond any log", lambda end: 2**62, 12, 0, "read further than"),
    Case("exactly the end", lambda end: end, 0, 12, None),
    Case("behind the end", lambda end: end - 5, 12, 12, None),
    Case("zero", lambda end: 0, 12, 0, None),
]


async def start_with(posts: Settings, start: Start, case: Case) -> None:
    await asyncio.to_thread(read_and_stop, posts, start)
    reached = ends(posts)
    commit(posts, {place: case.committed(end) for place, end in reached.items() if place.partition in case.partitions})
    new = range(BEFORE, BEFORE + case.fed_before_start + case.fed_after_start)
    send(posts, new[: case.fed_before_start])
    worker = start(posts, only=("extract",))
    send(posts, new[case.fed_before_start :])
    await until_extracted(posts, new)
    await until_all_committed(posts)
    assert worker.code is None
    if case.said is not None:
        assert worker.output().count(case.said) == 1
    else:
        assert not reads_again(worker.output())
    if case.id == "exactly the end":
        assert extracted(posts) == dict.fromkeys(ids(range(BEFORE + 12)), 1), "nothing is read twice"


finished = side_by_side(start_with, CASES, "finished")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_whatever_is_committed_all_that_is_fed_is_extracted(finished: Callable[[Case], None], case: Case) -> None:
    finished(case)


async def a_reset_outlives_a_worker_that_did_nothing_else(posts: Settings, start: Start) -> None:
    await asyncio.to_thread(read_and_stop, posts, start)
    commit(posts, {place: end + 3 for place, end in ends(posts).items()})
    worker = start(posts.changed(model_factory="tests.families.kafka.never:load"), only=("extract",))
    await until(lambda: max(committed(posts).values()) <= BEFORE // 4, says="the reset is committed")
    worker.kill()
    new = range(BEFORE, BEFORE + 100)
    send(posts, new)  # the log now reaches beyond what was committed
    start(posts, only=("extract",))
    await until_extracted(posts, new)
    await until_all_committed(posts)


async def the_log_begins_behind_what_was_committed(posts: Settings, start: Start) -> None:
    await asyncio.to_thread(read_and_stop, posts, start)
    send(posts, range(BEFORE, BEFORE + 40))
    with admin(posts) as client:  # as retention does: five unread posts of each partition go
        client.delete_records(dict.fromkeys(places(posts), BEFORE // 4 + 5))
    worker = start(posts, only=("extract",))
    await until_extracted(posts, range(BEFORE + 20, BEFORE + 40))
    await until_all_committed(posts)
    assert worker.output().count("Kafka deleted records before they were read") == 1


async def a_group_without_a_commit_begins_at_the_logs_beginning(posts: Settings, start: Start) -> None:
    send(posts, range(40))
    with admin(posts) as client:
        client.delete_records(dict.fromkeys(places(posts), 3))
    worker = start(posts, only=("extract",))
    await until_extracted(posts, range(12, 40))
    await until_all_committed(posts)
    assert extracted(posts) == dict.fromkeys(ids(range(12, 40)), 1)
    assert "from offset" not in worker.output()


async def a_shorter_topic_was_made_again_while_no_worker_ran(posts: Settings, start: Start) -> None:
    await make_again(posts, start, 8)


async def a_longer_topic_was_made_again_while_no_worker_ran(posts: Settings, start: Start) -> None:
    await make_again(posts, start, 200)


async def make_again(posts: Settings, start: Start, fed: int) -> None:
    await asyncio.to_thread(read_and_stop, posts, start)
    old = ends(posts)
    with admin(posts) as client:
        note = next(iter(client.list_group_offsets(posts.name("mner-extract")).values()))
    notes = {place: held.metadata for place, held in note.items()}
    remove(posts)
    make(posts, posts.partitions)
    # Kafka forgets the offsets of a topic that it deletes. A restored volume, or a late commit, brings them back.
    for place, end in old.items():
        commit(posts, {place: end}, notes[place])
    new = range(BEFORE, BEFORE + fed)
    send(posts, new)
    worker = start(posts, only=("extract",))
    await until_extracted(posts, new)
    await until_all_committed(posts)
    assert worker.output().count("deleted and made again") == 1


SCENARIOS = [
    Scenario(a_reset_outlives_a_worker_that_did_nothing_else),
    Scenario(the_log_begins_behind_what_was_committed),
    Scenario(a_group_without_a_commit_begins_at_the_logs_beginning),
    Scenario(a_shorter_topic_was_made_again_while_no_worker_ran),
    Scenario(a_longer_topic_was_made_again_while_no_worker_ran),
]
played = side_by_side(play, SCENARIOS, "played")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in SCENARIOS])
def test_nothing_is_lost_when(played: Callable[[Scenario], None], case: Scenario) -> None:
    played(case)


def read_and_stop(settings: Settings, start: Start) -> None:
    """A worker reads the first posts, commits and stops."""
    send(settings, range(BEFORE))
    worker = start(settings, only=("extract",))
    asyncio.run(until_all_committed(settings))
    assert worker.stop() == 0
    assert len(extracted(settings)) == BEFORE
