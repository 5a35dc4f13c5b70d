"""Settles one question of many tasks at once: all those that ask about the same name with the same type.

Each task is leased, decided and given back on its own. A task that somebody else works on is left alone, and so is one
that is not what the person saw. Of a task with other open questions, a part is answered: it stays in the queue.

A call with the same `bulk_id` makes the same decisions again, down to their ids and stamps, so it finishes what an
earlier call began. Nothing is decided twice: the queue and the index know a decision by its stamp.

Where several people vote on a task, the answer is the vote of this person, and a vote covers the whole task. So a task
with other open questions is left to the normal review then. So is one that is disputed or flagged.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal, TypeVar

from core.errors import Reject, Retry, Stop
from core.events import Decision, EntityType, ReviewTask
from core.spelling import normalise
from review import decisions
from review.settling import LEASE_S, Desk, NotYours, Publisher, check_may_judge, complete, take_back, unix_ms
from review.work import InvalidAction, Work, begin
from sinks.queue.name_groups import asks_about
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import NO_VOTES, Ballot, Claim, Decided, LeaseLost, is_vote_of

T = TypeVar("T", ReviewTask, Decision)

FAULTS = (Retry, Reject, Stop)

AT_ONCE = 16
"""Number of tasks that are decided at the same time."""

Why = Literal["held", "changed", "refused", "failed"]
"""Why a task is left alone:

- held: somebody else has leased it, or nobody may see it for now
- changed: it is not what the person saw, or somebody has decided it since
- refused: the answer makes no sense there
- failed: a server did not answer; the call can be repeated
"""


@dataclass(frozen=True)
class Left:
    """A task that was left alone."""

    tweet_id: str
    why: Why
    sentence: str


@dataclass(frozen=True)
class BulkResult:
    """What became of each task. `decisions` holds those that the brokers have stored, also in an earlier call."""

    bulk_id: str
    decisions: tuple[Decision, ...] = ()
    left: tuple[Left, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the person says about a name with a type. `retype` needs the other type."""

    action: Literal["accept", "reject", "retype"]
    type: EntityType | None = None

    def __post_init__(self) -> None:
        if (self.action == "retype") != (self.type is not None):
            raise InvalidAction("a retype needs a type, and nothing else takes one")


def new_bulk_id(clock: Callable[[], int] = unix_ms) -> str:
    """Names a bulk decision that is made now. `clock` gives Unix milliseconds."""
    return f"{clock():x}-{secrets.token_hex(8)}"


def answered(task: ReviewTask, name: str, entity_type: EntityType, answer: Answer) -> Work:
    """Returns the work on a task after its questions about this name and type got the answer. Pure.

    Raises `InvalidAction` when no such question is open, or when a mention that stands overlaps the answer.
    """
    work, name, count = begin(task), normalise(name), 0
    for place in range(len(work.items)):
        item = work.items[place]
        if not (item.open and asks_about(item.mention, name, entity_type)):
            continue
        here = replace(work, cursor=place)
        if answer.action == "reject":
            work = here.reject()
        else:
            work = here.accept() if answer.type is None else here.retype(answer.type)
        count += 1
    if not count:
        raise InvalidAction(f"this post has no open question about {name!r} as {entity_type}")
    return work


