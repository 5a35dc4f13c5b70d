"""JPEG files that cost what a tweet's photograph costs to send and to decode, without anybody's photograph.

Twitter's files (21 JPEGs of the tweets of 2015 and 2017 that the tests use) have quality 85, colour at half resolution,
1.3 bits a pixel in the median, and 19 of 21 are progressive. At 64 KB that is 0.41 million pixels.
Noise whose amplitude falls with frequency, as in natural scenes (Field 1987, doi:10.1364/JOSAA.4.002379).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Kind = Literal["baseline", "progressive"]

BYTES = 65_536
TOLERANCE = 0.05
QUALITY = 85
SHAPES = ((640, 640), (740, 555), (555, 740))
"""Width and height, by turns: two thirds of them have to shrink to 640, of the real ones 9 in 21."""

SLOPE = 1.5
"""Of amplitude over frequency. Steeper than a photograph's 1: without edges, 1 gives three times the bytes."""

CONTRAST, COLOUR = 45.0, 0.36
"""Standard deviation of the brightness that is tried first, and of the colour relative to it."""

FIELD = 2048
"""Pixels a side of the noise that pictures are cut from."""

Field = npt.NDArray[np.float32]


def photographs(count: int, kind: Kind, seed: int = 20261121) -> Iterator[bytes]:
    """Different files of `BYTES` within `TOLERANCE`. The same seed gives the same pictures."""
    random = np.random.default_rng(seed)
    fields = [_field(random) for _ in range(3)]
    for number in range(count):
        width, height = SHAPES[number % len(SHAPES)]
        left, top = int(random.integers(FIELD - width)), int(random.integers(FIELD - height))
        yield _fitted([_normal(field[top : top + height, left : left + width]) for field in fields], kind)


def _field(random: np.random.Generator) -> Field:
    frequency = np.hypot(np.fft.fftfreq(FIELD)[:, None], np.fft.rfftfreq(FIELD)[None])
    frequency[0, 0] = np.inf
    waves = random.standard_normal(frequency.shape) + 1j * random.standard_normal(frequency.shape)
    return np.fft.irfft2(waves / frequency**SLOPE, (FIELD, FIELD)).astype(np.float32)


def _normal(window: Field) -> Field:
    normal: Field = (window - window.mean()) / window.std()
    return normal


def _fitted(channels: list[Field], kind: Kind) -> bytes:
    """The contrast decides how many bytes it takes: about its square root."""
    contrast = CONTRAST
    for _ in range(20):
        file = _encoded(channels, contrast, kind)
        if abs(len(file) / BYTES - 1) < TOLERANCE:
            return file
        contrast *= (BYTES / len(file)) ** 1.7
    raise ValueError(f"no contrast gives {BYTES} bytes; the last gave {len(file)}")


def _encoded(channels: list[Field], contrast: float, kind: Kind) -> bytes:
    scales = (contrast, COLOUR * contrast, COLOUR * contrast)
    planes = [
        Image.fromarray(np.clip(128 + scale * channel, 0, 255).astype(np.uint8))
        for scale, channel in zip(scales, channels, strict=True)
    ]
    file = io.BytesIO()
    picture = Image.merge("YCbCr", planes)
    picture.save(file, "JPEG", quality=QUALITY, subsampling="4:2:0", progressive=kind == "progressive")
    return file.getvalue()
