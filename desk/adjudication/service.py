"""Lists tasks that are not for everybody, settles them and puts them back, on the queue and the topic of decisions."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from core.events import Decision
from core.terms import UNLISTED, Sources
from desk.access.people import Person
from desk.adjudication.cases import Case, case, work_of
from review.settling import Desk, NotYours, check_may_judge, settle_once, take_back
from review.work import InvalidAction, Work
from sinks.queue.values import Ballot, Claim, Dispute, LeaseLost

LEASE_S = 60.0
"""Time, in seconds, for which a task is held while it is settled with somebody's version."""
MOST = 100
"""Largest number of tasks of each kind that are listed."""


class Changed(Exception):
    """The task is not what the client thinks. The message tells the person why."""


@dataclass(frozen=True)
class Adjudication:
    """Decides for one person. Raises `Retry` when the queue or the topic is away."""

    desk: Desk
    person: Person
    sources: Sources = UNLISTED  # the terms decide which posts people may see

    async def cases(self) -> list[Case]:
        """Returns flagged tasks, then disputed ones. A task that is both comes once. Leased ones are left out."""
        flagged = await self.desk.queue.flags.list(MOST)
        disputed = await self.desk.queue.votes.disputed(MOST)
        listed = (*flagged, *disputed)
        return [case(one) for one in listed if self.sources.of(one.task.tweet.source).may_show_text]

    def refusal(self, dispute: Dispute) -> str:
        """Returns why somebody else has to decide this task; '' if the person may."""
        ballot = Ballot(votes=dispute.votes)
        claim = Claim(dispute.task, self.person.name, "", 0.0, ballot=ballot, flag=dispute.flag)
        try:
            self._check(claim)
        except NotYours as error:
            return str(error)
        return ""

    async def settle(self, post: str, task: str, version: str, request: str) -> Decision | None:
        """Settles a disputed task with one of its versions. `task`: id of the task that the person saw.

        `request` is the client's own id of this decision: a repeated call settles nothing twice. Returns as
        `settle_once`. Raises `NotYours`, `InvalidAction` and `Changed`.
        """
        queue, reviewer, token = self.desk.queue, self.person.name, request[:16]

        def answer(held: Claim) -> Work:
            self._check(held)
            if held.task.id != task:
                raise Changed("the post or the model's reading of it changed while you looked at it")
            if not held.ballot.is_disputed:
                raise Changed("the votes on this post do not differ any more")
            return work_of(held.task, held.ballot.votes, version)

        claim = await queue.take(post, reviewer, self.desk.lease_s, token)
        try:
            return await settle_once(self.desk, reviewer, post, token, request, answer)
        except (NotYours, Changed, InvalidAction):
            if claim is not None:
                await queue.release(claim)
            raise
        except LeaseLost:
            raise Changed("somebody else decides this post now, or it was decided, edited, hidden or erased") from None

    async def last(self) -> Decision | None:
        """Returns the person's last settlement of a dispute that can be taken back."""
        for remembered in await self.desk.queue.history.of(self.person.name):
            decision = remembered.decision
            if decision.kind == "settle" and decision.votes and not remembered.is_changed:
                return decision
        return None

    async def reopen(self, post: str) -> None:
        """Takes the person's settlement of a dispute back. The votes of others stay. Raises `Changed`."""
        decision = await self.desk.queue.history.find(self.person.name, post)
        if decision is None or not decision.votes:
            raise Changed("this decision can no longer be taken back here")
        try:
            reopened = await take_back(self.desk, decision, self.person.name)
        except (LeaseLost, InvalidAction) as error:
            raise Changed(str(error)) from None
        await self.desk.queue.release(reopened.claim)

    async def flag(self, post: str, token: str, note: str) -> None:
        """Leaves a task that the person has leased to somebody else. Raises `Changed`."""
        queue, reviewer = self.desk.queue, self.person.name
        claim = await queue.held(post, reviewer, token)
        if claim is None:
            task = (await queue.tasks([post])).get(post)  # a repeated call, or a lease that just ended
            if task is None:
                raise Changed("this post is no longer in the queue")
            claim = Claim(task, reviewer, token, 0.0)
            with suppress(LeaseLost):  # it ended while the flag waited to be sent
                claim = await queue.renew(claim, self.desk.lease_s)
        try:
            await queue.flags.add(claim, note)
        except LeaseLost:
            raise Changed(
                "this post is no longer yours: another reviewer has it, or it was decided or deleted"
            ) from None

    async def set_flag(self, post: str, is_up: bool) -> None:
        """Puts a flagged task back among the others, or takes that back. Raises `Changed`."""
        flags = self.desk.queue.flags
        if not await (flags.put_up(post) if is_up else flags.put_back(post)):
            raise Changed("this post is not flagged any more, or somebody works on it now")

    def _check(self, claim: Claim) -> None:
        check_may_judge(claim, self.person.name, is_admin=self.person.may("admin"))
