"""One reviewer's session: claim, settle, skip and take back tasks. Needs no terminal.

Kafka confirms a decision before the queue forgets the task. So a task that is shown as settled is settled, and a task
whose decision could not be published stays in the queue. After a `Retry`, the action can be repeated.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.errors import Retry
from core.events import Decision
from review import decisions
from review.work import InvalidAction, Work, begin
from sinks.queue import Claim, Counts, LeaseLost, ReviewQueue

LEASE_S = 600.0
"""Time, in seconds, for which a reviewer holds a task. The terminal renews the lease."""


class Publisher(Protocol):
    """Where decisions go. `review.decision_topic.DecisionTopic` publishes them to Kafka."""

    async def publish(self, decision: Decision) -> None: ...


@dataclass(frozen=True)
class Settled:
    """A task settled in this session, which can still be taken back."""

    work: Work
    decision: Decision


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Session:
    """Claims at most one task at a time. `clock` returns Unix milliseconds; it stamps the decisions."""

    def __init__(
        self,
        queue: ReviewQueue,
        decisions_topic: Publisher,
        reviewer: str,
        lease_s: float = LEASE_S,
        clock: Callable[[], int] = unix_ms,
    ) -> None:
        self.reviewer = reviewer
        self.lease_s = lease_s
        self._queue = queue
        self._topic = decisions_topic
        self._clock = clock
        self._claim: Claim | None = None
        self._id = secrets.token_hex(8)
        self._skipped: set[str] = set()
        self._settled: list[Settled] = []

    @property
    def claimed(self) -> bool:
        return self._claim is not None

    @property
    def skipped(self) -> int:
        return len(self._skipped)

    @property
    def settled(self) -> int:
        """Number of tasks settled in this session, without those taken back."""
        return len(self._settled)

    async def next(self) -> Work | None:
        """Claims the most uncertain task that is free and was not skipped. Returns None if no task is free."""
        await self.release()
        self._claim = await self._queue.claim(self.reviewer, self.lease_s, self._id)
        return begin(self._claim.task) if self._claim else None

    async def settle(self, work: Work) -> Decision:
        """Publishes the decision, then completes the task.

        Raises `InvalidAction` when a question has no answer, and `LeaseLost` when the task is no longer ours. Nothing
        is published then.
        """
        if not work.done:
            raise InvalidAction("some questions have no answer yet")
        await self.renew()
        claim = self._claimed_task()
        decision = decisions.settle(work, self.reviewer, self._stamp(claim.after_ms))
        await self._topic.publish(decision)
        self._settled.append(Settled(work, decision))
        self._claim = None
        await self._complete(claim, decision)
        return decision

    async def take_back(self) -> Work:
        """Retracts the last decision of this session and claims its task. Returns the work before the last answer.

        Raises `InvalidAction` when there is no such decision, and `LeaseLost`, after the retraction, when
        the task cannot be claimed.
        """
        if not self._settled:
            raise InvalidAction("nothing to undo: this post has no answer, and no post was settled in this session")
        last = self._settled[-1]
        retraction = decisions.retract(last.decision, self.reviewer, self._stamp(decisions.stamp(last.decision)))
        await self._topic.publish(retraction)
        await self.release()
        task = last.work.task
        await self._queue.reopen(task, decisions.stamp(retraction))
        self._claim = await self._queue.take(task.tweet.id, self.reviewer, self.lease_s)
        self._settled.pop()  # only now: after a `Retry` above, the next call must retract this task, not the one before
        if self._claim is None or self._claim.task != task:
            raise LeaseLost(
                f"your decision on post {task.tweet.id} is taken back, but another reviewer has the task now, "
                "or the post changed"
            )
        return last.work.previous or last.work

    async def skip(self) -> None:
        """Gives the task back. This session does not claim it again until `unskip`."""
        if self._claim:
            await self._queue.skip(self._claim, self._id)
            self._skipped.add(self._claim.task.tweet.id)
            self._claim = None

    async def unskip(self) -> None:
        """Makes this session claim the skipped tasks again."""
        await self._queue.unskip(self._id)
        self._skipped.clear()

    async def renew(self) -> None:
        """Extends the lease of the task. After `LeaseLost` no task is claimed."""
        try:
            self._claim = await self._queue.renew(self._claimed_task(), self.lease_s)
        except LeaseLost:
            self._claim = None
            raise

    async def release(self) -> None:
        """Gives the claimed task back, if there is one."""
        if self._claim:
            await self._queue.release(self._claim)
            self._claim = None

    async def end(self) -> None:
        """Gives the claimed task back, and leaves nothing of this session in the queue."""
        await self.release()
        if self._skipped:
            await self.unskip()

    async def counts(self) -> Counts:
        return await self._queue.counts()

    async def _complete(self, claim: Claim, decision: Decision) -> None:
        """Settles the task in the queue. If Redis is unreachable, the worker does so when it applies the decision."""
        stamp = decisions.stamp(decision)
        with contextlib.suppress(Retry):
            try:
                await self._queue.complete(claim, stamp)
            except LeaseLost:  # the lease ended after the renewal; the later of two decisions wins
                await self._queue.settle(claim.task, stamp)

    def _claimed_task(self) -> Claim:
        if self._claim is None:
            raise LeaseLost("no task is claimed")
        return self._claim

    def _stamp(self, after_ms: int) -> int:
        """Returns the time now, or a later one if an earlier decision was stamped by a clock that is ahead."""
        return max(self._clock(), after_ms + 1)
