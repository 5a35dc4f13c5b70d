"""Loads the pixels of damaged files: what is there is kept, what is missing is white, as in browsers.

Pillow can load truncated files, but leaves the missing pixels black, or the first colour of a palette.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile

from streams.images.errors import ImageError

WHITE: dict[str, int | tuple[int, ...]] = {
    "1": 255,
    "L": 255,
    "I;16": 65_535,
    "I": 65_535,
    "RGB": (255, 255, 255),
    "CMYK": (0, 0, 0, 0),
    "RGBA": (0, 0, 0, 0),
    "LA": (0, 0),
}
"""Mode to the value of a missing pixel. Transparent pixels become white later."""

_STRIP_ROWS = 64
"""Rows that are looked at together: a multiple of 8, the step of an interlaced image's first pass."""


def load_damaged(image: Image.Image, body: bytes) -> None:
    """Loads what is there. `image` was opened from `body` and is not loaded yet.

    Raises `ImageError` (broken) if nothing is there, and what Pillow raises.

    A JPEG in one pass ends where its bytes end. For a progressive one, Pillow adds the end marker, so that the passes
    that have come are shown.
    """
    blank = fill(image)
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        image._ended = True  # type: ignore[attr-defined]
    if image.format == "GIF" and isinstance(image, ImageFile.ImageFile) and image.tile:
        image.fp = io.BytesIO(_with_last_block_ended(body, image.tile[0].offset))
    with _lenient():
        image.load()
    if image.getextrema() == blank:
        raise ImageError("broken", "the file breaks off before its first pixels")
    if image.format == "GIF" or image.info.get("interlace"):
        _widen(image, blank)


def fill(image: Image.Image) -> object:
    """Fills an image with missing pixels before it is loaded. Returns the extrema of such an image."""
    filled_by_pillow = image.format == "GIF" and "transparency" in image.info
    value = _missing_colour(image) if image.mode == "P" else WHITE[image.mode]
    if not filled_by_pillow:
        image.im = Image.new(image.mode, image.size, value).im
    return Image.new(image.mode, (1, 1), value).getextrema()


def _missing_colour(image: Image.Image) -> int:
    """Returns the number of a transparent colour. Adds one if the palette has room, otherwise takes the lightest."""
    transparency = image.info.get("transparency")
    if isinstance(transparency, int):
        return transparency
    if isinstance(transparency, bytes) and 0 in transparency:
        return transparency.index(0)
    assert image.palette is not None
    mode, colours = image.palette.getdata()
    count = len(colours) // len(mode)
    if count < 256:
        opaque = transparency or b""
        image.info["transparency"] = opaque.ljust(count, b"\xff") + b"\0" if opaque else count
        return count
    return max(range(256), key=lambda number: sum(colours[len(mode) * number : len(mode) * (number + 1)]))


def _with_last_block_ended(body: bytes, at: int) -> bytes:
    """Shortens the block in which a GIF breaks off, as Pillow reads whole blocks only. `at` is the first block."""
    while at < len(body) and body[at]:
        end = at + 1 + body[at]
        if end >= len(body):
            return body[:at] + bytes([len(body) - at - 1]) + body[at + 1 :]
        at = end
    return body


def _widen(image: Image.Image, blank: object) -> None:
    """Fills gaps between the rows and columns of an interlaced image with the pixels beside them, as browsers do.

    Works in strips, so that a large image is not held twice.
    """
    import numpy as np

    if image.mode not in {"L", "P", "RGB", "RGBA", "LA"}:
        return
    colour = np.array(blank).reshape(-1, 2)[:, 0].astype(np.uint8)
    for top in range(0, image.height, _STRIP_ROWS):
        box = (0, top, image.width, min(top + _STRIP_ROWS, image.height))
        strip = image.crop(box)
        pixels = np.asarray(strip).reshape(strip.height, strip.width, -1)
        missing = (pixels == colour).all(axis=-1)
        if missing.all() or not missing.any():
            continue
        pixels = pixels.copy()
        for step in (2, 4, 8):
            beside = pixels[::step, ::step].repeat(step, axis=0).repeat(step, axis=1)
            pixels[missing] = beside[: strip.height, : strip.width][missing]
            missing = (pixels == colour).all(axis=-1)
        strip.frombytes(pixels.tobytes())
        image.paste(strip, box)


@contextmanager
def _lenient() -> Iterator[None]:
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
