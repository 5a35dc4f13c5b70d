"""Caching headers (RFC 9111, 4.2 and 5.2.2), from the response to the next request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from streams.images.errors import ImageError
from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.streams.images.clock import Clock
from tests.streams.images.hostile import HostileServer, reply
from tests.streams.images.sample_images import encoded, half_and_half

PNG = encoded(half_and_half(), "PNG")
UNAVAILABLE = reply(b"", status="503 Unavailable")
UNCHANGED = reply(b"", 'ETag: "one"', status="304 Not Modified")


@pytest.fixture
async def loader(limits: Callable[..., ImageLimits], clock: Clock, tmp_path: Path) -> AsyncIterator[ImageLoader]:
    image_limits = limits(cache_mb=8, cache_s=100, decoders=1)
    async with ImageLoader(image_limits, clock=clock, home=tmp_path, failures=FailurePolicy(tries=1)) as loader:
        yield loader


def conditional(request: str) -> bool:
    return 'if-none-match: "one"' in request.lower()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["Cache-Control: no-cache"], id="no-cache"),
        pytest.param(["Cache-Control: max-age=0, must-revalidate"], id="stale at once"),
        pytest.param(["Cache-Control: max-age=60", "Age: 61"], id="stale on arrival"),
    ],
)
async def test_an_image_that_is_stale_at_once_is_cached_and_revalidated(
    loader: ImageLoader, server: HostileServer, headers: list[str]
) -> None:
    server.answers["/a"] = reply(PNG, 'ETag: "one"', *headers)
    first = await loader.load(f"{server.url}/a")
    server.answers["/a"] = UNCHANGED
    for _ in range(2):
        again = await loader.load(f"{server.url}/a")
        assert again.sha256 == first.sha256
    assert (await loader.pixels(again)).width == 80
    assert [conditional(request) for request in server.requests] == [False, True, True]


async def test_an_image_that_may_not_be_stored_is_never_revalidated(loader: ImageLoader, server: HostileServer) -> None:
    server.answers["/a"] = reply(PNG, 'ETag: "one"', "Cache-Control: no-store")
    for _ in range(2):
        await loader.load(f"{server.url}/a")
    assert [conditional(request) for request in server.requests] == [False, False]


@pytest.mark.parametrize(
    ("cache_control", "stands_in"),
    [
        pytest.param("max-age=10", True, id="nothing forbids it"),
        pytest.param("max-age=0", True, id="stale at once, and nothing forbids it"),
        pytest.param("max-age=10, must-revalidate", False, id="must-revalidate"),
        pytest.param("no-cache", False, id="no-cache"),
    ],
)
async def test_a_stale_image_is_used_while_the_server_fails_unless_it_forbids_that(
    loader: ImageLoader, server: HostileServer, clock: Clock, cache_control: str, stands_in: bool
) -> None:
    server.answers["/a"] = reply(PNG, 'ETag: "one"', f"Cache-Control: {cache_control}")
    await loader.load(f"{server.url}/a")
    clock.now += 11
    server.answers["/a"] = UNAVAILABLE
    if stands_in:
        assert (await loader.load(f"{server.url}/a")).width == 80
    else:
        with pytest.raises(ImageError, match=r"^http_status: HTTP 503"):
            await loader.load(f"{server.url}/a")
    clock.now += 11
    server.answers["/a"] = UNCHANGED
    assert (await loader.load(f"{server.url}/a")).width == 80
    assert conditional(server.requests[-1])
