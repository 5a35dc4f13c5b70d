"""May two pictures whose perceptual hashes are near pass for one? To the hash a red field is a blue one.

It sees no colours, and where there is nothing to see it is chance (docs/vision.md, "Near-duplicates").
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from core.pixels import Pixels

GRID = 4
"""Average colours across and down."""

APART = 32
"""Of 255, in any average of red, green or blue: copies a tenth brighter differ in 26, flags in 60 and more."""

CELLS, STEP, DETAIL = 16, 8, 0.2
"""Of 16 x 16 cells, a fifth of the neighbours differ by more than 8 of 255: three quarters do in most photos, an eighth
in a flag of three stripes, hardly any on a sheet with a word on it."""


def colours(pixels: Pixels) -> bytes | None:
    """GRID x GRID averages of red, green, blue. None: plain, with too little in it to be told by a hash."""
    small = pixels.image().resize((CELLS, CELLS), Image.Resampling.BOX)
    cells = np.asarray(small).astype(np.int16)  # (16, 16, 3), rows first
    steps = [np.abs(np.diff(cells, axis=axis)).max(-1) > STEP for axis in (0, 1)]
    if np.mean(steps[0]) + np.mean(steps[1]) < 2 * DETAIL:
        return None
    side = CELLS // GRID
    averages = cells.reshape(GRID, side, GRID, side, 3).mean((1, 3)).round()
    return bytes(averages.astype(np.uint8))


def alike(one: bytes, two: bytes) -> bool:
    """Of what `colours` gave."""
    if len(one) != len(two):
        return False
    apart = np.frombuffer(one, np.uint8).astype(np.int16) - np.frombuffer(two, np.uint8)
    return bool(np.abs(apart).max(initial=0) <= APART)
