"""The loader as the pipeline sees it: photos chosen, bounded at once, cancelled cleanly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streams.events import ImageResult, Media
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from streams.settings import Settings
from tests.images.hostile import HostileServer, reply
from tests.images.pictures import encoded, half_and_half


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
async def test_each_format_is_loaded(loader: ImageLoader, server: HostileServer, kind: str) -> None:
    server.answers["/a"] = reply(encoded(half_and_half(), kind))
    url = f"{server.url}/a"
    picture = await loader.load(url)
    assert (picture.url, picture.format, picture.width, picture.height) == (url, kind, 80, 40)
    result = await loader.look([Media(url=url)])
    assert result == ImageResult(status="ok", url=url, width=80, height=40, format=kind)


async def test_a_tweet_without_a_photo_has_no_image(loader: ImageLoader) -> None:
    video = Media(url="http://10.0.0.7/film.mp4", type="video")
    assert await loader.look([]) == await loader.look([video]) == ImageResult(status="none")


async def test_the_first_photo_is_taken(loader: ImageLoader, server: HostileServer) -> None:
    server.answers["/first"] = reply(encoded(half_and_half(), "PNG"))
    media = [
        Media(url=f"{server.url}/film", type="video"),
        Media(url=f"{server.url}/first"),
        Media(url=f"{server.url}/second"),
    ]
    assert (await loader.look(media)).url == f"{server.url}/first"
    assert len(server.requests) == 1


async def test_no_more_than_the_allowed_number_are_fetched_at_once_and_waiting_is_not_counted_as_slow(
    settings: Callable[..., Settings], server: HostileServer
) -> None:
    png = encoded(half_and_half(), "PNG")
    now = most = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.1)
        now -= 1
        writer.write(reply(png, "Connection: close"))
        await writer.drain()

    server.answers["/a"] = answer
    async with ImageLoader(settings(image_workers=3, image_timeout_s=0.35)) as loader:
        pictures = await asyncio.gather(*(loader.load(f"{server.url}/a") for _ in range(15)))
    assert (len(pictures), most) == (15, 3)


async def test_cancellation_goes_through_and_frees_the_slot(
    settings: Callable[..., Settings], server: HostileServer
) -> None:
    reached = asyncio.Event()

    async def silent(writer: asyncio.StreamWriter) -> None:
        reached.set()
        await asyncio.sleep(60)

    server.answers = {"/silent": silent, "/a": reply(encoded(half_and_half(), "PNG"))}
    async with ImageLoader(settings(image_workers=1)) as loader:
        task = asyncio.create_task(loader.load(f"{server.url}/silent"))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await loader.load(f"{server.url}/a")).format == "PNG"


async def test_a_broken_answer_does_not_spoil_the_next_one(loader: ImageLoader, server: HostileServer) -> None:
    server.answers = {"/bad": reply(b"<p>hi"), "/a": reply(encoded(half_and_half(), "PNG"))}
    for _ in range(3):
        with pytest.raises(ImageError):
            await loader.load(f"{server.url}/bad")
        assert (await loader.load(f"{server.url}/a")).format == "PNG"
