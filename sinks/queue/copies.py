"""Groups of copies in the review queue. `copies.lua` implements their rules:

- People see one task of a group, the leader. If it is erased, hidden, withdrawn or edited, another task leads.
- The latest decision on one of the tasks is the ruling of the group. Of two with one stamp, the greater post id counts.
- A group is forgotten when the window has passed since its latest post was received or decided, but not while one of
  its tasks is undecided. If its leader is decided then, and others still wait, the next task leads.
- A ruling holds for waiting tasks, for tasks decided less than a window before it, and for tasks received less than a
  window after it.

The caller applies the ruling: it sends a decision on each member to the topic of decisions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from core.events import Decision, ReviewTask

GroupOf = Callable[[ReviewTask], str | None]
"""Names the group of a task. None: the task is on its own."""

PAGE = 100
"""Members that are read at a time."""

AT_ONCE = 10
"""Groups that are ended or dissolved at a time. Redis does nothing else meanwhile."""


class CopyGroups:
    """The groups of one queue. `call` calls the queue's script. `window_s`: see `ReviewQueue`."""

    def __init__(self, call: Callable[..., Awaitable[Any]], window_s: float) -> None:
        self._call, self._window_ms = call, max(1, round(window_s * 1000))

    async def rule(self, decision: Decision, stamp_ms: int, group: str) -> bool:
        """Makes a decision on one of the tasks the ruling of the group, also before its task comes.

        Returns False if the group has a later ruling, or if the decision is too old for a new group. Repetitions do no
        harm.
        """
        tweet, payload = decision.task.tweet.id, decision.model_dump_json()
        kind = "vote" if decision.votes and decision.kind != "settle" else decision.kind  # holds for open tasks too
        return bool(await self._call("rule", tweet, group, stamp_ms, kind, payload, self._window_ms))

    async def members(self, group: str) -> AsyncIterator[list[ReviewTask]]:
        """Yields pages of the group's tasks, in order of the posts' ids, without those that cannot be read."""
        last = ""
        while rows := await self._call("members", group, last, PAGE):
            last = rows[-1][0].decode()
            yield [task for _, payload in rows if (task := _read(payload))]

    async def ruling(self, task: ReviewTask, came_ms: int | None = None) -> Decision | None:
        """Returns the ruling, if it comes from another task and was not applied to this task yet.

        `came_ms`: the stamp of a decision on this task that just came. If the task has a later one, this returns the
        later one, made on this task or another one, so that it can be sent once more, behind the late one.
        """
        stamp = "" if came_ms is None else came_ms
        known = task.tweet.id, task.tweet.edit, received_ms(task), self._window_ms
        payload = await self._call("ruling", *known, stamp)
        try:
            return Decision.model_validate_json(payload) if payload else None
        except ValidationError:
            return None

    async def leave(self, tweet_id: str) -> None:
        """Takes a task out of its group. People are then asked about it alone."""
        await self._call("alone", tweet_id)

    async def end(self) -> None:
        """Forgets the groups whose time is over. Claims and new tasks also do this, a few groups at a time."""
        before = int(await self._call("time"))
        while await self._call("end_groups", before, AT_ONCE):
            pass

    async def dissolve(self) -> None:
        """Dissolves all groups. Waiting tasks become open."""
        while await self._call("dissolve", AT_ONCE):
            pass


def received_ms(task: ReviewTask) -> int | str:
    """Returns when the post was received, in Unix milliseconds. '' if this is unknown."""
    received = task.tweet.received_at
    return round(received.timestamp() * 1000) if received else ""


def _read(payload: bytes) -> ReviewTask | None:
    try:
        return ReviewTask.model_validate_json(payload)
    except ValidationError:
        return None  # of another version: the task stays until that version decides it
