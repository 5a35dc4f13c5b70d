"""The Redis queue of tasks for people, the most uncertain first. `queue.lua` implements its rules:

- A post has at most one task. Adding the task again changes nothing. A newer edit or model version replaces it and ends
  its lease; an older one is refused.
- A settled post stays settled for that edit, whatever model version reads it again. A newer edit gets a new task.
- When a decision is taken back, the post is open again until a person settles it or a newer edit comes.
- Decisions are ordered by their stamps (Unix milliseconds). `settle` and `reopen` may come twice, late, or before the
  task itself; the later stamp wins. So a lost queue can be rebuilt from the topics.
- When a newer extraction has no questions, the task is withdrawn, and an older one is refused from then on. This is
  remembered for good if the post has had a task or a decision, and for `REMEMBER_S` otherwise.
- An erased post never returns.
- When a lease ends, its task is free again. No background job is needed.

Failure contract: trouble that passes, such as a server that is unreachable, loading or full, raises `Retry`. Trouble
that only other settings can end, such as refused credentials, raises `Stop`. A task that the server cannot take raises
`Reject`. `sinks.answers.redis` says which answer is which. A task that cannot be read, because another version wrote
it, stays in the queue; `list` and `claim` skip it with a warning. `claim` looks at it once, and passes over it until it
is replaced.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as ClientRetry
from redis.backoff import NoBackoff

from core.errors import Reject, Retry, Stop
from core.events import Extraction, ReviewTask, explain
from sinks.answers.redis import answer
from sinks.blame import Blame
from sinks.pipelines import PipelineSize, in_pipelines

log = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("queue.lua")
KEYS = (
    *("open", "tasks", "ages", "leases", "holders", "settled", "retracted", "erased"),
    *("free", "passers", "skipped", "unreadable", "passed", "withdrawn", "repaired"),
)
#: After this time without a claim, a session's skipped tasks are forgotten, and the tasks that a program cannot read.
FORGET_S = 24 * 3600.0
#: Time for which a withdrawal of a post without a task is remembered. A task that was routed before that is not added.
REMEMBER_S = 600.0
#: Shortest time between two claims that find nothing and look at all tasks once more. This blocks Redis for a moment.
REPAIR_S = 60.0
#: Number of tasks that are tried at once when the next one cannot be read.
PAGE = 100
#: The script's answer when a task comes too late.
LATE = -1


class LeaseLost(Exception):
    """The task is no longer ours: another reviewer took it, or it was decided, replaced or erased."""


@dataclass(frozen=True)
class Claim:
    """A task leased to one reviewer."""

    task: ReviewTask
    reviewer: str
    token: str
    until: float  # Unix seconds
    #: The stamp of an earlier decision on this task that was taken back; 0 if there is none. A new decision must have a
    #: later stamp.
    after_ms: int = 0


@dataclass(frozen=True)
class Entry:
    """A task in the queue, leased or not."""

    task: ReviewTask
    reviewer: str | None = None  # set while the task is leased
    until: float | None = None  # end of the lease, Unix seconds


@dataclass(frozen=True)
class Counts:
    """Size of the queue."""

    open: int  # tasks that nobody works on
    leased: int  # tasks that a reviewer works on
    decided: int  # posts settled by a person


class ReviewQueue:
    """The review queue of one deployment."""

    def __init__(self, url: str, prefix: str, clock: Callable[[], int] | None = None, timeout_s: float = 10.0) -> None:
        """`prefix` goes before every key. In braces, such as `{review}:`, it keeps all keys in one slot of a cluster.

        `clock` returns Unix milliseconds. Without one the server's clock is used, which is the same for all reviewers.
        """
        parts = urlsplit(url)
        self._where = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
        self._clock = clock
        self._size = PipelineSize()
        self._blame = Blame(self._answers)
        self._known = False  # whether this server has answered as Redis
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=ClientRetry(NoBackoff(), 0),  # the caller decides whether to try again
            )
        except ValueError as error:
            raise Stop(f"Redis at {self._where}: {error}") from None
        self._warned: set[bytes] = set()
        self._keys = [prefix + key for key in KEYS]
        self._script = self._redis.register_script(SCRIPT.read_text())

    async def time_ms(self) -> int:
        """Returns the time of the queue's clock, in Unix milliseconds."""
        return int(await self._call("time"))

    async def add(
        self, tasks: Sequence[ReviewTask], unquestioned: Sequence[Extraction] = (), since_ms: int | None = None
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
        return await self._many([*withdrawals, *(("add", *_described(task), since, remember) for task in tasks)])

    async def claim(self, reviewer: str, lease_s: float, session: str = "") -> Claim | None:
        """Leases the most uncertain free task, except those that the session skipped. Returns None if no task is free.

        Takes O(log n) steps for n tasks, however many of them are skipped, leased or unreadable. A claim that finds no
        task looks at all of them once more, but not within `REPAIR_S` of another one.
        """
        token = secrets.token_hex(8)
        passer = program(), session, _ms(FORGET_S)
        while row := await self._call("claim", *passer, reviewer, token, _ms(lease_s), _ms(REPAIR_S)):
            if claim := await self._claimed(row, reviewer, token):
                return claim
            await self._pass_over_unreadable(session)
        return None

    async def skip(self, claim: Claim, session: str) -> None:
        """Gives the task back undecided. `claim` does not return it to this session until `unskip`."""
        await self._call("skip", claim.task.tweet.id, claim.token, program(), session, _ms(FORGET_S))

    async def unskip(self, session: str) -> None:
        """Forgets what the session skipped."""
        await self._call("unskip", program(), session)

    async def take(self, tweet_id: str, reviewer: str, lease_s: float) -> Claim | None:
        """Leases this post's task. Returns None if it is not open, or if somebody else has leased it."""
        token = secrets.token_hex(8)
        row = await self._call("take", tweet_id, reviewer, token, _ms(lease_s))
        return await self._claimed(row, reviewer, token) if row else None

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

    async def settle(self, task: ReviewTask, stamp_ms: int) -> bool:
        """Applies a decision, whoever has leased the task.

        Returns False when the post is erased, or when the queue already has a decision that is not older (by edit, then
        by stamp).
        """
        return bool(await self._call("settle", task.tweet.id, task.tweet.edit, stamp_ms))

    async def reopen(self, task: ReviewTask, stamp_ms: int) -> bool:
        """Applies a retraction, which opens the task again. Returns False in the same cases as `settle`."""
        tweet, edit, model_version, score, payload = _described(task)
        return bool(await self._many([("reopen", tweet, edit, stamp_ms, model_version, score, payload)]))

    async def erase(self, tweet_id: str) -> None:
        """Forgets the post and refuses it from now on."""
        await self._call("erase", tweet_id)

    async def list(self, limit: int = 20, offset: int = 0) -> list[Entry]:
        """Returns undecided tasks, also leased ones, the most uncertain first. Ties are in the order of post ids."""
        entries = []
        for tweet, payload, until, reviewer in await self._call("list", limit, offset):
            if task := self._read(tweet, payload):
                entries.append(Entry(task, reviewer.decode() or None, until / 1000 if until else None))
        return entries

    async def counts(self) -> Counts:
        return Counts(*await self._call("counts"))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _claimed(self, row: Any, reviewer: str, token: str) -> Claim | None:
        """Returns the new lease. When its task cannot be read, gives the lease back and returns None."""
        tweet, payload, until, after_ms = row
        if task := self._read(tweet, payload):
            return Claim(task, reviewer, token, until / 1000, after_ms)
        await self._call("release", tweet, token)
        return None

    async def _pass_over_unreadable(self, session: str) -> None:
        """Finds the unreadable ones among the next tasks, so that no later claim looks at them."""
        rows = await self._call("ahead", program(), session, PAGE)
        await self._many(
            [
                (
                    "unreadable",
                    tweet.decode(),
                    program(),
                    _ms(FORGET_S),
                    sha1(payload, usedforsecurity=False).hexdigest(),
                )
                for tweet, payload in rows
                if self._read(tweet, payload) is None
            ]
        )

    def _read(self, tweet: bytes, payload: bytes) -> ReviewTask | None:
        """Returns the task. When it cannot be read, warns once and returns None."""
        try:
            return ReviewTask.model_validate_json(payload)
        except ValidationError as error:
            if tweet not in self._warned:
                log.warning("skipping post %s: its task cannot be read: %s", tweet.decode(), explain(error))
                self._warned.add(tweet)
            return None

    async def _call(self, operation: str, *args: str | bytes | int | float) -> Any:
        with self._reaching():
            return await self._script(self._keys, [operation, self._now(), *args])

    async def _many(self, calls: Sequence[tuple[str | int | float, ...]]) -> int:
        """Sends the script calls in pipelines. Returns how many answered 1."""
        return await in_pipelines(self._pipe, calls, self._size, self._blame)

    async def _pipe(self, calls: Sequence[tuple[str | int | float, ...]]) -> int:
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as pipe:
                for operation, *args in calls:
                    await self._script(self._keys, [operation, self._now(), *args], client=pipe)
                results = await pipe.execute()
        if LATE in results:
            raise Retry("a task took too long on its way to the queue, and a newer extraction may have withdrawn it")
        return sum(results)

    async def _answers(self) -> bool:
        """Returns whether a small write passes. A proxy may answer `PING` itself, while its Redis is dead."""
        try:
            await self._call("unskip", "", "")  # no program has this name, so nothing is forgotten
        except (Retry, Reject, Stop):
            return False
        return True

    def _now(self) -> int | str:
        return self._clock() if self._clock else ""

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns the client's errors into `Retry`, `Reject` and `Stop`."""
        try:
            yield
        except redis_errors.RedisError as error:
            raise answer(error, f"Redis at {self._where}", known=self._known).error() from None
        self._known = True


@cache
def program() -> str:
    """Names what this program can read. Programs with the same name can read the same tasks."""
    schema = json.dumps(ReviewTask.model_json_schema(), sort_keys=True)
    return sha1(schema.encode(), usedforsecurity=False).hexdigest()[:12]


def _described(task: ReviewTask) -> tuple[str, int, int, str, str]:
    """Returns the post's id, edit, model version, score and payload, as the script expects them."""
    return task.tweet.id, task.tweet.edit, task.model_version, repr(-task.uncertainty), task.model_dump_json()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _lost(claim: Claim) -> str:
    return (
        f"post {claim.task.tweet.id} is no longer yours: another reviewer took it after your lease ended, "
        "or it was decided, edited or erased"
    )