class Bulk:
    """Decides many tasks at once, and takes such decisions back."""

    def __init__(
        self,
        queue: ReviewQueue,
        decisions_topic: Publisher,
        reviewer: str,
        lease_s: float = LEASE_S,
        clock: Callable[[], int] = unix_ms,
        reviewers: int = 1,
    ) -> None:
        """`reviewers`: how many people vote on a task."""
        self._desk = Desk(queue, decisions_topic, reviewers, lease_s, clock)
        self._queue, self._topic = queue, decisions_topic
        self._reviewer, self._lease_s, self._clock = reviewer, lease_s, clock

    async def settle(
        self,
        tasks: Sequence[ReviewTask],
        name: str,
        entity_type: EntityType,
        answer: Answer,
        *,
        looked_at: int,
        bulk_id: str,
    ) -> BulkResult:
        """Gives the questions about a name and type one answer, in each of these tasks as the person saw them.

        `looked_at`: number of tasks that were on the screen. `bulk_id`: see `new_bulk_id`; the same one, with the same
        tasks and answer, repeats a call.
        """
        chosen = list({task.tweet.id: task for task in tasks}.values())
        maker = _Maker(name, entity_type, answer, looked_at, bulk_id, self._reviewer, self._desk.reviewers)
        done = await _each(chosen, lambda task: self._decide(task, maker))
        return _result(bulk_id, done)

    async def undo(self, result: BulkResult) -> BulkResult:
        """Takes all decisions of a bulk back, those on copies included. The tasks are open again, as they were.

        Leaves those that somebody has changed since. A repeated call finishes what an earlier one began.
        """
        return _result(result.bulk_id, await _each(result.decisions, self._take_back))

    async def _decide(self, seen: ReviewTask, maker: _Maker) -> Decision | Left:
        tweet = seen.tweet.id
        claim = await self._queue.take(tweet, self._reviewer, self._lease_s, maker.token)
        if claim is None:
            return await self._not_open(seen, maker)
        if claim.task != seen:
            await self._queue.release(claim)
            made = maker.made(seen, await self._queue.votes.decided(tweet))
            return made or Left(tweet, "changed", "the task has changed since it was on the screen")
        if made := maker.voted(claim):
            await self._queue.release(claim)
            return made
        try:
            _check(claim, self._reviewer)
            decision = maker.decision(seen, claim.after_ms, claim.ballot)
        except (InvalidAction, NotYours) as error:
            await self._queue.release(claim)
            return Left(tweet, "refused", str(error))
        try:
            await self._topic.publish(decision)
        except FAULTS:
            with contextlib.suppress(*FAULTS):
                await self._queue.release(claim)
            raise
        await self._complete(claim, decision)
        return decision

    async def _not_open(self, seen: ReviewTask, maker: _Maker) -> Decision | Left:
        latest = await self._queue.votes.decided(seen.tweet.id)
        if made := maker.made(seen, latest):
            return made
        if latest.task_edit >= 0:
            return Left(seen.tweet.id, "held", "somebody else works on it, or nobody may see it")
        return Left(seen.tweet.id, "changed", "it was decided, edited or erased since")

    async def _complete(self, claim: Claim, decision: Decision) -> None:
        """Applies the decision to the queue. If Redis is unreachable, the worker does so."""
        with contextlib.suppress(*FAULTS):
            if decision.kind == "answer":
                await self._queue.answer(decision, decisions.stamp(decision))
            else:
                await complete(self._queue, claim, decision)

    async def _take_back(self, decision: Decision) -> Decision | Left:
        if decision.votes:
            return await self._take_vote_back(decision)
        tweet, stamp = decision.task.tweet, decisions.stamp(decision)
        latest = await self._queue.votes.decided(tweet.id)
        known = latest.edit, latest.stamp_ms
        if known > (tweet.edit, stamp) or latest.task_edit > tweet.edit:
            return Left(tweet.id, "changed", "somebody has decided it since, or the post was edited or taken back")
        claim = None
        if decision.kind == "answer":
            token = _token(decision.bulk_id or decision.id)
            claim = await self._queue.take(tweet.id, self._reviewer, self._lease_s, token)
            if claim is None:
                return Left(tweet.id, "held", "somebody else works on it, or nobody may see it")
        retraction = decisions.retract(decision, self._reviewer, max(self._clock(), stamp + 1))
        retraction = retraction.model_copy(update={"id": _digest(f"undo {decision.id}")})
        try:
            await self._topic.publish(retraction)
        except FAULTS:
            if claim:
                with contextlib.suppress(*FAULTS):
                    await self._queue.release(claim)
            raise
        with contextlib.suppress(*FAULTS):  # the worker does so
            await self._queue.reopen(decision.task, decisions.stamp(retraction))
        return retraction

    async def _take_vote_back(self, decision: Decision) -> Decision | Left:
        """Takes a vote back, or a settlement that has votes: those of others stay."""
        try:
            reopened = await take_back(self._desk, decision, self._reviewer)
        except InvalidAction as error:
            return Left(decision.task.tweet.id, "changed", str(error))
        except LeaseLost as error:
            return Left(decision.task.tweet.id, "held", str(error))
        with contextlib.suppress(*FAULTS):  # else the lease ends on its own
            await self._queue.release(reopened.claim)
        return reopened.retraction or decision


