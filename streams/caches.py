"""Drops entries of this machine's caches: those of erased posts, and those that are too old.

A worker with any agent drops old entries while it runs. So no entry on its machine outlives the largest age.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

from model.vision.cache import ContextCache
from streams.images.cache import ImageCache
from streams.images.database import Database
from streams.settings import ImageLimits, VisionLimits
from streams.vision import context_database

EVERY_S = 600.0
"""Seconds between two searches for old entries."""


class MachineCaches:
    """The caches of images and of contexts in the folder `home`. An async context manager.

    Faults of the files are counted, and never raised. Entries that cannot be dropped now are dropped by age.
    """

    def __init__(self, images: ImageLimits, vision: VisionLimits, home: Path, every_s: float = EVERY_S) -> None:
        self._images = ImageCache(images, home)
        self._contexts_file: Database = context_database(home)
        self._contexts = ContextCache(self._contexts_file, "", 0, longest_s=vision.cache_hours * 3600)
        self._every_s = every_s
        self._dropping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._dropping = asyncio.create_task(self._drop_again_and_again())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._dropping is not None
        self._dropping.cancel()
        with suppress(asyncio.CancelledError):
            await self._dropping
        await self._images.close()
        await self._contexts_file.close()

    async def forget(self, urls: Iterable[str]) -> None:
        """Drops the images of these URLs, and their contexts. An image that another URL served too stays."""
        images = await self._images.forget(dict.fromkeys(urls))
        if images and self._contexts_file.exists and await self._contexts.forget(images):
            await self._contexts_file.empty_log()

    async def drop_old(self) -> None:
        """Drops all entries that are too old."""
        await self._images.drop_old()
        if self._contexts_file.exists:
            await self._contexts.drop_old()
        await self._images.empty_log()
        await self._contexts_file.empty_log()

    async def _drop_again_and_again(self) -> None:
        while True:
            await self.drop_old()
            await asyncio.sleep(self._every_s)
