"""Images for the pipeline: many at once, each within its deadline, each failure with a reason.

check the URL ─► single flight ─► cache ─► fetch ─► known by content? ─► decode ─► cache
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from core.events import ImageResult, Media
from core.pixels import Pixels
from core.single_flight import SingleFlight
from streams import metrics
from streams.images.address import Gate
from streams.images.cache import ImageCache, Kept
from streams.images.cache_policy import of_server
from streams.images.decode import Picture
from streams.images.decoder import Decoders, sha256_of
from streams.images.errors import ImageError
from streams.images.fetch import Answer, Fetcher, Slot, Validators
from streams.images.hosts import busy
from streams.images.resolve import LookUp, SystemLookUp
from streams.settings import ImageLimits


class ImageLoader:
    """Fetches, decodes and remembers. An async context; one serves a whole worker.

    `look_up` replaces the machine's resolver, `clock` (unix seconds) the cache's time, both in tests.
    """

    def __init__(
        self,
        limits: ImageLimits,
        look_up: LookUp | None = None,
        clock: Callable[[], float] = time.time,
        *,
        home: Path | None = None,
    ) -> None:
        self._limits = limits
        self._gate = Gate.of(limits)
        self._fetcher = Fetcher(limits, look_up or SystemLookUp(limits.workers))
        self._decoders = Decoders(
            limits.decoders,
            max_pixels=limits.max_pixels,
            memory_mb=limits.memory_mb,
            timeout_s=limits.decode_s,
            wait_s=limits.wait_s,
        )
        self._cache = ImageCache(limits, home, clock)
        self._flights = SingleFlight[Picture]()
        self._contents = SingleFlight[Picture]()
        self._copies = asyncio.Semaphore(2 * self._decoders.count)  # bounds the bodies that wait for a decoder

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._cache.close)
            await stack.enter_async_context(self._decoders)
            await stack.enter_async_context(self._fetcher)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def look(self, media: Sequence[Media]) -> tuple[ImageResult, Picture | None]:
        """What became of a tweet's first photo, and the photo. Never raises."""
        return await looked_at(media, self.load)

    async def load(self, url: str) -> Picture:
        """The picture at `url`; its pixels are not at hand when it is in the cache (see `pixels`).

        Raises `ImageError` and nothing else; cancellation goes through. What many ask for at once is done once.
        """
        async with self._reasons():
            self._gate.check_url(url)
            if url in self._flights:
                metrics.CACHE.labels("shared").inc()
            return await self._flights.do(url, lambda: self._find(url))

    async def pixels(self, picture: Picture) -> Pixels:
        """The picture's own, or decoded from what the cache has of it. Raises `ImageError`.

        Where the cache has lost it meanwhile it is fetched again, and refused if another one stands there now.
        """
        if picture.pixels is not None:
            return picture.pixels
        async with self._copies:
            return await self._copy(picture)

    async def _copy(self, picture: Picture) -> Pixels:
        body = await self._cache.body(picture.sha256)
        if body is None:
            again = await self.load(picture.url)
            if again.sha256 != picture.sha256:
                raise ImageError("not_found", "another picture stands there now")
            if again.pixels is not None:
                return again.pixels
            body = await self._cache.body(again.sha256)
        if body is None:
            raise ImageError("internal", "the cache lost the picture twice")
        decoded = await self.decode(body, picture.url)
        assert decoded.pixels is not None, "they were asked for"
        return decoded.pixels

    async def decode(self, body: bytes, url: str) -> Picture:
        """With its pixels. Waits for a decoder, which has a limit of its own. Raises `ImageError` and nothing else."""
        async with self._reasons():
            return await self._decoders.decode(body, url)

    async def _find(self, url: str) -> Picture:
        """From the cache, or fetched. What the server says now counts, unless it fails to say anything."""
        found = await self._cache.find(url)
        kept, refusal = found.kept, found.refusal
        if kept and kept.fresh:
            metrics.CACHE.labels("hit").inc()
            return kept.picture
        if refusal is None:
            try:
                return await self._fetch(url, kept)
            except ImageError as error:
                await self._cache.refuse(url, error)
                refusal = error
        if kept and kept.stands_in and of_server(refusal):
            metrics.CACHE.labels("stale").inc()
            return kept.picture
        if found.refusal:
            metrics.CACHE.labels("negative").inc()
        raise refusal

    async def _fetch(self, url: str, kept: Kept | None) -> Picture:
        """The deadline of `ImageLimits.timeout_s` starts when a slot is free. It covers look-up, redirects, retries and
        the body.

        Not decoding: it has a limit of its own, which starts when a decoder is free. The host keeps its slot meanwhile,
        so that the files of one host do not hold all decoders.
        """
        async with self._reasons(), self._fetcher.slot(url) as slot:
            answer = await self._get(url, kept.validators if kept else None, slot)
            if answer.body is None:
                assert kept is not None, "the fetcher refuses an HTTP 304 that nobody asked for"
                metrics.CACHE.labels("revalidated").inc()
                await self._cache.renew(kept, answer)
                return kept.picture
            picture = await self._read(answer.body, url, kept=self._cache.keeps(answer))
            slot.leave_host()
            metrics.CACHE.labels("miss").inc()
            if await self._cache.keep(picture, answer) or picture.pixels:
                return picture
            return await self._decoders.decode(answer.body, url)

    async def _get(self, url: str, known: Validators | None, slot: Slot) -> Answer:
        try:
            async with asyncio.timeout(self._limits.timeout_s) as deadline:
                return await self._fetcher.get(url, known, slot=slot, until=deadline.when())
        except TimeoutError:
            if slot.waiting:
                raise busy(self._limits.timeout_s) from None
            raise

    async def _read(self, body: bytes, url: str, kept: bool) -> Picture:
        sha256 = await sha256_of(body)
        known = await self._cache.known(sha256, url)
        if known is None:
            return replace(await self._contents.do(sha256, lambda: self._decode(body, url, sha256, kept)), url=url)
        limit = self._limits.max_pixels
        if known.width * known.height > limit:
            raise ImageError("bomb", f"{known.width} x {known.height} pixels, {limit} allowed")
        return known

    async def _decode(self, body: bytes, url: str, sha256: str, kept: bool) -> Picture:
        """Of what will be kept the small copy can be had later. What decoding refuses is written down also when nobody
        waits for it any more."""
        return await self._decoders.decode(
            body,
            url,
            small=not kept,
            sha256=sha256,
            refused=lambda error: self._cache.refuse_content(sha256, error),
        )

    @asynccontextmanager
    async def _reasons(self) -> AsyncIterator[None]:
        """Every exception becomes an `ImageError`."""
        try:
            yield
        except ImageError:
            raise
        except TimeoutError:
            raise ImageError("timeout", f"not done within {self._limits.timeout_s:g} s") from None
        except Exception as error:  # the contract: a tweet is never lost over its picture
            raise ImageError("internal", f"{type(error).__name__}: {error}") from error


async def looked_at(
    media: Sequence[Media], load: Callable[[str], Awaitable[Picture]]
) -> tuple[ImageResult, Picture | None]:
    """What became of a tweet's first photo, and the photo: counted, never raised."""
    photo = next((item for item in media if item.type == "photo"), None)
    if photo is None:
        metrics.IMAGES.labels("none", "").inc()
        return ImageResult(), None
    started = time.monotonic()
    try:
        picture = await load(photo.url)
    except ImageError as error:
        metrics.IMAGES.labels("failed", error.kind).inc()
        return ImageResult(status="failed", reason=error.reason, url=photo.url), None
    finally:
        metrics.IMAGE_SECONDS.observe(time.monotonic() - started)
    metrics.IMAGES.labels("ok", "").inc()
    width, height = picture.width, picture.height
    return ImageResult(status="ok", url=picture.url, width=width, height=height, format=picture.format), picture
