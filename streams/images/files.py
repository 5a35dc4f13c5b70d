"""Reads images on this machine from `file:` URLs (RFC 8089).

Only commands use this, for input that their user wrote. A worker refuses `file:` like any scheme other than http.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from streams.images.decode import LoadedImage
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits


async def load_url_or_file(url: str, loader: ImageLoader, limits: ImageLimits) -> LoadedImage:
    """Like `ImageLoader.load`, but reads `file:` URLs too. Raises only `ImageError`."""
    if not url.lower().startswith("file:"):
        return await loader.load(url)
    return await loader.decode(await asyncio.to_thread(_read, url, limits.max_bytes), url)


def _read(url: str, max_bytes: int) -> bytes:
    try:
        path = Path(url2pathname(urlsplit(url).path))
    except ValueError as error:
        raise ImageError("bad_url", str(error)) from None
    try:
        if not path.is_file():
            raise ImageError("not_found", f"there is no file {path}")
        if path.stat().st_size > max_bytes:
            raise ImageError("too_big", f"more than the {max_bytes} bytes allowed")
        return path.read_bytes()
    except OSError as error:
        raise ImageError("unreachable", f"{path}: {error.strerror}") from None
