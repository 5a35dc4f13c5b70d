"""A Jetstream server (version 1) on loopback."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from streams.feeds.adapters.bluesky import adapt
from streams.feeds.bluesky import Bluesky
from streams.feeds.source import Source
from tests.streams.feeds import frames
from tests.streams.feeds.contract import HEARTBEAT_S, Item, Platform, Record, parted

COUNT = 400
STEP_US = 100_000
RETRY_AFTER_S = 1
Step = tuple[str, Any]


class Served(Platform):
    name = "bluesky"

    def __init__(self, seed: int, *, faults: bool = True, pace_s: float = 0.0) -> None:
        super().__init__(seed, faults=faults, pace_s=pace_s)
        self._random = random.Random(seed)
        self._steps = list(self._script())
        self._left: set[int] = {place for place, (kind, _) in enumerate(self._steps) if kind != "frame"}
        self._served = 0
        self._limited_until: float | None = None
        self._port = 0
        self._lock = threading.Lock()
        self._ending = threading.Event()

    def _script(self) -> Iterator[Step]:
        """Yields frames as (kind, (time_us, text)), and faults."""
        chance = self._random
        start_us = int((time.time() - 7200) * 1e6)
        made = frames.Frames(chance, start_us, STEP_US)
        sent: list[tuple[int, str | bytes]] = []
        for _ in range(COUNT):
            if chance.random() < 0.01 or len(sent) == 5:
                garbage = frames.garbage(chance)
                self.garbage.add(garbage.encode("utf-8", "surrogatepass") if isinstance(garbage, str) else garbage)
                sent.append((made.now_us, garbage))
                continue
            made_frame = made.next()
            self.posts |= made_frame.posts
            self.events |= made_frame.events
            self.last |= made_frame.last
            sent.append((made.now_us, json.dumps(made_frame.frame)))
        for place in range(len(sent) - 4):
            if chance.random() < 0.05:  # out of order, by up to half a second
                other = place + chance.randint(1, 4)
                sent[place], sent[other] = sent[other], sent[place]
        faults = dict(zip(sorted(chance.sample(range(20, COUNT - 20), 5)), self._fault_kinds(), strict=True))
        for place, frame in enumerate(sent):
            if place in faults and self.faults:
                yield faults[place], None
            yield "frame", frame
            if chance.random() < 0.03:
                yield "frame", frame  # a duplicate

    def _fault_kinds(self) -> list[str]:
        kinds = ["abort", "close", "abort", "silent", "limit"]
        self._random.shuffle(kinds)
        return kinds

    @contextmanager
    def serving(self) -> Iterator[None]:
        with serve(self._converse, "127.0.0.1", 0, process_request=self._greet, process_response=self._date) as server:
            self._port = server.socket.getsockname()[1]
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            try:
                yield
            finally:
                self._ending.set()
                server.shutdown()
                thread.join(10)

    def source(self, home: Path) -> Source:
        return Bluesky(f"ws://127.0.0.1:{self._port}", heartbeat_s=HEARTBEAT_S)

    def arguments(self) -> list[str]:
        return ["bluesky", "--server", f"ws://127.0.0.1:{self._port}"]

    def parted(self, cursor: str) -> tuple[set[Record], set[Record]]:
        messages = [adapt(value[1]) for kind, value in self._steps if kind == "frame"]
        return parted(
            (Item.of(None if found.cursor is None else int(found.cursor), found) for found in messages), int(cursor)
        )

    @property
    def has_ended(self) -> bool:
        return not self._left and self._served >= len(self._steps)

    def _greet(self, _: ServerConnection, request: Request) -> Response | None:
        with self._lock:
            if parse_qs(urlsplit(request.path).query).get("wantedCollections") != ["app.bsky.feed.post"]:
                self.violations.append(f"asked for {request.path}")
            if self._limited_until is None:
                return None
            if self._limited_until == 0:
                self._limited_until = time.time() + RETRY_AFTER_S
                headers = Headers([("Retry-After", str(RETRY_AFTER_S)), ("Content-Length", "0")])
                return Response(429, "Too Many Requests", headers)
            if time.time() < self._limited_until - 0.05:
                self.violations.append("connected before the rate limit ended")
            self._limited_until = None
            return None

    def _date(self, _: ServerConnection, __: Request, response: Response) -> None:
        """Tells the time by the clock of the frames."""
        first_us = next(value[0] for kind, value in self._steps if kind == "frame")
        if response.status_code != 101:
            return
        response.headers.pop("Date", None)
        response.headers["Date"] = formatdate(first_us / 1e6, usegmt=True)

    def _converse(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        query = parse_qs(urlsplit(socket.request.path).query)
        cursor = int(query["cursor"][0]) if "cursor" in query else None
        live = self._served
        try:
            for place, (kind, value) in enumerate(self._steps):
                if self._ending.is_set():
                    return
                if kind == "frame":
                    if place >= live if cursor is None else value[0] >= cursor:
                        time.sleep(self.pace_s)
                        socket.send(value[1])
                    self._served = max(self._served, place + 1)
                elif place in self._left:
                    self._left.discard(place)
                    if self._fail(kind, socket):
                        return
            self._ending.wait()
        except ConnectionClosed:
            pass

    def _fail(self, kind: str, socket: ServerConnection) -> bool:
        if kind == "abort":
            socket.socket.close()
        elif kind == "close":
            socket.close(1011, "going away")
        elif kind == "limit":
            self._limited_until = 0
            socket.close(1011, "too many")
        else:  # silent: the connection stays open, and nothing comes any more
            socket.recv()
        return True
