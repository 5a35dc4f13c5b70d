"""Votes, adjudication, undo and history as a web page uses them, on a real Redis. A list stands for the topic."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from core.errors import Retry
from core.events import Decision, ReviewTask
from review import settling
from review.decisions import stamp
from review.session import Session
from review.settling import Desk
from review.work import InvalidAction, Work, begin, resume
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Claim, Counts, LeaseLost
from streams.settings import Settings
from tests.review.tasks import task
from tests.review.test_session import Clock, Topic


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
async def queue(settings: Settings, clock: Clock) -> AsyncIterator[ReviewQueue]:
    made = ReviewQueue(str(settings.redis), settings.name("review:"), clock)
    await made.add([task("1")])
    yield made
    await made.close()


@pytest.fixture
def desk(queue: ReviewQueue, topic: Topic, clock: Clock) -> Desk:
    return Desk(queue, topic, 2, 60, clock)


def accepted(about: ReviewTask) -> Work:
    return begin(about).accept().accept()


def retyped(about: ReviewTask) -> Work:
    return begin(about).retype("ORG").accept()


def accepts(claim: Claim) -> Work:
    return accepted(claim.task)


def retypes(claim: Claim) -> Work:
    return retyped(claim.task)


async def decides(desk: Desk, reviewer: str, answer: object = accepted) -> Decision:
    """Claims the next task and settles it."""
    claim = await desk.queue.claim(reviewer, 60)
    assert claim is not None
    assert callable(answer)
    return await settling.settle(desk, claim, answer(claim.task))


async def adjudicates(desk: Desk, reviewer: str) -> Decision:
    claim = await desk.queue.take("1", reviewer, 60)
    assert claim is not None
    return await settling.settle(desk, claim, accepted(claim.task))


async def test_two_votes_that_agree_settle_the_task(desk: Desk, topic: Topic) -> None:
    first = await decides(desk, "ana")
    assert (first.kind, first.mentions, first.is_disputed) == ("vote", (), False)
    second = await decides(desk, "bob")
    assert second.kind == "settle"
    assert [vote.reviewer for vote in second.votes] == ["ana", "bob"]
    assert second.mentions == second.votes[0].mentions == second.votes[1].mentions
    assert topic.decisions == [first, second]
    assert await desk.queue.counts() == Counts(open=0, leased=0, decided=1)


async def test_votes_that_differ_are_settled_by_a_third_person(desk: Desk) -> None:
    await decides(desk, "ana")
    second = await decides(desk, "bob", retyped)
    assert (second.kind, second.is_disputed) == ("vote", True)
    assert await desk.queue.claim("eve", 60) is None
    settled = await adjudicates(desk, "eve")
    assert (settled.kind, [vote.reviewer for vote in settled.votes]) == ("settle", ["ana", "bob"])
    assert await desk.queue.votes.disputed() == []


async def test_an_undone_adjudication_is_a_dispute_again_with_both_votes(desk: Desk, topic: Topic) -> None:
    await decides(desk, "ana")
    await decides(desk, "bob", retyped)
    settled = await adjudicates(desk, "eve")
    reopened = await settling.take_back(desk, settled, "eve")
    assert (topic.decisions[-1].kind, topic.decisions[-1].votes) == ("retract", settled.votes)
    assert topic.decisions[-1].mentions == settled.task.confident
    assert reopened.claim.ballot.is_disputed
    await desk.queue.release(reopened.claim)
    assert [one.votes for one in await desk.queue.votes.disputed()] == [settled.votes]
    assert (await adjudicates(desk, "eve")).votes == settled.votes


async def test_the_last_voter_takes_a_settlement_back_and_the_other_vote_stays(desk: Desk, topic: Topic) -> None:
    first = await decides(desk, "ana")
    settled = await decides(desk, "bob")
    reopened = await settling.take_back(desk, settled, "bob")
    assert (topic.decisions[-1].kind, topic.decisions[-1].votes) == ("retract", first.votes)
    again = await settling.settle(desk, reopened.claim, retyped(reopened.claim.task))
    assert again.kind == "retract", "compaction drops the retraction, and the index needs one"
    assert (again.is_disputed, [vote.reviewer for vote in again.votes]) == (True, ["ana", "bob"])


async def test_a_vote_can_be_taken_back_after_another_one_but_not_after_the_settlement(desk: Desk) -> None:
    first = await decides(desk, "ana", retyped)
    await decides(desk, "bob")
    reopened = await settling.take_back(desk, first, "ana")
    assert reopened.work.verdicts == retyped(first.task).verdicts
    assert await desk.queue.votes.disputed() == []
    second = await settling.settle(desk, reopened.claim, accepted(first.task))
    assert second.kind == "settle"
    assert sorted(vote.reviewer for vote in second.votes) == ["ana", "bob"]
    with pytest.raises(InvalidAction, match="decided again or edited since"):
        await settling.take_back(desk, first, "ana")


async def test_a_vote_is_not_taken_back_while_somebody_reads_the_task(desk: Desk, topic: Topic) -> None:
    first = await decides(desk, "ana")
    assert await desk.queue.claim("bob", 60) is not None
    with pytest.raises(LeaseLost, match="another reviewer"):
        await settling.take_back(desk, first, "ana")
    assert topic.decisions == [first]


async def test_a_decision_that_somebody_changed_is_not_reopened(desk: Desk, topic: Topic) -> None:
    alone = replace(desk, reviewers=1)
    settled = await decides(alone, "ana")
    await desk.queue.reopen(settled.task, stamp(settled) + 1)
    await desk.queue.settle(settled.task, stamp(settled) + 2)
    with pytest.raises(InvalidAction):
        await settling.take_back(alone, settled, "ana")
    assert topic.decisions == [settled]


class Waiting(Topic):
    """A topic whose worker applies each decision at once. Somebody else waits for a free task."""

    def __init__(self, queue: ReviewQueue) -> None:
        super().__init__()
        self.queue, self.claims, self.unheard = queue, list[Claim](), False

    async def publish(self, decision: Decision) -> None:
        await super().publish(decision)
        if decision.kind != "settle":
            await (self.queue.votes.apply if decision.kind == "vote" else self._reopen)(decision)
            if claim := await self.queue.claim("bob", 60):
                self.claims.append(claim)
        if self.unheard:
            raise Retry("the decision is not confirmed")

    async def _reopen(self, decision: Decision) -> None:
        if decision.votes:
            await self.queue.votes.apply(decision)
        else:
            await self.queue.reopen(decision.task, stamp(decision))


@pytest.mark.parametrize("before", ["settled alone", "a vote", "settled by votes"])
async def test_nobody_gets_a_task_between_its_retraction_and_the_lease(
    queue: ReviewQueue, clock: Clock, before: str
) -> None:
    topic = Waiting(queue)
    desk = Desk(queue, topic, 1 if before == "settled alone" else 2, 60, clock)
    if before == "settled by votes":
        await decides(desk, "eve")
        topic.claims.clear()
        clock.now += 61_000
    made = await decides(desk, "ana")
    for claim in topic.claims:
        await queue.release(claim)
    topic.claims.clear()
    reopened = await settling.take_back(desk, made, "ana", "tab")
    assert topic.claims == []
    assert await queue.held_by("ana", "tab") == [reopened.claim]
    assert (await settling.settle(desk, reopened.claim, retyped(made.task))).reviewer == "ana"


@pytest.mark.parametrize("is_lost", [False, True], ids=["at once", "the first try fails"])
async def test_nobody_gets_the_copy_that_leads_between_a_retraction_and_the_lease(
    settings: Settings, clock: Clock, is_lost: bool
) -> None:
    queue = ReviewQueue(
        str(settings.redis), settings.name("review:"), clock, group_of=lambda task: "same", window_s=3600
    )
    await queue.add([task("1"), task("2")])
    topic = Waiting(queue)
    desk = Desk(queue, topic, 1, 60, clock)
    made = await decides(desk, "ana")
    assert made.task.tweet.id == "1"
    clock.now += 1_000
    await queue.reopen(task("2"), clock.now)
    other = await queue.take("2", "bob", 60)
    assert other is not None, "it leads, and is open"
    with pytest.raises(LeaseLost):
        await settling.take_back(desk, made, "ana", "tab")
    assert topic.decisions == [made], "nothing is published while somebody has the copy that leads"
    await queue.release(other)
    if is_lost:
        with pytest.raises(Retry):
            await settling.take_back(replace(desk, topic=Unheard()), made, "ana", "tab")
    claims = list[Claim | None]()

    class Between(Waiting):
        async def publish(self, decision: Decision) -> None:
            claims.append(await queue.claim("eve", 60))
            await super().publish(decision)

    reopened = await settling.take_back(replace(desk, topic=Between(queue)), made, "ana", "tab")
    assert claims == [None]
    assert reopened.claim.task == made.task
    assert await queue.held_by("ana", "tab") == [reopened.claim]
    assert await queue.counts() == Counts(open=0, leased=1, decided=0, copies=1)
    await queue.close()


@pytest.mark.parametrize("applied", [True, False], ids=["a worker applied it", "no worker applied it"])
@pytest.mark.parametrize("reviewers", [1, 2])
async def test_a_reopening_whose_answer_got_lost_is_finished_by_the_same_record(
    queue: ReviewQueue, clock: Clock, applied: bool, reviewers: int
) -> None:
    topic = Waiting(queue) if applied else Unheard()
    made = await decides(Desk(queue, Topic(), reviewers, 60, clock), "ana")
    topic.unheard = True  # type: ignore[union-attr]
    desk = Desk(queue, topic, reviewers, 60, clock)
    with pytest.raises(Retry):
        await settling.take_back(desk, made, "ana", "tab")
    clock.now += 5_000
    lasting = Desk(queue, Topic(), reviewers, 60, clock)
    reopened = await settling.take_back(lasting, made, "ana", "tab")
    assert isinstance(lasting.topic, Topic)
    assert {one.model_dump_json() for one in lasting.topic.decisions} <= {topic.decisions[0].model_dump_json()}
    assert await queue.held_by("ana", "tab") == [reopened.claim]
    assert await queue.claim("bob", 60) is None


async def test_a_reservation_that_nobody_uses_changes_nothing(
    queue: ReviewQueue, topic: Topic, clock: Clock, desk: Desk
) -> None:
    alone = replace(desk, reviewers=1)
    made = await decides(alone, "ana")
    topic.away = True
    with pytest.raises(Retry):
        await settling.take_back(alone, made, "ana", "tab")
    assert await queue.counts() == Counts(open=0, leased=0, decided=1)
    assert [one.is_changed for one in await queue.history.of("ana")] == [False]
    topic.away = False
    assert await queue.erase("1") == 1
    with pytest.raises(LeaseLost):
        await settling.take_back(alone, made, "ana", "tab")
    assert topic.decisions == [made], "no retraction brings the text of an erased post back"


async def test_one_reviewer_writes_records_that_older_programs_read(desk: Desk) -> None:
    settled = await decides(replace(desk, reviewers=1), "ana")
    assert not {"votes", "votes_needed"} & settled.model_dump(mode="json").keys()


async def test_fewer_reviewers_than_before_still_count_the_votes_that_are_in(desk: Desk) -> None:
    await decides(replace(desk, reviewers=3), "ana")
    settled = await decides(replace(desk, reviewers=1), "bob")
    assert (settled.kind, len(settled.votes)) == ("settle", 2)


async def test_three_people_vote_even_if_the_first_two_differ(desk: Desk) -> None:
    three = replace(desk, reviewers=3)
    assert not (await decides(three, "ana")).is_disputed
    assert not (await decides(three, "bob", retyped)).is_disputed
    assert (await decides(three, "eve")).is_disputed


async def test_any_of_the_last_decisions_is_opened_from_another_browser(desk: Desk) -> None:
    alone = replace(desk, reviewers=1)
    await desk.queue.add([task(str(number)) for number in range(2, 5)])
    made = [await decides(alone, "ana") for _ in range(4)]
    history = await desk.queue.history.of("ana")
    assert [one.decision for one in history] == made[::-1]
    reopened = await settling.take_back(alone, history[2].decision, "ana", "another browser")
    assert reopened.claim.task == made[1].task
    assert (reopened.work.mentions, reopened.work.verdicts) == (made[1].mentions, made[1].verdicts)
    assert reopened.work.previous is not None
    assert await desk.queue.held_by("ana", "another browser") == [reopened.claim]
    assert [one.decision for one in await desk.queue.history.of("ana")] == [made[3], made[2], made[0]]


async def test_a_request_that_comes_again_makes_no_second_decision(desk: Desk, topic: Topic) -> None:
    claim = await desk.queue.claim("ana", 60, "browser")
    assert claim is not None
    made = [
        await settling.settle_once(desk, "ana", "1", claim.token, "request 1", accepts),
        await settling.settle_once(desk, "ana", "1", claim.token, "request 1", accepts),
    ]
    assert made[0] == made[1]
    assert topic.decisions == [made[0]]
    with pytest.raises(LeaseLost):
        await settling.settle_once(desk, "ana", "1", claim.token, "request 2", accepts)


class Leaving(ReviewQueue):
    """A queue whose Redis goes away just before the queue hears of the decision."""

    async def complete(self, claim: Claim, stamp_ms: int) -> None:
        raise Retry("Redis is away")


class Unheard(Topic):
    """A topic that stores a decision, and whose confirmation is lost."""

    async def publish(self, decision: Decision) -> None:
        await super().publish(decision)
        raise Retry("the decision is not confirmed")


async def test_a_request_whose_decision_a_worker_has_applied_meanwhile_is_done(
    queue: ReviewQueue, clock: Clock
) -> None:
    topic = Unheard()
    desk = Desk(queue, topic, 1, 60, clock)
    claim = await queue.claim("ana", 60)
    assert claim is not None
    arguments = "ana", "1", claim.token, "request 1", accepts
    with pytest.raises(Retry):
        await settling.settle_once(desk, *arguments)
    (decision,) = topic.decisions
    await queue.settle(decision.task, stamp(decision))  # as the worker does
    assert await settling.settle_once(desk, *arguments) is None
    assert topic.decisions == [decision]
    with pytest.raises(LeaseLost):
        await settling.settle_once(desk, "ana", "1", claim.token, "request 2", accepts)


async def test_a_request_that_was_published_but_not_recorded_publishes_the_same_record_again(
    settings: Settings, queue: ReviewQueue, topic: Topic, clock: Clock
) -> None:
    leaving = Leaving(str(settings.redis), settings.name("review:"), clock)

    async def forgets(decision: Decision) -> None:
        raise Retry("Redis is away")

    leaving.history.add = forgets  # type: ignore[method-assign]
    claim = await queue.claim("ana", 60)
    assert claim is not None
    arguments = "ana", "1", claim.token, "request 1", accepts
    await settling.settle_once(Desk(leaving, topic, 1, 60, clock), *arguments)
    clock.now += 5_000
    await settling.settle_once(Desk(queue, topic, 1, 60, clock), *arguments)
    assert topic.decisions[0] == topic.decisions[1]
    assert await queue.counts() == Counts(open=0, leased=0, decided=1)
    await leaving.close()


async def test_an_unpublished_decision_leaves_no_history(desk: Desk, topic: Topic) -> None:
    topic.away = True
    with pytest.raises(Retry):
        await decides(desk, "ana")
    assert await desk.queue.history.of("ana") == []


def test_work_that_is_resumed_has_the_same_answers_whatever_they_were() -> None:
    work = begin(task())
    first = work.items[work.cursor].mention
    work = work.add(0, 2, "MISC").respan(first.start, first.end - 1, "ORG").reject()
    again = resume(begin(task()), work.verdicts)
    assert (again.mentions, again.verdicts, again.done) == (work.mentions, work.verdicts, True)
    assert again.undo().verdicts != work.verdicts


async def test_the_session_of_the_terminal_votes_and_takes_its_vote_back(
    queue: ReviewQueue, topic: Topic, clock: Clock
) -> None:
    session = Session(queue, topic, "ana", 60, clock, reviewers=2)
    work = await session.next()
    assert work is not None
    await session.settle(work.accept().accept())
    assert await session.next() is None
    back = await session.take_back()
    assert [(one.kind, len(one.votes)) for one in topic.decisions] == [("vote", 1), ("vote", 0)]
    await session.settle(back.accept())
    other = Session(queue, topic, "bob", 60, clock, reviewers=2)
    work = await other.next()
    assert work is not None
    assert (await other.settle(work.accept().accept())).kind == "settle"


# Many at once


@pytest.mark.parametrize("seed", range(3))
async def test_two_people_at_once_over_forty_tasks_decide_nothing_twice(
    settings: Settings, topic: Topic, clock: Clock, seed: int
) -> None:
    """Each has two browsers that hold up to three leases. Some browsers vanish with theirs, some answers are lost."""
    chance, posts = random.Random(seed), {str(number) for number in range(40)}
    queues = [ReviewQueue(str(settings.redis), settings.name("review:"), clock) for _ in range(4)]
    await queues[0].add([task(post) for post in sorted(posts)])

    async def browser(desk: Desk, reviewer: str, session: str, vanishes: bool) -> None:
        while True:
            held = await desk.queue.held_by(reviewer, session)  # as after a reload
            while len(held) < 3 and (claim := await desk.queue.claim(reviewer, 60, session)):
                held.append(claim)
            if not held or (vanishes and chance.random() < 0.2):
                return
            claim = chance.choice(held)
            answer = retypes if reviewer == "bob" and int(claim.task.tweet.id) % 4 == 0 else accepts
            post = claim.task.tweet.id
            arguments = reviewer, post, claim.token, f"{session} {post}", answer
            for _ in range(chance.choice([1, 1, 2])):
                await settling.settle_once(desk, *arguments)

    for turn in range(20):  # who finds no task goes, also while the other holds the last ones
        if (await queues[0].counts()).open + (await queues[0].counts()).leased == 0:
            break
        await asyncio.gather(
            *(
                browser(Desk(queue, topic, 2, 60, clock), name, f"{name}{number}{turn}", turn < 2 and bool(number))
                for queue, (name, number) in zip(queues, [("ana", 0), ("ana", 1), ("bob", 0), ("bob", 1)], strict=True)
            )
        )
        clock.now += 61_000  # the leases of those who vanished end
    given = Counter((one.task.tweet.id, one.votes[-1].reviewer) for one in topic.decisions)
    assert given == {(post, name): 1 for post in posts for name in ("ana", "bob")}, "each votes once on each post"
    settled = Counter(one.task.tweet.id for one in topic.decisions if one.kind == "settle")
    assert settled == {post: 1 for post in posts if int(post) % 4}
    disputed = await queues[0].votes.disputed(100)
    assert {one.task.tweet.id for one in disputed} == {post for post in posts if not int(post) % 4}
    desk = Desk(queues[0], topic, 2, 60, clock)
    for one in disputed:
        claim = await desk.queue.take(one.task.tweet.id, "eve", 60)
        assert claim is not None
        await settling.settle(desk, claim, accepted(claim.task))
    assert await queues[0].counts() == Counts(open=0, leased=0, decided=40)
    await asyncio.gather(*(queue.close() for queue in queues))
