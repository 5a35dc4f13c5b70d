"""The image formats that are read, and their media types. Imports nothing heavy: the decoding process needs it too."""

from __future__ import annotations

from typing import Literal, get_args

ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF"]
"""Names as Pillow writes them."""

FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)

MEDIA_TYPES = {name: f"image/{name.lower()}" for name in FORMATS}
