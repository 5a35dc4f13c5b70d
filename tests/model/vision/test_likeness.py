"""Images with similar perceptual hashes, and which of them show the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from model.vision.likeness import alike, colours
from tests.model.vision.sample_images import pixels, written

PLAIN = {
    "red": Image.new("RGB", (640, 640), "red"),
    "white": Image.new("RGB", (640, 640), "white"),
    "one pixel": Image.new("RGB", (1, 1), "red"),
    "a line": Image.new("RGB", (640, 1), "red"),
    "a word": written((200, 200, "2 : 1")),
}


def stripes(*shades: str) -> Image.Image:
    flag = Image.new("RGB", (3, 1))
    for place, shade in enumerate(shades):
        flag.paste(shade, (place, 0, place + 1, 1))
    return flag.resize((600, 400), Image.Resampling.NEAREST)


FLAGS = {
    "France": stripes("#0055A4", "white", "#EF4135"),
    "Ireland": stripes("#169B62", "white", "#FF883E"),
    "Italy": stripes("#008C45", "white", "#CD212A"),
}


def photo(shade: Sequence[float] = (1, 1, 1), size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Soft blobs of many sizes, as in a landscape."""
    blobs = np.random.default_rng(3).uniform(20, 235, (12, 16, 3)) * shade
    return Image.fromarray(blobs.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("image", [pytest.param(each, id=name) for name, each in (PLAIN | FLAGS).items()])
def test_images_without_detail_have_no_colours(image: Image.Image) -> None:
    assert colours(pixels(image)) is None


def of(image: Image.Image) -> bytes:
    found = colours(pixels(image))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(photo(size=(200, 150)), id="smaller"),
        pytest.param(ImageEnhance.Brightness(photo()).enhance(1.1), id="brighter"),
        pytest.param(photo().crop((5, 4, 474, 355)), id="cropped by 1%"),
        pytest.param(photo().quantize(64).convert("RGB"), id="of few colours"),
    ],
)
def test_copies_are_alike(copy: Image.Image) -> None:
    assert alike(of(photo()), of(copy))


def test_images_that_differ_only_in_colour_are_not_alike() -> None:
    shades = [(1, 1, 1), (1, 0.6, 1), (0.6, 1, 1), (0.7, 0.7, 0.7)]
    for first, second in combinations(shades, 2):
        assert not alike(of(photo(first)), of(photo(second)))


def test_damaged_colours_are_not_alike() -> None:
    assert not alike(of(photo()), b"")
