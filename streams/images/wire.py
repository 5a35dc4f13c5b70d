"""What a response may cost beyond its body: aiohttp bounds each header, but not how many interim responses there are,
how small the chunks or how long their extensions.

A server that sends `100 Continue` for ever, or a body in chunks of one byte, would keep the event loop busy until the
deadline, and every other image with it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import EMPTY_PAYLOAD

from streams.images.errors import ImageError

MAX_OVERHEAD = 65_536
"""Bytes that are not body: header lines, interim responses, trailers, chunk sizes. An ordinary head has some 1,000."""

OVERHEAD_SHARE = 0.1
"""And so many more for each byte of body: chunks of 100 bytes pass."""

PIECE = 16_384
"""Bytes parsed at once before the body begins; asyncio reads 256 KB at once, which holds 10,000 interim responses."""


class BoundedHandler(ResponseHandler):
    """One connection, used for one request. What is beyond the bounds becomes `ImageError` (bad_response)."""

    _parsed = 0

    def data_received(self, data: bytes) -> None:
        while len(data) > PIECE and self._payload in (None, EMPTY_PAYLOAD):
            self._parse(data[:PIECE])
            data = data[PIECE:]
            if self._exception is not None:
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        self._parsed += len(data)
        if self._reading_paused:  # part of the data waits unparsed
            return
        body = self._payload.total_bytes if self._payload is not None else 0
        if self._parsed - body > MAX_OVERHEAD + OVERHEAD_SHARE * body:
            self._refuse(ImageError("bad_response", f"{self._parsed} bytes came, only {body} of them body"))

    def _refuse(self, error: ImageError) -> None:
        self.set_exception(error)
        if self._payload is not None:
            self._payload.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class Connector(aiohttp.TCPConnector):
    """aiohttp's, whose connections are bounded and which dials nothing that its resolver did not name.

    aiohttp has no public place for either: its own takes whatever has a colon in it for an address and dials it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(BoundedHandler, loop=self._loop)  # type: ignore[assignment]

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        return await self._resolver.resolve(host, port)
