"""The options of `mner feed` against local servers, with topics in memory and a clock that no test waits for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import pytest
from aiohttp import web

from cli.feeds import running
from cli.main import build
from core.events import Tweet
from streams.feeds import runner
from streams.feeds.orders import LATE_S, Options
from streams.feeds.runner import Runner
from streams.feeds.source import Source
from streams.settings import Settings
from tests.streams.feeds.memory import TARGET, Clock, Topics
from tests.streams.feeds.platforms.web import answering
from tests.streams.feeds.x_server import TOKEN, XServer, post

pytestmark = pytest.mark.timeout(60)  # a feed that never ends must not hold up the suite


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Topics:
    """What the command sends. It keeps no cursor."""

    @contextmanager
    def prepared(_: Settings, source: Source, options: Options, **__: object) -> Iterator[Runner]:
        yield Runner(source, TARGET, None, options)

    monkeypatch.setattr(running, "prepared", prepared)
    monkeypatch.setenv("MNER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MNER_X_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    return Topics(monkeypatch)


def feed(*words: str) -> None:
    build()(["feed", *words], standalone_mode=False)


def texts(topics: Topics) -> list[str]:
    return [Tweet.model_validate_json(value).text for value in topics.values(TARGET.tweets)]


async def _entries(_: web.Request) -> web.Response:
    items = "".join(f"<item><guid>{number}</guid><title>entry {number}</title></item>" for number in range(30))
    return web.Response(text=f"<rss version='2.0'><channel>{items}</channel></rss>")


@pytest.fixture
def moments(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each record was sent, in seconds, if only the runner's own waits take time."""
    clock, sent = Clock(), list[float]()
    monkeypatch.setattr(runner, "time", clock)

    def stall(_: str) -> None:
        sent.append(clock.now)
        if len(sent) == 10:
            clock.sleep(60.0)

    topics.on_send = stall
    return sent


def assert_paced(moments: list[float], rate: float) -> None:
    """Asserts that no time has more posts than it may have, and that only the stall delays one."""
    assert len(moments) == 30
    for (first, began), (last, ended) in combinations(enumerate(moments), 2):
        assert ended - began >= (last - first) / rate - LATE_S - 1e-6
    assert moments[-1] - moments[0] <= 60.0 + 29 / rate + 1e-6


def test_a_rate_limits_the_pace_of_a_live_feed_and_no_burst_follows_a_stall(moments: list[float]) -> None:
    with answering(_entries) as address:
        feed("rss", address, "--rate", "4", "--limit", "30")
    assert_paced(moments, 4)


def test_a_rate_limits_the_pace_of_a_file(moments: list[float]) -> None:
    Path("posts.jsonl").write_text("".join(f'{{"id": "{number}", "text": "x"}}\n' for number in range(30)))
    feed("posts.jsonl", "--rate", "0.5")
    assert_paced(moments, 0.5)


def test_rss_ends_at_its_limit(topics: Topics) -> None:
    with answering(_entries) as address:
        feed("rss", address, "--limit", "7")
    assert texts(topics) == [f"entry {number}" for number in range(29, 22, -1)]


def test_x_ends_at_its_limit(topics: Topics) -> None:
    server = XServer()
    with server.serving():
        now = time.time()
        for number in range(20):
            server.publish(post(now - 600 + number, number), send=False)
        feed("x", "--server", server.url, "--search-after", "0", "--since", "1h", "--limit", "7")
    assert len(texts(topics)) == len(set(texts(topics))) == 7


def status(ago_s: float) -> dict[str, str]:
    return {"id": str(int((time.time() - ago_s) * 1000) << 16), "content": f"{ago_s:g} s ago"}


def mastodon(asked: list[int]) -> Callable[[web.Request], object]:
    """Returns a server whose timeline has a post of each of the last three hours. Its stream has one of now."""
    timeline = [status(hours * 3600.0) for hours in (3, 2, 1)]

    async def answer(request: web.Request) -> web.StreamResponse:
        if "timelines" in request.path:
            asked.append(int(request.query["min_id"]) >> 16)
            return web.json_response([entry for entry in timeline if int(entry["id"]) > int(request.query["min_id"])])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: update\ndata: %b\n\n" % json.dumps(status(0.0)).encode())
        return response

    return answer


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--since", "90m", "--limit", "2"], ["3600 s ago", "0 s ago"]),
        (["--since", "150m", "--limit", "3"], ["7200 s ago", "3600 s ago", "0 s ago"]),
        (["--limit", "1"], ["0 s ago"]),
    ],
    ids=["an hour and a half", "two hours and a half", "now"],
)
def test_since_asks_the_timeline_of_mastodon(options: list[str], expected: list[str], topics: Topics) -> None:
    asked: list[int] = []
    with answering(mastodon(asked)) as address:
        feed("mastodon", "--server", address, *options)
    assert texts(topics) == expected
    assert bool(asked) is ("--since" in options)
    gaps = topics.values(TARGET.gaps)
    assert len(gaps) == ("--since" in options), "a timeline tells no deletions, so what it fills is a gap all the same"
