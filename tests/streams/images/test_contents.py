"""Results of decoding are remembered by the hash of the file, whichever URL serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from streams.images.decode import DECODER
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits
from tests.metrics_read import metric
from tests.streams.images.caches import OTHER, URL, Make, keep
from tests.streams.images.clock import Clock
from tests.streams.images.hostile import HostileServer, reply
from tests.streams.images.sample_images import encoded, half_and_half, slow_jpeg
from tests.waiting import until

CONTENT = "0123456789abcdef" * 4
PNG = encoded(half_and_half(), "PNG")
KILLING = reply(slow_jpeg(300))


@pytest.fixture
async def remembering(limits: Callable[..., ImageLimits], clock: Clock, tmp_path: Path) -> AsyncIterator[ImageLoader]:
    """A loader with one started decoder. The killing file occupies it for longer than the limit."""
    image_limits = limits(cache_mb=8, decoders=1, decode_s=0.2)
    async with ImageLoader(image_limits, clock=clock, home=tmp_path) as loader:
        await loader.decode(PNG, URL)
        yield loader


async def refused(loader: ImageLoader, url: str) -> str:
    with pytest.raises(ImageError) as error:
        await loader.load(url)
    return error.value.reason


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_file_that_kills_its_decoder_kills_only_one_whatever_its_urls(
    remembering: ImageLoader, server: HostileServer, at_once: bool
) -> None:
    urls = [f"{server.url}/a?{number}" for number in range(3)]
    server.answers = {f"/a?{number}": KILLING for number in range(3)}
    restarts = metric("mner_image_decoder_restarts_total")
    if at_once:
        reasons = await asyncio.gather(*(refused(remembering, url) for url in urls))
    else:
        reasons = [await refused(remembering, url) for url in urls]
    assert reasons == ["too_slow: decoding takes more than 0.2 s"] * 3
    assert (await remembering.decode(PNG, URL)).pixels is not None
    assert metric("mner_image_decoder_restarts_total") == restarts + 1
    assert len(server.requests) == 3


async def test_a_refusal_is_remembered_even_if_nobody_waits_for_it(
    remembering: ImageLoader, server: HostileServer
) -> None:
    server.answers = {"/left": KILLING, "/again": KILLING}
    known = metric("mner_image_known_total")
    left = asyncio.create_task(remembering.load(f"{server.url}/left"))
    await until(lambda: remembering.decoders.busy)
    left.cancel()
    await asyncio.wait([left])
    await until(lambda: not remembering.decoders.busy)
    assert await refused(remembering, f"{server.url}/again") == "too_slow: decoding takes more than 0.2 s"
    assert metric("mner_image_known_total") == known + 1


async def test_a_refused_file_is_decoded_again_later(make: Make, clock: Clock) -> None:
    cache = make()
    await cache.refuse_content(CONTENT, ImageError("too_slow", "decoding takes more than 3 s"))
    clock.now += 59
    with pytest.raises(ImageError, match=r"^too_slow: decoding takes more than 3 s$"):
        await cache.find_decoded(CONTENT, URL)
    clock.now += 1
    assert await cache.find_decoded(CONTENT, URL) is None


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        pytest.param({"allow": ("intranet.example:80",)}, True, id="what may be asked says nothing of the file"),
        pytest.param({"max_pixels": 50_000_000}, False, id="more pixels are allowed"),
        pytest.param({"memory_mb": 2048}, False, id="more memory is allowed"),
        pytest.param({"decode_s": 10}, False, id="more time is allowed"),
    ],
)
async def test_a_refusal_is_valid_only_under_its_limits(make: Make, changed: dict[str, Any], holds: bool) -> None:
    await make().refuse_content(CONTENT, ImageError("bomb", "too many pixels"))
    cache = make(**changed)
    if holds:
        with pytest.raises(ImageError):
            await cache.find_decoded(CONTENT, URL)
    else:
        assert await cache.find_decoded(CONTENT, URL) is None


async def test_a_refusal_is_valid_only_for_its_decoder_version(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    await make().refuse_content(CONTENT, ImageError("broken", "truncated"))
    monkeypatch.setattr("streams.images.cache_policy.DECODER", DECODER + 1)
    assert await make().find_decoded(CONTENT, URL) is None


async def test_a_local_failure_is_not_remembered(make: Make) -> None:
    cache = make()
    await cache.refuse_content(CONTENT, ImageError("internal", "no decoder could be started"))
    assert await cache.find_decoded(CONTENT, URL) is None


async def test_no_file_can_pass_for_a_url(make: Make) -> None:
    """A refused file whose bytes are a URL is not a refusal of that URL."""
    cache = make()
    image = await keep(cache, OTHER.encode(), URL)
    await cache.refuse_content(image.sha256, ImageError("not_an_image", "text"))
    assert (await cache.find(OTHER)).refusal is None
