"""From a host name to addresses that were checked, for aiohttp to dial as they are: there is no second look-up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from streams.images.address import Gate
from streams.images.errors import ImageError

MAX_DIALLED = 4
"""Addresses of a name that are dialled: one that has dozens must not make us knock at all of them, which aiohttp does n
times for n that fail."""

LookUp = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to addresses. Raises `OSError` or `UnicodeError` when the name cannot be resolved."""


def system_look_up(executor: Executor) -> LookUp:
    """The machine's own resolver. In threads of its own, since a stranger's slow name server holds them up."""

    def blocking(host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def look_up(host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(executor, blocking, host, port)

    return look_up


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

    def __init__(self, gate: Gate, look_up: LookUp) -> None:
        self._gate = gate
        self._look_up = look_up

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises `ImageError`: unresolvable or private_address."""
        try:
            addresses = [host] if _is_address(host) else await self._look_up(host, port)
        except (OSError, UnicodeError) as error:
            raise ImageError("unresolvable", f"{host}: {error}") from None
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
