"""The bytes behind a stranger's URL: every hop checked before it is dialled, never more bytes than allowed.

The deadline is the caller's (see `loader`), since it covers decoding as well.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from streams.images.address import Gate
from streams.images.errors import ImageError
from streams.images.resolve import CheckedResolver, LookUp

MAX_REDIRECTS = 2
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GONE = frozenset({404, 410})
IDLE_S = 5.0
"""Seconds that an unused connection is kept: strangers' hosts are many, and each idle one is an open file."""

HEADERS = {
    "Accept": "image/jpeg, image/png, image/webp, image/gif",
    "Accept-Encoding": "identity",
    "User-Agent": "mner-streams",
}


class Fetcher:
    """Asks for images by HTTP. No cookies, no proxies from the environment, nothing decompressed. An async context."""

    def __init__(self, gate: Gate, look_up: LookUp, max_bytes: int) -> None:
        self._gate = gate
        self._look_up = look_up
        self._max_bytes = max_bytes

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=CheckedResolver(self._gate, self._look_up),
                use_dns_cache=False,
                limit=0,
                keepalive_timeout=IDLE_S,
            ),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, url: str) -> bytes:
        """The body, redirects followed. Raises `ImageError`, and `TimeoutError` from the network."""
        hop = self._gate.check_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer = await self._ask(hop)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise _explain(error) from error
            if isinstance(answer, bytes):
                return answer
            hop = answer
        raise ImageError("too_many_redirects", f"more than {MAX_REDIRECTS}")

    async def _ask(self, url: URL) -> bytes | URL:
        """One request: the body, or where to go next."""
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status in REDIRECTS and "Location" in response.headers:
                return self._gate.check_url(response.headers["Location"], base=url)
            if response.status in GONE:
                raise ImageError("not_found", f"HTTP {response.status}")
            if response.status != 200:
                raise ImageError("http_status", f"HTTP {response.status}")
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding.lower() != "identity":
                raise ImageError("encoded", f"sent as {encoding} though identity was asked for")
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Counts what comes, whatever Content-Length said."""
        if (response.content_length or 0) > self._max_bytes:
            raise ImageError("too_big", f"{response.content_length} bytes announced, {self._max_bytes} allowed")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                raise ImageError("too_big", f"more than the {self._max_bytes} bytes allowed")
        return bytes(body)


def _explain(error: Exception) -> Exception:
    """The network library's exception as ours. A `TimeoutError` stays one: the caller owns the deadline."""
    match error:
        case TimeoutError():
            return error
        case aiohttp.InvalidURL() | UnicodeError():
            return ImageError("bad_url", str(error))
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            return ImageError("tls", str(error))
        case aiohttp.ClientConnectorError():
            return ImageError("unreachable", str(error.os_error))
        case aiohttp.ClientResponseError():
            return ImageError("bad_response", error.message)
        case _:
            return ImageError("connection_lost", f"{type(error).__name__}: {error}")
