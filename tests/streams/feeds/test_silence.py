"""A connection that dies silently is noticed within two heartbeats, and not before. No test waits that long."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import web
from requests.adapters import HTTPAdapter

from streams.feeds import mastodon_stream, rss
from streams.feeds.bluesky import Bluesky
from streams.feeds.mastodon import Mastodon
from streams.feeds.rss import Rss
from streams.feeds.rss_fetch import FeedPolicy, Fetcher
from streams.feeds.source import Began, Disconnected
from streams.feeds.x.meter import Meter
from streams.feeds.x.source import XSource
from tests.streams.feeds.memory import Clock
from tests.streams.feeds.platforms.web import answering
from tests.streams.feeds.x_server import TOKEN
from tests.waiting import LoopClock, turns, until


@pytest.mark.parametrize(("options", "longest_s"), [({"heartbeat_s": 7.0}, 14.0), ({}, 60.0)])
def test_bluesky_waits_two_heartbeats_for_a_frame(options: dict[str, Any], longest_s: float) -> None:
    waits: list[float] = []

    class Quiet:
        response = None

        def recv(self, timeout: float, decode: bool) -> None:
            waits.append(timeout)
            raise TimeoutError

    with pytest.raises(Disconnected) as caught:
        list(Bluesky(**options)._messages(Quiet(), 1, 1, is_new=False))  # type: ignore[arg-type]
    assert (caught.value.fault, waits) == ("silent", [longest_s])


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest silence, in seconds, that each request for a stream allows. Each such request ends by it."""
    noted: list[float] = []
    send = HTTPAdapter.send

    def silent(adapter: HTTPAdapter, request: requests.PreparedRequest, *rest: Any, **options: Any) -> Any:
        if "stream" not in str(request.url):
            return send(adapter, request, *rest, **options)
        noted.append(options["timeout"][1])
        raise requests.ReadTimeout

    monkeypatch.setattr(HTTPAdapter, "send", silent)
    return noted


@pytest.mark.parametrize(("options", "longest_s"), [({"heartbeat_s": 7.0}, 14.0), ({}, 40.0)])
def test_x_waits_two_keep_alives_for_a_byte(
    options: dict[str, Any], longest_s: float, waits: list[float], tmp_path: Path
) -> None:
    source = XSource(TOKEN, Meter(tmp_path / "reads.json"), server="http://127.0.0.1:1", **options)
    with pytest.raises(Disconnected) as caught, source.open(None, None):
        pass
    assert (caught.value.fault, waits) == ("silent", [longest_s])


async def _instance(_: web.Request) -> web.Response:
    return web.json_response({"uri": "x"})


@pytest.mark.parametrize(("options", "longest_s"), [({"heartbeat_s": 7.0}, 14.0), ({}, 30.0)])
def test_mastodon_waits_two_heartbeats_for_a_byte(
    options: dict[str, Any], longest_s: float, waits: list[float]
) -> None:
    with (
        answering(_instance) as address,
        Mastodon(address, **options).open(None, None) as messages,
        pytest.raises(Disconnected) as caught,
    ):
        list(messages)
    assert (caught.value.fault, waits) == ("silent", [longest_s])


def test_mastodon_waits_two_heartbeats_for_an_event_while_bytes_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sends a line without an end."""
    clock = Clock()
    monkeypatch.setattr(mastodon_stream, "time", clock)

    async def answer(request: web.Request) -> web.StreamResponse:
        if "streaming" not in request.path:
            return await _instance(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.02)

    ended: list[BaseException] = []

    def read(messages: Any) -> None:
        try:
            list(messages)
        except Disconnected as error:
            ended.append(error)

    with answering(answer) as address, Mastodon(address, heartbeat_s=7.0).open(None, None) as messages:
        (began,) = islice(messages, 1)
        assert isinstance(began, Began)
        clock.sleep(14.0)
        thread = threading.Thread(target=read, args=(messages,))
        thread.start()
        time.sleep(0.5)  # in which it looks at the clock twice
        assert not ended
        clock.sleep(0.01)
        thread.join(10)
    (error,) = ended
    assert isinstance(error, Disconnected)
    assert error.fault == "silent"


async def test_an_answer_for_rss_must_be_whole_in_time_although_bytes_arrive(loop_clock: LoopClock) -> None:
    asked = threading.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            asked.set()
            await asyncio.sleep(0.02)

    with answering(answer) as address:
        fetching = asyncio.create_task(Fetcher(1000.0).get(f"{address}/feed", FeedPolicy(address), None, None))
        await until(asked.is_set)
        loop_clock.pass_s(900.0)
        await turns()
        assert not fetching.done()
        loop_clock.pass_s(100.0)
        await until(fetching.done)
        with pytest.raises(Disconnected) as caught:
            await fetching
    assert caught.value.fault == "silent"


def test_rss_gives_an_answer_30_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Silent:
        def __init__(self, timeout_s: float) -> None:
            waits.append(timeout_s)

        async def get(self, *_: object) -> None:
            raise Disconnected("silent", "no whole answer")

    monkeypatch.setattr(rss, "Fetcher", Silent)
    with (
        pytest.raises(Disconnected) as caught,
        Rss(["https://example.org/feed"]).open(None, None) as messages,
    ):
        next(messages)
    assert (caught.value.fault, waits) == ("silent", [30.0])
