"""X's filtered stream and recent search on loopback."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.feeds.source import Source
from streams.feeds.x.message import of_page
from streams.feeds.x.meter import Meter
from streams.feeds.x.search import snowflake
from streams.feeds.x.source import XSource
from tests.streams.feeds.contract import HEARTBEAT_S, Item, Platform, Record, parted
from tests.streams.feeds.x_server import TOKEN, XServer

COUNT = 300
STEP_S = 0.1
"""Time between two posts, in seconds, as their ids tell it."""
MISSED = 7
"""Posts that are published after each disconnect, before the client is back."""
FAULTS = ["abort", "end", "error", "silence", "limit"]
CLEAR = 15
"""No garbage is sent so close to a fault: only posts come again."""
RETRY_AFTER_S = 1

Step = tuple[str, Any]


class Served(Platform):
    name = "x"

    def __init__(self, seed: int, *, faults: bool = True, pace_s: float = 0.0) -> None:
        super().__init__(seed, faults=faults, pace_s=pace_s)
        self._random = random.Random(seed)
        self._server = XServer(keep_alive_s=HEARTBEAT_S / 2)
        self._server.on_stream = self._greet
        start = time.time() - 7200 - 600 * seed  # so that no two seeds publish the same ids
        self._server.clock = lambda: start
        self._limited_until = 0.0
        self._has_ended = threading.Event()
        self._stopping = threading.Event()
        self._steps = list(self._script())
        self._items = [
            Item(None, frozenset({value})) if kind == "garbage" else self._item(value)
            for kind, value in self._steps
            if value is not None
        ]

    def _script(self) -> Iterator[Step]:
        """Yields posts, garbage and faults."""
        chance = self._random
        places = [COUNT * number // 6 + chance.randint(0, 10) for number in range(1, 6)]
        kinds = chance.sample(FAULTS, len(FAULTS))
        faults = dict(zip(places, kinds, strict=True)) if self.faults else {}
        pages = self._pages()
        for place in range(len(pages) - 4):
            if chance.random() < 0.05:  # out of order, by up to half a second
                other = place + chance.randint(1, 4)
                pages[place], pages[other] = pages[other], pages[place]
        for place, page in enumerate(pages):
            if place in faults:
                yield faults[place], None
            yield "post", page
            is_clear = all(abs(place - fault) > CLEAR for fault in faults)
            if is_clear and self.faults and (chance.random() < 0.02 or place == COUNT - 1):
                yield "garbage", self._garbage()
            if chance.random() < 0.03:
                yield "post", page  # a duplicate

    def _pages(self) -> list[dict[str, Any]]:
        """Returns lines of the stream, and notes what must become of them."""
        chance, start = self._random, self._server.clock()
        pages: list[dict[str, Any]] = []
        for number in range(COUNT):
            digits = snowflake(start + number * STEP_S)
            data: dict[str, Any] = {
                "id": digits,
                "text": f"Merkel &amp; Scholz in Hamburg, part {number}",
                "author_id": str(chance.randint(1, 40)),
                "lang": chance.choice(["en", "de", "und"]),
                "edit_history_tweet_ids": [digits],
            }
            kind = chance.random()
            if pages and kind < 0.1:  # an edit of an earlier post that has none
                first = chance.choice(pages)["data"]["edit_history_tweet_ids"][0]
                if (f"x:{first}", 1) not in self.posts and (f"x:{first}", 0) in self.posts:
                    data["edit_history_tweet_ids"] = [first, digits]
            elif kind < 0.2:
                data["referenced_tweets"] = [{"type": "retweeted", "id": "5"}]  # without the post that it repeats
            history = data["edit_history_tweet_ids"]
            if "referenced_tweets" not in data:
                self.posts.add((f"x:{history[0]}", len(history) - 1))
            pages.append({"data": data, "matching_rules": [{"id": "1"}]})
        return pages

    def _garbage(self) -> bytes:
        mark = self._random.randrange(10**12)
        line = self._random.choice(
            [
                f'{{"data": {{"id": "{mark}", "text": "cut',
                f'[{mark}, "no object"]',
                f"\x00{mark}",
                f'{{"data": {{"id": {mark}.5, "text": "half an id"}}}}',
                f'{{"data": {{"id": "{mark}", "text": {{"no": "text"}}}}}}',
                "[" * 5000 + str(mark),
            ]
        ).encode()
        self.garbage.add(line)
        return line

    @staticmethod
    def _item(page: dict[str, Any]) -> Item:
        message = of_page(page)
        return Item.of(int(message.cursor or 0), message)

    def parted(self, cursor: str) -> tuple[set[Record], set[Record]]:
        return parted(self._items, int(cursor))

    def _greet(self) -> None:
        if time.time() < self._limited_until:
            self.violations.append("connected before the rate limit ended")

    @contextmanager
    def serving(self) -> Iterator[None]:
        with self._server.serving():
            thread = threading.Thread(target=self._play, daemon=True)
            thread.start()
            try:
                yield
            finally:
                self._stopping.set()
                thread.join(10)

    def _play(self) -> None:
        """Follows the script. Nothing is sent while nobody is connected, except what a fault makes the client miss."""
        missing = 0
        for kind, value in self._steps:
            if not missing:
                while not self._server.is_open:
                    if self._stopping.wait(0.01):
                        return
            if self._stopping.wait(self.pace_s):
                return
            if kind == "post":
                self._server.publish(value, send=not missing)
                missing = max(0, missing - 1)
            elif kind == "garbage":
                self._server.send(value)
            else:
                self._fail(kind)
                missing = MISSED
        self._has_ended.set()

    def _fail(self, kind: str) -> None:
        if kind == "silence":
            opened = self._server.connected
            self._server.silence()
            while self._server.connected == opened and not self._stopping.wait(0.01):
                pass
        elif kind == "error":
            self._server.error({"errors": [{"title": "operational-disconnect", "detail": "a server restarts"}]})
        elif kind == "limit":
            self._limited_until = float(int(time.time()) + 1 + RETRY_AFTER_S)
            headers = {"x-rate-limit-reset": str(int(self._limited_until))}
            self._server.stream_answers.append((429, headers, {"title": "Too Many Requests"}))
            self._server.end()
        else:
            getattr(self._server, kind)()

    def source(self, home: Path) -> Source:
        meter = Meter(home / "feeds" / "x-reads.json")
        return XSource(TOKEN, meter, server=self._server.url, heartbeat_s=HEARTBEAT_S, search_lag_s=0.1)

    def arguments(self) -> list[str]:
        return ["x", "--server", self._server.url, "--search-after", "0.1"]

    def environment(self) -> dict[str, str]:
        return {"MNER_X_TOKEN": TOKEN}

    @property
    def has_ended(self) -> bool:
        return self._has_ended.is_set()
