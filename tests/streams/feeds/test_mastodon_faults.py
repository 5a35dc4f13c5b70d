"""What a Mastodon server, or a proxy before it, answers in place of a stream."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest
from aiohttp import web

from streams.feeds.mastodon import Mastodon
from streams.feeds.reading import Ended, Reader
from streams.feeds.source import Disconnected, FeedRefused, Received, Steps
from tests.streams.feeds.platforms.web import answering

RESET = "2099-01-01T00:00:00Z"
AT = datetime.fromisoformat(RESET).timestamp()
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def events(request: web.Request, *pieces: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in (b":thump\n", *pieces):
        await response.write(piece)
    return response


def page(status: int, kind: str, headers: dict[str, str] | None = None) -> Answer:
    """Returns an answer of a proxy, or of another server."""

    async def answer(_: web.Request) -> web.Response:
        body = '{"error": "sign in"}' if "json" in kind else "<html>Sign in</html>"
        return web.Response(status=status, text=body, content_type=kind, headers=headers)

    return answer


NO_STREAM = [
    (200, "text/html"),
    (200, "application/json"),
    (404, "text/html"),
    (410, "application/json"),
]


@pytest.mark.parametrize(("status", "kind"), NO_STREAM)
def test_a_server_that_never_streamed_is_refused_with_a_remedy(status: int, kind: str) -> None:
    with (
        answering(page(status, kind)) as address,
        Mastodon(address).open(None, None) as messages,
        pytest.raises(FeedRefused, match=f"^{address} .*; is --server the address of a Mastodon server\\?$"),
    ):
        next(messages)


@pytest.mark.parametrize(("status", "kind"), [*NO_STREAM, (401, "text/html"), (403, "text/html")])
def test_a_page_of_a_proxy_ends_no_feed_that_has_streamed(status: int, kind: str) -> None:
    """The second connection meets the page. The third one streams again."""
    streams: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if "streaming" not in request.path:
            return web.json_response([])
        streams.append(request.path)
        if len(streams) == 2:
            return await page(status, kind)(request)
        return await events(request, b'event: update\ndata: {"id": "%d", "content": "x"}\n\n' % len(streams))

    with answering(answer) as address:
        source = Mastodon(address)
        source.backoff = dict.fromkeys(source.backoff, Steps(0.01, 0.02))
        reader = Reader(source, None, None)
        reader.start()
        faults, posts = list[str](), list[str]()
        while len(posts) < 2:
            for item in reader.items(5):
                assert not isinstance(item, Ended), item
                faults += [item.fault] if isinstance(item, Disconnected) else []
                posts += [post.id for post in item.adapted.posts] if isinstance(item, Received) else []
        reader.stop()
    assert [post.rpartition(":")[2] for post in posts] == ["1", "3"]
    assert faults[:2] == ["network", "http"]


def test_a_token_that_is_revoked_later_is_refused() -> None:
    with (
        answering(page(401, "application/json")) as address,
        Mastodon(address, "t").open("7", None) as messages,
        pytest.raises(FeedRefused, match="refuses the token"),
    ):
        next(messages)


def test_a_saved_cursor_tells_that_the_server_has_streamed() -> None:
    with (
        answering(page(200, "text/html")) as address,
        Mastodon(address).open("7", None) as messages,
        pytest.raises(Disconnected, match="sends text/html, no event stream") as caught,
    ):
        next(messages)
    assert caught.value.fault == "http"


LIMITS = [
    (429, "rate_limit", {"X-RateLimit-Reset": RESET}, AT),
    (503, "http", {"X-RateLimit-Reset": RESET}, None),
    (503, "http", {"X-RateLimit-Reset": RESET, "Retry-After": "7"}, 7),
    (200, "http", {"X-RateLimit-Reset": RESET}, None),
]
NO_PATH = ("streaming", 404, "http", {"X-RateLimit-Reset": RESET}, None)


@pytest.mark.parametrize(
    ("asked", "status", "fault", "headers", "expected"),
    [NO_PATH, *((asked, *limit) for asked in ("streaming", "timelines") for limit in LIMITS)],
)
def test_only_a_rate_limit_is_waited_for(
    asked: str, status: int, fault: str, headers: dict[str, str], expected: float | None
) -> None:
    """Mastodon puts the end of the current five minutes on every answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if asked in request.path:
            return await page(status, "text/html", headers)(request)
        return await events(request, b":thump\n" * 3)

    with answering(answer) as address, Mastodon(address).open("7", None) as messages:
        with pytest.raises(Disconnected) as caught:
            list(messages)
        until = caught.value.retry_at and caught.value.retry_at - (0 if status == 429 else time.time())
    assert caught.value.fault == fault
    assert until == (None if expected is None else pytest.approx(expected, abs=20))


@pytest.mark.parametrize("address", ["javascript:x", 5])
def test_a_strange_streaming_address_is_refused_before_the_first_connection_only(address: object) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/api/v1/instance":
            return web.json_response({"uri": "x", "urls": {"streaming_api": address}})
        return web.Response(text="x")

    with answering(answer) as server:
        for cursor, error in ((None, FeedRefused), ("7", Disconnected)):
            with Mastodon(server).open(cursor, None) as messages, pytest.raises(error):
                next(messages)
