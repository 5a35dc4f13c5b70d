"""A Mastodon server on loopback: server-sent events and timelines."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import web

from streams.feeds.mastodon import Mastodon
from streams.feeds.source import Source
from tests.streams.feeds.contract import HEARTBEAT_S, Item, Platform, Record, parted
from tests.streams.feeds.platforms import web as server

COUNT = 250
TOKEN = "a-token-of-the-tests"
APART_S = 2
"""Seconds between two statuses, by their ids."""
QUIET = 8
"""Steps before a fault that are statuses only: nothing else can be asked for again."""
MISSED = 60
"""Statuses that are published while nobody listens: more than a page has."""
LIMIT_S = 1.0
Step = tuple[str, Any]


class Served(Platform):
    name = "mastodon"
    breaks_are_gaps = True

    def __init__(self, seed: int, *, faults: bool = True, pace_s: float = 0.0) -> None:
        super().__init__(seed, faults=faults, pace_s=pace_s)
        self._random = random.Random(seed)
        self._socket = server.bound()
        self._port = self._socket.getsockname()[1]
        self._start = datetime.now(UTC) - timedelta(hours=2)
        self._made = 0
        self._steps = list(self._script())
        self._items: list[Item] = []  # statuses that were published so far
        self._timeline: dict[int, dict[str, Any]] = {}
        self._limited_until: float | None = None
        self._limits_timeline = False

    def _script(self) -> Iterator[Step]:
        """Yields statuses, other events, and faults."""
        chance, sent = self._random, list[Step]()
        faults = ["abort", "close", "abort", "silent", "limit"] if self.faults else []
        chance.shuffle(faults)
        for place in range(COUNT):
            # Edits, deletions and garbage cannot be asked for again. So a server whose clients are killed has none.
            kind = chance.random() if self.faults else 1.0
            if kind < 0.01 or (place == 7 and self.faults):
                sent.append(("event", garbage(chance, self.garbage)))
                continue
            status = self._status()
            sent.append(("status", status))
            if kind < 0.06:
                edited = status | {"edited_at": self._time(self._made + 5), "content": "<p>Edited</p>"}
                sent.append(("event", event("status.update", json.dumps(edited))))
                self.posts.add((self._id(status), None))
            elif kind < 0.1:
                sent.append(("event", event("delete", status["id"])))
                self.events.add(("erase", f"post:{self._id(status)}", "deleted"))
            elif kind < 0.14:
                sent.append(("event", event("a.later_event", '{"new": true}')))
            if faults and place % (COUNT // 6) == COUNT // 6 - 1:
                sent += [("status", self._status()) for _ in range(QUIET)]
                sent.append((faults.pop(), [self._status() for _ in range(MISSED)]))
        for place in range(len(sent) - 3):
            other = place + chance.randint(1, 3)
            between = {kind for kind, _ in sent[place : other + 1]}
            if chance.random() < 0.05 and between == {"status"}:
                sent[place], sent[other] = sent[other], sent[place]
        for step in sent:
            yield step
            if chance.random() < 0.03 and step[0] in {"status", "event"}:
                yield step

    def _status(self) -> dict[str, Any]:
        self._made += 1
        status: dict[str, Any] = {
            "id": str(int(self._start.timestamp() * 1000 + self._made * 1000 * APART_S) << 16),
            "created_at": self._time(self._made),
            "edited_at": None,
            "visibility": "public",
            "language": "en",
            "spoiler_text": "",
            "content": f'<p>Post {self._made} from <span class="h-card"><a href="/@b">@<span>b</span></a></span></p>',
            "account": {"id": "7", "acct": "ann@other.example"},
            "media_attachments": [],
            "in_reply_to_id": None,
            "reblog": None,
        }
        self.posts.add((self._id(status), 0))
        return status

    def _id(self, status: dict[str, Any]) -> str:
        return f"mastodon:127.0.0.1:{self._port}:{status['id']}"

    def _time(self, number: int) -> str:
        return (self._start + timedelta(seconds=number * APART_S)).isoformat().replace("+00:00", "Z")

    def serving(self) -> AbstractContextManager[None]:
        app = web.Application()
        app.router.add_get("/api/v1/streaming/public", self._stream)
        app.router.add_get("/api/v1/timelines/public", self._page)
        app.router.add_get("/api/v1/instance", self._instance)
        return server.running(app, self._socket)

    def source(self, home: Path) -> Source:
        return Mastodon(f"http://127.0.0.1:{self._port}", TOKEN, heartbeat_s=HEARTBEAT_S)

    def arguments(self) -> list[str]:
        return ["mastodon", "--server", f"http://127.0.0.1:{self._port}"]

    def environment(self) -> dict[str, str]:
        return {"MNER_MASTODON_TOKEN": TOKEN}

    @property
    def has_ended(self) -> bool:
        return not self._steps

    async def _instance(self, _: web.Request) -> web.Response:
        return web.json_response({"uri": "x", "urls": {"streaming_api": f"ws://127.0.0.1:{self._port}"}})

    async def _page(self, request: web.Request) -> web.Response:
        self._check(request)
        if self._limits_timeline:
            self._limits_timeline = False
            return self._too_many()
        after, most = int(request.query["min_id"]), int(request.query["limit"])
        found = [status for number, status in sorted(self._timeline.items()) if number > after][:most]
        return web.json_response(found[::-1])

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        if self._limited_until == 0:
            return self._too_many()
        self._limited_until = None
        newest = max(self._timeline, default=None)
        now = self._start.timestamp() if newest is None else (newest >> 16) / 1000  # by the clock of the ids
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Date": formatdate(now, usegmt=True)}
        )
        await response.prepare(request)
        await response.write(b":)\n")
        if self._limits_timeline:  # this connection ends with the refusal of the timeline, and its events would be lost
            await asyncio.sleep(60)
        while self._steps:
            kind, value = self._steps.pop(0)
            if kind in {"status", "event"}:
                if kind == "status":
                    self._publish(value)
                    value = event("update", json.dumps(value))
                await response.write(value + b"\n\n")
                await asyncio.sleep(self.pace_s)
                continue
            for status in value:
                self._publish(status)
            if kind == "silent":
                await asyncio.sleep(60)
            if kind == "limit":
                self._limited_until, self._limits_timeline = 0, True
            if kind == "abort" and request.transport is not None:
                request.transport.close()  # without the end of the body
            return response
        while True:
            await response.write(b":thump\n")
            await asyncio.sleep(HEARTBEAT_S / 2)

    def _publish(self, status: dict[str, Any]) -> None:
        """Puts a status into the timeline, which keeps the first versions here, so that they are asked for too."""
        self._timeline[int(status["id"])] = status
        self._items.append(Item(int(status["id"]), frozenset({(self._id(status), 0)})))

    def parted(self, cursor: str) -> tuple[set[Record], set[Record]]:
        return parted(self._items, int(cursor))

    def _check(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.violations.append(f"asked for {request.path} without the token")
        if self._limited_until and time.time() < self._limited_until - 0.05:
            self.violations.append(f"asked for {request.path} before the rate limit ended")

    def _too_many(self) -> web.Response:
        self._limited_until = time.time() + LIMIT_S
        reset = datetime.fromtimestamp(self._limited_until, UTC).isoformat().replace("+00:00", "Z")
        return web.json_response({"error": "Too many requests"}, status=429, headers={"X-RateLimit-Reset": reset})


def event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}".encode()


def garbage(chance: random.Random, kept: set[bytes]) -> bytes:
    """Returns an event that cannot be read, and puts it into `kept`."""
    number = chance.randrange(10**6)
    made = chance.choice(
        [
            event("update", f'{{"id": "{number}'),
            event("update", f"[{number}]"),
            event("update", f'{{"id": {{}}, "content": "{number}"}}'),
            f"data: {number}".encode(),
            f"event: update\nid: {number}".encode(),
            f"event: update\ndata: {number}\xff".encode("latin-1"),
            event("delete", f'{{"{number}": 1}}')[:-1] + b"\0}",
        ]
    )
    kept.add(made)
    return made
