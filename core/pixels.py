"""A decoded image: its size and its RGB bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from PIL import Image


@dataclass(frozen=True, slots=True)
class Pixels:
    """A small upright image. `rgb` holds its rows from top to bottom, 3 bytes (red, green, blue) per pixel."""

    width: int
    height: int
    rgb: bytes

    @classmethod
    def of(cls, image: Image.Image) -> Self:
        return cls(image.width, image.height, image.convert("RGB").tobytes())

    def image(self) -> Image.Image:
        return Image.frombytes("RGB", (self.width, self.height), self.rgb)
