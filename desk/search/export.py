"""Sends all hits of a search as a file, while it reads them."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import HTTPException, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from desk.access.audit import audited, note
from desk.access.people import Person
from desk.search.posts import access_of
from desk.services import Services
from sinks.searching.search import documents, total
from sinks.searching.state import SearchState
from sinks.spreadsheet import as_csv, as_jsonl

Layout = Literal["csv", "jsonl"]
MEDIA_TYPES: dict[Layout, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}

WRITERS = {"csv": as_csv, "jsonl": as_jsonl}

PART = 2**16
"""Bytes that are sent at once."""

MOST_AT_ONCE = 3
"""Exports that one person may run at once."""


async def export(request: Request, person: Person, state: SearchState, layout: Layout) -> StreamingResponse:
    """Returns a response with all hits. Its header `X-Total-Count` says how many there were when it began.

    Raises HTTP 429 if the person runs `MOST_AT_ONCE` exports already, `UserError`, `Retry` and `Stop` as a search does.
    A fault in the middle ends the response without its last chunk, so that no browser takes it for complete.
    """
    services: Services = request.app.state.services
    place = _Place(_running(request), person.name)  # before anything is awaited, so that no two take the last one
    try:
        number = await total(services.index, state, access_of(services))
        await note(request, "exported", **audited(state), layout=layout, posts=number)
    except BaseException:
        place.leave()
        raise
    disposition = f'attachment; filename="{file_name()}.{layout}"'
    headers = {"Content-Disposition": disposition, "X-Total-Count": str(number)}
    return _Export(place, _parts(services, state, layout), headers=headers, media_type=MEDIA_TYPES[layout])


class _Place:
    """One export of a person that runs. Raises HTTP 429 if `MOST_AT_ONCE` of them run already."""

    def __init__(self, running: Counter[str], name: str) -> None:
        if running[name] >= MOST_AT_ONCE:
            raise HTTPException(
                429, f"you run {MOST_AT_ONCE} exports already; wait for one, or cancel it", {"Retry-After": "10"}
            )
        running[name] += 1
        self._leave = weakref.finalize(self, _leave, running, name)  # also if the response is never sent

    def leave(self) -> None:
        """Makes room for another one. A repeated call does nothing."""
        self._leave()


def _leave(running: Counter[str], name: str) -> None:
    running[name] -= 1
    if not running[name]:
        del running[name]


class _Export(StreamingResponse):
    """Leaves its place at the end, also if the browser goes away before the first byte."""

    def __init__(self, place: _Place, parts: AsyncIterator[bytes], **options: Any) -> None:
        super().__init__(parts, **options)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._place.leave()


def file_name() -> str:
    """Returns the name of an export's file, without its ending. It tells nothing of the query."""
    return f"mner-search-{datetime.now(UTC):%Y-%m-%d}"


def _running(request: Request) -> Counter[str]:
    """Returns how many exports each person runs."""
    state = request.app.state
    if not hasattr(state, "exports"):
        state.exports = Counter[str]()
    counter: Counter[str] = state.exports
    return counter


async def _parts(services: Services, state: SearchState, layout: Layout) -> AsyncIterator[bytes]:
    """Yields the file in parts."""
    held = bytearray()
    async with aclosing(documents(services.index, state, access_of(services))) as bodies:
        async for some in WRITERS[layout](bodies, services.sources):
            held += some
            if len(held) >= PART:
                yield bytes(held)
                held.clear()
    yield bytes(held)
