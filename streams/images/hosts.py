"""Limits the requests to each host, and stops them for a while when the host keeps failing.

A host is a name or address, and a port. Names that share an address are different hosts: honest sites share addresses
with thousands of others, and would block each other.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from yarl import URL

from streams.images.errors import HostFault, ImageError, Kind
from streams.metrics import BREAKERS
from streams.settings import ImageLimits

Clock = Callable[[], float]
"""Returns seconds from any starting point. Never goes back."""

MAX_HOSTS = 4096
"""Largest number of remembered hosts. The least recently used is forgotten first. A host in use is never forgotten."""

JITTER = 0.2
"""A pause is longer by up to this share, at random, so that many workers do not return at the same moment."""


@dataclass(frozen=True)
class FailurePolicy:
    """When an image is given up, and when a host is left alone. Times are in seconds."""

    #: Longest time that an image waits for a slot, and then for a decoder.
    wait_s: float = 30.0
    #: Maximum number of requests for one image if the failures may be temporary.
    tries: int = 3
    #: Failures in a row after which a host is left alone.
    break_after: int = 8
    #: Time for which a failing host is left alone. It is longer by up to `JITTER`, at random.
    break_s: float = 30.0


DEFAULT_POLICY = FailurePolicy()

WHOLE_HOST = frozenset[Kind]({"unreachable", "tls"})
"""Failures that concern the whole host, not one URL."""

NO_CONTACT = frozenset[Kind](
    {"bad_url", "scheme", "credentials", "port", "unresolvable", "private_address", "internal"}
)
"""Refusals that say nothing about the host, because it sent nothing."""


class Breaker:
    """The circuit breaker of one host (Nygard, Release It!, 2nd ed., 2018, chapter 5): closed, open or half-open.

    `after` failures in a row open it for `break_s` seconds. Then a single request finds out whether the host is back.
    The failures of one URL count once, so that a URL in a thousand posts cannot block its host.
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
        """Raises `ImageError` (host_down) while the breaker is open."""
        if self._open_until is not None and (left := self._open_until - self._clock()) > 0:
            raise self._down(left, f"no requests for {left:.0f} s more")

    def closed(self) -> bool:
        return self._open_until is None

    @contextmanager
    def watch(self, url: str, overdue: Callable[[], bool]) -> Iterator[None]:
        """Surrounds one request and counts its failure. Raises `ImageError` (host_down) if the breaker forbids it.

        `overdue` says, after a timeout or a cancellation, whether the host took too long.
        """
        self.check()
        probe = self._open_until is not None
        if probe and self._probing:
            raise self._down(1.0, "another request is finding out whether it is back")
        self._probing = self._probing or probe
        try:
            yield
        except HostFault as fault:
            self._fail(object() if fault.kind in WHOLE_HOST else hash(url), probe)
            raise
        except ImageError as error:
            if error.kind not in NO_CONTACT:
                self._succeed()
            raise
        except (TimeoutError, asyncio.CancelledError):
            if overdue():
                self._fail(hash(url), probe)
            raise
        else:
            self._succeed()
        finally:
            if probe:
                self._probing = False

    def _succeed(self) -> None:
        self._failed.clear()
        self._open_until = None

    def _fail(self, cause: object, probe: bool) -> None:
        if self._open_until is not None and not probe:
            return  # the request was sent before the breaker opened
        self._failed.add(cause)
        if probe or len(self._failed) >= self._after:
            self._failed.clear()
            self._open_until = self._clock() + self._break_s * random.uniform(1, 1 + JITTER)
            BREAKERS.inc()

    def _down(self, after_s: float, detail: str) -> ImageError:
        return ImageError("host_down", f"{self._name} failed {self._after} times in a row; {detail}", after_s=after_s)


class Host:
    """The slots and the breaker of one host. `users` counts the fetches that hold a slot or wait for one."""

    def __init__(self, name: str, slots: int, failures: FailurePolicy, clock: Clock) -> None:
        self.name = name
        self.slots = asyncio.Semaphore(slots)
        self.breaker = Breaker(name, failures.break_after, failures.break_s, clock)
        self.users = 0


class Slot:
    """The right to send a request to one host. It has two parts: a slot of the host and a slot of the worker.

    The host's part is taken first, and a fetch that waits for a host holds no slot of the worker. So a slow host
    holds up no other host, and fetches that redirect to each other's hosts cannot deadlock.
    """

    def __init__(self, worker_slots: asyncio.Semaphore) -> None:
        #: Whether `take` is waiting. After a timeout, this tells a full queue from a slow host.
        self.waiting = False
        self._worker_slots = worker_slots
        self._host: Host | None = None
        self._holds_worker_slot = False

    async def take(self, host: Host) -> None:
        """Waits for a slot of `host`, and releases the slot of the previous host."""
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
        if not self._holds_worker_slot:
            await self._worker_slots.acquire()
            self._holds_worker_slot = True
        self.waiting = False

    def leave_host(self) -> None:
        """Releases the host's part. The worker's part is kept while the file is still in memory."""
        if self._host is not None:
            self._host.slots.release()
            self._host.users -= 1
            self._host = None

    def leave(self) -> None:
        """Releases both parts."""
        self.leave_host()
        if self._holds_worker_slot:
            self._worker_slots.release()
            self._holds_worker_slot = False


def busy(waited_s: float) -> ImageError:
    return ImageError("busy", f"no slot was free within {waited_s:g} s")


class Hosts:
    """The recently used hosts. One instance serves a whole worker, in one event loop."""

    def __init__(
        self, limits: ImageLimits, failures: FailurePolicy = DEFAULT_POLICY, clock: Clock = time.monotonic
    ) -> None:
        self._per_host = limits.per_host
        self._failures = failures
        self._clock = clock
        self._worker_slots = asyncio.Semaphore(limits.workers)
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    def of(self, url: URL) -> Host:
        """Returns the URL's host."""
        name = f"{(url.raw_host or '').rstrip('.').lower()}:{url.port}"
        host = self._hosts.get(name)
        if host is None:
            self._make_room()
            host = self._hosts[name] = Host(name, self._per_host, self._failures, self._clock)
        self._hosts.move_to_end(name)
        return host

    def _make_room(self) -> None:
        while len(self._hosts) >= MAX_HOSTS:
            idle = next((name for name, host in self._hosts.items() if not host.users), None)
            if idle is None:  # all are in use: the number of concurrent fetches limits them
                return
            del self._hosts[idle]

    @asynccontextmanager
    async def slot(self, url: URL) -> AsyncIterator[Slot]:
        """Takes a slot of the URL's host, and releases it at the end.

        Raises `ImageError`: host_down at once, or busy after `wait_s`.
        """
        host = self.of(url)
        host.breaker.check()
        slot = Slot(self._worker_slots)
        try:
            try:
                async with asyncio.timeout(self._failures.wait_s):
                    await slot.take(host)
            except TimeoutError:
                raise busy(self._failures.wait_s) from None
            yield slot
        finally:
            slot.leave()
