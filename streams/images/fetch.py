"""Fetches a stranger's URL. Checks each hop before it connects, and never reads more bytes than allowed.

The caller sets the deadline (see `loader`).
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
from aiohttp.http_exceptions import BadHttpMessage, PayloadEncodingError
from yarl import URL

from streams.images.address import UrlPolicy
from streams.images.coding import decoded, named_codings
from streams.images.conditional import Answer, Validators, parse_freshness
from streams.images.errors import HostFault, ImageError
from streams.images.formats import ACCEPT
from streams.images.hosts import DEFAULT_POLICY, Clock, FailurePolicy, Hosts, Slot
from streams.images.outgoing import location_text
from streams.images.resolve import LOOK_UP_SHARE, CheckedResolver, LookUp
from streams.images.retries import AGAIN_IN, RetryBudget, retry_after_s
from streams.images.wire import Connector
from streams.metrics import IMAGE_BYTES
from streams.settings import ImageLimits

MAX_REDIRECTS = 2
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GOOD = frozenset({200, 203})
GONE = frozenset({404, 410})

FAIR_SHARE = 0.5
"""A host is blamed for a timeout only if it had at least this share of the time. Otherwise a redirect at the last
moment could get an honest host blocked."""

LOCAL_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Connection errors that only this machine causes."""

TICK_S = 0.05
"""A timer may fire early by this many seconds."""

HEADERS = {
    "Accept": ACCEPT,
    "Accept-Encoding": "identity",
    "User-Agent": "mner-streams",
}


@dataclass
class _FetchState:
    """The progress of fetching one image, and the limits that it has left."""

    #: The URL to ask next.
    hop: URL
    #: The validators of the cached image, if there is one.
    validators: Validators | None
    slot: Slot
    retries: RetryBudget
    began: float
    deadline: float


