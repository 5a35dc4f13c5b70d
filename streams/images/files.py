"""Pictures on this machine, `file:` URLs (RFC 8089): for the command line alone, whose input its user wrote.

A worker never comes here: to it, `file:` is a scheme like any other that is not http, and refused.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from streams.images.decode import Picture
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader
from streams.settings import ImageLimits


async def load_anywhere(url: str, loader: ImageLoader, limits: ImageLimits) -> Picture:
    """As `ImageLoader.load`, and `file:` URLs are read from the disk. Raises `ImageError` and nothing else."""
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
            raise ImageError("not_found", f"{path} is no file")
        if path.stat().st_size > max_bytes:
            raise ImageError("too_big", f"more than the {max_bytes} bytes allowed")
        return path.read_bytes()
    except OSError as error:
        raise ImageError("unreachable", f"{path}: {error.strerror}") from None
