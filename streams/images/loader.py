"""Loads images for the pipeline: many at a time, each within its deadline. Each failure has a reason.

check the URL ─► single flight ─► cache ─► fetch ─► decoded before? ─► decode ─► cache
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
from streams.images.address import UrlPolicy
from streams.images.cache import CachedImage, ImageCache
from streams.images.cache_policy import is_server_failure
from streams.images.conditional import Answer, Validators
from streams.images.decode import LoadedImage
from streams.images.decoder import Decoders, sha256_of
from streams.images.errors import ImageError
from streams.images.fetch import Fetcher
from streams.images.hosts import DEFAULT_POLICY, Clock, FailurePolicy, Slot, busy
from streams.images.resolve import LookUp, SystemLookUp
from streams.settings import ImageLimits


class ImageLoader:
    """Fetches, decodes and caches images. An async context manager; one instance serves a whole worker.

    The cache is in the folder `home`; without one, nothing is cached. Tests replace `look_up`, the machine's resolver,
    `clock`, which gives the cache Unix time, and `monotonic`, which must agree with the event loop's clock.
    """

    def __init__(
        self,
        limits: ImageLimits,
        look_up: LookUp | None = None,
        clock: Callable[[], float] = time.time,
        *,
        home: Path | None = None,
        failures: FailurePolicy = DEFAULT_POLICY,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._limits = limits
        self._policy = UrlPolicy.of(limits)
        self.fetcher = Fetcher(limits, look_up or SystemLookUp(limits.workers), failures=failures, clock=monotonic)
        self.decoders = Decoders(
            limits.decoders,
            max_pixels=limits.max_pixels,
            memory_mb=limits.memory_mb,
            timeout_s=limits.decode_s,
            wait_s=failures.wait_s,
        )
        self._cache = ImageCache(limits, home, clock)
        self._loads = SingleFlight[LoadedImage]()
        self._decodings = SingleFlight[LoadedImage]()
        self._copying = asyncio.Semaphore(2 * self.decoders.count)  # limits the files that wait for a decoder

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._cache.close)
            await stack.enter_async_context(self.decoders)
            await stack.enter_async_context(self.fetcher)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def load_first_photo(self, media: Sequence[Media]) -> tuple[ImageResult, LoadedImage | None]:
        """Loads a post's first photo. Returns the outcome, and the image if there is one. Never raises."""
        return await load_first_photo(media, self.load)

    async def load(self, url: str) -> LoadedImage:
        """Returns the image at `url`. It has no pixels if its file is in the cache (see `pixels`).

        Callers who ask for one URL at the same time share one fetch. Raises only `ImageError`, and lets a cancellation
        through.
        """
        async with self._image_errors():
            self._policy.check_url(url)
            if url in self._loads:
                metrics.CACHE.labels("shared").inc()
            return await self._loads.do(url, lambda: self._find_or_fetch(url))

    async def pixels(self, image: LoadedImage) -> Pixels:
        """Returns the image's pixels. Decodes them from the cached file if necessary.

        If the file is no longer cached, it is fetched again. Raises `ImageError`, also if the URL now serves another
        file.
        """
        if image.pixels is not None:
            return image.pixels
        async with self._copying:
            return await self._copy(image)

    async def _copy(self, image: LoadedImage) -> Pixels:
        body = await self._cache.body(image.sha256)
        if body is None:
            again = await self.load(image.url)
            if again.sha256 != image.sha256:
                raise ImageError("not_found", "the URL now serves another image")
            if again.pixels is not None:
                return again.pixels
            body = await self._cache.body(again.sha256)
        if body is None:
            raise ImageError("internal", "the cache lost the image twice")
        decoded = await self.decode(body, image.url)
        assert decoded.pixels is not None, "decode returns pixels by default"
        return decoded.pixels

    async def decode(self, body: bytes, url: str) -> LoadedImage:
        """Returns the image in a file, with pixels. Waits a limited time for a decoder. Raises only `ImageError`."""
        async with self._image_errors():
            return await self.decoders.decode(body, url)

    async def _find_or_fetch(self, url: str) -> LoadedImage:
        """Returns the cached image while it is fresh, otherwise the server's image.

        Replaces the cached entry by the server's answer, unless the server fails.
        """
        lookup = await self._cache.find(url)
        cached, refusal = lookup.cached, lookup.refusal
        if cached and cached.fresh:
            metrics.CACHE.labels("hit").inc()
            return cached.image
        if refusal is None:
            try:
                return await self._fetch(url, cached)
            except ImageError as error:
                await self._cache.refuse(url, error)
                refusal = error
        if cached and cached.usable_when_stale and is_server_failure(refusal):
            metrics.CACHE.labels("stale").inc()
            return cached.image
        if lookup.refusal:
            metrics.CACHE.labels("negative").inc()
        raise refusal

    async def _fetch(self, url: str, cached: CachedImage | None) -> LoadedImage:
        """Fetches and decodes an image, or confirms the cached one.

        The deadline `timeout_s` starts when a slot is free. It covers look-up, redirects, retries and body. Decoding
        has its own limit, which starts when a decoder is free. The slot of the host is held until the image is decoded,
        so that the files of one host do not occupy all decoders.
        """
        async with self._image_errors(), self.fetcher.slot(url) as slot:
            answer = await self._get(url, cached.validators if cached else None, slot)
            if answer.body is None:
                assert cached is not None, "the fetcher refuses an HTTP 304 without a condition"
                metrics.CACHE.labels("revalidated").inc()
                await self._cache.renew(cached, answer)
                return cached.image
            image = await self._read(answer.body, url, will_keep=self._cache.will_keep(answer))
            slot.leave_host()
            metrics.CACHE.labels("miss").inc()
            if await self._cache.keep(image, answer) or image.pixels:
                return image
            return await self.decoders.decode(answer.body, url)

    async def _get(self, url: str, validators: Validators | None, slot: Slot) -> Answer:
        try:
            async with asyncio.timeout(self._limits.timeout_s) as timeout:
                return await self.fetcher.get(url, validators, slot=slot, deadline=timeout.when())
        except TimeoutError:
            if slot.waiting:
                raise busy(self._limits.timeout_s) from None
            raise

    async def _read(self, body: bytes, url: str, will_keep: bool) -> LoadedImage:
        sha256 = await sha256_of(body)
        image = await self._cache.find_decoded(sha256, url)
        if image is None:
            image = await self._decodings.do(sha256, lambda: self._decode(body, url, sha256, will_keep))
            return replace(image, url=url)
        limit = self._limits.max_pixels
        if image.width * image.height > limit:
            raise ImageError("bomb", f"{image.width} x {image.height} pixels; {limit} are allowed")
        return image

    async def _decode(self, body: bytes, url: str, sha256: str, will_keep: bool) -> LoadedImage:
        """Leaves out the small copy if the file will be cached, because the copy can then be made later.

        A refusal is remembered even if nobody waits for the result any more.
        """
        return await self.decoders.decode(
            body,
            url,
            small=not will_keep,
            sha256=sha256,
            refused=lambda error: self._cache.refuse_content(sha256, error),
        )

    @asynccontextmanager
    async def _image_errors(self) -> AsyncIterator[None]:
        """Turns every exception into an `ImageError`."""
        try:
            yield
        except ImageError:
            raise
        except TimeoutError:
            raise ImageError("timeout", f"not fetched within {self._limits.timeout_s:g} s") from None
        except Exception as error:  # the contract: a post is never lost because of its image
            raise ImageError("internal", f"{type(error).__name__}: {error}") from error


async def load_first_photo(
    media: Sequence[Media], load: Callable[[str], Awaitable[LoadedImage]]
) -> tuple[ImageResult, LoadedImage | None]:
    """Loads a post's first photo with `load`, and counts the outcome. Returns the outcome and the image, or None."""
    photo = next((item for item in media if item.is_photo), None)
    if photo is None:
        metrics.IMAGES.labels("none", "").inc()
        return ImageResult(), None
    started = time.monotonic()
    try:
        image = await load(photo.url)
    except ImageError as error:
        metrics.IMAGES.labels("failed", error.kind).inc()
        return ImageResult(status="failed", reason=error.reason, url=photo.url), None
    finally:
        metrics.IMAGE_SECONDS.observe(time.monotonic() - started)
    metrics.IMAGES.labels("ok", "").inc()
    result = ImageResult(
        status="ok",
        url=image.url,
        width=image.width,
        height=image.height,
        format=image.format,
        phash=image.phash,
    )
    return result, image
