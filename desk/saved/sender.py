"""Posts one message to a stranger's address: only to public ones, within a time, and reading little of the answer.

Which addresses are public, and how the connection is held to the address that was checked, is the same as for images.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from core.errors import UserError
from core.text import plain
from streams.images.address import UrlPolicy
from streams.images.errors import ImageError
from streams.images.resolve import CheckedResolver, LookUp, SystemLookUp
from streams.images.wire import Connector

TIMEOUT_S = 10.0
"""Longest time of one message, with the look-up of the name and the answer."""

MOST_BYTES = 4096
"""Bytes of the answer that are read. Nothing is done with them."""

AT_ONCE = 16
"""Messages that a process sends at the same time, to all webhooks together."""

TESTS_AT_ONCE = 2
"""The same of test messages. They have places of their own, so that no test delays a post."""

LOOK_UPS = 8
"""Names that are looked up at the same time."""

HTTPS = 443
GONE = 410


@dataclass(frozen=True)
class Outcome:
    """What came of one try."""

    delivered: bool
    said: str
    #: HTTP 410: the receiver wants no more messages.
    is_gone: bool = False


class Sender:
    """An HTTP client for webhooks, and an async context manager. It follows no redirect and keeps no cookie."""

    def __init__(
        self,
        allow: tuple[str, ...],
        *,
        look_up: LookUp | None = None,
        tls: SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`allow`: servers, as host:port, that may have private addresses, and need no https."""
        self._policy = UrlPolicy(frozenset({HTTPS}), frozenset(allow))
        self._resolver = CheckedResolver(self._policy, look_up or SystemLookUp(LOOK_UPS), timeout_s / 2)
        self._tls, self._timeout_s = tls, timeout_s
        self._slots, self._test_slots = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(TESTS_AT_ONCE)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=Connector(
                resolver=self._resolver, use_dns_cache=False, limit=0, force_close=True, ssl=self._tls or True
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        self._session._retry_connection = False  # each try is counted by whoever retries
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def check(self, url: str) -> URL:
        """Returns the address as it goes out. Raises `UserError` if no message may be sent there."""
        try:
            checked = self._policy.check_url(url)
        except ImageError as error:
            raise UserError(f"url: {error.reason}; webhooks go to public https addresses") from None
        if checked.scheme != "https" and not self._policy.is_exempt(checked.raw_host or "", checked.port or 0):
            raise UserError("url: must begin with https://, since posts and signatures travel over it")
        return checked

    async def send(self, url: str, body: bytes, headers: Mapping[str, str], *, is_test: bool = False) -> Outcome:
        """Sends one message. Never raises for what the receiver does."""
        async with self._test_slots if is_test else self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._send(self.check(url), body, headers)
            except TimeoutError:
                return Outcome(False, f"no answer within {self._timeout_s:g} s")
            except UserError as error:
                return Outcome(False, str(error))
            except ImageError as error:
                return Outcome(False, error.reason)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return Outcome(False, plain(f"the connection failed: {str(error) or type(error).__name__}", 200))

    async def _send(self, url: URL, body: bytes, headers: Mapping[str, str]) -> Outcome:
        sent = {"Content-Type": "application/json", "User-Agent": "mner-desk", **headers}
        async with self._session.post(url, data=body, headers=sent, allow_redirects=False) as response:
            status = response.status
            if 300 <= status < 400:
                return Outcome(False, f"HTTP {status}: the desk follows no redirects; enter the final address")
            await response.content.read(MOST_BYTES)  # politeness: some receivers fail if nobody reads
            return Outcome(200 <= status < 300, f"HTTP {status}", is_gone=status == GONE)
