"""Generated images whose text is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from core.pixels import Pixels
from model.vision.values import CHANNELS, Channel, Request

SIZE = (640, 400)


def written(*lines: tuple[int, int, str], size: tuple[int, int] = SIZE, points: float = 32) -> Image.Image:
    """Returns an image with black text on white. Each line is its left, its top and its words."""
    image = Image.new("RGB", size, "white")
    font = ImageFont.load_default(points)
    for left, top, words in lines:
        ImageDraw.Draw(image).text((left, top), words, "black", font)
    return image


def noise(size: tuple[int, int] = SIZE) -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(values)


def pixels(image: Image.Image) -> Pixels:
    return Pixels(*image.size, image.convert("RGB").tobytes())


def request(image: Image.Image, channels: Sequence[Channel] = CHANNELS) -> Request:
    return Request(pixels(image), tuple(channels))


def real(data_sets: Path, name: str) -> Image.Image:
    """Returns the image of a real post, as the decoder returns it: upright, at most 640 pixels a side."""
    with Image.open(data_sets / "images" / f"{name}.jpg") as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    image.thumbnail((640, 640), Image.Resampling.BICUBIC)
    return image
