"""Calls the script of the review queue in Redis: one call at a time, or many in pipelines. Classes what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio.retry import Retry as ClientRetry
from redis.backoff import NoBackoff

from core.errors import Reject, Retry, Stop
from sinks.answers.redis import FAULTS, answer
from sinks.blame import Blame
from sinks.connect.redis import Store, is_cluster, key_prefix, open_async, server
from sinks.queue.pipelines import Call, PipelineSize, in_pipelines

KEYS = (
    *("open", "tasks", "ages", "leases", "holders", "settled", "retracted", "erased"),
    *("free", "passers", "skipped", "unreadable", "passed", "withdrawn", "repaired", "hidden", "held"),
    *("groups", "group_of", "leaders", "rulings", "waiting", "decided_copies", "members"),
    *("undecided_copies", "ruled", "forgotten"),
    *("names", "named", "names_of", "labels"),
    *("votes", "voters", "voted_by", "passer_of", "in_dispute", "disputed"),
    *("flags", "flagged", "since", "held_since"),
    *("remembered", "answers", "history", "remembered_by", "remembered_at", "stamps", "stamped", "reserved"),
)
FILES = (
    "queue.lua",
    "claims.lua",
    "copies.lua",
    "name_groups.lua",
    "votes.lua",
    "flags.lua",
    "waiting.lua",
    "history.lua",
)
SCRIPT = "\n".join(
    [
        f"local KEY = {{{', '.join(f'{name} = KEYS[{place}]' for place, name in enumerate(KEYS, 1))}}}",
        *(Path(__file__).with_name(name).read_text() for name in FILES),
        "return operations[ARGV[1]](unpack(ARGV, 3))",
    ]
)
#: Those of them that hold tasks, the undecided ones first.
KEPT = ("tasks", "decided_copies", "remembered")
#: The script's answer when a task comes too late.
LATE = -1


class QueueScript:
    """The script on the server of one queue. Its calls raise `Retry`, `Reject` and `Stop` (see `sinks.queue.queue`)."""

    def __init__(self, store: Store, prefix: str, clock: Callable[[], int] | None, timeout_s: float) -> None:
        """See `ReviewQueue`."""
        self._where = str(server(store))
        self._is_cluster = is_cluster(store)
        self.clock = clock
        self._size = PipelineSize()
        self._blame = Blame(self._answers)
        self._known = False  # whether this server has answered as Redis
        try:
            self.redis, self._close = open_async(
                store,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=ClientRetry(NoBackoff(), 0),  # the caller decides whether to try again
            )
        except ValueError as error:
            raise Stop(f"Redis at {self._where}: {error}") from None
        prefix = key_prefix(store, prefix)
        self.keys = [prefix + key for key in KEYS]
        self._script = self.redis.register_script(SCRIPT)

    async def call(self, operation: str, *args: str | bytes | int | float) -> Any:
        with self._reaching():
            return await self._script(self.keys, [operation, self._now(), *args])

    async def many(self, calls: Sequence[Call]) -> int:
        """Sends the calls in pipelines. Returns how many answered 1."""
        return await in_pipelines(self._pipe, calls, self._size, self._blame)

    async def each(self, calls: Sequence[Call]) -> Sequence[Any]:
        """Sends the calls in one pipeline. Returns their answers."""
        with self._reaching():
            return await self._piped(calls)

    async def scan(self, name: str, count: int) -> AsyncIterator[dict[bytes, bytes]]:
        """Yields pages of about `count` fields of a hash, named as in `KEYS`."""
        key, cursor = self.keys[KEYS.index(name)], 0
        while True:
            with self._reaching():
                cursor, rows = await self.redis.hscan(key, cursor, count=count)
            yield rows
            if not cursor:
                break

    async def fields(self, name: str, fields: Sequence[str]) -> dict[bytes, bytes]:
        """Returns those of these fields that a hash has."""
        if not fields:
            return {}
        with self._reaching():
            values = await self.redis.hmget(self.keys[KEYS.index(name)], list(fields))
        return {field.encode(): value for field, value in zip(fields, values, strict=True) if value is not None}

    async def close(self) -> None:
        await self._close()

    async def _pipe(self, calls: Sequence[Call]) -> int:
        with self._reaching():
            results = await self._piped(calls)
        if LATE in results:
            raise Retry("a task took too long on its way to the queue, and a newer extraction may have withdrawn it")
        return sum(results)

    async def _piped(self, calls: Sequence[Call]) -> Sequence[Any]:
        described = [[operation, self._now(), *args] for operation, *args in calls]
        if self._is_cluster:  # whose pipelines take no scripts in redis-py
            return [await self._script(self.keys, arguments) for arguments in described]
        async with self.redis.pipeline(transaction=False) as pipe:
            for arguments in described:
                await self._script(self.keys, arguments, client=pipe)
            results: Sequence[Any] = await pipe.execute()
            return results

    async def _answers(self) -> bool:
        """Returns whether a small write passes. A proxy may answer `PING` itself, while its Redis is dead."""
        try:
            await self.call("unskip", "", "")  # no program has this name, so nothing is forgotten
        except (Retry, Reject, Stop):
            return False
        return True

    def _now(self) -> int | str:
        return self.clock() if self.clock else ""

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turns the client's errors into `Retry`, `Reject` and `Stop`."""
        try:
            yield
        except FAULTS as error:
            raise answer(error, f"Redis at {self._where}", known=self._known).error() from None
        self._known = True
