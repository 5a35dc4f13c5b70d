"""Pictures on this machine, `file:` URLs (RFC 8089): for `mner predict` alone, whose input its user wrote.

A worker never comes here: to it, `file:` is a scheme like any other that is not http, and refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from streams.events import ImageResult, Media
from streams.images.decode import Picture, decode_here
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader, seen
from streams.settings import Settings


async def look_anywhere(media: Sequence[Media], loader: ImageLoader, settings: Settings) -> ImageResult:
    """As `ImageLoader.look`, and `file:` URLs are read from the disk. Never raises."""
    photo = next((item for item in media if item.type == "photo"), None)
    if photo is None or not photo.url.lower().startswith("file:"):
        return await loader.look(media)
    try:
        picture = await loader.in_decoder(_read, photo.url, settings)
    except ImageError as error:
        return ImageResult(status="failed", reason=error.reason, url=photo.url)
    return seen(picture)


def _read(url: str, settings: Settings) -> Picture:
    try:
        path = Path(url2pathname(urlsplit(url).path))
    except ValueError as error:
        raise ImageError("bad_url", str(error)) from None
    try:
        if not path.is_file():
            raise ImageError("not_found", f"{path} is no file")
        if path.stat().st_size > settings.image_max_bytes:
            raise ImageError("too_big", f"more than the {settings.image_max_bytes} bytes allowed")
        body = path.read_bytes()
    except OSError as error:
        raise ImageError("unreachable", f"{path}: {error.strerror}") from None
    return decode_here(body, url, settings.image_max_pixels)
