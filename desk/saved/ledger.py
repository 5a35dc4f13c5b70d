"""What Redis keeps of each webhook: how far it has read, counts, and the last deliveries. No id of a post is in it.

| key                     | value                                                              |
|-------------------------|--------------------------------------------------------------------|
| `PREFIXdesk:lease`      | which desk delivers                                                |
| `PREFIXdesk:hook:ID`    | hash: `place`, `delivered`, `dead`, `in_row`, `gap` (RFC 3339)     |
| `PREFIXdesk:latest:ID`  | list of the last deliveries as JSON, the newest first              |

If Redis loses them, webhooks go on from that moment, and `gap` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from redis.asyncio.retry import Retry as ClientRetry
from redis.backoff import NoBackoff

from core.errors import Stop, UserError
from desk.saved.values import Delivery, Ledger
from sinks.answers.redis import FAULTS, answer
from sinks.connect.redis import Store, key_prefix, open_async, server
from sinks.searching.changes import Place

LATEST = 20
"""Deliveries that are remembered of each webhook."""

KEEP_S = 90 * 86_400
"""Seconds after which the entries of a webhook go, if nothing is delivered."""


class Ledgers:
    """The entries of all webhooks. Its calls raise `Retry` and `Stop` as the review queue does."""

    def __init__(self, store: Store, prefix: str, timeout_s: float = 10.0) -> None:
        self._where = str(server(store))
        try:
            self._redis, self.close = open_async(
                store,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=ClientRetry(NoBackoff(), 0),
                decode_responses=True,
            )
        except ValueError as error:
            raise Stop(f"Redis at {self._where}: {error}") from None
        self._prefix = key_prefix(store, f"{prefix}desk:")

    def lease(self, seconds: float) -> Any:
        """Returns redis-py's lock that the one desk that delivers holds."""
        return self._redis.lock(f"{self._prefix}lease", timeout=seconds, blocking=False, thread_local=False)

    async def place(self, search_id: str) -> Place | None:
        """Returns how far a webhook has read, or None if nothing is known."""
        with self._reaching():
            told = await self._redis.hget(self._hook(search_id), "place")
        if told == "":  # there was no index
            return Place()
        try:
            return Place.read(told) if told else None
        except UserError:
            return None

    async def move(self, search_id: str, place: Place) -> None:
        """Remembers how far a webhook has read."""
        with self._reaching():
            await self._redis.hset(self._hook(search_id), "place", str(place))
            await self._redis.expire(self._hook(search_id), KEEP_S)

    async def gap(self, search_id: str) -> None:
        """Notes that posts may have been missed before this moment."""
        with self._reaching():
            await self._redis.hset(self._hook(search_id), "gap", datetime.now(UTC).isoformat())

    async def note(self, search_id: str, delivery: Delivery) -> int:
        """Counts a message that ended. Returns how many in a row were given up."""
        hook, latest = self._hook(search_id), self._latest(search_id)
        with self._reaching():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hincrby(hook, "delivered" if delivery.delivered else "dead", 1)
                if delivery.delivered:
                    pipe.hset(hook, "in_row", 0)
                else:
                    pipe.hincrby(hook, "in_row", 1)
                pipe.lpush(latest, delivery.model_dump_json())
                pipe.ltrim(latest, 0, LATEST - 1)
                pipe.expire(latest, KEEP_S)
                answers = await pipe.execute()
        return 0 if delivery.delivered else int(answers[1])

    async def read(self, search_id: str) -> Ledger:
        """Returns counts and the last deliveries."""
        with self._reaching():
            told = await self._redis.hgetall(self._hook(search_id))
            lines = await self._redis.lrange(self._latest(search_id), 0, LATEST - 1)
        counts = {name: told[name] for name in ("delivered", "dead", "in_row", "gap") if name in told}
        try:
            return Ledger.model_validate(counts | {"latest": [Delivery.model_validate_json(line) for line in lines]})
        except ValidationError:  # of a later version
            return Ledger()

    async def resume(self, search_id: str) -> None:
        """Forgets the failures in a row, so that a webhook that was paused has all tries again."""
        with self._reaching():
            await self._redis.hset(self._hook(search_id), "in_row", 0)

    async def forget(self, search_id: str) -> None:
        """Removes all entries of a webhook."""
        with self._reaching():
            await self._redis.delete(self._hook(search_id), self._latest(search_id))

    def _hook(self, search_id: str) -> str:
        return f"{self._prefix}hook:{search_id}"

    def _latest(self, search_id: str) -> str:
        return f"{self._prefix}latest:{search_id}"

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except FAULTS as error:
            raise answer(error, f"Redis at {self._where}", known=False).error() from None
