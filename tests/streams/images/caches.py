"""Helpers for the tests of the image cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from streams.images.cache import ImageCache
from streams.images.conditional import Answer, Freshness, Validators
from streams.images.decode import LoadedImage

URL = "http://images.example/a.jpg"
OTHER = "http://elsewhere.example/b.jpg"
VALIDATORS = Validators("http://cdn.example/a.jpg", '"one"', "Sat, 21 Nov 2026 07:00:00 GMT")

Make = Callable[..., ImageCache]
"""The type of the fixture `make`, which opens a cache on the test's file."""


def image_of(body: bytes, url: str = URL) -> LoadedImage:
    return LoadedImage(url, hashlib.sha256(body).hexdigest(), "PNG", 80, 40, "0f" * 32, None)


async def keep(cache: ImageCache, body: bytes, url: str = URL, life: Freshness | None = None) -> LoadedImage:
    image = image_of(body, url)
    await cache.keep(image, Answer(body, VALIDATORS, life or Freshness()))
    return image


def size(path: Path) -> int:
    """Size in bytes."""
    return path.stat().st_size


async def is_fresh(cache: ImageCache, url: str = URL) -> bool:
    cached = (await cache.find(url)).cached
    return cached is not None and cached.fresh
