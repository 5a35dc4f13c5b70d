"""Loads images for commands, as a worker does, and reads them with the vision channels."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from core.cores import usable_cores
from core.events import ImageResult, Tweet
from core.pixels import Pixels
from model.context import context_text
from model.vision.values import VisualContext
from streams.images.decode import LoadedImage
from streams.images.errors import ImageError
from streams.images.files import load_url_or_file
from streams.images.hosts import FailurePolicy
from streams.images.loader import ImageLoader, load_first_photo
from streams.settings import ImageLimits, VisionLimits
from streams.vision import QUEUE, check_models, open_image_reader, with_channels

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", re.IGNORECASE)

_EMPTY_POST = Tweet(id="1", text=".")
"""Placeholder post for an image that belongs to no post."""

WAIT_S = 86_400.0
"""Longest time, in seconds, that an image waits for its turn. A person who names many images wants all of them."""

NOTHING_READ = VisualContext()


@dataclass(frozen=True)
class InspectedImage:
    """The result for one path or URL: either a `reason` for its refusal, or an `image` and what was read in it."""

    source: str
    reason: str | None = None
    #: Without its pixels.
    image: LoadedImage | None = None
    #: Set only if requested, since the pixels of many images need much memory.
    pixels: Pixels | None = None
    visual: VisualContext = NOTHING_READ
    #: The words that the model reads.
    context: str | None = None


class ImageInspector:
    """An async context manager. The processes that decode and read images start with the first image."""

    def __init__(self, images: ImageLimits, vision: VisionLimits, device: str, home: Path) -> None:
        self._images, self._limits, self._device, self._home = images, vision, device, home
        self._slots = asyncio.Semaphore(images.workers)
        # The time that an image spends in a queue counts against its limits, so both queues are short.
        self._decoding = asyncio.Semaphore(images.decoders or usable_cores())
        self._reading = asyncio.Semaphore(vision.batch + min(vision.batch, QUEUE))
        self._model_check: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            loader = ImageLoader(self._images, home=self._home, failures=FailurePolicy(wait_s=WAIT_S))
            self._loader = await stack.enter_async_context(loader)
            self._vision = await stack.enter_async_context(open_image_reader(self._limits, self._device, self._home))
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def inspect(self, source: str, *, keep_pixels: bool = False) -> InspectedImage:
        """Loads and reads one image. `source` is a path or an http, https or file URL.

        A refused image is a result, not an error. Raises `UserError` if a model that the settings name cannot be
        loaded.
        """
        async with self._slots:
            try:
                image = await self._load(as_url(source))
                pixels = await self._loader.pixels(image) if keep_pixels else None
            except ImageError as error:
                return InspectedImage(source, error.reason)
            visual = await self._read(image)
            context = context_text(_EMPTY_POST, visual)
            return InspectedImage(source, None, replace(image, pixels=None), pixels, visual, context)

    async def inspect_photo(
        self, tweet: Tweet, *, keep_pixels: bool = False
    ) -> tuple[ImageResult, str | None, Pixels | None]:
        """Loads and reads a post's first photo, which may have a file URL.

        Returns the photo's result, its context, and its pixels if `keep_pixels`. Raises `UserError` if a model that the
        settings name cannot be loaded.
        """
        async with self._slots:
            result, image = await load_first_photo(tweet.media, self._load)
            if image is None:
                return result, context_text(tweet, None), None
            pixels = None
            if keep_pixels:
                with suppress(ImageError):  # decoding failed this time; then the post has no view `image`
                    pixels = await self._loader.pixels(image)
            visual = await self._read(image)
            return with_channels(result, visual), context_text(tweet, visual), pixels

    async def _load(self, url: str) -> LoadedImage:
        async with self._decoding if url.lower().startswith("file:") else nullcontext():
            return await load_url_or_file(url, self._loader, self._images)

    async def _read(self, image: LoadedImage) -> VisualContext:
        async with self._reading:
            if self._model_check is None:
                self._model_check = asyncio.create_task(check_models(self._vision, self._limits, self._device))
            await asyncio.shield(self._model_check)
            return await self._vision.read(image.sha256, image.phash, lambda: self._loader.pixels(image))


def as_url(source: str) -> str:
    """Returns the URL of `source`, which is the path of a file unless it has a scheme."""
    return source if _URL.match(source) else Path(source).absolute().as_uri()
