"""The Redis queue of tasks for people. `queue.lua` and `claims.lua` implement its rules:

- A post has at most one task. Adding the task again changes nothing. A newer edit or model version replaces it and ends
  its lease; an older one is refused.
- A settled post stays settled for that edit, whatever model version reads it again. A newer edit gets a new task.
- When a decision is taken back, the post is open again until a person settles it or a newer edit comes.
- Decisions are ordered by their stamps (Unix milliseconds). `settle` and `reopen` may come twice, late, or before the
  task itself; the later stamp wins. So a lost queue can be rebuilt from the topics.
- When a newer extraction has no questions, the task is withdrawn, and an older one is refused from then on. This is
  remembered for good if the post has had a task or a decision, and for `REMEMBER_S` otherwise.
- An erased post never returns.
- Nobody sees the task of a hidden post, and its lease ends. What comes for it is kept, and all comes back on `show`.
- When a lease ends, its task is free again. No background job is needed.
- A reviewer can reserve a task whose decision is about to be taken back (`History.reserve`): whoever applies the
  retraction leases the task to this reviewer in the same step.
- Of copies of one post, one task is asked about, and the others wait behind it (`copies.lua`).
- Uncertain tasks come first, and so do old ones: a day of age counts as much as an uncertainty of 1. Tasks that ask
  about a name that many others ask about come a little later, by at most 0.2 (`name_groups.lua`). So a post waits for
  no post that was received 29 hours after it. Tasks that a version before 0.4 added come before all others.
- Several people may have to vote on a task (`votes.lua`). Each can open the own last decisions again (`history.lua`).
- A reviewer can leave a task to somebody else (`flags.lua`).

Failure contract: trouble that passes, such as a server that is unreachable, loading or full, raises `Retry`. Trouble
that only other settings can end, such as refused credentials, raises `Stop`. A task that the server cannot take raises
`Reject`. `sinks.answers.redis` says which answer is which. A task that cannot be read, because another version wrote
it, stays in the queue; `list` and `claim` skip it with a warning. `claim` looks at it once, and passes over it until it
is replaced.
"""

from __future__ import annotations

import builtins
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha1
from typing import Any

from pydantic import ValidationError

from core.events import Decision, EntityType, Extraction, ReviewTask, explain
from sinks.connect.redis import Store
from sinks.queue.copies import CopyGroups, GroupOf, received_ms
from sinks.queue.flags import Flags
from sinks.queue.flags import read as read_flag
from sinks.queue.history import History
from sinks.queue.name_groups import NameGroups, labels
from sinks.queue.script import KEPT, QueueScript
from sinks.queue.values import Claim, Counts, Entry, Holding, LeaseLost
from sinks.queue.votes import Votes, ballot

log = logging.getLogger(__name__)

#: After this time without a claim, a session's skipped tasks are forgotten, and the tasks that a program cannot read.
FORGET_S = 24 * 3600.0
#: Time for which a withdrawal of a post without a task is remembered. A task that was routed before that is not added.
REMEMBER_S = 600.0
#: Shortest time between two claims that find nothing and look at all tasks once more. This blocks Redis for a moment.
REPAIR_S = 60.0
#: Number of tasks that are tried at once when the next one cannot be read.
PAGE = 100


