"""A reviewer's session on a real Redis. A list stands for the topic; `test_terminal` tests the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.errors import Retry
from core.events import Decision
from review.decisions import stamp
from review.session import Session
from review.work import InvalidAction, Work
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Claim, Counts, LeaseLost
from streams.settings import Settings
from tests.review.tasks import task


class Topic:
    """Collects decisions, or is away."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.away = False

    async def publish(self, decision: Decision) -> None:
        if self.away:
            raise Retry("Kafka is away")
        self.decisions.append(decision)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
async def queue(settings: Settings, clock: Clock) -> AsyncIterator[ReviewQueue]:
    made = ReviewQueue(str(settings.redis), settings.name("review:"), clock)
    await made.add([task("1", uncertainty=0.9), task("2", uncertainty=0.5), task("3", uncertainty=0.1)])
    yield made
    await made.close()


@pytest.fixture
def session(queue: ReviewQueue, topic: Topic, clock: Clock) -> Session:
    return Session(queue, topic, "ana", 60, clock)


async def answered(session: Session) -> Work:
    """Claims the next task and accepts both its questions."""
    work = await session.next()
    assert work is not None
    return work.accept().accept()


async def test_tasks_come_most_uncertain_first_and_are_settled_by_an_event(
    session: Session, topic: Topic, queue: ReviewQueue
) -> None:
    for _ in range(3):
        await session.settle(await answered(session))
    assert [decision.task.tweet.id for decision in topic.decisions] == ["1", "2", "3"]
    assert await session.next() is None
    assert await queue.counts() == Counts(open=0, leased=0, decided=3)
    assert session.settled == 3


async def test_a_task_with_an_open_question_is_not_settled(session: Session, topic: Topic) -> None:
    work = await session.next()
    assert work is not None
    with pytest.raises(InvalidAction):
        await session.settle(work.accept())
    assert topic.decisions == []


async def test_a_decision_that_kafka_did_not_confirm_can_be_sent_again(
    session: Session, topic: Topic, queue: ReviewQueue
) -> None:
    work = await answered(session)
    topic.away = True
    with pytest.raises(Retry):
        await session.settle(work)
    assert await queue.counts() == Counts(open=2, leased=1, decided=0)
    topic.away = False
    await session.settle(work)
    assert await queue.counts() == Counts(open=2, leased=0, decided=1)


async def test_a_lost_lease_publishes_nothing(session: Session, topic: Topic, queue: ReviewQueue, clock: Clock) -> None:
    work = await answered(session)
    clock.now += 61_000
    assert (await queue.claim("bob", 60)) is not None
    with pytest.raises(LeaseLost):
        await session.settle(work)
    assert topic.decisions == []
    assert not session.claimed


async def test_an_expired_lease_that_nobody_took_is_renewed(session: Session, topic: Topic, clock: Clock) -> None:
    work = await answered(session)
    clock.now += 3_600_000
    await session.settle(work)
    assert len(topic.decisions) == 1


async def test_a_skipped_task_is_free_for_others_and_returns_after_unskip(session: Session, queue: ReviewQueue) -> None:
    first = await session.next()
    await session.skip()
    second = await session.next()
    assert first is not None
    assert second is not None
    assert (first.task.tweet.id, second.task.tweet.id) == ("1", "2")
    for_bob = await queue.claim("bob", 60)
    assert for_bob is not None
    assert for_bob.task.tweet.id == "1"
    await queue.release(for_bob)
    await session.unskip()
    again = await session.next()
    assert again is not None
    assert again.task.tweet.id == "1"


async def test_taking_back_retracts_and_returns_to_the_last_question(
    session: Session, topic: Topic, queue: ReviewQueue
) -> None:
    work = await answered(session)
    settled = await session.settle(work)
    await session.next()
    back = await session.take_back()
    assert back == work.undo()
    assert [decision.kind for decision in topic.decisions] == ["settle", "retract"]
    assert stamp(topic.decisions[1]) == stamp(settled) + 1  # the clock stood still
    assert await queue.counts() == Counts(open=2, leased=1, decided=0)
    await session.settle(back.reject())
    assert stamp(topic.decisions[2]) == stamp(settled) + 2  # later than the retraction, or it would be ignored
    assert await queue.counts() == Counts(open=2, leased=0, decided=1)


async def test_each_settled_task_can_be_taken_back_once(session: Session, topic: Topic) -> None:
    for _ in range(2):
        await session.settle(await answered(session))
    assert [(await session.take_back()).task.tweet.id for _ in range(2)] == ["2", "1"]
    with pytest.raises(InvalidAction):
        await session.take_back()
    assert [decision.kind for decision in topic.decisions] == ["settle", "settle", "retract", "retract"]


async def test_a_retraction_that_kafka_did_not_confirm_leaves_it_settled(
    session: Session, topic: Topic, queue: ReviewQueue
) -> None:
    await session.settle(await answered(session))
    topic.away = True
    with pytest.raises(Retry):
        await session.take_back()
    assert (await queue.counts()).decided == 1
    topic.away = False
    assert (await session.take_back()).task.tweet.id == "1"


class Leaving(ReviewQueue):
    """A queue whose Redis goes away just before `complete`."""

    async def complete(self, claim: Claim, stamp_ms: int) -> None:
        raise Retry("Redis is away")


async def test_a_decision_is_kept_when_redis_is_away(
    settings: Settings, topic: Topic, clock: Clock, queue: ReviewQueue
) -> None:
    leaving = Leaving(str(settings.redis), settings.name("review:"), clock)
    session = Session(leaving, topic, "ana", 60, clock)
    decision = await session.settle(await answered(session))
    assert topic.decisions == [decision]
    assert await queue.settle(decision.task, stamp(decision))  # as whoever reads the topic does later
    await leaving.close()


async def test_a_decision_is_stamped_later_than_the_one_before_even_with_a_slow_clock(
    session: Session, topic: Topic, queue: ReviewQueue, clock: Clock
) -> None:
    ahead = clock.now + 5_000
    await queue.settle(task("1"), ahead)
    await queue.reopen(task("1"), ahead + 1)  # by a reviewer whose clock is ahead
    await session.settle(await answered(session))
    assert stamp(topic.decisions[0]) == ahead + 2


async def test_release_gives_the_task_back(session: Session, queue: ReviewQueue) -> None:
    await session.next()
    await session.release()
    await session.release()
    assert await queue.counts() == Counts(open=3, leased=0, decided=0)