def _check(claim: Claim, reviewer: str) -> None:
    """Raises `InvalidAction` or `NotYours` if the task is for the normal review, or for others."""
    check_may_judge(claim, reviewer)
    if claim.ballot.is_disputed:
        raise InvalidAction("the votes on it differ, so it is settled on its own")
    if claim.flag and claim.flag.is_up:
        raise InvalidAction("somebody has flagged it, so it is settled on its own")


@dataclass(frozen=True)
class _Maker:
    """Makes the decisions of one bulk. The same task and `after_ms` always give the same decision."""

    name: str
    type: EntityType
    answer: Answer
    looked_at: int
    bulk_id: str
    reviewer: str
    reviewers: int = 1
    token: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", _token(self.bulk_id))

    def decision(self, task: ReviewTask, after_ms: int, ballot: Ballot = NO_VOTES) -> Decision:
        """`after_ms`: stamp of an earlier decision on the task. `ballot`: the votes on it."""
        work = answered(task, self.name, self.type, self.answer)
        stamp, name = max(self._decided_ms, after_ms + 1), _digest(f"{self.bulk_id} {task.id}")
        if self.reviewers > 1 or ballot.votes:
            if not work.done:
                raise InvalidAction("it has other open questions, and a vote answers all of them")
            decision = decisions.decide(work, ballot, self.reviewers, self.reviewer, stamp, name)
            return decision.model_copy(update={"bulk_id": self.bulk_id, "looked_at": self.looked_at})
        return decisions.of_bulk(
            work, self.reviewer, stamp, decision_id=name, bulk_id=self.bulk_id, looked_at=self.looked_at
        )

    def made(self, task: ReviewTask, latest: Decided) -> Decision | None:
        """Returns the decision on this task if an earlier call has made it and the queue knows it.

        The queue forgets the votes of a settled task. So where several people vote, a settlement is not found here.
        """
        if (latest.edit, latest.stamp_ms) != (task.tweet.edit, self._decided_ms):
            return None
        if latest.state == "settled" and self.reviewers > 1:
            return None
        with contextlib.suppress(InvalidAction):
            decision = self.decision(task, 0)
            return decision if (decision.kind == "settle") == (latest.state == "settled") else None
        return None

    def voted(self, claim: Claim) -> Decision | None:
        """Returns the vote on this task if an earlier call has given it, and the task is still open."""
        others = tuple(vote for vote in claim.ballot.votes if vote.reviewer != self.reviewer)
        if len(others) == len(claim.ballot.votes) or claim.after_ms < self._decided_ms:
            return None
        before = claim.ballot.model_copy(update={"votes": others, "is_disputed": False})
        with contextlib.suppress(InvalidAction):
            decision = self.decision(claim.task, claim.after_ms - 1, before)
            return decision if any(is_vote_of(vote, decision) for vote in claim.ballot.votes) else None
        return None

    @property
    def _decided_ms(self) -> int:
        return int(self.bulk_id.partition("-")[0], 16)


def _token(bulk_id: str) -> str:
    """Names the leases of a bulk, so that a repeated call gets them again."""
    return _digest(bulk_id)[:16]


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


async def _each(things: Sequence[T], act: Callable[[T], Awaitable[Decision | Left]]) -> list[Decision | Left]:
    """Acts on some of the things at a time. One for which a server does not answer, or refuses, is left alone."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(thing: T) -> Decision | Left:
        async with slots:
            try:
                return await act(thing)
            except FAULTS as error:
                tweet = thing.tweet if isinstance(thing, ReviewTask) else thing.task.tweet
                return Left(tweet.id, "failed", str(error))

    return await asyncio.gather(*map(one, things))


def _result(bulk_id: str, done: Sequence[Decision | Left]) -> BulkResult:
    made = tuple(each for each in done if isinstance(each, Decision))
    return BulkResult(bulk_id, made, tuple(each for each in done if isinstance(each, Left)))
