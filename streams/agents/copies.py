"""Applies a decision on one post to the copies of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256

from core.errors import Reject
from core.events import Decision, Mention, ReviewTask, Verdict, Vote
from model.near import Wording, near_key, wording
from sinks.index.document import stamp_ms
from sinks.queue.copies import CopyGroups
from streams import metrics
from streams.producer import Producer

OUTCOMES = {"settle": "settled", "retract": "reopened", "vote": "voted"}
"""Kind of decision -> label of the metric."""


def for_copy(decision: Decision, task: ReviewTask) -> Decision | None:
    """Returns the decision on a copy, with the offsets and the text of the copy. Pure.

    What the person marked in the parts that only the decided post has is left out. What the model is confident of in
    the parts that only the copy has stays as it is. Returns None if the person marked something that cannot be found in
    the copy.
    """
    mentions: tuple[Mention, ...] | None = () if decision.kind == "vote" else task.indexed
    verdicts: tuple[Verdict, ...] | None = ()
    votes: tuple[Vote, ...] | None = ()
    if decision.kind == "settle" or decision.votes:
        key = near_key(task)
        if key is None:
            return None
        theirs, own = wording(decision.task.tweet.text, key[1]), wording(task.tweet.text, key[1])
        mapping = _Mapping(theirs, own, task)
        if decision.kind == "settle":
            mentions, verdicts = mapping.mentions(decision.mentions), mapping.verdicts(decision.verdicts)
        votes = mapping.votes(decision.votes)
    if mentions is None or verdicts is None or votes is None:
        return None
    return Decision(
        id=sha256(f"{decision.id} {task.id}".encode()).hexdigest()[:32],
        kind=decision.kind,
        task=task,
        mentions=mentions,
        verdicts=verdicts,
        reviewer=decision.reviewer,
        decided_at=decision.decided_at,
        copy_of=decision.task.tweet.id,
        bulk_id=decision.bulk_id,
        looked_at=decision.looked_at,
        votes=votes,
        votes_needed=decision.votes_needed,
    )


class _Unmappable(Exception):
    """A mention cannot be found in the copy."""


class _Mapping:
    def __init__(self, theirs: Wording, own: Wording, task: ReviewTask) -> None:
        self._theirs, self._own, self._task = theirs, own, task
        asked = [(question.mention, question.is_candidate, question.is_audit) for question in task.questions]
        known = [*((mention, False, False) for mention in task.confident), *asked]
        self._known = {(each[0].start, each[0].end, each[0].type): each for each in known}

    def mentions(self, mentions: Sequence[Mention]) -> tuple[Mention, ...] | None:
        own = [mention for mention in self._task.confident if self._own.leaves_out(mention)]
        try:
            found = [self._mention(mention) for mention in mentions if not self._theirs.leaves_out(mention)]
        except _Unmappable:
            return None
        return tuple(sorted([*own, *found], key=lambda mention: (mention.start, mention.end)))

    def verdicts(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...] | None:
        try:
            return tuple(self._verdict(verdict) for verdict in verdicts if not self._is_left_out(verdict))
        except _Unmappable:
            return None

    def votes(self, votes: Sequence[Vote]) -> tuple[Vote, ...] | None:
        found = []
        for vote in votes:
            mentions, verdicts = self.mentions(vote.mentions), self.verdicts(vote.verdicts)
            if mentions is None or verdicts is None:
                return None
            found.append(vote.model_copy(update={"mentions": mentions, "verdicts": verdicts}))
        return tuple(found)

    def _is_left_out(self, verdict: Verdict) -> bool:
        sides = (side for side in (verdict.before, verdict.after) if side is not None)
        return all(self._theirs.leaves_out(side) for side in sides)

    def _verdict(self, verdict: Verdict) -> Verdict:
        """Returns the verdict with the copy's own figures in `before`, if the model chose the same there.

        It counts as a spot check only if the copy's own mention was drawn for one.
        """
        before = verdict.before and self._mention(verdict.before)
        after = verdict.after and self._mention(verdict.after)
        is_candidate, is_audit = verdict.is_candidate, False
        if before is not None:
            key = before.start, before.end, before.type
            before, is_candidate, is_audit = self._known.get(key, (before, is_candidate, False))
        return Verdict(action=verdict.action, before=before, after=after, is_candidate=is_candidate, is_audit=is_audit)

    def _mention(self, mention: Mention) -> Mention:
        place = self._theirs.shared(mention.start, mention.end)
        found = place and self._own.raw(*place)
        if not found:
            raise _Unmappable
        start, end = found
        return mention.model_copy(update={"start": start, "end": end, "text": self._task.tweet.text[start:end]})


class CopySettler:
    """Sends the decisions on copies to their topic.

    A decision is sent before its cause is acknowledged, and the same cause gives the same decision again. So a crash
    loses none, and the topic alone is enough to rebuild everything.

    The topic is compacted to the last decision on each post. A worker may send a decision on a copy just after a person
    has published a later one. When it is read, the later one is sent once more, so that it comes last.
    """

    def __init__(self, groups: CopyGroups, producer: Producer, topic: str, window_s: float) -> None:
        self._groups, self._producer, self._topic, self._window_s = groups, producer, topic, window_s

    async def decided(self, decision: Decision, alive: Callable[[], None] = lambda: None) -> None:
        """Applies a decision to the copies that are there. Returns when the brokers have all that follows from it.

        `alive` is called after each page of copies.
        """
        group = group_of(decision.task) if self._window_s else None
        if group is None:
            return
        is_derived, stamp = decision.copy_of is not None, stamp_ms(decision.decided_at)
        if is_derived or not await self._groups.rule(decision, stamp, group):
            later = await self._groups.ruling(decision.task, stamp)  # on a copy, or on this post
            if later:
                await self._apply(later, decision.task)
            return
        async for tasks in self._groups.members(group):
            await self.queued(tasks)  # asks the queue about each: a person may have decided it since
            alive()

    async def queued(self, tasks: Sequence[ReviewTask]) -> None:
        """Applies the decisions on copies that hold for these tasks."""
        if self._window_s:
            rulings = [(await self._groups.ruling(task), task) for task in tasks]
            await asyncio.gather(*(self._apply(ruling, task) for ruling, task in rulings if ruling))

    async def _apply(self, decision: Decision, task: ReviewTask) -> None:
        if decision.task.tweet.id == task.tweet.id:
            await self._producer.send(self._topic, task.tweet.id.encode(), decision.model_dump_json().encode())
            return
        derived = for_copy(decision, task)
        try:
            if derived is not None:
                await self._producer.send(self._topic, task.tweet.id.encode(), derived.model_dump_json().encode())
        except Reject:  # too large: the whole task stands in it
            derived = None
        if derived is None:
            await self._groups.leave(task.tweet.id)
        outcome = OUTCOMES[derived.kind] if derived is not None else "asked"
        metrics.COPIES.labels(outcome).inc()


def group_of(task: ReviewTask) -> str | None:
    """Names the group of copies that a task belongs to."""
    key = near_key(task)
    return key and key[0]
