"""Groups of tasks that ask about the same name with the same type. `name_groups.lua` keeps them.

A task belongs to the group of each of its open questions, as long as people may see the task. Leased tasks stay in
their groups. Disputed and flagged tasks are in none. Only names of tasks in the queue are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Any

from pydantic import ValidationError

from core.events import EntityType, Mention, ReviewTask
from core.spelling import normalise
from sinks.queue.script import QueueScript


@dataclass(frozen=True)
class NameGroup:
    """Tasks that ask whether a name has a type."""

    name: str  # as `core.spelling.normalise` returns it
    type: EntityType
    sources: Mapping[str, int]  # number of tasks, leased ones included, by the source of the post

    @property
    def tasks(self) -> int:
        return sum(self.sources.values())


@dataclass(frozen=True)
class GroupPage:
    """Some of the groups, the largest first. The work for a page is bounded, so it may have fewer than was asked."""

    groups: Sequence[NameGroup]
    next: int | None  # place of the next page; None if this is the last one


def asks_about(mention: Mention, name: str, entity_type: EntityType) -> bool:
    """Whether a question about this mention belongs to the group. `name` is normalised."""
    return mention.type == entity_type and normalise(mention.text) == name


def labels(task: ReviewTask) -> str:
    """Returns the groups of a task as `name_groups.lua` takes them."""
    found = {(asked.mention.type, normalise(asked.mention.text)) for asked in task.open_questions}
    return json.dumps([[_digest(*one), *one, task.tweet.source] for one in sorted(found)], ensure_ascii=False)


class NameGroups:
    """The groups of one queue, and what bulk decisions ask it."""

    def __init__(self, script: QueueScript) -> None:
        self._script = script

    async def page(self, limit: int, place: int = 0, part: str = "", reviewer: str = "") -> GroupPage:
        """Returns up to `limit` groups from this place on whose names hold `part`, which is normalised.

        Tasks that the reviewer has voted on do not count, so a group may have none.
        """
        following, rows = await self._script.call("names", limit, place, part, reviewer)
        groups = [
            NameGroup(name.decode(), kind.decode(), dict(zip(map(bytes.decode, by[::2]), by[1::2], strict=True)))
            for kind, name, by in rows
        ]
        return GroupPage(groups, None if following < 0 else following)

    async def rows(self, name: str, entity_type: EntityType, limit: int, offset: int) -> Any:
        """Returns the place of the next page (-1: there is none), and rows as the script's `list` does."""
        return await self._script.call("named", _digest(entity_type, normalise(name)), limit, offset)

    async def regroup(self, page: int) -> int:
        """See `ReviewQueue.regroup`."""
        changed = 0
        async for rows in self._script.scan("tasks", page):
            changed += await self._script.many(
                [
                    ("name", tweet.decode(), sha1(payload, usedforsecurity=False).hexdigest(), labels(task))
                    for tweet, payload in rows.items()
                    if (task := _read(payload))
                ]
            )
        async for rows in self._script.scan("names_of", page):
            left = await self._script.fields("tasks", [tweet.decode() for tweet in rows])
            gone = [tweet.decode() for tweet in rows if tweet not in left]
            changed += await self._script.many([("name", tweet, "", "[]") for tweet in gone])
        return changed


def _digest(entity_type: str, name: str) -> str:
    return sha256(f"{entity_type} {name}".encode()).hexdigest()[:32]


def _read(payload: bytes) -> ReviewTask | None:
    try:
        return ReviewTask.model_validate_json(payload)
    except ValidationError:
        return None  # of another version, which names it
