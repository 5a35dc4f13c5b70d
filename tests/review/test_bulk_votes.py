"""One answer for many tasks, where two people vote on each. On a real Redis; a list stands for the topic."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.events import ReviewTask
from review.bulk import Answer, Bulk, BulkResult, new_bulk_id
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Counts
from streams.settings import Settings
from tests.review.tasks import NEW_YORK, ZIMMERMAN, task
from tests.review.test_bulk import ACCEPT, NAME, REJECT, House, reasons, single
from tests.review.test_session import Clock


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    clock = Clock()
    queue = ReviewQueue(str(settings.redis), settings.name("review:"), clock)
    yield House(queue, clock)
    await queue.close()


async def voted(
    house: House, reviewer: str, tasks: list[ReviewTask], answer: Answer = ACCEPT, bulk_id: str = ""
) -> BulkResult:
    bulk = Bulk(house.queue, house.topic, reviewer, 60, house.clock, 2)
    house.clock.now += 10
    bulk_id = bulk_id or new_bulk_id(house.clock)
    return await bulk.settle(tasks, *NAME, answer, looked_at=len(tasks), bulk_id=bulk_id)


async def test_each_answer_is_a_vote_and_the_second_person_settles_or_disputes(house: House) -> None:
    tasks = [single("1"), single("2")]
    await house.queue.add(tasks)
    first = await voted(house, "ana", tasks)
    assert [(one.kind, one.bulk_id, len(one.votes)) for one in first.decisions] == [("vote", first.bulk_id, 1)] * 2
    assert await house.queue.counts() == Counts(open=2, leased=0, decided=0)
    again = await voted(house, "ana", tasks)
    assert reasons(again) == {"1": "refused", "2": "refused"}, "one person has one vote"
    agreeing, other = await voted(house, "bob", tasks[:1]), await voted(house, "bob", tasks[1:], REJECT)
    assert [one.kind for one in (*agreeing.decisions, *other.decisions)] == ["settle", "vote"]
    assert [vote.reviewer for vote in agreeing.decisions[0].votes] == ["ana", "bob"]
    assert await house.queue.counts() == Counts(open=0, leased=0, decided=1, disputed=1)
    assert await house.grouped() == []
    assert reasons(await voted(house, "eve", tasks[1:])) == {"2": "refused"}


async def test_a_task_with_other_questions_and_a_flagged_one_are_left_alone(house: House) -> None:
    tasks = [task("1", (ZIMMERMAN, NEW_YORK)), single("2")]
    await house.queue.add(tasks)
    claim = await house.queue.take("2", "bob", 60)
    assert claim is not None
    await house.queue.flags.add(claim)
    result = await voted(house, "ana", tasks)
    assert reasons(result) == {"1": "refused", "2": "refused"}
    assert [left.sentence for left in result.left] == [
        "it has other open questions, and a vote answers all of them",
        "somebody has flagged it, so it is settled on its own",
    ]
    assert house.topic.decisions == []


async def test_one_undo_takes_the_votes_back_and_those_of_others_stay(house: House) -> None:
    tasks = [single("1"), single("2")]
    await house.queue.add(tasks)
    await voted(house, "ana", tasks)
    second = await voted(house, "bob", tasks[:1])
    third = await voted(house, "bob", tasks[1:], REJECT)
    house.clock.now += 10
    bulk = Bulk(house.queue, house.topic, "bob", 60, house.clock, 2)
    for result in (second, third):
        undone = await bulk.undo(result)
        assert not undone.left
        assert [vote.reviewer for one in undone.decisions for vote in one.votes] == ["ana"]
    assert await house.queue.counts() == Counts(open=2, leased=0, decided=0)
    assert await house.grouped() == ["1", "2"]


async def test_a_repeated_call_gives_no_second_vote(house: House) -> None:
    tasks = [single("1"), single("2")]
    await house.queue.add(tasks)
    house.topic.silent = {"2"}
    first = await voted(house, "ana", tasks, bulk_id="18bcfe56800-00000000000000aa")
    assert reasons(first) == {"2": "failed"}
    house.topic.silent = set()
    again = await voted(house, "ana", tasks, bulk_id=first.bulk_id)
    assert not again.left
    assert again.decisions[0] == first.decisions[0]
    assert house.topic.decisions[1] == house.topic.decisions[2], "published again, the same"
    assert len(house.topic.decisions) == 3
