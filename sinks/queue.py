"""The Redis queue of tasks for people, the most uncertain first. Its rules stand in `queue.lua`, in one place.

- One tweet has at most one task. Adding it again changes nothing; a newer edit or release replaces it (and ends its
  lease); an older one is refused.
- A settled tweet stays settled for that edit, whatever release reads it again; a newer edit asks anew. One that was
  taken back waits with the task that was taken back, until a person settles it or a newer edit comes.
- Decisions are ordered by their stamps (unix milliseconds): `settle` and `reopen` may come twice, late, or before the
  task itself, and the later one holds. So the queue can be lost and made again from the topics.
- An erased tweet never returns.
- A lease that has ended puts its task back by itself: there is nothing to sweep.

Failure contract: a server that is away, loading or full raises `Retry`; one that refuses us raises `Stop`. A task that
this release cannot read, written by another, is left where it is: `list` and `claim` pass over it with a warning.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as ClientRetry
from redis.backoff import NoBackoff

from core.errors import Retry, Stop
from core.events import Extraction, ReviewTask, explain

log = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("queue.lua")
KEYS = ("open", "tasks", "ages", "leases", "holders", "settled", "retracted", "erased")

REFUSED = (redis_errors.AuthenticationError, redis_errors.AuthorizationError, redis_errors.NoPermissionError)
AWAY = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.ClusterError,
    redis_errors.TryAgainError,
    redis_errors.NoScriptError,  # flushed between our check and the call: the next try loads it
)
PASSING = re.compile(
    r"(^\W*|: -)"  # an error inside a script: up to Redis 6.2 its code stands behind "... @user_script: 39: -"
    r"(OOM|READONLY|MISCONF|BUSY|NOREPLICAS|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b"
)


class LeaseLost(Exception):
    """The task is not ours any more: the lease ended and another took it, or it was decided, replaced or erased."""


@dataclass(frozen=True)
class Claim:
    """A task leased to one reviewer.

    `until`: unix seconds. `after_ms`: the stamp of an earlier decision on this task that was taken back (0: none); a
    new decision must be stamped later than that.
    """

    task: ReviewTask
    reviewer: str
    token: str
    until: float
    after_ms: int = 0


@dataclass(frozen=True)
class Entry:
    """A task in the queue; `reviewer` and `until` (unix seconds) are set while it is leased."""

    task: ReviewTask
    reviewer: str | None = None
    until: float | None = None


@dataclass(frozen=True)
class Counts:
    """Tasks waiting, being worked on, and tweets settled by a person."""

    open: int
    leased: int
    decided: int


class ReviewQueue:
    """`url` of the server; `prefix` before every key (with braces, such as `{review}:`, it fits a cluster's slot).

    `clock` gives unix milliseconds; without one the Redis server's own clock counts, the same for all reviewers.
    """

    def __init__(self, url: str, prefix: str, clock: Callable[[], int] | None = None, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        self._where = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
        self._clock = clock
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=ClientRetry(NoBackoff(), 0),  # the caller decides about trying again
        )
        self._told: set[bytes] = set()
        self._keys = [prefix + key for key in KEYS]
        self._script = self._redis.register_script(SCRIPT.read_text())

    async def add(self, tasks: Sequence[ReviewTask]) -> int:
        """Put tasks into the queue, in one round trip; how many of them changed it."""
        return await self._many([("add", *_described(task)) for task in tasks])

    async def withdraw(self, extractions: Sequence[Extraction]) -> int:
        """Take out tasks that a reading without any question, as new or newer, has made void; how many there were."""
        calls = [("withdraw", e.tweet.id, e.tweet.edit, e.model_version) for e in extractions]
        return await self._many(calls)

    async def claim(self, reviewer: str, lease_s: float, passing: Collection[str] = ()) -> Claim | None:
        """Lease the most uncertain free task, other than those of the tweets `passing`; None when there is none."""
        token, passed = secrets.token_hex(8), set(passing)
        while row := await self._call("claim", reviewer, token, _ms(lease_s), *passed):
            if claim := await self._claimed(row, reviewer, token):
                return claim
            passed.add(row[0].decode())
        return None

    async def take(self, tweet_id: str, reviewer: str, lease_s: float) -> Claim | None:
        """Lease this tweet's task; None when it is not open or somebody else has it."""
        token = secrets.token_hex(8)
        row = await self._call("take", tweet_id, reviewer, token, _ms(lease_s))
        return await self._claimed(row, reviewer, token) if row else None

    async def renew(self, claim: Claim, lease_s: float) -> Claim:
        """Lease it for longer, from now; also after the lease has ended, if nobody took it. Raises `LeaseLost`."""
        until = await self._call("renew", claim.task.tweet.id, claim.token, _ms(lease_s))
        if not until:
            raise LeaseLost(_lost(claim))
        return replace(claim, until=until / 1000)

    async def release(self, claim: Claim) -> None:
        """Give it back undecided. Nothing happens when the lease is lost."""
        await self._call("release", claim.task.tweet.id, claim.token)

    async def complete(self, claim: Claim, stamp_ms: int) -> None:
        """Settle a task that we hold. Raises `LeaseLost`, unless this very decision has settled it already."""
        tweet = claim.task.tweet
        if not await self._call("complete", tweet.id, claim.token, tweet.edit, stamp_ms):
            raise LeaseLost(_lost(claim))

    async def settle(self, task: ReviewTask, stamp_ms: int) -> bool:
        """Apply a decision, whoever holds the task. False: something at least as late is known already."""
        return bool(await self._call("settle", task.tweet.id, task.tweet.edit, stamp_ms))

    async def reopen(self, task: ReviewTask, stamp_ms: int) -> bool:
        """Apply a retraction: the task is open again. False: something at least as late is known already."""
        tweet, edit, model_version, score, payload = _described(task)
        return bool(await self._call("reopen", tweet, edit, stamp_ms, model_version, score, payload))

    async def erase(self, tweet_id: str) -> None:
        """Forget the tweet and refuse it for ever."""
        await self._call("erase", tweet_id)

    async def list(self, limit: int = 20, offset: int = 0) -> list[Entry]:
        """Undecided tasks, the most uncertain first, leased ones among them; ties in the order of tweet ids."""
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
        """The lease that was just taken; given back, and None, when its task cannot be read."""
        tweet, payload, until, after_ms = row
        if task := self._read(tweet, payload):
            return Claim(task, reviewer, token, until / 1000, after_ms)
        await self._call("release", tweet, token)
        return None

    def _read(self, tweet: bytes, payload: bytes) -> ReviewTask | None:
        """The task, or None when it cannot be read, which is told once."""
        try:
            return ReviewTask.model_validate_json(payload)
        except ValidationError as error:
            if tweet not in self._told:
                log.warning("passing over tweet %s: its task cannot be read: %s", tweet.decode(), explain(error))
                self._told.add(tweet)
            return None

    async def _call(self, operation: str, *args: str | bytes | int | float) -> Any:
        with self._reaching():
            return await self._script(self._keys, [operation, self._now(), *args])

    async def _many(self, calls: Sequence[tuple[str | int | float, ...]]) -> int:
        """One script call each, pipelined; how many answered 1."""
        if not calls:
            return 0
        with self._reaching():
            async with self._redis.pipeline(transaction=False) as pipe:
                for operation, *args in calls:
                    await self._script(self._keys, [operation, self._now(), *args], client=pipe)
                return sum(await pipe.execute())

    def _now(self) -> int | str:
        return self._clock() if self._clock else ""

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Class the client's errors by what a caller does about them."""
        try:
            yield
        except REFUSED as error:
            raise Stop(f"Redis at {self._where} refuses our credentials: {error}") from None
        except AWAY as error:
            raise Retry(f"Redis at {self._where} is away: {error}") from None
        except redis_errors.ResponseError as error:
            if PASSING.search(str(error).rpartition(" of pipeline caused error: ")[2]):
                raise Retry(f"Redis at {self._where} cannot write now: {error}") from None
            raise Stop(f"Redis at {self._where} answers: {error}") from None


def _described(task: ReviewTask) -> tuple[str, int, int, str, str]:
    """Tweet id, edit, model version, score and payload, as the script wants them."""
    return task.tweet.id, task.tweet.edit, task.model_version, repr(-task.uncertainty), task.model_dump_json()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _lost(claim: Claim) -> str:
    return (
        f"tweet {claim.task.tweet.id} is no longer yours: the lease ended and another reviewer took it, "
        "or it was decided, edited or erased meanwhile"
    )