class ReviewQueue:
    """The review queue of one deployment."""

    def __init__(
        self,
        store: Store,
        prefix: str,
        clock: Callable[[], int] | None = None,
        timeout_s: float = 10.0,
        *,
        group_of: GroupOf | None = None,
        window_s: float = 0.0,
    ) -> None:
        """`prefix` goes before every key. For a cluster, it is put in braces, which keeps all keys in one slot.

        `clock` returns Unix milliseconds. Without one the server's clock is used, which is the same for all reviewers.

        `group_of` names the group of copies that a new task belongs to. A group is remembered for `window_s` after the
        last time that one of its posts was received or decided. Without either, every task is on its own.
        """
        self._script = QueueScript(store, prefix, clock, timeout_s)
        self._call = self._script.call
        self._group_of, self._window_s = group_of, window_s
        self._warned: set[bytes] = set()
        self.copies = CopyGroups(self._call, window_s)
        self.names = NameGroups(self._script)
        self.votes = Votes(self._script, _described, self._group, _ms(window_s))
        self.flags = Flags(self._script)
        self.history = History(self._script)

    def _group(self, task: ReviewTask) -> str:
        return (self._group_of(task) or "") if self._group_of and self._window_s else ""

    async def time_ms(self) -> int:
        """Returns the time of the queue's clock, in Unix milliseconds."""
        return int(await self._call("time"))

    async def add(
        self,
        tasks: Sequence[ReviewTask],
        unquestioned: Sequence[Extraction] = (),
        since_ms: int | None = None,
    ) -> int:
        """Withdraws the older tasks of posts without a question, then adds tasks. Returns the number of changes.

        `since_ms`: a time of `time_ms` at which no newer extraction of these posts was indexed. If it is too long ago,
        a newer extraction may have withdrawn a task since, and this may be forgotten. This raises `Retry` then, and the
        caller must look at the index again.

        Both are one batch: if the tasks are too large for what lies before Redis, the next try sends fewer calls at
        once, and withdrawals that pass must not undo this.
        """
        remember, since = _ms(REMEMBER_S), "" if since_ms is None else since_ms
        withdrawals = [("withdraw", e.tweet.id, e.tweet.edit, e.model_version, remember) for e in unquestioned]
        added = (
            (
                "add",
                *_described(task),
                since,
                remember,
                self._group(task),
                _ms(self._window_s),
                received_ms(task),
                labels(task),
            )
            for task in tasks
        )
        return await self._script.many([*withdrawals, *added])

    async def claim(self, reviewer: str, lease_s: float, session: str = "") -> Claim | None:
        """Leases the first free task that the session has not skipped, and that the reviewer has not voted on.

        Returns None if there is none.

        Takes O(log n) steps for n tasks, however many of them are skipped, leased or unreadable. A claim that finds no
        task looks at all of them once more, but not within `REPAIR_S` of another one.
        """
        return next(iter(await self.claim_some(1, reviewer, lease_s, session)), None)

    async def claim_some(
        self, most: int, reviewer: str, lease_s: float, session: str = "", skips: str | None = None
    ) -> builtins.list[Claim]:
        """Does `claim` for up to `most` tasks, in one call of the server.

        `skips`: whose skipped tasks are passed over, if not those of the session.
        """
        skips = session if skips is None else skips
        passer = program(), skips, _ms(FORGET_S)
        claims: builtins.list[Claim] = []
        while len(claims) < most:
            tokens = [new_token(session) for _ in range(most - len(claims))]
            rows = await self._call("claim", *passer, reviewer, _ms(lease_s), _ms(REPAIR_S), *tokens)
            found = [await self._claimed(row, reviewer, token) for row, token in zip(rows, tokens, strict=False)]
            claims += [claim for claim in found if claim]
            if all(found):
                break
            await self._pass_over_unreadable(skips, reviewer)
        return claims

    async def skip(self, claim: Claim, session: str) -> None:
        """Gives the task back undecided. `claim` does not return it to this session until `unskip`."""
        await self._call("skip", claim.task.tweet.id, claim.token, program(), session, _ms(FORGET_S))

    async def withhold(self, claims: Sequence[Claim], session: str) -> None:
        """Gives tasks back that the session may not see. They do not count as skipped, and `unskip` leaves them."""
        passer = program(), session, _ms(FORGET_S)
        await self._script.each([("withhold", claim.task.tweet.id, claim.token, *passer) for claim in claims])

    async def unskip(self, session: str) -> None:
        """Forgets what the session skipped."""
        await self._call("unskip", program(), session)

    async def take(
        self, tweet_id: str, reviewer: str, lease_s: float, token: str = "", session: str = ""
    ) -> Claim | None:
        """Leases this post's task, also a disputed one. Returns None if it is not open, or if somebody leased it.

        `token`: names the lease, so that a repeated call gets it again. Without one, each lease has a name of its own.
        """
        token = token or new_token(session)
        row = await self._call("take", tweet_id, reviewer, token, _ms(lease_s))
        return await self._claimed(row, reviewer, token) if row else None

    async def held(self, tweet_id: str, reviewer: str, token: str) -> Claim | None:
        """Returns the lease with this token, if it has not ended."""
        row = await self._call("held", tweet_id, token)
        return await self._claimed(row, reviewer, token) if row else None

    async def held_by(self, reviewer: str, session: str) -> builtins.list[Claim]:
        """Returns the leases that this session of a reviewer holds, the most uncertain task first."""
        rows = await self._call("held_by", reviewer, new_token(session, ""))
        claims = [await self._claimed(row, reviewer, token.decode()) for *row, token in rows]
        return sorted((c for c in claims if c), key=lambda claim: (-claim.task.uncertainty, claim.task.tweet.id))

    async def renew_all(
        self, reviewer: str, leases: Sequence[tuple[str, str]], lease_s: float
    ) -> builtins.list[Claim | None]:
        """Does `renew` for each lease, given as post and token, in one call. None stands for a lease that is lost."""
        if not leases:
            return []
        rows = await self._call("renew_all", _ms(lease_s), *(part for lease in leases for part in lease))
        renewed = zip(rows, leases, strict=True)
        return [await self._claimed(row, reviewer, token) if row else None for row, (_, token) in renewed]

    async def renew(self, claim: Claim, lease_s: float) -> Claim:
        """Extends the lease from now, even if it has ended. Raises `LeaseLost` when the task is no longer ours."""
        until = await self._call("renew", claim.task.tweet.id, claim.token, _ms(lease_s))
        if not until:
            raise LeaseLost(_lost(claim))
        return replace(claim, until=until / 1000)

    async def release(self, claim: Claim) -> None:
        """Gives the task back undecided. Does nothing when the lease is lost."""
        await self._call("release", claim.task.tweet.id, claim.token)

    async def complete(self, claim: Claim, stamp_ms: int) -> None:
        """Settles a task that we have leased; a repeated call does nothing. Raises `LeaseLost` when it is not ours."""
        tweet = claim.task.tweet
        if not await self._call("complete", tweet.id, claim.token, tweet.edit, stamp_ms):
            raise LeaseLost(_lost(claim))

    async def settle(self, task: ReviewTask, stamp_ms: int, *, keep: bool = True) -> bool:
        """Applies a decision, whoever has leased the task.

        `keep`: the task may be kept for later decisions on its copies. Returns False when the post is erased, or when
        the queue already has a decision that is not older (by edit, then by stamp).
        """
        group = self._group(task) if keep else ""
        again = (group, _ms(self._window_s), task.model_dump_json()) if group else ()
        return bool(await self._call("settle", task.tweet.id, task.tweet.edit, stamp_ms, *again))

    async def reopen(self, task: ReviewTask, stamp_ms: int, *, is_copy: bool = False) -> bool:
        """Applies a retraction, which opens the task again. Returns False in the same cases as `settle`.

        `is_copy`: the decision was made on a copy, so the task may wait behind that copy.
        """
        tweet, edit, model_version, score, payload = _described(task)
        call = ("reopen", tweet, edit, stamp_ms, model_version, score, payload, int(not is_copy))
        rest = (self._group(task), _ms(self._window_s), received_ms(task), labels(task))
        return bool(await self._script.many([(*call, *rest)]))

    async def answer(self, decision: Decision, stamp_ms: int) -> bool:
        """Applies a decision on a part of a task, which stays open without the questions that are answered.

        Ends the lease. Returns False in the same cases as `settle`.
        """
        return await self.reopen(decision.task.model_copy(update={"answers": decision.verdicts}), stamp_ms)

    async def erase(self, *tweet_ids: str) -> int:
        """Forgets the posts and refuses them from now on. Returns how many were not erased before."""
        return await self._script.many([("erase", tweet) for tweet in tweet_ids])

    async def hide(self, *tweet_ids: str) -> int:
        """Keeps the posts' tasks from everybody until `show`, and ends their leases. Returns how many were visible."""
        return await self._script.many([("hide", tweet) for tweet in tweet_ids])

    async def show(self, *tweet_ids: str) -> int:
        """Ends `hide`: the posts' tasks come back. Returns how many posts were hidden."""
        return await self._script.many([("show", tweet) for tweet in tweet_ids])

    async def holds(self, tweet_id: str) -> Holding:
        """Returns what the queue holds of a post."""
        return (await self.holdings([tweet_id]))[0]

    async def holdings(self, tweet_ids: Sequence[str]) -> list[Holding]:
        """Returns what the queue holds of each post."""
        found: list[Holding] = []
        for start in range(0, len(tweet_ids), PAGE):
            page = [("holds", tweet) for tweet in tweet_ids[start : start + PAGE]]
            found += [Holding(*map(bool, row)) for row in await self._script.each(page)]
        return found

    async def forget(self, edits: Mapping[str, int]) -> set[str]:
        """Forgets the posts, with tasks and decisions. They may come again, unless they are erased.

        `edits` gives the edit by post id. A post of which the queue knows a newer edit stays. Returns what was
        forgotten.
        """
        pairs, forgotten = list(edits.items()), set()
        for place in range(0, len(pairs), PAGE):
            page = [part for pair in pairs[place : place + PAGE] for part in pair]
            forgotten |= {tweet.decode() for tweet in await self._call("forget", *page)}
        return forgotten

    async def kept(self) -> AsyncIterator[list[ReviewTask]]:
        """Yields pages of all tasks that the queue keeps: listed, hidden and waiting ones, decided copies, and those in
        reviewers' histories.

        A task may come twice. One that comes or goes meanwhile may be left out, and so is one that cannot be read.
        """
        await self.history.end()
        for name in KEPT:
            async for rows in self._script.scan(name, PAGE):
                yield [task for tweet, payload in rows.items() if (task := self._read(tweet, payload))]

    async def tasks(self, tweet_ids: Sequence[str]) -> dict[str, ReviewTask]:
        """Returns the tasks of these posts that the queue keeps, as `kept` does, by post id."""
        found: dict[str, ReviewTask] = {}
        for name in KEPT:
            rows = await self._script.fields(name, tweet_ids)
            found = {tweet.decode(): task for tweet, row in rows.items() if (task := self._read(tweet, row))} | found
        return found

    async def list(self, limit: int = 20, offset: int = 0) -> list[Entry]:
        """Returns undecided tasks, also leased ones, in the order of the queue. Ties are in the order of post ids.

        Tasks of hidden posts are left out.
        """
        return [*self._entries(await self._call("list", limit, offset))]

    async def group(
        self, name: str, entity_type: EntityType, limit: int = 20, offset: int = 0
    ) -> tuple[Sequence[Entry], int | None]:
        """Returns tasks of a group, also leased ones, in the order of the queue, and the place of the next page.

        The name is normalised. Tasks that cannot be read are left out, so a page may have fewer than `limit`.
        """
        following, rows = await self.names.rows(name, entity_type, limit, offset)
        return [*self._entries(rows)], None if following < 0 else following

    async def regroup(self) -> int:
        """Groups the tasks that an older program added. Returns how many it changed. Redis serves others meanwhile."""
        return await self.names.regroup(PAGE)

    def _entries(self, rows: Any) -> Iterator[Entry]:
        for tweet, payload, until, reviewer, copies in rows:
            if task := self._read(tweet, payload):
                yield Entry(task, reviewer.decode() or None, until / 1000 if until else None, copies)

    async def counts(self, session: str = "") -> Counts:
        return Counts(*await self._call("counts", program(), session))

    async def waiting_since(self) -> float | None:
        """Returns when the post of the oldest undecided task was received, in Unix seconds. None if there is no task.

        Tasks of hidden posts do not count, nor do those that a version before 0.4 added. Takes O(log n) steps.
        """
        since = await self._call("oldest")
        return None if since is None else float(since) / 1000

    async def close(self) -> None:
        await self._script.close()

    async def _claimed(self, row: Any, reviewer: str, token: str) -> Claim | None:
        """Returns the new lease. When its task cannot be read, gives the lease back and returns None."""
        tweet, payload, until, after_ms, copies, votes, flag = row
        if task := self._read(tweet, payload, votes, flag):
            return Claim(task, reviewer, token, until / 1000, after_ms, copies, ballot(votes), read_flag(flag))
        await self._call("release", tweet, token)
        return None

    async def _pass_over_unreadable(self, session: str, reviewer: str) -> None:
        """Finds the unreadable ones among the next tasks, so that no later claim looks at them."""
        rows = await self._call("ahead", program(), session, PAGE, reviewer, _ms(FORGET_S))
        await self._script.many(
            [
                (
                    "unreadable",
                    tweet.decode(),
                    program(),
                    _ms(FORGET_S),
                    sha1(payload, usedforsecurity=False).hexdigest(),
                )
                for tweet, payload, votes in rows
                if self._read(tweet, payload, votes) is None
            ]
        )

    def _read(self, tweet: bytes, payload: bytes, votes: bytes = b"", flag: bytes = b"") -> ReviewTask | None:
        """Returns the task. When it, its votes or its flag cannot be read, warns once and returns None."""
        try:
            ballot(votes)
            read_flag(flag)
            return ReviewTask.model_validate_json(payload)
        except ValidationError as error:
            if tweet not in self._warned:
                log.warning("skipping post %s: its task cannot be read: %s", tweet.decode(), explain(error))
                self._warned.add(tweet)
            return None


@cache
def program() -> str:
    """Names what this program can read. Programs with the same name can read the same tasks."""
    schema = json.dumps(ReviewTask.model_json_schema(), sort_keys=True)
    return sha1(schema.encode(), usedforsecurity=False).hexdigest()[:12]


def _described(task: ReviewTask) -> tuple[str, int, int, str, str]:
    """Returns the post's id, edit, model version, score and payload, as the script expects them."""
    return task.tweet.id, task.tweet.edit, task.model_version, repr(-task.uncertainty), task.model_dump_json()


def new_token(session: str, unique: str | None = None) -> str:
    """Returns a token for a lease. It begins with a digest of the session, by which `held_by` finds it again."""
    unique = secrets.token_hex(8) if unique is None else unique
    return f"{sha1(session.encode(), usedforsecurity=False).hexdigest()[:16]}-{unique}" if session else unique


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _lost(claim: Claim) -> str:
    return (
        f"post {claim.task.tweet.id} is no longer yours: another reviewer took it after your lease ended, "
        "or it was decided, edited, hidden or erased"
    )
