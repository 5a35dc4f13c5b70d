"""The bytes behind a stranger's URL: every hop checked before it is dialled, never more bytes than allowed.

The deadline is the caller's (see `loader`), who shares the slots with decoding.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from ssl import SSLContext
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from streams.images.address import Gate
from streams.images.conditional import Answer, Validators, life
from streams.images.errors import HostFault, ImageError
from streams.images.hosts import Clock, Hosts, Slot
from streams.images.resolve import LOOK_UP_SHARE, CheckedResolver, LookUp
from streams.images.retries import AGAIN_IN, Repeats, retry_after_s
from streams.images.wire import Connector
from streams.metrics import IMAGE_BYTES
from streams.settings import ImageLimits

__all__ = ["Answer", "Fetcher", "Slot", "Validators"]

MAX_REDIRECTS = 2
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({404, 410})

FAIR_SHARE = 0.5
"""Of the time that there was: a host that had less of it is not blamed when it runs out. Else whoever redirects to an
honest host at the last moment could have it cut off."""

OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of a connection that tell of this machine alone."""

TICK_S = 0.05
"""A timer may fire this much early."""

HEADERS = {
    "Accept": "image/jpeg, image/png, image/webp, image/gif",
    "Accept-Encoding": "identity",
    "User-Agent": "mner-streams",
}


@dataclass
class _Chase:
    """One image on its way: where it is, and what it still may use."""

    hop: URL
    known: Validators | None
    slot: Slot
    repeats: Repeats
    began: float
    until: float


