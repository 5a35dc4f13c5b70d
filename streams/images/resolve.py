"""Resolves a host name to checked addresses. aiohttp connects to exactly these; it makes no second look-up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from ipaddress import ip_address
from threading import Thread
from weakref import WeakValueDictionary

from aiohttp.abc import AbstractResolver, ResolveResult

from streams.images.address import UrlPolicy
from streams.images.errors import ImageError

MAX_DIALLED = 4
"""Largest number of a name's addresses that are tried. aiohttp would try all n of them. When all fail, it would try the
rest again, in up to n rounds."""

LOOK_UP_SHARE = 0.5
"""Share of an image's time that a look-up may take."""

DOMAIN_SHARE = 0.25
"""Share of the concurrent look-ups that one domain may use, so that its slow name server does not hold up others."""

PASSING_ERRORS = frozenset({socket.EAI_AGAIN, socket.EAI_SYSTEM})
"""Errors of a look-up that do not say whether the name exists."""

NO_ANSWER = "no answer about"
"""The detail of a refusal (unresolvable) starts with this when it may pass: no name server has said that the name does
not exist."""

LookUp = Callable[[str, int], Awaitable[list[str]]]
"""Resolves a host name and port to addresses. Raises `OSError` or `UnicodeError` if it cannot."""

_prepared: ContextVar[tuple[str, int, list[ResolveResult]] | None] = ContextVar("prepared", default=None)


class SystemLookUp:
    """Asks the machine's resolver, in at most `max_threads` threads.

    A look-up cannot be interrupted. Its thread runs until the name server answers, even if the caller was cancelled.
    The program ends without waiting for the threads. One domain, which is the last two labels of a name, uses at most
    `DOMAIN_SHARE` of them.
    """

    def __init__(self, max_threads: int) -> None:
        self._per_domain = max(1, int(max_threads * DOMAIN_SHARE))
        self._all = asyncio.Semaphore(max_threads)
        self._domains: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # only those in use

    async def __call__(self, host: str, port: int) -> list[str]:
        name = ".".join(host.rstrip(".").lower().split(".")[-2:])
        domain = self._domains.setdefault(name, asyncio.Semaphore(self._per_domain))
        await domain.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            domain.release()
            raise
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def finish(result: list[str] | Exception) -> None:
            self._all.release()
            domain.release()
            if answer.done():
                return
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        def work() -> None:
            result = _addresses(host, port)
            with suppress(RuntimeError):  # the event loop is closed, so nobody waits
                loop.call_soon_threadsafe(finish, result)

        try:
            Thread(target=work, name="image-name", daemon=True).start()
        except RuntimeError as error:  # the machine has no thread left
            finish(error)
        return await answer


def _addresses(host: str, port: int) -> list[str] | Exception:
    try:
        records = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # raised in the event loop
        return error
    return list(dict.fromkeys(str(address[0]) for *_, address in records))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class CheckedResolver(AbstractResolver):
    """Resolves a name once, and refuses it if any of its addresses is not public.

    aiohttp gets exactly the checked addresses, so a name server gains nothing by changing its answer between
    check and connection (DNS rebinding). Addresses in place of names are checked too (see `wire.Connector`).
    """

    def __init__(self, policy: UrlPolicy, look_up: LookUp, timeout_s: float) -> None:
        self._policy = policy
        self._look_up = look_up
        self._timeout_s = timeout_s

    async def prepare(self, host: str, port: int) -> None:
        """Looks up the host of this task's next request. The host is not to blame for the time that this takes.

        Raises `ImageError`: unresolvable or private_address.
        """
        _prepared.set((host, port, await self._checked(host, port)))

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Returns the prepared addresses. Raises like `prepare`."""
        prepared = _prepared.get()
        return prepared[2] if prepared and prepared[:2] == (host, port) else await self._checked(host, port)

    async def _checked(self, host: str, port: int) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = [host] if _is_address(host) else await self._look_up(host, port)
        except TimeoutError:
            raise ImageError("unresolvable", f"{NO_ANSWER} {host} within {self._timeout_s:g} s") from None
        except (OSError, UnicodeError) as error:
            may_pass = isinstance(error, socket.gaierror) and error.errno in PASSING_ERRORS
            detail = f"{NO_ANSWER} {host}: {error}" if may_pass else f"{host}: {error}"
            raise ImageError("unresolvable", detail) from None
        self._policy.check_addresses(host, port, addresses)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses[:MAX_DIALLED]
        ]

    async def close(self) -> None:
        """Does nothing: the resolver holds no resources."""
