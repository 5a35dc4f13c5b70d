"""Images for the pipeline: many at once, each within its deadline, each failure with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from streams import metrics
from streams.events import ImageResult, Media
from streams.images.decode import Picture, decode_here
from streams.images.errors import ImageError
from streams.images.fetch import Fetcher, Slot
from streams.images.resolve import LookUp, system_look_up
from streams.settings import Settings

DECODERS = 2
"""Threads that decode at once at most: each may hold a picture of `image_max_pixels` unpacked."""

T = TypeVar("T")


class ImageLoader:
    """Fetches and decodes, `image_workers` at once at most. An async context; one serves a whole worker.

    `look_up` replaces the machine's resolver in tests.
    """

    def __init__(self, settings: Settings, look_up: LookUp | None = None) -> None:
        self._settings = settings
        self._names = ThreadPoolExecutor(settings.image_workers, "image-names")
        self._decoders = ThreadPoolExecutor(DECODERS, "image-decode")
        self._fetcher = Fetcher(settings, look_up or system_look_up(self._names))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for threads in (self._names, self._decoders):
                # not waited for: a thread may be held by a slow name server, and a look-up's result is no loss
                stack.callback(threads.shutdown, wait=False, cancel_futures=True)
            await stack.enter_async_context(self._fetcher)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def load(self, url: str) -> Picture:
        """The picture at `url`. Raises `ImageError` and nothing else; cancellation goes through.

        The deadline of `image_timeout_s` starts when a slot is free and covers look-up, redirects, body and decoding.
        """
        limit = self._settings.image_timeout_s
        try:
            async with self._fetcher.slot(url) as slot, asyncio.timeout(limit) as deadline:
                return await self._load(url, slot, deadline.when())
        except ImageError:
            raise
        except TimeoutError:
            raise ImageError("timeout", f"not done within {limit:g} s") from None
        except Exception as error:  # the contract: a tweet is never lost over its picture
            raise ImageError("internal", f"{type(error).__name__}: {error}") from error

    async def _load(self, url: str, slot: Slot, until: float | None) -> Picture:
        answer = await self._fetcher.get(url, slot=slot, until=until)
        assert answer.body is not None  # nothing was asked conditionally
        return await self.in_decoder(decode_here, answer.body, url, self._settings.image_max_pixels)

    async def in_decoder(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls what decodes, in one of the few threads that may."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, function, *arguments)

    async def look(self, media: Sequence[Media]) -> ImageResult:
        """What became of a tweet's first photo. Never raises."""
        photo = next((item for item in media if item.type == "photo"), None)
        if photo is None:
            return ImageResult()
        try:
            picture = await self.load(photo.url)
        except ImageError as error:
            metrics.IMAGES.labels("failed", error.kind).inc()
            return ImageResult(status="failed", reason=error.reason, url=photo.url)
        metrics.IMAGES.labels("ok", "").inc()
        return seen(picture)


def seen(picture: Picture) -> ImageResult:
    """The result that says what was seen."""
    return ImageResult(status="ok", url=picture.url, width=picture.width, height=picture.height, format=picture.format)
