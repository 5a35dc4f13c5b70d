"""A server on loopback that speaks the part of X's API v2 that the feed uses. Tests tell it what to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

from aiohttp import web

from streams.feeds.adapters.x.fields import time_of
from streams.feeds.x.search import snowflake

TOKEN = "AAAAAAAAAAAAAAAAAAAAAExampleExample%3Dexample"
"""Of the form of a bearer token. It opens nothing."""
TOO_OLD_S = 7 * 86400

Answer = tuple[int, dict[str, str], Any]


def post(moment: float, number: int = 0, **fields: Any) -> dict[str, Any]:
    """Returns a page with one post that was made at this Unix time. Posts of one millisecond differ by `number`."""
    digits = str(int(snowflake(moment)) + number)
    data = {"id": digits, "text": f"Merkel in Hamburg {number}", "edit_history_tweet_ids": [digits], **fields}
    return {"data": data, "matching_rules": [{"id": "1", "tag": "names"}]}


class XServer:
    """Serves the stream, its rules and the recent search. All methods are for the test's thread."""

    def __init__(self, keep_alive_s: float = 0.1) -> None:
        self.keep_alive_s = keep_alive_s
        self.refused_tag = ""
        self.rules: dict[str, dict[str, Any]] = {"1": {"id": "1", "value": "merkel", "tag": "names"}}
        self.timeline: list[dict[str, Any]] = []
        self.stream_answers: deque[Answer] = deque()  # in place of the next connections
        self.search_answers: deque[Answer] = deque()
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []  # method, path, query, body
        self.connected = 0  # connections of the stream so far
        self.page = 100
        self.clock: Callable[[], float] = time.time  # what the header `Date` of a stream tells
        self.on_stream: Callable[[], None] = lambda: None  # called before a connection is accepted
        self._open: web.StreamResponse | None = None
        self._transport: asyncio.Transport | None = None
        self._is_silent = False
        self._over = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._url = ""

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Yields the server's address."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        runner = self._call(self._start())
        try:
            yield self._url
        finally:
            self._call(self._stop(runner))
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    @property
    def url(self) -> str:
        return self._url

    def wait_connected(self, times: int = 1, timeout_s: float = 10.0) -> None:
        """Waits until the stream was opened this many times, and is open."""
        deadline = time.monotonic() + timeout_s
        while self.connected < times or self._open is None:
            assert time.monotonic() < deadline, f"connected {self.connected} times, not {times}"
            time.sleep(0.005)

    @property
    def is_open(self) -> bool:
        return self._open is not None

    def publish(self, page: dict[str, Any], *, send: bool = True) -> None:
        """Adds a post to what the search finds, and sends it to the stream."""
        self.timeline.append(page)
        if send:
            self.send(json.dumps(page).encode())

    def send(self, line: bytes) -> None:
        """Sends a line as it stands."""
        self._call(self._write(line + b"\r\n"))

    def error(self, body: Any) -> None:
        """Sends an error with the status 200 that the stream has, and ends the connection."""
        self.send(json.dumps(body).encode())
        self.end()

    def end(self) -> None:
        """Ends the connection in order."""
        self._call(self._end())

    def abort(self) -> None:
        """Breaks the connection."""
        time.sleep(0.05)  # a broken connection loses what was not read
        self._call(self._abort())

    def silence(self) -> None:
        """Sends nothing any more on this connection."""
        self._is_silent = True

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/2/tweets/search/stream", self._stream)
        app.router.add_get("/2/tweets/search/stream/rules", self._get_rules)
        app.router.add_post("/2/tweets/search/stream/rules", self._post_rules)
        app.router.add_get("/2/tweets/search/recent", self._search)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _stop(self, runner: web.AppRunner) -> None:
        self._over.set()
        await runner.cleanup()

    def _noted(self, request: web.Request, body: Any = None) -> web.Response | None:
        """Notes a request. Returns a refusal if it has the wrong token."""
        self.requests.append((request.method, request.path, dict(request.query), body))
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        return web.json_response({"title": "Unauthorized", "status": 401, "detail": "Unauthorized"}, status=401)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        refused = self._noted(request)
        if refused is not None:
            return refused
        if self.stream_answers:
            return answered(self.stream_answers.popleft())
        self.on_stream()
        if not self.rules:
            detail = "You must define rules on your stream before connecting."
            return web.json_response({"title": "ConnectionException", "detail": detail}, status=409)
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Date": formatdate(self.clock(), usegmt=True)}
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        over = self._over = asyncio.Event()
        assert isinstance(request.transport, asyncio.Transport)
        self._open, self._transport, self._is_silent = response, request.transport, False
        self.connected += 1
        with contextlib.suppress(ConnectionError):
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), self.keep_alive_s)
                if not over.is_set() and not self._is_silent:
                    await response.write(b"\r\n")
        if self._open is response:
            self._open = None
        return response

    async def _write(self, line: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            if self._open is not None and not self._is_silent:
                await self._open.write(line)

    async def _end(self) -> None:
        self._open = None
        self._over.set()

    async def _abort(self) -> None:
        self._open = None
        self._over.set()
        if self._transport is not None:
            self._transport.abort()

    async def _get_rules(self, request: web.Request) -> web.Response:
        refused = self._noted(request)
        return refused or web.json_response({"data": list(self.rules.values()), "meta": {}})

    async def _post_rules(self, request: web.Request) -> web.Response:
        body = await request.json()
        refused = self._noted(request, body)
        if refused is not None:
            return refused
        for digits in body.get("delete", {}).get("ids", []):
            if request.query.get("dry_run") != "true":
                del self.rules[digits]
        values = {rule["value"] for rule in self.rules.values()}
        errors = []
        for rule in body.get("add", []):
            if rule["value"] in values:
                errors.append({"title": "DuplicateRule", "value": rule["value"]})
            elif "nonsense:" in rule["value"] or (self.refused_tag and rule.get("tag") == self.refused_tag):
                details = ["Reference to invalid operator 'nonsense'"]
                errors.append({"title": "UnprocessableEntity", "value": rule["value"], "details": details})
        if errors:
            return web.json_response({"errors": errors, "meta": {}}, status=400)
        for rule in body.get("add", []):
            if request.query.get("dry_run") != "true":
                digits = str(len(self.requests) * 100 + len(self.rules))
                self.rules[digits] = {"id": digits, **rule}
        return web.json_response({"meta": {}}, status=201)

    async def _search(self, request: web.Request) -> web.Response:
        refused = self._noted(request)
        if refused is not None:
            return refused
        if self.search_answers:
            return answered(self.search_answers.popleft())
        since = request.query["since_id"]
        earliest = time_of(since)
        if earliest is None or earliest.timestamp() < time.time() - TOO_OLD_S:
            return web.json_response({"title": "Invalid Request", "detail": "'since_id' is too old"}, status=400)
        if request.query["query"] not in {rule["value"] for rule in self.rules.values()}:
            return web.json_response({"data": [], "meta": {"result_count": 0}})
        size = int(request.query["max_results"])
        if not 10 <= size <= 100:
            detail = f"The `max_results` query parameter value [{size}] is not between 10 and 100"
            return web.json_response({"title": "Invalid Request", "detail": detail}, status=400)
        size = min(size, self.page)
        found = {page["data"]["id"]: page["data"] for page in self.timeline if int(page["data"]["id"]) > int(since)}
        newest = [found[digits] for digits in sorted(found, key=int, reverse=True)]
        start = int(request.query.get("next_token", "0"))
        part = newest[start : start + size]
        meta: dict[str, Any] = {"result_count": len(part)}
        if len(newest) > start + size:
            meta["next_token"] = str(start + size)
        return web.json_response({"data": part, "meta": meta} if part else {"meta": meta})


def answered(answer: Answer) -> web.Response:
    """Makes a response of a status, headers and a body. A body of bytes is sent as it stands."""
    status, headers, body = answer
    if isinstance(body, bytes):
        return web.Response(status=status, headers=headers, body=body)
    return web.json_response(body, status=status, headers=headers)
