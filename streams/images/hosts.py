"""What is asked of one host: how much at once, and nothing at all for a while when it keeps failing.

A host is a name (or address) and port, as a hop of a redirect names them. Names that share a machine are not joined:
honest sites share their addresses with thousands of others, and would stop each other.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from yarl import URL

from streams.images.errors import HostFault, ImageError, Kind
from streams.metrics import BREAKERS
from streams.settings import ImageLimits

Clock = Callable[[], float]
"""Seconds, from any start, never going back."""

MAX_HOSTS = 4096
"""Hosts remembered: strangers' hosts are many. The one unused longest is forgotten first, one in use never."""

JITTER = 0.2
"""A host is left alone for up to this share longer, so that many workers do not come back as one."""

WHOLE_HOST = frozenset[Kind]({"unreachable", "tls"})
"""Failures that no URL of the host can be blamed for."""

SILENT = frozenset[Kind]({"bad_url", "scheme", "credentials", "port", "unresolvable", "private_address", "internal"})
"""Refusals that tell nothing of the host: nothing was heard of it."""


class Breaker:
    """Circuit breaker of one host (Nygard, Release It!, 2nd ed., 2018, chapter 5): closed, open, half-open.

    `after` failures in a row open it for `break_s`, then exactly one request finds out whether the host is back. The
    failures of one URL count once: retweeted a thousand times, it must not cut off the host that it points at.
    """

    def __init__(self, name: str, after: int, break_s: float, clock: Clock) -> None:
        self._name = name
        self._after = after
        self._break_s = break_s
        self._clock = clock
        self._failed: set[object] = set()
        self._open_until: float | None = None
        self._probing = False

    def check(self) -> None:
        """Raises `ImageError` (host_down) while it would be useless to wait for a slot."""
        if self._open_until is not None and (left := self._open_until - self._clock()) > 0:
            raise self._down(left, f"left alone for {left:.0f} s more")

    def closed(self) -> bool:
        return self._open_until is None

    @contextmanager
    def watch(self, url: str, overdue: Callable[[], bool]) -> Iterator[None]:
        """Around one request. Raises `ImageError` (host_down) instead of letting it go out.

        `overdue` tells of a timeout or a cancellation whether it was the host that took too long.
        """
        self.check()
        probe = self._open_until is not None
        if probe and self._probing:
            raise self._down(1.0, "one request is finding out whether it is back")
        self._probing = self._probing or probe
        try:
            yield
        except HostFault as fault:
            self._fail(object() if fault.kind in WHOLE_HOST else hash(url), probe)
            raise
        except ImageError as error:
            if error.kind not in SILENT:
                self._answer()
            raise
        except (TimeoutError, asyncio.CancelledError):
            if overdue():
                self._fail(hash(url), probe)
            raise
        else:
            self._answer()
        finally:
            if probe:
                self._probing = False

    def _answer(self) -> None:
        self._failed.clear()
        self._open_until = None

    def _fail(self, cause: object, probe: bool) -> None:
        if self._open_until is not None and not probe:
            return  # sent before it opened
        self._failed.add(cause)
        if probe or len(self._failed) >= self._after:
            self._failed.clear()
            self._open_until = self._clock() + self._break_s * random.uniform(1, 1 + JITTER)
            BREAKERS.inc()

    def _down(self, after_s: float, what: str) -> ImageError:
        return ImageError("host_down", f"{self._name} failed {self._after} times in a row; {what}", after_s=after_s)


class Host:
    """One host's slots and breaker. `users` hold or await a slot."""

    def __init__(self, name: str, limits: ImageLimits, clock: Clock) -> None:
        self.name = name
        self.slots = asyncio.Semaphore(limits.per_host)
        self.breaker = Breaker(name, limits.break_after, limits.break_s, clock)
        self.users = 0


class Slot:
    """The right to ask one host: a slot of the host and one of all.

    The host's is taken first, and nobody who waits for a host holds one of all. So a slow host holds up nobody else,
    and those that are redirected to and fro cannot wait for each other.
    """

    def __init__(self, everybody: asyncio.Semaphore) -> None:
        self.waiting = False
        self._everybody = everybody
        self._host: Host | None = None
        self._counted = False

    async def take(self, host: Host) -> None:
        """Waits until `host` may be asked; gives back the slot of the host before. `waiting` tells who broke it off."""
        self.waiting = True
        if host is not self._host:
            self.leave_host()
            if host.slots.locked():
                self.leave()
            host.users += 1
            try:
                await host.slots.acquire()
            except BaseException:
                host.users -= 1
                raise
            self._host = host
        if not self._counted:
            await self._everybody.acquire()
            self._counted = True
        self.waiting = False

    def leave_host(self) -> None:
        """Keeps the one of all: the picture is decoded, but its file is still in memory."""
        if self._host is not None:
            self._host.slots.release()
            self._host.users -= 1
            self._host = None

    def leave(self) -> None:
        self.leave_host()
        if self._counted:
            self._everybody.release()
            self._counted = False


def busy(waited_s: float) -> ImageError:
    return ImageError("busy", f"no slot was free within {waited_s:g} s")


class Hosts:
    """The hosts asked lately. One of these serves a whole worker, in one event loop."""

    def __init__(self, limits: ImageLimits, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._everybody = asyncio.Semaphore(limits.workers)
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    def of(self, url: URL) -> Host:
        name = f"{(url.raw_host or '').rstrip('.').lower()}:{url.port}"
        host = self._hosts.get(name)
        if host is None:
            self._make_room()
            host = self._hosts[name] = Host(name, self._limits, self._clock)
        self._hosts.move_to_end(name)
        return host

    def _make_room(self) -> None:
        while len(self._hosts) >= MAX_HOSTS:
            idle = next((name for name, host in self._hosts.items() if not host.users), None)
            if idle is None:  # as many as are asked at once: bounded by who asks
                return
            del self._hosts[idle]

    @asynccontextmanager
    async def slot(self, url: URL) -> AsyncIterator[Slot]:
        """A slot at `url`'s host, given back at the end. Raises `ImageError`: host_down at once, or busy."""
        host = self.of(url)
        host.breaker.check()
        slot = Slot(self._everybody)
        try:
            try:
                async with asyncio.timeout(self._limits.wait_s):
                    await slot.take(host)
            except TimeoutError:
                raise busy(self._limits.wait_s) from None
            yield slot
        finally:
            slot.leave()
