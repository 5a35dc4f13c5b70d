"""The review for many tabs at once, on a real Redis of its own whose commands are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

import pytest
from redis.asyncio import Redis

from core.errors import Retry
from core.events import Decision
from core.terms import Sources, Terms
from desk.review import service
from desk.review.ranks import Ranks
from desk.review.service import Changed, Reviews
from desk.review.values import Answer, Hand, Lease, Settling
from review.decisions import stamp
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings
from tests.desk.review.made import named, task_of
from tests.desk.review.test_terms import NoTopic
from tests.sinks.conftest import Clock

TEXT = "NASA in Paris"
LEFT, RIGHT = "a" * 16, "b" * 16
SOURCES = Sources({"silent": Terms(may_train=False, may_show_text=False, delete_within_hours=24)})


@pytest.fixture
def settings(settings: Settings, own_redis: str) -> Settings:
    """The commands of other tests on a shared server would be counted too."""
    return settings.model_copy(update={"redis": own_redis})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(settings: Settings, clock: Clock) -> AsyncIterator[ReviewQueue]:
    queue = ReviewQueue(str(settings.redis), settings.name("review:"), clock)
    await fill(queue, range(40))
    yield queue
    await queue.close()


@pytest.fixture
def reviews(queue: ReviewQueue, clock: Clock) -> Reviews:
    return Reviews(queue, NoTopic(), SOURCES, clock=clock)


async def fill(queue: ReviewQueue, numbers: Sequence[int], source: str = "loud", uncertainty: float = 0.5) -> None:
    asked = named(TEXT, "NASA", "ORG")
    made = [task_of(f"{number:02}", TEXT, asked, uncertainty=uncertainty, source=source) for number in numbers]
    await queue.add(made)


def posts(hand: Hand) -> list[str]:
    return [task.post for task in hand.tasks]


def leases(hand: Hand) -> list[Lease]:
    return [Lease(post=task.post, token=task.token) for task in hand.tasks]


async def calls(settings: Settings) -> int:
    """Returns how many calls of the script the server has got."""
    async with Redis.from_url(str(settings.redis)) as redis:
        return int((await redis.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_a_hand_takes_few_calls_however_many_tasks_it_has(reviews: Reviews, settings: Settings) -> None:
    taken = []
    for number in (2, 12):
        before = await calls(settings)
        hand = await reviews.hand("ana", LEFT, number, [])
        again = await reviews.hand("ana", LEFT, 1, leases(hand))
        assert posts(again)[:number] == posts(hand)
        assert await reviews.renew("ana", leases(hand)) == []
        taken.append(await calls(settings) - before)
    assert taken[0] == taken[1] == 2 + 3 + 1


async def test_tasks_whose_text_may_not_be_shown_are_passed_over_together(
    queue: ReviewQueue, reviews: Reviews, settings: Settings
) -> None:
    await fill(queue, range(50, 70), "silent", 0.9)
    assert posts(await reviews.hand("ana", LEFT, 20, [])) == [f"{number:02}" for number in range(20)]


async def test_a_queue_full_of_tasks_that_may_not_be_shown_delays_no_request_and_they_are_no_skips(
    queue: ReviewQueue, reviews: Reviews, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MANY", 10)
    await fill(queue, range(100, 150), "silent", 0.9)
    hands = []
    for _ in range(2):
        before = await calls(settings)
        hands.append(await reviews.hand("ana", LEFT, 4, []))
        assert await calls(settings) - before < 70
    assert [posts(hand) for hand in hands] == [[], ["00", "01", "02", "03"]], "the second goes on where the first ended"
    assert [hand.counts.skipped for hand in hands] == [0, 0]
    assert (hands[1].counts.leased, len(await queue.held_by("ana", LEFT))) == (4, 4), "what was too many is free again"
    await reviews.skip("ana", leases(hands[1])[0])
    assert (await reviews.counts("ana")).skipped == 1
    await reviews.unskip("ana")
    assert (await reviews.counts("ana")).skipped == 0
    before = await calls(settings)
    assert posts(await reviews.hand("ana", RIGHT, 1, [])) == ["00"]
    assert await calls(settings) - before == 2, "to ask for what one skipped does not bring withheld tasks back"


async def test_the_waits_for_ranks_do_not_add_up(queue: ReviewQueue, clock: Clock) -> None:
    asked: list[int] = []

    class Slow:
        async def of(self, version: int) -> None:
            asked.append(version)

        def is_late(self, version: int) -> bool:
            return True

    reviews = Reviews(queue, NoTopic(), SOURCES, ranks=cast(Ranks, Slow()), clock=clock)
    assert len((await reviews.hand("ana", LEFT, 6, [])).tasks) == 6
    assert len(asked) == 1


async def test_a_decision_that_is_on_its_way_is_not_taken_for_one_that_was_taken_back(
    queue: ReviewQueue, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Topic:
        def __init__(self) -> None:
            self.decisions: list[Decision] = []

        async def publish(self, decision: Decision) -> None:
            self.decisions.append(decision)

    async def away(*_: object) -> None:
        raise Retry("Redis is away")

    topic = Topic()
    reviews = Reviews(queue, topic, SOURCES, clock=clock)
    (task,) = (await reviews.hand("ana", LEFT, 1, [])).tasks
    answers = [Answer(item=place, after=None) for place, item in enumerate(task.items) if item.asked]
    sent = Settling(post=task.post, token=task.token, id="c" * 32, task=task.id, answers=answers)
    with monkeypatch.context() as broken:
        broken.setattr(queue.history, "add", away)
        await reviews.settle("ana", sent)
    for _ in range(2):
        with pytest.raises(Retry, match="is published"):
            await reviews.reopen("ana", LEFT, task.post)
        clock.pass_s(service.LEASE_S + 1)
    (made,) = topic.decisions
    assert await queue.settle(made.task, stamp(made)), "a worker applies it"
    with pytest.raises(Changed, match="decided"):
        await reviews.reopen("ana", LEFT, task.post)


async def test_a_tab_that_held_a_task_before_its_terms_changed_loses_it(
    queue: ReviewQueue, reviews: Reviews, clock: Clock
) -> None:
    await fill(queue, [70], "silent", 0.9)
    before = await Reviews(queue, NoTopic(), Sources(), clock=clock).hand("ana", LEFT, 2, [])
    assert posts(before) == ["70", "00"]
    after = await reviews.hand("ana", LEFT, 1, leases(before))
    assert (posts(after), after.lost) == (["00", "01"], ["70"])
    assert posts(await reviews.hand("bob", RIGHT, 0, [], known=[])) == []


async def test_a_hand_whose_answer_got_lost_is_given_again(reviews: Reviews) -> None:
    lost = await reviews.hand("ana", LEFT, 4, [])
    assert posts(await reviews.hand("ana", RIGHT, 1, [], known=[])) == ["04"]
    again = await reviews.hand("ana", LEFT, 3, leases(lost)[:1], known=["00", "02"])
    assert posts(again) == ["00", "01", "03", "05"], "02 is on the screen, or its answer waits to be sent"
    assert [task.token for task in again.tasks[:3]] == [lost.tasks[place].token for place in (0, 1, 3)]
    assert posts(await reviews.hand("bob", LEFT, 1, [], known=[])) == ["06"]
    assert posts(await reviews.hand("ana", LEFT, 1, [])) == ["07"], "a client that says nothing gets nothing again"


async def test_what_a_person_skipped_in_one_tab_comes_in_no_other(reviews: Reviews, settings: Settings) -> None:
    for place in range(10):
        tab = f"{place:016x}"
        hand = await reviews.hand("ana", tab, 1, [])
        await reviews.skip("ana", leases(hand)[0])
    async with Redis.from_url(str(settings.redis)) as redis:
        assert await redis.zcard(settings.name("review:passers")) == 1, "however many tabs there were"
    hand = await reviews.hand("ana", RIGHT, 1, [])
    assert (posts(hand), hand.counts.skipped) == (["10"], 10)
    assert posts(await reviews.hand("bob", LEFT, 2, [])) == ["00", "01"]
    assert (await reviews.counts("ana")).skipped == 8, "others work on two of them"
    await reviews.unskip("ana")
    assert posts(await reviews.hand("ana", RIGHT, 1, [])) == ["02"]
    assert (await reviews.counts("ana")).skipped == 0


async def test_what_was_skipped_comes_again_the_next_day(reviews: Reviews, clock: Clock) -> None:
    hand = await reviews.hand("ana", LEFT, 1, [])
    await reviews.skip("ana", leases(hand)[0])
    for hour in range(24):
        clock.pass_s(3600)
        if posts(await reviews.hand("ana", f"{hour:016x}", 1, [])) == ["00"]:
            return
    raise AssertionError("whoever claims every hour would never see it again")
