"""Settles leased tasks and takes decisions back. Keeps no state, so a web page can use it as well as the terminal.

Kafka confirms a decision before the queue forgets the task. So a task that is shown as settled is settled, and a task
whose decision could not be published stays in the queue. After a `Retry`, the action can be repeated. A repeated
`settle` under the same lease and name publishes the same record again, which changes nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol
from uuid import uuid4

from core.errors import Reject, Retry
from core.events import Decision
from review import decisions
from review.work import InvalidAction, Work, begin, resume
from sinks.queue.queue import ReviewQueue, new_token
from sinks.queue.values import Claim, LeaseLost, is_vote_of

LEASE_S = 600.0
"""Time, in seconds, for which a reviewer holds a task. Whoever shows the task renews the lease."""


class NotYours(Exception):
    """Somebody else has to decide this task. The message tells the person why."""


class Publisher(Protocol):
    """Where decisions go. `review.decision_topic.DecisionTopic` publishes them to Kafka."""

    async def publish(self, decision: Decision) -> None: ...


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Desk:
    """What decisions need: the queue, the topic, how many people vote on a task, and a clock in Unix milliseconds."""

    queue: ReviewQueue
    topic: Publisher
    reviewers: int = 1
    lease_s: float = LEASE_S
    clock: Callable[[], int] = unix_ms

    def stamp(self, after_ms: int) -> int:
        """Returns the time now, or a later one if an earlier decision was stamped by a clock that is ahead."""
        return max(self.clock(), after_ms + 1)


@dataclass(frozen=True)
class Reopened:
    """A task whose decision is taken back, and the work with the answers of that decision."""

    claim: Claim
    work: Work
    retraction: Decision | None = None  # None if it was taken back before


async def settle(desk: Desk, claim: Claim, work: Work, name: str | None = None) -> Decision:
    """Publishes the decision, then tells the queue. If Redis is unreachable then, or refuses it, the worker does so.

    `name`: the decision's id. Raises `InvalidAction` when a question has no answer, and `LeaseLost` when the task is no
    longer ours. Nothing is published then.
    """
    if not work.done:
        raise InvalidAction("some questions have no answer yet")
    name, queue = name or uuid4().hex, desk.queue
    claim = await queue.renew(claim, desk.lease_s)
    stamp = await queue.history.stamp(claim, name, desk.stamp(claim.after_ms))
    decision = decisions.decide(work, claim.ballot, desk.reviewers, claim.reviewer, stamp, name)
    await desk.topic.publish(decision)
    with contextlib.suppress(
        Retry, Reject
    ):  # the decision counts from here on, so the person is not told that it failed
        with contextlib.suppress(Reject):
            await queue.history.add(decision)  # first: once the lease is gone, only this tells that it was published
        await complete(queue, claim, decision)
    return decision


async def settle_once(
    desk: Desk, reviewer: str, post: str, token: str, request: str, answer: Callable[[Claim], Work]
) -> Decision | None:
    """Settles a task that is known by its post and the token of its lease. `answer` returns the finished work on it.

    `request` is the client's own id of this decision. A request that comes again, since its answer was lost, returns
    the decision that it made, and makes no second one. Returns None if a worker has applied that decision already, and
    only its stamp is known. Raises as `settle` does.
    """
    name = sha256("\0".join((reviewer, post, request)).encode()).hexdigest()[:32]
    made = await desk.queue.history.find(reviewer, post)
    if made is not None and made.id == name:
        return made
    claim = await desk.queue.held(post, reviewer, token)
    if claim is None:
        stamp = await desk.queue.history.stamped(name)
        if stamp is not None and (await desk.queue.votes.decided(post)).stamp_ms == stamp:
            return None
        raise LeaseLost(
            f"post {post} is no longer yours: your lease ended, or it was decided, edited, hidden or erased"
        )
    return await settle(desk, claim, replace(answer(claim), copies=claim.copies), name)


def check_may_judge(claim: Claim, reviewer: str, *, is_admin: bool = False) -> None:
    """Raises `NotYours` if this task is for others to decide: the reviewer has voted on it, or flagged it.

    An admin may decide any task. The queue knows no roles, so whoever takes a task by its post's id calls this.
    """
    if is_admin:
        return
    post = claim.task.tweet.id
    if any(vote.reviewer == reviewer for vote in claim.ballot.votes):
        raise NotYours(f"you have voted on post {post}, so somebody else decides it")
    if claim.flag and claim.flag.is_up and claim.flag.reviewer == reviewer:
        raise NotYours(f"you left post {post} to somebody else; put it back to decide it yourself")


async def take_back(desk: Desk, decision: Decision, reviewer: str, session: str = "") -> Reopened:
    """Takes a decision or a vote back, and leases its task. It may be any of the reviewer's last decisions.

    The task is reserved before the retraction is published. So whoever applies the retraction, this program or a
    worker, leases the task in the same step, and nobody else gets it. A repeated call publishes the same record again.
    If the decision was taken back before, and only the lease is missing, this gets the lease.

    Raises `InvalidAction` when somebody has changed the decision since, and `LeaseLost` when another reviewer has
    leased the task. Nothing is published then.
    """
    queue = desk.queue
    token = new_token(session, sha256(decision.id.encode()).hexdigest()[:16])
    gone: Decision | None = None
    if reserved := await _reserved(desk, decision, reviewer, token):
        stamp, is_cast = reserved
        if is_cast:
            ballot = (await _taken(desk, decision, reviewer, token)).ballot
            gone = decisions.withdraw(decision, ballot, reviewer, stamp)
        else:
            gone = decisions.retract(decision, reviewer, stamp)
        await desk.topic.publish(gone)
        await (queue.votes.apply(gone) if is_cast or gone.votes else queue.reopen(gone.task, stamp))
    with contextlib.suppress(Retry):
        await queue.history.remove(decision)
    claim = await _taken(desk, decision, reviewer, token)
    return Reopened(claim, replace(_answered(decision), copies=claim.copies), gone)


async def _reserved(desk: Desk, decision: Decision, reviewer: str, token: str) -> tuple[int, bool] | None:
    """Returns the retraction's stamp, and whether the decision is a vote on an open task. None: it is taken back."""
    queue, tweet, stamp = desk.queue, decision.task.tweet, decisions.stamp(decision)
    while True:
        known = await queue.votes.decided(tweet.id)
        is_open = known.state == "open"
        is_cast = is_open and any(is_vote_of(vote, decision) for vote in known.ballot.votes)
        if is_open and (known.edit, known.stamp_ms) > (tweet.edit, stamp) and not is_cast:
            return None
        if not known.allows_reopening(decision, stamp):
            raise InvalidAction(
                f"post {tweet.id} was decided again or edited since, so your decision cannot be opened again"
            )
        wanted = desk.stamp(max(stamp, known.stamp_ms))
        reserved = await queue.history.reserve(tweet.id, reviewer, token, desk.lease_s, known, wanted)
        if reserved is not None:  # otherwise it was decided, or a worker applied a decision, since we looked
            return reserved, is_cast


async def _taken(desk: Desk, decision: Decision, reviewer: str, token: str) -> Claim:
    task = decision.task
    claim = await desk.queue.take(task.tweet.id, reviewer, desk.lease_s, token)
    if claim is not None and claim.task == task:
        return claim
    if claim is not None:
        await desk.queue.release(claim)
    raise LeaseLost(f"another reviewer has the task of post {task.tweet.id} now, or the post changed")


def _answered(decision: Decision) -> Work:
    """Returns the work with the answers that the decision gave."""
    own = next((vote for vote in decision.votes if is_vote_of(vote, decision)), None)
    return resume(begin(decision.task), own.verdicts if own else decision.verdicts)


async def complete(queue: ReviewQueue, claim: Claim, decision: Decision) -> None:
    """Applies the decision in the queue. Of two decisions, after a lease ended, the later one wins."""
    stamp = decisions.stamp(decision)
    try:
        if decision.kind == "settle":
            await queue.complete(claim, stamp)
        else:
            await queue.votes.cast(claim, decision)
    except LeaseLost:  # the lease ended after the renewal
        await (queue.settle(claim.task, stamp) if decision.kind == "settle" else queue.votes.apply(decision))
