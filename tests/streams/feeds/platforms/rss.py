"""A server on loopback with a feed of RSS 2.0 whose window moves at each poll."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AbstractContextManager
from pathlib import Path
from xml.sax.saxutils import escape

from aiohttp import web

from streams.feeds.adapters.rss import Entry
from streams.feeds.rss import Rss
from streams.feeds.rss_places import decoded
from streams.feeds.source import Source
from tests.streams.feeds.contract import HEARTBEAT_S, Platform, Record
from tests.streams.feeds.platforms import web as server

COUNT = 240
WINDOW = 40
CALM_COUNT = 120
"""Entries where the script has no faults. Such scripts are for feeds that are killed. A killed feed misses what leaves
the window, or is edited, before Kafka has it. So all entries stay in the window, and none is edited."""
MOST_NEW = 12
"""Most entries that appear between two polls. So many fit into the window, so none is missed."""
RETRY_AFTER_S = 1
PER_SECOND = 20
"""Entries that appear per second where the script has a pace."""


class Served(Platform):
    name = "rss"

    def __init__(self, seed: int, *, faults: bool = True, pace_s: float = 0.0) -> None:
        super().__init__(seed, faults=faults, pace_s=pace_s)
        self._random = random.Random(seed)
        self._count, self._window = (COUNT, WINDOW) if faults else (CALM_COUNT, CALM_COUNT)
        self._socket = server.bound()
        self._url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/feed.xml"
        self._items: list[tuple[str, str]] = []  # (guid, title), the newest first
        self._shown: list[set[str]] = []  # ids in each document that was served
        self._version = self._made = self._polls = 0
        self._faults = ["abort", "silent", "limit", "close", "garbage", "page", "abort"] if faults else []
        self._random.shuffle(self._faults)
        self._limited_until = self._moved_at = 0.0
        self.posts |= {(self._id(str(number)), 0) for number in range(1, self._count + 1)}

    def serving(self) -> AbstractContextManager[None]:
        app = web.Application()
        app.router.add_get("/feed.xml", self._feed)
        return server.running(app, self._socket)

    def source(self, home: Path) -> Source:
        return Rss([self._url], every_s=0.02, timeout_s=2 * HEARTBEAT_S)

    def arguments(self) -> list[str]:
        return ["rss", self._url, "--every", "1"]

    @property
    def has_ended(self) -> bool:
        return self._made >= self._count and not self._faults

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        self._polls += 1
        if time.time() < self._limited_until - 0.05:
            self.violations.append("polled before the rate limit ended")
        if self._polls > 3 and self._polls % 3 == 0 and self._faults:
            return await self._fail(self._faults.pop(), request)
        if request.headers.get("If-None-Match") == self._tag or not self._made:  # else the last answer was lost
            if self._made and self._random.random() < 0.2:
                return web.Response(status=304)
            self._move()
        await asyncio.sleep(self.pace_s)
        self._shown.append({self._id(guid) for guid, _ in self._items})
        return web.Response(body=self._document(), content_type="application/rss+xml", headers={"ETag": self._tag})

    @property
    def _tag(self) -> str:
        return f'"v{self._version}"'

    def _move(self) -> None:
        """Publishes new entries, and edits one."""
        self._version += 1
        now = time.time()
        by_time = min(MOST_NEW, round(PER_SECOND * (now - self._moved_at)))
        self._moved_at = now
        count = by_time if self.pace_s else self._random.randint(1, MOST_NEW)
        for _ in range(min(self._count - self._made, count)):
            self._made += 1
            self._items.insert(0, (str(self._made), f"Entry {self._made} & more"))
        self._items = self._items[: self._window]
        if self._window == WINDOW == len(self._items) and self._random.random() < 0.3 and self._made < self._count:
            place = self._random.randrange(MOST_NEW, WINDOW)
            guid, title = self._items[place]
            self._items[place] = (guid, f"{title}, edited")
            self.posts.add((self._id(guid), None))

    def parted(self, cursor: str) -> tuple[set[Record], set[Record]]:
        (place,) = decoded(cursor).values()
        seen = {f"rss:{key}" for key in place.seen}
        known = max((number for number, shown in enumerate(self._shown) if shown <= seen), default=-1)
        # A poll has one position, behind its last entry. So a feed that ends within a poll has sent a part of the next.
        later = set[str]().union(*self._shown[known + 2 :]).difference(seen, *self._shown[: known + 2])
        return {(f"rss:{key}", edit) for key, (_, edit) in place.seen.items()}, {(name, 0) for name in later}

    def _id(self, guid: str) -> str:
        return f"rss:{Entry(guid, '').key(self._url)}"

    def _document(self) -> bytes:
        items = [
            f"<item><guid isPermaLink='false'>{guid}</guid><title>{escape(title)}</title>"
            f"<description>{escape('<p>Text of <b>' + guid + '</b></p>')}</description></item>"
            for guid, title in self._items
        ]
        for place in range(len(items) - 1):
            if self._random.random() < 0.1:
                items[place], items[place + 1] = items[place + 1], items[place]
        items += items[:1]  # a duplicate
        return f"<rss version='2.0'><channel><title>T</title>{''.join(items)}</channel></rss>".encode()

    async def _fail(self, kind: str, request: web.Request) -> web.StreamResponse:
        if kind == "limit":
            self._limited_until = time.time() + RETRY_AFTER_S
            return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER_S)})
        if kind == "close":
            return web.Response(status=503)
        if kind in {"garbage", "page"}:
            body = b"\xff\0 no feed" if kind == "garbage" else b"<!doctype html><title>Back soon</title>"
            self.garbage.add(body)
            return web.Response(body=body, content_type="text/html")
        if kind == "silent":
            await asyncio.sleep(60)
        response = web.StreamResponse()
        response.content_length = 10_000
        await response.prepare(request)
        await response.write(self._document()[:500])
        assert request.transport is not None
        request.transport.abort()
        return response
