"""Limits on what people may try: logins, tokens, tests of webhooks, and the size of a request."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from collections.abc import Callable
from typing import Any, Literal

from redis.asyncio.retry import Retry as ClientRetry
from redis.backoff import NoBackoff

from core.errors import UserError
from sinks.answers.redis import FAULTS
from sinks.connect.redis import Store, key_prefix, open_async

log = logging.getLogger(__name__)

BODY_BYTES = 1_000_000
"""Largest body of a request."""

WINDOW_S = 900
"""Time, in seconds, after which the count of tries begins again."""

PER_NAME = 10
PER_ADDRESS = 40
"""Tries within the window: for one name, wherever they come from; and from one address, for any names."""

MOST_KEPT = 10_000
"""Number of counts in memory. If there are more, the lowest ones go: a flood of names must lock nobody out."""

ANSWER_S = 1.0


class Attempts:
    """Counts tries, in Redis and in memory. The higher count rules.

    Redis lets several desks share the counts. While it is away, each desk has its own.
    """

    def __init__(self, store: Callable[[], Store], prefix: str, clock: Callable[[], float]) -> None:
        """`store`: is asked at the first try. `clock` returns seconds."""
        self._store, self._prefix, self._clock = store, prefix, clock
        self._memory = _Memory(clock)
        self._redis: Any = None
        self._close: Callable[[], Any] | None = None

    async def count(self, key: str, most: int) -> float:
        """Counts one more try. Returns 0.0, or the time in seconds to wait if there were more than `most`."""
        tries, left_s = self._memory.count(key)
        try:
            shared, shared_left_s = await self._count(key)
        except (*FAULTS, OSError, UserError, ValueError) as error:
            log.warning("tries are counted in this process alone, since Redis does not answer: %s", error)
        else:
            if shared > tries:
                tries, left_s = shared, shared_left_s
        return max(1.0, left_s) if tries > most else 0.0

    async def forget(self, key: str) -> None:
        """Begins the count again, after a successful try."""
        self._memory.forget(key)
        try:
            await self._client().delete(self._named(key))
        except (*FAULTS, OSError, UserError, ValueError) as error:
            log.warning("Redis keeps a count of tries: %s", error)

    async def withdraw(self, key: str) -> None:
        """Takes a try back that was successful, so that many people behind one address do not lock each other out."""
        self._memory.withdraw(key)
        try:
            await self._client().decr(self._named(key))
        except (*FAULTS, OSError, UserError, ValueError) as error:
            log.warning("Redis keeps a count of tries: %s", error)

    async def close(self) -> None:
        if self._close is not None:
            await self._close()

    async def _count(self, key: str) -> tuple[int, float]:
        pipeline = self._client().pipeline(transaction=True)
        name = self._named(key)
        pipeline.set(name, 0, ex=WINDOW_S, nx=True)
        pipeline.incr(name)
        pipeline.pttl(name)
        _, tries, left_ms = await pipeline.execute()
        return int(tries), int(left_ms) / 1000

    def _client(self) -> Any:
        if self._redis is None:
            store = self._store()
            self._prefix = key_prefix(store, self._prefix)
            self._redis, self._close = open_async(
                store, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=ClientRetry(NoBackoff(), 0)
            )
        return self._redis

    def _named(self, key: str) -> str:
        """Returns the key in Redis. It is a hash, since people type passwords into the field for the name."""
        return f"{self._prefix}tries:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


class _Memory:
    """Counts of this process. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}

    def count(self, key: str) -> tuple[int, float]:
        now = self._clock()
        tries, end = self._counts.get(key, (0, now + WINDOW_S))
        if end <= now:
            tries, end = 0, now + WINDOW_S
        if key not in self._counts and len(self._counts) >= MOST_KEPT:
            self._forget(now)
        self._counts[key] = tries + 1, end
        return tries + 1, end - now

    def _forget(self, now: float) -> None:
        """Forgets what has ended, and half of the rest if that is not enough: the lowest counts, the oldest first."""
        alive = [(key, kept) for key, kept in self._counts.items() if kept[1] > now]
        if len(alive) >= MOST_KEPT:
            alive = sorted(alive, key=lambda entry: entry[1])[len(alive) // 2 :]
        self._counts = dict(alive)

    def forget(self, key: str) -> None:
        self._counts.pop(key, None)

    def withdraw(self, key: str) -> None:
        if key in self._counts:
            tries, end = self._counts[key]
            self._counts[key] = max(0, tries - 1), end


def by_name(name: str) -> str:
    """Returns the key that counts the tries for a name."""
    return f"name {name.casefold()}"


def by_device(device: str) -> str:
    """Returns the key that counts the tries from a browser on which the person has signed in before."""
    return f"device {device}"


def by_address(address: str, what: Literal["address", "tokens of"] = "address") -> str:
    """Returns the key that counts the tries from an address. An IPv6 network of one customer (/64) counts as one.

    `what`: passwords or tokens. A program with an expired token must not keep people from signing in.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return f"{what} {address}"
    if parsed.version == 6:
        mapped = parsed.ipv4_mapped
        return f"{what} {mapped or ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"{what} {parsed}"
