"""One reviewer's sitting: claim, settle, skip, take back. Knows no terminal.

A decision is an event first: it is in the topic, confirmed, before the queue forgets the task. So what a reviewer saw
settled is settled, and what failed is still in the queue. `Retry` leaves everything as it was: do it again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.errors import Retry
from core.events import Decision
from review import decisions
from review.work import NotPossible, Work, begin
from sinks.queue import Claim, Counts, LeaseLost, ReviewQueue


class Publisher(Protocol):
    """Where decisions go; `review.decisions.DecisionTopic` is the one for Kafka."""

    async def publish(self, decision: Decision) -> None: ...


@dataclass(frozen=True)
class Settled:
    """A task that this sitting settled, as it can be taken back."""

    work: Work
    decision: Decision


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Session:
    """At most one task is claimed at a time. `clock` gives unix milliseconds and stamps the decisions."""

    def __init__(
        self,
        queue: ReviewQueue,
        decisions_topic: Publisher,
        reviewer: str,
        lease_s: float,
        clock: Callable[[], int] = unix_ms,
    ) -> None:
        self.reviewer = reviewer
        self.lease_s = lease_s
        self._queue = queue
        self._topic = decisions_topic
        self._clock = clock
        self._claim: Claim | None = None
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
        """Tasks settled in this sitting, less those taken back."""
        return len(self._settled)

    async def next(self) -> Work | None:
        """Claim the most uncertain task that is free and was not skipped; None when there is none."""
        await self.release()
        self._claim = await self._queue.claim(self.reviewer, self.lease_s, self._skipped)
        return begin(self._claim.task) if self._claim else None

    async def settle(self, work: Work) -> Decision:
        """Publish the decision, then complete the task. Raises `LeaseLost`: nothing was published, claim another."""
        if not work.done:
            raise NotPossible("some questions have no answer yet")
        await self.renew()
        claim = self._held()
        decision = decisions.settle(work, self.reviewer, self._stamp(claim.after_ms))
        await self._topic.publish(decision)
        self._settled.append(Settled(work, decision))
        self._claim = None
        await self._complete(claim, decision)
        return decision

    async def take_back(self) -> Work:
        """Retract the last decision of this sitting and claim its task again, as it was before its last answer."""
        if not self._settled:
            raise NotPossible("nothing to undo: no answer on this tweet, none settled in this sitting")
        last = self._settled[-1]
        retraction = decisions.retract(last.decision, self.reviewer, self._stamp(decisions.stamp(last.decision)))
        await self._topic.publish(retraction)
        await self.release()
        task = last.work.task
        await self._queue.reopen(task, decisions.stamp(retraction))
        self._claim = await self._queue.take(task.tweet.id, self.reviewer, self.lease_s)
        self._settled.pop()  # only now: a `Retry` above is followed by a second retraction, not by that of another task
        if self._claim is None or self._claim.task != task:
            raise LeaseLost(f"taken back, but tweet {task.tweet.id} is not yours again: another took it or it changed")
        return last.work.previous or last.work

    async def skip(self) -> None:
        """Give the task back and do not claim it again until `unskip`."""
        if self._claim:
            self._skipped.add(self._claim.task.tweet.id)
        await self.release()

    def unskip(self) -> None:
        self._skipped.clear()

    async def renew(self) -> None:
        """Keep the task. Raises `LeaseLost`, after which no task is claimed."""
        try:
            self._claim = await self._queue.renew(self._held(), self.lease_s)
        except LeaseLost:
            self._claim = None
            raise

    async def release(self) -> None:
        """Give the claimed task back, if there is one."""
        if self._claim:
            await self._queue.release(self._claim)
            self._claim = None

    async def counts(self) -> Counts:
        return await self._queue.counts()

    async def _complete(self, claim: Claim, decision: Decision) -> None:
        """Tell the queue of a decision that is out. What it misses here, it hears when the event is applied."""
        stamp = decisions.stamp(decision)
        with contextlib.suppress(Retry):
            try:
                await self._queue.complete(claim, stamp)
            except LeaseLost:  # between renewing and now; of two decisions the later holds
                await self._queue.settle(claim.task, stamp)

    def _held(self) -> Claim:
        if self._claim is None:
            raise LeaseLost("no task is claimed")
        return self._claim

    def _stamp(self, after_ms: int) -> int:
        """Now, but later than the decision before it, whatever another machine's clock says."""
        return max(self._clock(), after_ms + 1)
