"""What each reviewer has decided lately, in `history.lua`. It can be opened again, also in another browser.

A reviewer's history holds the last `MOST` decisions for at most `KEEP_S` seconds, one a post. It is a convenience, so
it is empty after Redis is lost. It holds text, so it is forgotten with its post, and it leaves out hidden posts.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from core.events import Decision
from sinks.index.document import stamp_ms
from sinks.queue.script import QueueScript
from sinks.queue.values import Claim, Decided, LeaseLost, Remembered
from sinks.queue.votes import decided

#: Number of decisions that are remembered of each reviewer.
MOST = 10
#: Time, in seconds, for which a decision is remembered.
KEEP_S = 7 * 24 * 3600.0


class History:
    """The histories in one queue."""

    def __init__(self, script: QueueScript, keep_s: float = KEEP_S) -> None:
        self._script, self._keep_ms = script, round(keep_s * 1000)

    async def stamp(self, claim: Claim, decision_id: str, stamp_ms: int) -> int:
        """Returns the stamp for a decision that is about to be published on a leased task.

        As long as the lease lasts, a repeated call with the same id returns the same stamp, so that a decision that is
        published twice is the same record. Raises `LeaseLost`.
        """
        stamp = await self._script.call("stamp", claim.task.tweet.id, claim.token, decision_id, stamp_ms)
        if stamp is None:
            raise LeaseLost(f"post {claim.task.tweet.id} is no longer yours")
        return int(stamp)

    async def stamped(self, decision_id: str) -> int | None:
        """Returns the stamp that `stamp` gave a decision on the last day, also once its lease is gone."""
        stamp = await self._script.call("stamped", decision_id)
        return None if stamp is None else int(stamp)

    async def is_stamped(self, tweet_id: str) -> bool:
        """Whether a decision got a stamp under the last lease of this task, and the queue does not know it yet."""
        return bool(await self._script.call("is_stamped", tweet_id))

    async def reserve(
        self, tweet_id: str, reviewer: str, token: str, lease_s: float, known: Decided, stamp_ms: int
    ) -> int | None:
        """Reserves the task for a reviewer who is about to publish a retraction. Returns the retraction's stamp.

        Whoever applies the retraction then leases the task to the reviewer, in one step. A task that is open already is
        leased now, and so is the copy that leads its group: else others could take that one, and the task would have
        to wait behind it. The reservation ends after `lease_s`. Until then, a repeated call returns the same stamp, so
        that a retraction that is published twice is the same record. Returns None if something was decided since
        `known`.
        Raises `LeaseLost` if another reviewer has the task, or if nobody may see it.
        """
        asked = tweet_id, reviewer, token, max(1, round(lease_s * 1000)), known.edit, known.stamp_ms, stamp_ms
        stamp = int(await self._script.call("reserve", *asked))
        if not stamp:
            raise LeaseLost(f"another reviewer has the task of post {tweet_id} now, or the post is hidden or erased")
        return stamp if stamp > 0 else None

    async def add(self, decision: Decision) -> None:
        """Remembers a decision. It replaces the reviewer's earlier one on the same post."""
        task, rest = decision.task.model_dump_json(), decision.model_dump_json(exclude={"task"})
        tweet = decision.task.tweet.id
        await self._script.call("remember", tweet, decision.reviewer, task, rest, MOST, self._keep_ms)

    async def remove(self, decision: Decision) -> None:
        """Forgets a decision that its reviewer has taken back."""
        await self._script.call("unremember", decision.task.tweet.id, decision.reviewer)

    async def find(self, reviewer: str, tweet_id: str) -> Decision | None:
        """Returns the reviewer's last decision on a post, if it is remembered and the post is not hidden."""
        row = await self._script.call("remembered", tweet_id, reviewer)
        return _read(*row) if row else None

    async def of(self, reviewer: str, limit: int = MOST) -> list[Remembered]:
        """Returns the reviewer's last decisions, the latest first. Those that cannot be read are left out."""
        found = []
        for task, rest, state in await self._script.call("history", reviewer, limit):
            if decision := _read(task, rest):
                allowed = decided(state).allows_reopening(decision, stamp_ms(decision.decided_at))
                found.append(Remembered(decision, not allowed))
        return found

    async def end(self) -> None:
        """Forgets what is too old. Claims and new decisions do this too, a few at a time."""
        while await self._script.call("end_history", 100):
            pass


def _read(task: bytes, rest: bytes) -> Decision | None:
    try:
        return Decision.model_validate({**json.loads(rest), "task": json.loads(task)})
    except ValidationError:
        return None  # another version wrote it
