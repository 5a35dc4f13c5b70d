"""Limits the bytes of a response beyond its body.

aiohttp limits each header. It does not limit the number of interim responses, the number of chunks, or the length of
their extensions. A server could send `100 Continue` for ever, or a body in chunks of one byte. That would keep the
event loop busy until the deadline, and delay every other image.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD

from streams.images.errors import ImageError

MAX_OVERHEAD = 65_536
"""Limit on the bytes of header lines, interim responses, trailers and chunk sizes. Most responses have about 1,000."""

OVERHEAD_SHARE = 0.1
"""Additional overhead bytes allowed per byte of the body. Chunks of 100 bytes pass."""

PIECE = 16_384
"""Bytes that are parsed at a time before the body begins. asyncio reads 256 KB at a time, which can hold 10,000
interim responses."""


_END_OF_HEAD = re.compile(rb"[^\r\n]\r?\n\r?\n")
_LONGEST_END = 5


class BoundedHandler(ResponseHandler):
    """A connection for one request. It fails with `ImageError` (bad_response) if the server exceeds the limits.

    Bytes behind the response are ignored, as in browsers. Each head is parsed apart from what follows it: otherwise
    surplus bytes, which are no response, would make the parser forget the response that came with them.
    """

    _parsed = 0
    _before = b""

    def data_received(self, data: bytes) -> None:
        at = 0
        while at < len(data) and self._payload in (None, EMPTY_PAYLOAD):
            piece = self._until_end_of_head(data[at : at + PIECE])
            self._parse(piece)
            at += len(piece)
            if self._exception is not None:
                return
        if at < len(data):
            self._parse(data[at:])

    def _until_end_of_head(self, piece: bytes) -> bytes:
        """Returns the start of the piece up to the empty line that ends a head, which an earlier piece may begin."""
        seen = self._before + piece
        if match := _END_OF_HEAD.search(seen):
            self._before = b""
            return seen[len(seen) - len(piece) : match.end()]
        self._before = seen[1 - _LONGEST_END :]
        return piece

    def _parse(self, data: bytes) -> None:
        super().data_received(data)
        self._parsed += len(data)
        if self._reading_paused:  # a part of the data is not parsed yet, so its share of the body is unknown
            return
        body = self._payload.total_bytes if self._payload is not None else 0
        if self._parsed - body > MAX_OVERHEAD + OVERHEAD_SHARE * body:
            detail = f"the server sent {self._parsed} bytes; only {body} of them are the body"
            self._refuse(ImageError("bad_response", detail))

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        """Fails the body too if the rest of it cannot be parsed. aiohttp would leave its reader to wait for ever."""
        super().set_exception(exc, exc_cause)
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(ImageError("bad_response", exc.message or str(exc_cause)))

    def _refuse(self, error: ImageError) -> None:
        self.set_exception(error)
        if self._payload is not None:
            self._payload.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class Connector(aiohttp.TCPConnector):
    """Makes connections with limits, and only to addresses that the resolver has checked.

    aiohttp has no public way to do either. Its own connector takes any host with a colon in it for an address, and
    connects to it unchecked.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(BoundedHandler, loop=self._loop)  # type: ignore[assignment]

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        return await self._resolver.resolve(host, port)
