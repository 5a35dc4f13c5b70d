"""Decides whether two images with similar perceptual hashes show the same thing.

The hash alone is not enough. It ignores colours, so a red field has the hash of a blue one. In an image without detail
it is mostly chance (docs/research/near-duplicates.md).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from core.pixels import Pixels

GRID = 4
"""Average colours are taken over a grid of 4 x 4 fields."""

MAX_DIFFERENCE = 32
"""Largest difference, of 255, between two averages of red, green or blue. Copies that are a tenth brighter differ by
26, different flags by 60 and more."""

CELLS = 16
"""Detail is measured between neighbouring cells of a grid of 16 x 16."""

MIN_STEP = 8
"""Two neighbours differ if a colour differs by more than this, of 255."""

MIN_DETAIL = 0.2
"""Share of neighbours that must differ. Three quarters differ in most photos, an eighth in a flag of three stripes,
hardly any on a sheet with one word."""


def colours(pixels: Pixels) -> bytes | None:
    """Returns GRID x GRID averages of red, green and blue. None if the image has too little detail for its hash."""
    small = pixels.image().resize((CELLS, CELLS), Image.Resampling.BOX)
    cells = np.asarray(small).astype(np.int16)  # (16, 16, 3), rows first
    steps = [np.abs(np.diff(cells, axis=axis)).max(-1) > MIN_STEP for axis in (0, 1)]
    if np.mean(steps[0]) + np.mean(steps[1]) < 2 * MIN_DETAIL:
        return None
    side = CELLS // GRID
    averages = cells.reshape(GRID, side, GRID, side, 3).mean((1, 3)).round()
    return bytes(averages.astype(np.uint8))


def alike(first: bytes, second: bytes) -> bool:
    """Returns whether two results of `colours` differ by at most `MAX_DIFFERENCE`."""
    if len(first) != len(second):
        return False
    differences = np.frombuffer(first, np.uint8).astype(np.int16) - np.frombuffer(second, np.uint8)
    return bool(np.abs(differences).max(initial=0) <= MAX_DIFFERENCE)
