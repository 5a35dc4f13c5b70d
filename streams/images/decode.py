"""Bytes to a small RGB picture, by Pillow. Blocking: called in a thread. The sender's word on the type is not asked."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from streams.images.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MAX_SIDE = 640
"""Pixels: no side of the small picture is longer. At most 640 x 640 x 3 = 1.2 MB each."""

GAP = 2
"""Averaging shrinks to no less than so many times the final size, a better filter does the rest."""

STRIP_ROWS = 64
"""Rows of the shrunk picture that are made at once."""

# a stranger's damaged file must not write on the worker's terminal; what matters about it is raised
warnings.filterwarnings("ignore", module=r"PIL\.")

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (EXIF 2.32, table 6) -> what puts the picture upright."""


@dataclass(frozen=True)
class Picture:
    """An image as the model may read it: upright, RGB, on white where it was transparent.

    `sha256` is of the file. `width` and `height` are the file's, in pixels, upright. `rgb` is the small copy,
    `small` = (width, height) of it, rows from the top, 3 bytes a pixel.
    """

    url: str
    sha256: str
    format: str
    width: int
    height: int
    small: tuple[int, int]
    rgb: bytes

    def image(self) -> Image.Image:
        """The small copy for Pillow."""
        return Image.frombytes("RGB", self.small, self.rgb)


def decode(body: bytes, url: str, max_pixels: int) -> Picture:
    """Of an animation the first frame. Raises `ImageError`: not_an_image, bomb or broken, and nothing else."""
    try:
        with _identify(body) as image:
            pixels = image.width * image.height
            if pixels > max_pixels:
                raise ImageError("bomb", f"{image.width} x {image.height} pixels, {max_pixels} allowed")
            name = "JPEG" if image.format == "MPO" else str(image.format)  # a phone's JPEG with a second picture in it
            turn = _orientation(image)
            width, height = image.size if turn < 5 else image.size[::-1]
            small = _small(image, turn)
    except ImageError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, which its header readers hold: 179 million
        raise ImageError("bomb", f"far more than the {max_pixels} pixels allowed") from None
    except Exception as error:  # Pillow's decoders let out whatever a damaged file provokes, from struct.error on
        raise ImageError("broken", f"{type(error).__name__}: {error}") from error
    return Picture(url, hashlib.sha256(body).hexdigest(), name, width, height, small.size, small.tobytes())


def _identify(body: bytes) -> Image.Image:
    """Reads the header alone."""
    try:
        return Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError("not_an_image", f"none of {', '.join(FORMATS)}; it starts with {body[:12]!r}") from None


def _orientation(image: Image.Image) -> int:
    """1 to 8. Damaged EXIF is no reason to lose the picture."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # as in `decode`: anything can come out of a damaged block
        return 1
    return value if value in _UPRIGHT else 1


def _small(image: Image.Image, turn: int) -> Image.Image:
    """Shrunk as early as possible: a JPEG is decoded at an eighth of its size where that is enough."""
    scale = min(1.0, MAX_SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image.draft(None, (GAP * size[0], GAP * size[1]))
    small = _reduced(image, size).resize(size, Image.Resampling.BICUBIC)
    if small.mode == "RGBA":
        paper = Image.new("RGBA", size, "white")
        small = Image.alpha_composite(paper, small)
    if turn in _UPRIGHT:
        small = small.transpose(_UPRIGHT[turn])
    return small.convert("RGB")


def _reduced(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A whole number of times smaller, at least `GAP` times `size`, in a mode that can be resized.

    Strip by strip: converting the whole at once would hold several copies of it, at 4 bytes a pixel and more.
    """
    across, down = (max(1, side // (GAP * wanted)) for side, wanted in zip(image.size, size, strict=True))
    result: Image.Image | None = None
    for top in range(0, image.height, down * STRIP_ROWS):
        bottom = min(image.height, top + down * STRIP_ROWS)
        strip = _plain(image.crop((0, top, image.width, bottom))).reduce((across, down))
        if result is None:
            result = Image.new(strip.mode, (strip.width, -(-image.height // down)))
        result.paste(strip, (0, top // down))
    assert result is not None
    return result


def _plain(image: Image.Image) -> Image.Image:
    """In a mode whose values can be averaged."""
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion would clip instead of scaling
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in ("1", "P") or image.has_transparency_data:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image
