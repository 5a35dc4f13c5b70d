"""Votes of several people on one task. `votes.lua` implements their rules:

- `claim` never gives a task to somebody who has voted on it.
- A decision that leaves the task open carries all votes that count. It replaces those that the queue holds, unless the
  queue has a decision that is not older (by edit, then by stamp). So the topic alone is enough to rebuild the queue.
- Votes end the lease on the task, since its holder does not know them.
- If all votes are in and differ, the task is disputed: no claim gets it, and somebody takes it by its post's id.
- A newer edit, a withdrawal, and a later decision without votes clear the votes.
"""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import ValidationError

from core.events import Decision, ReviewTask, explain
from sinks.index.document import stamp_ms
from sinks.queue.copies import received_ms
from sinks.queue.name_groups import labels
from sinks.queue.script import QueueScript
from sinks.queue.values import Ballot, Claim, Decided, Dispute, LeaseLost

log = logging.getLogger(__name__)

Described = Callable[[ReviewTask], tuple[str | int, ...]]
"""Returns what the script needs to open a task: post id, edit, model version, score, payload."""


class Votes:
    """The votes in one queue."""

    def __init__(self, script: QueueScript, described: Described, group: Callable[[ReviewTask], str], window_ms: int):
        """`group` names the group of copies of a task; '' for none. It is remembered for `window_ms`."""
        self._script, self._described, self._group, self._window_ms = script, described, group, window_ms

    async def apply(self, decision: Decision) -> bool:
        """Applies a vote, or a retraction with votes, whoever has leased the task.

        Returns False when the post is erased, or when the queue already has a decision that is not older.
        """
        return bool(await self._script.many([("vote", *self._arguments(decision, self._group(decision.task)))]))

    async def cast(self, claim: Claim, decision: Decision) -> None:
        """Applies a vote on a task that we have leased. A repeated call does nothing. Raises `LeaseLost`."""
        if not await self._script.call("cast", claim.token, *self._arguments(decision, "")):
            raise LeaseLost(f"post {claim.task.tweet.id} is no longer yours")

    async def disputed(self, limit: int = 20, offset: int = 0) -> builtins.list[Dispute]:
        """Returns tasks on which the votes differ, the most uncertain first.

        Tasks of hidden posts, tasks that somebody has leased, and tasks that cannot be read are left out.
        """
        found = []
        for tweet, payload, votes, copies, _flag in await self._script.call("disputed", limit, offset):
            try:
                task = ReviewTask.model_validate_json(payload)
            except ValidationError as error:
                log.warning("skipping post %s: its task cannot be read: %s", tweet.decode(), explain(error))
                continue
            found.append(Dispute(task, ballot(votes).votes, copies))
        return found

    async def decided(self, tweet_id: str) -> Decided:
        """Returns what is decided about a post."""
        return decided(await self._script.call("decided", tweet_id))

    async def given(self, reviewer: str, tweet_ids: Sequence[str]) -> set[str]:
        """Returns those of these posts on whose open task the reviewer has voted."""
        rows = await self._script.each([("decided", tweet) for tweet in tweet_ids])
        found = zip(tweet_ids, map(decided, rows), strict=True)
        return {tweet for tweet, known in found if any(vote.reviewer == reviewer for vote in known.ballot.votes)}

    def _arguments(self, decision: Decision, group: str) -> tuple[str | int, ...]:
        tweet, edit, version, score, payload = self._described(decision.task)
        votes = Ballot(
            votes=decision.votes, is_disputed=decision.is_disputed, reopened=decision.kind == "retract"
        ).model_dump_json()
        stamp, leads = stamp_ms(decision.decided_at), int(decision.copy_of is None)
        opened: tuple[str | int, ...] = (tweet, edit, stamp, version, score, payload, leads, group, self._window_ms)
        opened += received_ms(decision.task), labels(decision.task)
        return (*opened, votes, int(decision.is_disputed), *(vote.reviewer for vote in decision.votes))


def ballot(payload: bytes) -> Ballot:
    """Returns the ballot in an answer of the script. Raises `ValidationError` if another version wrote it."""
    return Ballot.model_validate_json(payload) if payload else Ballot()


def decided(row: Any) -> Decided:
    """Returns an answer of the operation `decided`."""
    state, edit, stamp, task_edit, payload = row
    name: Literal["settled", "open", ""] = state.decode()
    return Decided(name, edit, stamp, task_edit, ballot(payload))