class Fetcher:
    """Asks for images by HTTP. No cookies, no proxies from the environment, nothing decompressed. An async context.

    It owns the limits, over all hosts and of each:

        async with fetcher.slot(url) as slot, asyncio.timeout(5) as deadline:
            answer = await fetcher.get(url, known, slot=slot, until=deadline.when())

    `clock`, `sleep` and `tls` (whose certificates are trusted) are replaced in tests.
    """

    def __init__(
        self,
        limits: ImageLimits,
        look_up: LookUp,
        *,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tls: SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._gate = Gate.of(limits)
        self._resolver = CheckedResolver(self._gate, look_up, LOOK_UP_SHARE * limits.timeout_s)
        self._clock = clock
        self._sleep = sleep
        self._tls = tls
        self._hosts = Hosts(limits, clock)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=Connector(
                resolver=self._resolver,
                use_dns_cache=False,
                limit=0,
                # a kept connection may hold bytes that its server, or who split a response of it, left behind: they
                # would be read as the answer for the next image
                force_close=True,
                ssl=self._tls or True,
            ),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        # else aiohttp looks up and asks a second time by itself when a connection breaks: `Repeats` counts, it does not
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @asynccontextmanager
    async def slot(self, url: str) -> AsyncIterator[Slot]:
        """The right to ask, waited for. Start the deadline inside: waiting says nothing of the host.

        Raises `ImageError`: what `Gate.check_url` raises, host_down, or busy. It is given back at the end of the
        context, the host's part before if the caller says so (`leave_host`); the rest bounds the bodies in memory.
        """
        async with self._hosts.slot(self._gate.check_url(url)) as slot:
            yield slot

    async def get(
        self, url: str, known: Validators | None = None, *, slot: Slot | None = None, until: float | None = None
    ) -> Answer:
        """The body, redirects followed, what may pass tried again. `known`: it may be answered that nothing changed.

        `until`: the deadline in the time of `clock` (that of the event loop), which the caller enforces. No wait goes
        beyond it, and a host that was silent until then is blamed. Raises `ImageError`, and `TimeoutError` from the
        network.
        """
        if slot is None:
            async with self.slot(url) as own:
                return await self.get(url, known, slot=own, until=until)
        end = inf if until is None else until
        repeats = Repeats(self._limits.tries - 1, end, self._clock, self._sleep)
        chase = _Chase(self._gate.check_url(url), known, slot, repeats, self._clock(), end)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._patiently(chase)
            if isinstance(answer, Answer):
                return answer
            chase = replace(chase, hop=answer)
        raise ImageError("too_many_redirects", f"more than {MAX_REDIRECTS}")

    async def _patiently(self, chase: _Chase) -> Answer | URL:
        """One hop, asked again where that may help. No slot is held between."""
        host = self._hosts.of(chase.hop)

        async def once() -> Answer | URL:
            await chase.slot.take(host)
            host.breaker.check()
            await self._resolver.prepare(chase.hop.raw_host or "", chase.hop.port or 0)
            began = self._clock()

            def overdue() -> bool:
                now = self._clock()
                return now >= chase.until - TICK_S and now - began >= FAIR_SHARE * (chase.until - chase.began)

            with host.breaker.watch(str(chase.hop), overdue):
                return await self._ask(chase.hop, chase.known)

        async def patiently() -> Answer | URL:
            try:
                return await once()
            except HostFault as fault:
                if fault.passes:
                    chase.slot.leave()
                raise

        return await chase.repeats.patiently(patiently, worth_it=host.breaker.closed)

    async def _ask(self, url: URL, known: Validators | None) -> Answer | URL:
        """One request: the answer, or where to go next."""
        asked = known.headers() if known is not None and known.url == str(url) else {}
        try:
            async with self._session.get(url, headers=asked, allow_redirects=False) as response:
                return await self._understand(response, url, known if asked else None)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _explain(error) from error

    async def _understand(self, response: aiohttp.ClientResponse, url: URL, asked: Validators | None) -> Answer | URL:
        headers = response.headers
        if response.status in REDIRECTS and "Location" in headers:
            return self._gate.check_url(headers["Location"], base=url)
        said = life(headers.getall("Cache-Control", ()), headers)
        if response.status == 304:
            if asked is None:
                raise ImageError("bad_response", "HTTP 304 to a request that set no condition")
            return Answer(None, asked, said)
        if response.status != 200:
            raise _refusal(response.status, headers.get("Retry-After"))
        encodings = ", ".join(headers.getall("Content-Encoding", ["identity"]))
        if encodings.strip().lower() != "identity":
            raise ImageError("encoded", f"sent as {encodings} though identity was asked for")
        body = await self._read(response)
        return Answer(body, Validators(str(url), headers.get("ETag"), headers.get("Last-Modified")), said)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Counts what comes, whatever Content-Length said."""
        allowed = self._limits.max_bytes
        if (response.content_length or 0) > allowed:
            raise ImageError("too_big", f"{response.content_length} bytes announced, {allowed} allowed")
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > allowed:
                    raise ImageError("too_big", f"more than the {allowed} bytes allowed")
        finally:
            IMAGE_BYTES.inc(len(body))
        return bytes(body)


def _refusal(status: int, retry_after: str | None) -> ImageError:
    """Any status but 200 as the error that it means."""
    if status in GONE:
        return ImageError("not_found", f"HTTP {status}")
    if status != 429 and not 500 <= status <= 599:
        return ImageError("http_status", f"HTTP {status}")
    after_s = (
        retry_after_s(retry_after, datetime.now(UTC)) if retry_after is not None and status in {429, 503} else None
    )
    detail = f"HTTP {status}" if after_s is None else f"HTTP {status}, {AGAIN_IN} {after_s:.0f} s"
    return HostFault("http_status", detail, passes=status != 429 or after_s is not None, after_s=after_s or 0.0)


def _explain(error: Exception) -> Exception:
    """The network library's exception as ours. A `TimeoutError` stays one: the caller owns the deadline."""
    match error:
        case TimeoutError():
            return error
        case aiohttp.InvalidURL() | UnicodeError():
            return ImageError("bad_url", str(error))
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            return HostFault("tls", str(error.__cause__ or error))
        case aiohttp.ClientConnectorError(os_error=cause):
            detail = str(cause) or type(cause).__name__
            ours = cause.errno in OURS
            return ImageError("internal", detail) if ours else HostFault("unreachable", detail, passes=True)
        case aiohttp.ClientResponseError():
            return ImageError("bad_response", error.message)
        case _:
            return HostFault("connection_lost", f"{type(error).__name__}: {error}", passes=True)
