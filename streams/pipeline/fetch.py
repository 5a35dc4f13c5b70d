"""Fetches a post's image and reads its context. A post whose image fails goes on as text, with the reason."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from model.context import context_text
from model.vision.image_reader import ImageReader
from model.vision.regions import regions
from model.vision.values import VisualContext
from streams.images.decode import LoadedImage
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from streams.pipeline.item import TweetItem
from streams.pipeline.stage import Stage
from streams.vision import with_channels


class Fetch(Stage[TweetItem]):
    """Adds the image's result, the post's context and, with `keep_pixels`, the image's pixels.

    `workers` is the number of posts that may be in flight, so that no post waits here for another's image. The loader
    and the vision models limit how many images are fetched and read at once.
    """

    name = "fetch"

    def __init__(self, loader: ImageLoader, reader: ImageReader, workers: int, keep_pixels: bool = False) -> None:
        self._loader = loader
        self._reader = reader
        self.workers = workers
        self._keep_pixels = keep_pixels

    async def process(self, item: TweetItem) -> None:
        started = time.monotonic()
        item.image, image = await self._loader.load_first_photo(item.event.media)
        item.timings_ms["fetch"] = 1000 * (time.monotonic() - started)
        if image is not None and self._keep_pixels:
            with suppress(ImageError):  # neither the cache nor the server has it now: the model reads only text
                item.pixels = await self._loader.pixels(image)
                image = replace(image, pixels=item.pixels)  # the channels need not decode it again
        visual = None if image is None else await self._read(item, image)
        item.context = context_text(item.event, visual)

    async def _read(self, item: TweetItem, image: LoadedImage) -> VisualContext:
        started = time.monotonic()
        visual = await self._reader.read(image.sha256, image.phash, lambda: self._loader.pixels(image))
        item.image = with_channels(item.image, visual).model_copy(update={"regions": regions(visual)})
        item.timings_ms["look"] = 1000 * (time.monotonic() - started)
        return visual
