"""Tasks that reviewers leave to somebody else, in `flags.lua`.

A reviewer who has leased a task can flag it, with a note. Then no claim gets it, and it is in no group of names.
Somebody else takes it by its post's id and settles it, or puts it back.

A flag goes with its task: when the task is settled, replaced, withdrawn, forgotten or erased. It is in Redis alone.
After Redis is lost, the task waits with the others again.
"""

from __future__ import annotations

import builtins
import json
import logging
import re
from datetime import UTC, datetime

from pydantic import ValidationError

from core.events import ReviewTask, explain
from sinks.queue.script import QueueScript
from sinks.queue.values import Claim, Dispute, Flag, LeaseLost
from sinks.queue.votes import ballot

log = logging.getLogger(__name__)

EPOCH = datetime.fromtimestamp(0, UTC)  # the queue has its own clock
STORED = re.compile(r"([01]) (\d+) (.*)", re.DOTALL)


class Flags:
    """The flags in one queue."""

    def __init__(self, script: QueueScript) -> None:
        self._script = script

    async def add(self, claim: Claim, note: str = "") -> None:
        """Flags a task that we have leased, and ends the lease. A repeated call does nothing.

        Raises `LeaseLost`, and `ValidationError` if the note is longer than `MAX_NOTE`.
        """
        flag = Flag(reviewer=claim.reviewer, note=note, at=EPOCH).model_dump_json(include={"reviewer", "note"})
        if not await self._script.call("flag", claim.task.tweet.id, claim.token, flag):
            raise LeaseLost(f"post {claim.task.tweet.id} is no longer yours")

    async def put_back(self, tweet_id: str) -> bool:
        """Puts a flagged task back among the others. Returns False if it has no flag, or if somebody works on it."""
        return bool(await self._script.call("set_flag", tweet_id, 0))

    async def put_up(self, tweet_id: str) -> bool:
        """Takes `put_back` back. Returns False as that does, also after the task is gone."""
        return bool(await self._script.call("set_flag", tweet_id, 1))

    async def list(self, limit: int = 20, offset: int = 0) -> builtins.list[Dispute]:
        """Returns flagged tasks in the order of the queue.

        Tasks of hidden posts, tasks that somebody has leased, and tasks that cannot be read are left out.
        """
        found = []
        for tweet, payload, votes, copies, stored in await self._script.call("flagged", limit, offset):
            try:
                task = ReviewTask.model_validate_json(payload)
                voted = ballot(votes)
                found.append(Dispute(task, voted.votes, copies, read(stored), voted.is_disputed))
            except ValidationError as error:
                log.warning("skipping post %s: its task cannot be read: %s", tweet.decode(), explain(error))
        return found


def read(stored: bytes) -> Flag | None:
    """Returns a flag in an answer of the script. Raises `ValidationError` if another version wrote it."""
    found = STORED.fullmatch(stored.decode())
    if found is None:
        return None
    up, at, flag = found.groups()
    return Flag.model_validate(
        {**json.loads(flag), "at": datetime.fromtimestamp(int(at) / 1000, UTC), "is_up": up == "1"}
    )
