"""Fetches a feed by HTTP: conditional, bounded in bytes, time and redirects, with the checks that images have.

The operator chose the feeds, so the host of a feed may be private. Each feed has a policy of its own: what it redirects
to must be public (see `streams.images.address`), also if it is the host of another feed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from core.errors import UserError
from core.text import one_line, shorten, without_secrets
from streams.feeds.source import Disconnected
from streams.feeds.tls import tls_fault
from streams.images.address import UrlPolicy
from streams.images.coding import decoded, named_codings
from streams.images.conditional import Validators
from streams.images.errors import ImageError
from streams.images.outgoing import location_text
from streams.images.resolve import CheckedResolver, SystemLookUp
from streams.images.retries import retry_after_s
from streams.images.wire import Connector

MAX_BYTES = 8_000_000
"""Largest feed, in bytes, also after its compression is undone."""
MAX_REDIRECTS = 5
PORTS = frozenset({80, 443})
"""Ports of other hosts that a redirect may lead to."""
AT_ONCE = 8
"""Feeds that are fetched at the same time."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS = {
    "Accept": "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "mner-streams",
}


@dataclass(frozen=True)
class Answer:
    """What a server answered. `body` is None for any status but 200."""

    status: int
    body: bytes | None = None
    content_type: str = ""
    etag: str | None = None
    modified: str | None = None
    #: The Unix time before which the server wants no request.
    retry_at: float | None = None


def checked_url(text: str, policy: UrlPolicy | None = None) -> str:
    """Returns the address of a feed as it goes out. Raises `UserError`."""
    try:
        url = URL(text)
        allowed = UrlPolicy(PORTS, frozenset(allowance(url))) if policy is None else policy
        return str(allowed.check_url(text).with_fragment(None))
    except (ImageError, ValueError) as error:
        told = one_line(without_secrets(str(error)))
        raise UserError(f"{shown(text)!r} is no address of a feed ({told}); write https://HOST/PATH") from None


def shown(feed: str) -> str:
    """Returns the address for people and for records, without what may hold a key: user, password and query."""
    try:
        url = URL(feed)
        return without_secrets(str(url.with_user(None) if url.raw_host else url).partition("?")[0])
    except ValueError:
        return without_secrets(feed.partition("?")[0])


def allowance(url: URL) -> Iterable[str]:
    """Yields the host and port of a feed, as `UrlPolicy.allow` has them."""
    host = url.raw_host or ""
    yield f"[{host}]:{url.port}" if ":" in host else f"{host}:{url.port}"


class FeedPolicy(UrlPolicy):
    """The rules for one feed: its own host and port are exempt.

    A name that led to public addresses at first must go on so. Otherwise its owner could lead it into our network.
    """

    def __init__(self, feed: str) -> None:
        super().__init__(PORTS, frozenset(allowance(URL(feed))))
        self._strict = UrlPolicy(PORTS, frozenset())
        self._is_private: bool | None = None  # None before the first look-up of the own host

    def check_addresses(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """See `UrlPolicy.check_addresses`."""
        if not self.is_exempt(host, port):
            super().check_addresses(host, port, addresses)
            return
        if self._is_private is None:
            try:
                self._strict.check_addresses(host, port, addresses)
                self._is_private = False
            except ImageError as error:
                if error.kind != "private_address":
                    raise
                self._is_private = True
        elif not self._is_private:
            self._strict.check_addresses(host, port, addresses)


class Fetcher:
    """Fetches feeds, each by its policy, and what they redirect to."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._look_up = SystemLookUp(AT_ONCE)

    def _session(self, policy: UrlPolicy) -> aiohttp.ClientSession:
        """Returns a session without cookies, proxies of the environment, and connections that stay open."""
        resolver = CheckedResolver(policy, self._look_up, self._timeout_s / 2)
        return aiohttp.ClientSession(
            connector=Connector(resolver=resolver, use_dns_cache=False, limit=0, force_close=True),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def get(self, feed: str, policy: UrlPolicy, etag: str | None, modified: str | None) -> Answer:
        """Fetches a feed, or learns that it is unchanged (304). Raises `Disconnected`, such as `TlsFault`."""
        try:
            async with self._slots, asyncio.timeout(self._timeout_s), self._session(policy) as session:
                return await self._follow(session, policy, feed, Validators(feed, etag, modified).headers())
        except TimeoutError:
            raise Disconnected("silent", f"no whole answer within {self._timeout_s:g} s") from None
        except aiohttp.InvalidURL as error:  # its text is the address, which may hold a key
            raise Disconnected("network", type(error).__name__) from None
        except (ImageError, aiohttp.ClientError, OSError, ValueError) as error:
            host = error.host if isinstance(error, aiohttp.ClientConnectorError) else URL(feed).host
            if fault := tls_fault(error, host or ""):
                raise fault from None
            told = shorten(one_line(without_secrets(str(error) or type(error).__name__)), 200, "...")
            raise Disconnected("network", told) from None

    async def _follow(
        self, session: aiohttp.ClientSession, policy: UrlPolicy, feed: str, headers: dict[str, str]
    ) -> Answer:
        url = policy.check_url(feed)
        for _ in range(MAX_REDIRECTS + 1):
            async with session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status not in REDIRECTS or "Location" not in response.headers:
                    return await self._read(response)
                url = policy.check_url(location_text(response.headers["Location"]), base=url)
        raise ImageError("too_many_redirects", f"more than {MAX_REDIRECTS}")

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        if response.status != 200:
            return Answer(response.status, retry_at=_retry_at(response.headers.get("Retry-After")))
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MAX_BYTES:
                raise ImageError("too_big", f"more than the {MAX_BYTES} bytes allowed")
        return Answer(
            200,
            decoded(bytes(body), named_codings(response.headers.getall("Content-Encoding", [])), MAX_BYTES),
            response.headers.get("Content-Type", ""),
            response.headers.get("ETag"),
            response.headers.get("Last-Modified"),
        )


def _retry_at(value: str | None) -> float | None:
    wait_s = retry_after_s(value, datetime.now(UTC)) if value is not None else None
    return time.time() + wait_s if wait_s is not None else None
