"""The tweet's image, many at once. A failed image never loses the tweet: it goes on as text, with the reason."""

from __future__ import annotations

import time

from model.context import visual_context
from streams.images import ImageLoader
from streams.pipeline.item import TweetItem
from streams.pipeline.stage import Stage


class Fetch(Stage[TweetItem]):
    name = "fetch"

    def __init__(self, loader: ImageLoader, workers: int) -> None:
        self._loader = loader
        self.workers = workers

    async def process(self, item: TweetItem) -> None:
        started = time.monotonic()
        item.image, _ = await self._loader.look(item.event.media)
        item.context = visual_context(item.event)
        item.timings_ms["fetch"] = 1000 * (time.monotonic() - started)
