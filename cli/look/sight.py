"""Images for commands: files and addresses, fetched and decoded as a worker does, and read by the vision channels."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from core.events import ImageResult, Tweet
from core.pixels import Pixels
from model.context import context_text
from model.vision.values import VisualContext
from streams.images.decode import Picture
from streams.images.errors import ImageError
from streams.images.files import load_anywhere
from streams.images.loader import ImageLoader, looked_at
from streams.settings import Settings
from streams.vision import QUEUE, check_models, open_image_reader, with_channels

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", re.IGNORECASE)
_SAYS_NOTHING = Tweet(id="1", text=".")
"""The context of an image alone is that of a tweet which says nothing of it."""

PATIENT_S = 86_400.0
"""A person who asks for many images wants every one."""

NOTHING_READ = VisualContext()


@dataclass(frozen=True)
class Looked:
    """One source: either `reason`, or `picture`, without its pixels, and what was read of it. `pixels` only where they
    were asked for: those of many pictures are much."""

    source: str
    reason: str | None = None
    picture: Picture | None = None
    pixels: Pixels | None = None
    visual: VisualContext = NOTHING_READ
    context: str | None = None


class Sight:
    """An async context. The processes that decode and read pictures start with the first one that is had."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings = settings.changed(image={"wait_s": PATIENT_S})
        self._slots = asyncio.Semaphore(settings.image.workers)
        # time in a queue counts against a picture's limits, so the two queues are kept short
        self._decoding = asyncio.Semaphore(settings.image.decoders or len(os.sched_getaffinity(0)))
        self._checked: asyncio.Task[None] | None = None
        self._reading = asyncio.Semaphore(settings.vision.batch + min(settings.vision.batch, QUEUE))

    async def __aenter__(self) -> Self:
        settings = self._settings
        async with AsyncExitStack() as stack:
            self._loader = await stack.enter_async_context(ImageLoader(settings.image, home=settings.home))
            self._vision = await stack.enter_async_context(
                open_image_reader(settings.vision, settings.device, settings.home)
            )
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def look(self, source: str, *, keep_pixels: bool = False) -> Looked:
        """A file's path, or an address: http, https, file. Raises `UserError` alone: a model that the settings name
        cannot be loaded."""
        async with self._slots:
            try:
                picture = await self._load(address(source))
                pixels = await self._loader.pixels(picture) if keep_pixels else None
            except ImageError as error:
                return Looked(source, error.reason)
            visual = await self._read(picture)
            without = replace(picture, pixels=None)
            return Looked(source, None, without, pixels, visual, context_text(_SAYS_NOTHING, visual))

    async def look_at(
        self, tweet: Tweet, *, keep_pixels: bool = False
    ) -> tuple[ImageResult, str | None, Pixels | None]:
        """What became of the tweet's first photo, the context it gives, its pixels where they are asked for. `file:` is
        allowed. Raises as `look`."""
        async with self._slots:
            image, picture = await looked_at(tweet.media, self._load)
            if picture is None:
                return image, context_text(tweet, None), None
            pixels = None
            if keep_pixels:
                with suppress(ImageError):  # the decoder failed this time: the text stands alone
                    pixels = await self._loader.pixels(picture)
            visual = await self._read(picture)
            return with_channels(image, visual), context_text(tweet, visual), pixels

    async def _load(self, url: str) -> Picture:
        async with self._decoding if url.lower().startswith("file:") else nullcontext():
            return await load_anywhere(url, self._loader, self._settings.image)

    async def _read(self, picture: Picture) -> VisualContext:
        async with self._reading:
            if self._checked is None:
                settings = self._settings
                self._checked = asyncio.create_task(check_models(self._vision, settings.vision, settings.device))
            await asyncio.shield(self._checked)
            return await self._vision.read(picture.sha256, picture.phash, lambda: self._loader.pixels(picture))


def address(source: str) -> str:
    """What has no scheme is a file's path."""
    return source if _ADDRESS.match(source) else Path(source).absolute().as_uri()