class Fetcher:
    """An HTTP client for images, and an async context manager.

    It sends no cookies, uses no proxies from the environment and asks for no compression. It limits the requests to
    each host and to all hosts together:

        async with fetcher.slot(url) as slot, asyncio.timeout(5) as timeout:
            answer = await fetcher.get(url, validators, slot=slot, deadline=timeout.when())

    Tests replace `clock`, `sleep` and `tls`, which holds the trusted certificates.
    """

    def __init__(
        self,
        limits: ImageLimits,
        look_up: LookUp,
        *,
        failures: FailurePolicy = DEFAULT_POLICY,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tls: SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._tries = failures.tries
        self._policy = UrlPolicy.of(limits)
        self._resolver = CheckedResolver(self._policy, look_up, LOOK_UP_SHARE * limits.timeout_s)
        self._clock = clock
        self._sleep = sleep
        self._tls = tls
        self._hosts = Hosts(limits, failures, clock)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=Connector(
                resolver=self._resolver,
                use_dns_cache=False,
                limit=0,
                # A connection that is kept open may hold leftover bytes, sent by the server or by an attacker who
                # split its response. They would be read as the answer for the next image.
                force_close=True,
                ssl=self._tls or True,
            ),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        # Otherwise aiohttp repeats a request by itself when a connection breaks, and `RetryBudget` would not count it.
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @asynccontextmanager
    async def slot(self, url: str) -> AsyncIterator[Slot]:
        """Waits for the right to send a request. Start the deadline inside: the host is not to blame for the wait.

        The slot is released at the end of the context. The caller may release the host's part earlier (`leave_host`);
        the other part bounds the files in memory. Raises what `UrlPolicy.check_url` raises, and `ImageError`
        (host_down or busy).
        """
        async with self._hosts.slot(self._policy.check_url(url)) as slot:
            yield slot

    async def get(
        self,
        url: str,
        validators: Validators | None = None,
        *,
        slot: Slot | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """Fetches the URL. Follows redirects and retries passing failures.

        With `validators`, the server may answer that nothing has changed. `deadline` is a time of `clock`, which by
        default is the clock of the event loop. The caller enforces it. No retry waits beyond it, and a host that is
        silent until then is blamed. Raises `ImageError`, and `TimeoutError` from the network.
        """
        if slot is None:
            async with self.slot(url) as new_slot:
                return await self.get(url, validators, slot=new_slot, deadline=deadline)
        end = inf if deadline is None else deadline
        retries = RetryBudget(self._tries - 1, end, self._clock, self._sleep)
        state = _FetchState(self._policy.check_url(url), validators, slot, retries, self._clock(), end)
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._ask_with_retries(state)
            if isinstance(answer, Answer):
                return answer
            state = replace(state, hop=answer)
        raise ImageError("too_many_redirects", f"more than {MAX_REDIRECTS}")

    async def _ask_with_retries(self, state: _FetchState) -> Answer | URL:
        """Sends requests to one hop. Releases the slot while it waits for a retry."""
        host = self._hosts.of(state.hop)

        async def ask() -> Answer | URL:
            await state.slot.take(host)
            host.breaker.check()
            await self._resolver.prepare(state.hop.raw_host or "", state.hop.port or 0)
            began = self._clock()

            def overdue() -> bool:
                now = self._clock()
                return now >= state.deadline - TICK_S and now - began >= FAIR_SHARE * (state.deadline - state.began)

            with host.breaker.watch(str(state.hop), overdue):
                return await self._ask(state.hop, state.validators)

        async def ask_or_leave() -> Answer | URL:
            try:
                return await ask()
            except HostFault as fault:
                if fault.passes:
                    state.slot.leave()
                raise

        return await state.retries.run(ask_or_leave, worth_it=host.breaker.closed)

    async def _ask(self, url: URL, validators: Validators | None) -> Answer | URL:
        """Sends one request. Returns the answer, or the URL of a redirect."""
        conditions = validators.headers() if validators is not None and validators.url == str(url) else {}
        try:
            async with self._session.get(url, headers=conditions, allow_redirects=False) as response:
                return await self._interpret(response, url, validators if conditions else None)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _explain(error) from error

    async def _interpret(
        self, response: aiohttp.ClientResponse, url: URL, validators: Validators | None
    ) -> Answer | URL:
        headers = response.headers
        if response.status in REDIRECTS and "Location" in headers:
            return self._policy.check_url(location_text(headers["Location"]), base=url)
        freshness = parse_freshness(headers.getall("Cache-Control", ()), headers)
        if response.status == 304:
            if validators is None:
                raise ImageError("bad_response", "HTTP 304 to a request without a condition")
            return Answer(None, validators, freshness)
        if response.status not in GOOD and not _is_from_the_start(response):
            raise _refusal(response.status, headers.get("Retry-After"))
        body = await self._read(response)
        if codings := named_codings(headers.getall("Content-Encoding", ())):
            body = await asyncio.to_thread(decoded, body, codings, self._limits.max_bytes)
        return Answer(body, Validators(str(url), headers.get("ETag"), headers.get("Last-Modified")), freshness)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Reads the body. Counts its bytes, whatever Content-Length says."""
        allowed = self._limits.max_bytes
        if (response.content_length or 0) > allowed:
            raise ImageError("too_big", f"{response.content_length} bytes announced; {allowed} are allowed")
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > allowed:
                    raise ImageError("too_big", f"more than the {allowed} bytes allowed")
        finally:
            IMAGE_BYTES.inc(len(body))
        return bytes(body)


def _is_from_the_start(response: aiohttp.ClientResponse) -> bool:
    """Whether the answer is the first part of a file, or all of it, although no part was asked for."""
    return response.status == 206 and response.headers.get("Content-Range", "").startswith("bytes 0-")


def _refusal(status: int, retry_after: str | None) -> ImageError:
    """Returns the error for a status without an image."""
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
    """Turns an exception of the network library into an `ImageError`.

    A `TimeoutError` stays as it is, because the deadline belongs to the caller.
    """
    match error:
        case TimeoutError():
            return error
        case aiohttp.InvalidURL() | UnicodeError():
            return ImageError("bad_url", str(error))
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            return HostFault("tls", str(error.__cause__ or error))
        case aiohttp.ClientConnectorError(os_error=cause):
            detail = str(cause) or type(cause).__name__
            is_local = cause.errno in LOCAL_ERRORS
            return ImageError("internal", detail) if is_local else HostFault("unreachable", detail, passes=True)
        case (
            aiohttp.ClientResponseError(message=detail)
            | aiohttp.ClientPayloadError(__cause__=BadHttpMessage(message=detail))
        ) if not isinstance(error.__cause__, PayloadEncodingError):  # which a body has that breaks off
            return ImageError("bad_response", detail)
        case _:
            return HostFault("connection_lost", f"{type(error).__name__}: {error}", passes=True)
