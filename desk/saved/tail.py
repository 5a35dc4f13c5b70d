"""The live tail of a search as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

| event   | data                          |                                                               |
|---------|-------------------------------|---------------------------------------------------------------|
| `ready` | `{}`                          | the stream has begun                                          |
| `post`  | a post as a search shows it   | it begins to match, or has changed and matches                |
| `gone`  | `{"id": str}`                 | a post that was shown matches no more: remove it              |
| `gap`   | `{}`                          | another index was put in place, and posts may be missing      |
| `away`  | `{"error": str}`              | the index does not answer: posts come late; then `ready`      |
| `fault` | `{"error": str}`              | the search cannot be followed; the stream ends                |
| `end`   | `{}`                          | connect again, with the last id                               |

A stream ends after `LIFE_S`, and the browser connects again. So somebody who has signed out, or has lost the role, gets
nothing after that. The id of an event is the place after it, so nothing is missed in between.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from fastapi import HTTPException
from sse_starlette import ServerSentEvent

from core.errors import Stop, first_line
from desk.saved.poller import Poller
from desk.saved.values import TailPost
from desk.search.values import FoundPost
from sinks.searching.access import Access
from sinks.searching.changes import Ask, Batch, Ends, Place
from sinks.searching.request import Search

LIFE_S = 45.0
"""Seconds after which a stream ends, so that the next request checks the person again."""

PING_S = 15
"""Seconds between two comments that keep a silent connection open."""

SEND_TIMEOUT_S = 20.0
"""A browser that reads nothing for so long is dropped. It may connect again where it was."""

RETRY_MS = 1000
"""Milliseconds after which a browser connects again."""

PER_PERSON, PER_PROCESS = 4, 200
"""Streams at once. A browser opens at most six connections to a server, and needs some for its pages."""

MOST_SHOWN = 200
"""Posts that a stream remembers to have shown. Of older ones it sends no `gone`."""

LOOK_S = 1.0
"""Seconds between two looks at whether the index answers."""

LONGEST_ID = 512

REMEMBERED = 1000
"""Pairs of a person and a search whose next streams count as the same."""


class Streams:
    """Counts the streams of this process, and knows who follows what. Refuses more than the limits allow."""

    def __init__(self, per_person: int = PER_PERSON, per_process: int = PER_PROCESS) -> None:
        self._per_person, self._per_process = per_person, per_process
        self._open: Counter[str] = Counter()
        self._followed: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begins(self, person: str, query: str) -> bool:
        """Whether the person has not followed this search lately. Browsers connect again and again."""
        known = (person, query) in self._followed
        self._followed[person, query] = None
        self._followed.move_to_end((person, query))
        if len(self._followed) > REMEMBERED:
            self._followed.popitem(last=False)
        return not known

    @contextmanager
    def one(self, person: str) -> Iterator[None]:
        """Holds a stream of a person open. Raises HTTP 429 when there are too many."""
        self.check(person)
        self._open[person] += 1
        try:
            yield
        finally:
            self._open[person] -= 1
            self._open = +self._open  # forgets people without a stream

    def check(self, person: str) -> None:
        """Raises HTTP 429 when the person, or the process, has as many streams as it may have."""
        if self._open[person] >= self._per_person:
            raise HTTPException(
                429, f"you have {self._per_person} live searches open already; close one", {"Retry-After": "10"}
            )
        if self._open.total() >= self._per_process:
            raise HTTPException(429, "the desk has too many live searches open; try again later", {"Retry-After": "30"})


class Stream:
    """A watch whose batches become events. It holds one batch at most, so a slow reader costs no memory."""

    def __init__(
        self,
        search: Search,
        access: Callable[[], Access],
        after: Place,
        shown: Sequence[str] = (),
        seen: Callable[[list[str]], Awaitable[None]] | None = None,
    ) -> None:
        """`access`: what may be found and shown at a moment. `seen` notes ids of posts before they are shown."""
        self._search, self._access, self._after, self._seen = search, access, after, seen
        self._shown: OrderedDict[str, None] = OrderedDict.fromkeys(shown[-MOST_SHOWN:])
        self._waiting: deque[Batch] = deque()
        self._some = asyncio.Event()

    def ask(self, ends: Ends) -> Ask | None:
        if self._waiting:
            return None
        return Ask(replace(self._search, access=self._access()), self._after, tuple(self._shown))

    def take(self, batch: Batch) -> None:
        self._after = batch.after
        if not (batch.changes or batch.gone or batch.gap or batch.fault):
            return
        for post in batch.gone:
            self._shown.pop(post, None)
        for change in batch.changes:
            self._shown[change.hit.id] = None
            self._shown.move_to_end(change.hit.id)
        while len(self._shown) > MOST_SHOWN:
            self._shown.popitem(last=False)
        self._waiting.append(batch)
        self._some.set()

    async def events(self, life_s: float, problem: Callable[[], str] = str) -> AsyncIterator[ServerSentEvent]:
        """Yields events until the stream has lived for `life_s` seconds, or has a fault.

        `problem` returns why the index does not answer, or nothing while it does.
        """
        now = asyncio.get_running_loop().time
        end = now() + life_s
        trouble = ""
        yield _event("ready", {}, self._after, retry=RETRY_MS)
        while True:
            # what waits lies before `_after`, and must come first
            if not self._waiting and trouble != (trouble := problem()):
                yield _event("away", {"error": trouble}) if trouble else _event("ready", {}, self._after)
            try:
                async with asyncio.timeout_at(min(end, now() + LOOK_S)):
                    await self._some.wait()
            except TimeoutError:
                if now() < end:
                    continue
                yield _event("end", {}, self._after)
                return
            batch = self._waiting[0]
            if batch.changes and self._seen is not None:
                try:
                    await self._seen([change.hit.id for change in batch.changes])
                except Stop as error:  # nothing is shown without a trace
                    yield _event("fault", {"error": first_line(error)})
                    return
            for event in _events(batch):
                yield event
            self._waiting.popleft()  # only now is there room for the next one
            self._some.clear()
            if batch.fault:
                return


def _events(batch: Batch) -> list[ServerSentEvent]:
    if batch.fault:
        return [_event("fault", {"error": batch.fault})]
    found = [_event("gap", {})] if batch.gap else []
    found += [_event("gone", {"id": post}) for post in batch.gone]
    for change in batch.changes:
        post = TailPost.with_cut(FoundPost.of(change.hit))
        found.append(ServerSentEvent(post.model_dump_json(), event="post", id=str(change.after)))
    return found


def _event(name: str, data: dict[str, Any], place: Place | None = None, retry: int | None = None) -> ServerSentEvent:
    # an empty id would make the browser forget the last one, so an event without a place has none
    told = None if place is None or not place.shards else str(place)
    return ServerSentEvent(json.dumps(data), event=name, id=told, retry=retry)


async def follow(
    poller: Poller, streams: Streams, person: str, stream: Stream, life_s: float = LIFE_S
) -> AsyncIterator[ServerSentEvent]:
    """Yields the events of a stream while it is watched. Raises HTTP 429 when there are too many."""
    with streams.one(person):
        poller.add(stream)
        try:
            async for event in stream.events(life_s, lambda: poller.problem):
                yield event
        finally:
            poller.remove(stream)
