"""Images of posts for the browser. They come through the guarded fetcher and are encoded again.

So the browser asks no other server, and no byte of a stranger's file reaches it. The small copy that the models see is
also what people see: at most `MAX_SIDE` pixels wide and high.
"""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from PIL import Image

from core.pixels import Pixels
from core.single_flight import SingleFlight
from core.threads import Threads
from streams.images.decode import LoadedImage
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits

THUMBNAIL = 160
"""Longest side, in pixels, of a thumbnail."""

JPEG_QUALITY = 82

MOST_BYTES = 64_000_000
"""Bytes of encoded images in memory."""

KEEP_S = 600.0
"""Time, in seconds, that an encoded image stays in memory, also one whose post is erased meanwhile."""

AT_ONCE = 2
"""Images that are encoded at the same time."""


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file. `body` is None if whoever asks has this version already."""

    etag: str
    body: bytes | None


class EncodedImages:
    """The images that were encoded last, by their ETags: at most `MOST_BYTES`, each for `KEEP_S`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # the oldest first
        self._bytes = 0

    def get(self, etag: str) -> bytes | None:
        self._forget(0)
        return self._kept[etag][1] if etag in self._kept else None

    def put(self, etag: str, body: bytes) -> None:
        if etag not in self._kept and len(body) <= MOST_BYTES:
            self._forget(len(body))
            self._kept[etag] = self._clock() + KEEP_S, body
            self._bytes += len(body)

    def _forget(self, room: int) -> None:
        """Forgets images that are too old, and makes room, in bytes."""
        while self._kept:
            until, body = next(iter(self._kept.values()))
            if until > self._clock() and self._bytes + room <= MOST_BYTES:
                return
            self._kept.popitem(last=False)
            self._bytes -= len(body)


class Images:
    """An async context manager. Its processes that decode images start with the first image."""

    def __init__(self, limits: ImageLimits, home: Path) -> None:
        self._loader = ImageLoader(limits, home=home)
        self._threads, self._encoded = Threads("jpeg", AT_ONCE), EncodedImages()
        self._encodings = SingleFlight[bytes]()

    async def __aenter__(self) -> Self:
        await self._loader.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._encodings.close()
        await self._loader.__aexit__(kind, error, trace)

    async def jpeg(self, url: str, *, thumbnail: bool = False, known: str = "") -> Jpeg:
        """Returns the image at `url` as a JPEG file. Raises `ImageError` with the reason for a refusal.

        `known`: the header `If-None-Match`, with the versions that whoever asks has.
        """
        image = await self._loader.load(url)
        etag = f'"{image.sha256}-{THUMBNAIL if thumbnail else "full"}-{JPEG_QUALITY}"'
        if etag in {version.strip().removeprefix("W/") for version in known.split(",")}:
            return Jpeg(etag, None)
        body = self._encoded.get(etag)
        if body is None:
            body = await self._encodings.do(etag, lambda: self._encode(image, etag, thumbnail))
        return Jpeg(etag, body)

    async def _encode(self, image: LoadedImage, etag: str, thumbnail: bool) -> bytes:
        body = await self._threads.run(_encode, await self._loader.pixels(image), thumbnail)
        self._encoded.put(etag, body)
        return body


def _encode(pixels: Pixels, thumbnail: bool) -> bytes:
    image = pixels.image()
    if thumbnail:
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
