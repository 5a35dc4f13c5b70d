"""One reviewer's session: claim, settle, skip and take back tasks. Needs no terminal. `settling` does the work."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.events import Decision
from review import settling
from review.settling import LEASE_S, Desk, Publisher, unix_ms
from review.work import InvalidAction, Work, begin
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Claim, Counts, LeaseLost


@dataclass(frozen=True)
class Settled:
    """A task decided in this session, which can still be taken back."""

    work: Work
    decision: Decision


class Session:
    """Claims at most one task at a time.

    `clock` returns Unix milliseconds; it stamps the decisions. `reviewers`: how many people vote on a task.
    """

    def __init__(
        self,
        queue: ReviewQueue,
        decisions_topic: Publisher,
        reviewer: str,
        lease_s: float = LEASE_S,
        clock: Callable[[], int] = unix_ms,
        reviewers: int = 1,
    ) -> None:
        self.reviewer = reviewer
        self.lease_s = lease_s
        self._queue = queue
        self._desk = Desk(queue, decisions_topic, reviewers, lease_s, clock)
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
        """Number of tasks settled or voted on in this session, without those taken back."""
        return len(self._settled)

    async def next(self) -> Work | None:
        """Claims the first task in the queue that is free and was not skipped. Returns None if no task is free."""
        await self.release()
        self._claim = await self._queue.claim(self.reviewer, self.lease_s, self._id)
        return replace(begin(self._claim.task), copies=self._claim.copies) if self._claim else None

    async def settle(self, work: Work) -> Decision:
        """Publishes the decision or the vote, then tells the queue.

        Raises `InvalidAction` when a question has no answer, and `LeaseLost` when the task is no longer ours. Nothing
        is published then.
        """
        try:
            decision = await settling.settle(self._desk, self._claimed_task(), work)
        except LeaseLost:
            self._claim = None
            raise
        self._settled.append(Settled(work, decision))
        self._claim = None
        return decision

    async def take_back(self) -> Work:
        """Takes back the last decision of this session and claims its task. Returns the work before the last answer.

        Raises `InvalidAction` when there is no such decision, or when somebody has changed it since, and `LeaseLost`
        when the task cannot be claimed.
        """
        if not self._settled:
            raise InvalidAction("nothing to undo: this post has no answer, and no post was settled in this session")
        last = self._settled[-1]
        claimed, self._claim = self._claim, None
        if claimed:
            await self._queue.release(claimed)
        try:
            reopened = await settling.take_back(self._desk, last.decision, self.reviewer, self._id)
        except (InvalidAction, LeaseLost):
            self._settled.pop()
            raise
        self._settled.pop()  # not after a `Retry`: the next call must take back this decision, not the one before
        self._claim = reopened.claim
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
        if self._skipped or self._desk.reviewers > 1:  # then the queue may note what the reviewer has voted on
            await self.unskip()

    async def counts(self) -> Counts:
        return await self._queue.counts()

    def _claimed_task(self) -> Claim:
        if self._claim is None:
            raise LeaseLost("no task is claimed")
        return self._claim
