"""From a host name to addresses that were checked, for aiohttp to dial as they are: there is no second look-up."""

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

from streams.images.address import Gate
from streams.images.errors import ImageError

MAX_DIALLED = 4
"""Addresses of a name that are dialled: one that has dozens must not make us knock at all of them, which aiohttp does n
times for n that fail."""

LOOK_UP_SHARE = 0.5
"""Of the time for an image: a name server that needs longer is not waited for."""

DOMAIN_SHARE = 0.25
"""Of the look-ups at once: as many may be below one domain, so that a slow name server of one holds up no other."""

PASSES = frozenset({socket.EAI_AGAIN, socket.EAI_SYSTEM})
"""Errors of a look-up that tell nothing of the name."""

NO_ANSWER = "no answer about"
"""How the detail of a refusal (unresolvable) begins that may pass: nobody said that there is no such name."""

LookUp = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to addresses. Raises `OSError` or `UnicodeError` when the name cannot be resolved."""

_prepared: ContextVar[tuple[str, int, list[ResolveResult]] | None] = ContextVar("prepared", default=None)


class SystemLookUp:
    """The machine's own resolver, asked in threads, `at_once` of them at most.

    A look-up cannot be interrupted: its thread is held until the name server answers, also when nobody waits any more.
    Nobody waits for the threads when the program ends. A domain is the last two labels of a name.
    """

    def __init__(self, at_once: int) -> None:
        self._share = max(1, int(at_once * DOMAIN_SHARE))
        self._everybody = asyncio.Semaphore(at_once)
        self._domains: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()  # those in use

    async def __call__(self, host: str, port: int) -> list[str]:
        name = ".".join(host.rstrip(".").lower().split(".")[-2:])
        domain = self._domains.setdefault(name, asyncio.Semaphore(self._share))
        await domain.acquire()
        try:
            await self._everybody.acquire()
        except BaseException:
            domain.release()
            raise
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def finish(found: list[str] | Exception) -> None:
            self._everybody.release()
            domain.release()
            if answer.done():
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def work() -> None:
            found = _addresses(host, port)
            with suppress(RuntimeError):  # the event loop is closed: nobody wants to know
                loop.call_soon_threadsafe(finish, found)

        try:
            Thread(target=work, name="image-name", daemon=True).start()
        except RuntimeError as error:  # no thread to be had
            finish(error)
        return await answer


def _addresses(host: str, port: int) -> list[str] | Exception:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # for the event loop to raise
        return error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class CheckedResolver(AbstractResolver):
    """Resolves once, refuses the host if any address is not public, hands on exactly the addresses it checked.

    So a name that changes its answer between check and connection (DNS rebinding) gains nothing. Asked for addresses
    too (see `wire.Connector`), which stay what they are.
    """

    def __init__(self, gate: Gate, look_up: LookUp, timeout_s: float) -> None:
        self._gate = gate
        self._look_up = look_up
        self._timeout_s = timeout_s

    async def prepare(self, host: str, port: int) -> None:
        """Looks up what this task asks next: before the request, since that time tells nothing of the host.

        Raises `ImageError`: unresolvable or private_address.
        """
        _prepared.set((host, port, await self._checked(host, port)))

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """What was prepared. Raises like `prepare`."""
        prepared = _prepared.get()
        return prepared[2] if prepared and prepared[:2] == (host, port) else await self._checked(host, port)

    async def _checked(self, host: str, port: int) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = [host] if _is_address(host) else await self._look_up(host, port)
        except TimeoutError:
            raise ImageError("unresolvable", f"{NO_ANSWER} {host} within {self._timeout_s:g} s") from None
        except (OSError, UnicodeError) as error:
            passes = isinstance(error, socket.gaierror) and error.errno in PASSES
            raise ImageError("unresolvable", f"{NO_ANSWER} {host}: {error}" if passes else f"{host}: {error}") from None
        self._gate.check_addresses(host, port, addresses)
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
        """Nothing is held open."""
