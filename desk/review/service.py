"""The review for many tabs at once, on the queue and the topic of decisions. The only module here that knows them.

A client names a task by its post and by the token of its lease. So any process of the desk can answer any request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from hashlib import sha256

from core.errors import Retry
from core.events import ReviewTask
from core.terms import Sources
from desk.review.answers import answered
from desk.review.ranks import Ranks, Scale
from desk.review.telling import tell, tell_counts, tell_past
from desk.review.values import CountsTold, Done, Hand, Lease, PastTold, Settling, TaskTold
from review.settling import Desk, NotYours, Publisher, check_may_judge, settle_once, take_back, unix_ms
from review.work import InvalidAction, Work
from sinks.queue.queue import ReviewQueue
from sinks.queue.values import Claim, LeaseLost

LEASE_S = 300.0
"""Time, in seconds, for which a tab holds a task. A tab that lives renews the lease every minute."""
LEAVE_S = 20.0
"""The same after the tab was closed or left. A reload comes back earlier, and gets the same tasks."""

MOST_ROUNDS, MANY = 5, 100
"""How often one request claims tasks, and how many at once after tasks that may not be shown. The next request goes on
where this one ended, so a queue that is full of such tasks delays no request."""

DAY_MS = 24 * 3600 * 1000


class Changed(Exception):
    """The task is not what the client thinks. The message tells the person why."""


class Gone(Changed):
    """The post was erased, so nobody has to decide it any more."""


class Reviews:
    """The review as the API needs it. Raises `Retry` when the queue or the topic is away."""

    def __init__(
        self,
        queue: ReviewQueue,
        topic: Publisher,
        sources: Sources,
        reviewers: int = 1,
        ranks: Ranks | None = None,
        clock: Callable[[], int] = unix_ms,
    ) -> None:
        """`reviewers`: how many people vote on a task. Without `ranks`, variances stand alone. `clock`: Unix ms."""
        self._queue, self._sources, self._ranks = queue, sources, ranks
        self._desk = Desk(queue, topic, reviewers, LEASE_S, clock)

    async def hand(
        self, reviewer: str, session: str, want: int, held: Sequence[Lease], known: Sequence[str] | None = None
    ) -> Hand:
        """Renews the leases that the client holds, and leases up to `want` more tasks, the next ones first.

        `known`: posts that the client holds or whose answers it has yet to send. The other leases of the session come
        first among the `want` tasks: the client never got the answer that gave them. None: there are no such leases.
        """
        leases = [*held, *await self._forgotten(reviewer, session, held, known)]
        renewed = await self._renew_all(leases, reviewer, LEASE_S)
        claims = await self._shown(reviewer, [claim for claim in renewed if claim is not None])
        kept = {claim.task.tweet.id for claim in claims}
        lost = [lease.post for lease in held if lease.post not in kept]
        claims += await self._next(want + len(held) - len(lost) - len(claims), reviewer, session)
        scales = await self._scales({claim.task.model_version for claim in claims})
        return Hand(
            tasks=[self._told(claim, scales) for claim in claims],
            lost=lost,
            counts=await self.counts(reviewer),
            lease_s=LEASE_S,
        )

    async def _next(self, most: int, reviewer: str, session: str) -> list[Claim]:
        """Leases up to `most` tasks that may be shown. See `MOST_ROUNDS`."""
        claims: list[Claim] = []
        at_once = most
        for _ in range(MOST_ROUNDS):
            if len(claims) >= most:
                break
            found = await self._queue.claim_some(at_once, reviewer, LEASE_S, session, self._skips(reviewer))
            if not found:
                break
            claims += await self._shown(reviewer, found)
            at_once = MANY
        for claim in claims[max(0, most) :]:
            await self._queue.release(claim)
        return claims[: max(0, most)]

    async def _forgotten(
        self, reviewer: str, session: str, held: Sequence[Lease], known: Sequence[str] | None
    ) -> list[Lease]:
        """Returns the leases of the session that its client does not know. See `hand`."""
        if known is None:
            return []
        had = {*known, *(lease.post for lease in held)}
        leased = await self._queue.held_by(reviewer, session)
        posts = [(claim.task.tweet.id, claim.token) for claim in leased]
        return [Lease(post=post, token=token) for post, token in posts if post not in had]

    async def _shown(self, reviewer: str, claims: Sequence[Claim]) -> list[Claim]:
        """Passes over tasks whose text may not be shown: their worker has not removed them yet, as after a change of
        the terms. Returns the others."""
        if withheld := [claim for claim in claims if not self._may_show(claim.task)]:
            await self._queue.withhold(withheld, self._skips(reviewer))
        return [claim for claim in claims if self._may_show(claim.task)]

    def _skips(self, reviewer: str) -> str:
        """Names what the person skips on one day, in any tab. So skips take no more room with more tabs, and each
        skipped task comes again the next day."""
        return sha256(f"{self._desk.clock() // DAY_MS} {reviewer}".encode()).hexdigest()[:16]

    async def renew(self, reviewer: str, leases: Sequence[Lease], *, leaving: bool = False) -> list[str]:
        """Renews leases, or lets them end soon when the tab is left. Returns the posts whose lease is lost."""
        renewed = await self._renew_all(leases, reviewer, LEAVE_S if leaving else LEASE_S)
        return [lease.post for lease, claim in zip(leases, renewed, strict=True) if claim is None]

    async def take(self, reviewer: str, session: str, post: str, *, is_admin: bool = False) -> TaskTold:
        """Leases the task of this post. A repeated call of the same session returns the same lease.

        Raises `Changed` when it is not free, or for somebody else to decide, and `Gone` when the post was erased.
        """
        claim = await self._taken(reviewer, session, post)
        if claim is None:
            await self._check_exists(post)
            raise Changed(f"post {post} is not free: it is decided, or another reviewer has it")
        await self._check(claim, is_admin)
        return await self._tell(claim)

    async def _tell(self, claim: Claim, reopened: Work | None = None) -> TaskTold:
        return self._told(claim, await self._scales({claim.task.model_version}), reopened)

    def _told(self, claim: Claim, scales: Mapping[int, Scale | None], reopened: Work | None = None) -> TaskTold:
        version = claim.task.model_version
        is_late = self._ranks is not None and self._ranks.is_late(version)
        return tell(claim, self._sources, scales[version], reopened, is_rank_late=is_late)

    async def _scales(self, versions: Set[int]) -> dict[int, Scale | None]:
        """Returns the scale of each version of the model. Waits for all at the same time."""
        if self._ranks is None:
            return dict.fromkeys(versions)
        return dict(zip(versions, await asyncio.gather(*map(self._ranks.of, versions)), strict=True))

    def _may_show(self, task: ReviewTask) -> bool:
        return self._sources.of(task.tweet.source).may_show_text

    async def settle(self, reviewer: str, sent: Settling, *, is_admin: bool = False) -> Done:
        """Publishes the decision, then completes the task. A decision that was stored before is not stored again.

        Raises `InvalidAction` when the answers make no sense, and `Changed` when the task is not the client's.
        """

        def answer(claim: Claim) -> Work:
            _check_may_judge(claim, is_admin)
            if claim.task.id != sent.task:
                raise Changed("the post or the model's reading of it changed while you looked at it")
            return answered(claim.task, sent.answers, sent.added)

        await self._renew_all([sent], reviewer, LEASE_S)  # also one that ended while the decision waited to be sent
        try:
            await settle_once(self._desk, reviewer, sent.post, sent.token, sent.id, answer)
        except LeaseLost:
            await self._check_exists(sent.post)
            raise Changed(
                "this post is no longer yours: another reviewer took or decided it, or it was deleted"
            ) from None
        return Done(id=sent.id, post=sent.post)

    async def past(self, reviewer: str) -> list[PastTold]:
        """Returns the reviewer's last decisions, the latest first."""
        past = await self._queue.history.of(reviewer)
        return [tell_past(remembered) for remembered in past if self._may_show(remembered.decision.task)]

    async def reopen(self, reviewer: str, session: str, post: str, *, is_admin: bool = False) -> TaskTold:
        """Takes back the reviewer's last decision on a post, and leases its task.

        A repeated call of the same session returns the same task, and leases it again if its lease has ended. Raises
        `Changed` when there is no such decision, when somebody has changed it since, or, after it was taken back, when
        another reviewer has the task. Raises `Gone` when the post was erased.
        """
        decision = await self._queue.history.find(reviewer, post)
        if decision is None:
            task = await self.take(reviewer, session, post, is_admin=is_admin)
            if await self._queue.history.is_stamped(post):  # the lease stays, and with it what this says
                raise Retry(f"the decision on post {post} is published, but the queue does not know it yet")
            return task
        try:
            reopened = await take_back(self._desk, decision, reviewer, session)
        except (LeaseLost, InvalidAction) as error:
            await self._check_exists(post)
            raise Changed(str(error)) from None
        await self._check(reopened.claim, is_admin)
        return await self._tell(reopened.claim, reopened.work)

    async def skip(self, reviewer: str, lease: Lease) -> None:
        """Gives the task back. The person does not get it again on this day (UTC), until `unskip`."""
        (claim,) = await self._renew_all([lease], reviewer, LEASE_S)
        if claim is not None:
            await self._queue.skip(claim, self._skips(reviewer))

    async def unskip(self, reviewer: str) -> None:
        """Makes the person get the skipped tasks again."""
        await self._queue.unskip(self._skips(reviewer))

    async def counts(self, reviewer: str) -> CountsTold:
        return tell_counts(await self._queue.counts(self._skips(reviewer)))

    async def _taken(self, reviewer: str, session: str, post: str) -> Claim | None:
        """Leases a free task, or returns the lease that the session has: the answer to an earlier call may be lost."""
        claim = await self._queue.take(post, reviewer, LEASE_S, session=session)
        held = [] if claim else await self._queue.held_by(reviewer, session)
        return claim or next((claim for claim in held if claim.task.tweet.id == post), None)

    async def _check_exists(self, post: str) -> None:
        if (await self._queue.holds(post)).erased:
            raise Gone("this post was deleted")

    async def _check(self, claim: Claim, is_admin: bool) -> None:
        """Gives a lease back that the reviewer may not have, and raises `Changed`."""
        try:
            _check_may_judge(claim, is_admin)
            if not self._may_show(claim.task):
                raise Changed("the terms of its source do not let the text of this post be shown")
        except Changed:
            await self._queue.release(claim)
            raise

    async def _renew_all(self, leases: Sequence[Lease], reviewer: str, lease_s: float) -> list[Claim | None]:
        """Returns each renewed lease, even if it had ended, or None when it is lost."""
        return await self._queue.renew_all(reviewer, [(lease.post, lease.token) for lease in leases], lease_s)


def _check_may_judge(claim: Claim, is_admin: bool) -> None:
    """Raises `Changed` if somebody else has to decide this task."""
    try:
        check_may_judge(claim, claim.reviewer, is_admin=is_admin)
    except NotYours as error:
        raise Changed(str(error)) from None
