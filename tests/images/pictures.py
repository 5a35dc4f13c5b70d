"""Pictures to feed the decoder with."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from streams.images.decode import Decoded


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def half_and_half(mode: str = "RGB", size: tuple[int, int] = (80, 40)) -> Image.Image:
    """Red on the left, blue on the right, so that turning and colours can be checked."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, size[0], size[1]))
    return image.convert(mode)


def noise(size: tuple[int, int] = (300, 200)) -> Image.Image:
    """A picture that does not compress, so that cutting its file hurts the pixels."""
    return Image.effect_noise(size, 80).convert("RGB")


def small(found: Decoded) -> Image.Image:
    return Image.frombytes("RGB", found.small, found.rgb)
