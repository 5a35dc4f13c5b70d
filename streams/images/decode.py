"""Bytes to a small RGB picture, by Pillow, in a process of its own: see `decoder`. No header, no extension is asked."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from streams.images.errors import ImageError

if TYPE_CHECKING:  # pydantic stands behind it, which the decoding process can do without
    from core.pixels import Pixels

DECODER = 3
"""To be raised with every change to what is said of a picture: what an older one said is then decoded again."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MAX_SIDE = 640
"""Pixels: no side of the small picture is longer. At most 640 x 640 x 3 = 1.2 MB each."""

HASH_SIDE = 16
"""The perceptual hash has 16 x 16 bits, from a picture of 64 x 64."""

HASH_ENOUGH = 8 * HASH_SIDE
"""Pixels of the shorter side from which that picture is made."""

STRIP_ROWS = 64
"""Rows of the shrunk picture that are made at once."""

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

    `sha256` is of the file. `width` and `height` are the file's, in pixels, upright. `phash`: 64 hex digits, alike for
    pictures that look alike. `pixels`: the small copy; None where it can be had from the file in the cache.
    """

    url: str
    sha256: str
    format: str
    width: int
    height: int
    phash: str
    pixels: Pixels | None


@dataclass(frozen=True)
class Decoded:
    """What the bytes alone say of a `Picture`. `small`: the small copy, where it was wanted."""

    format: str
    width: int
    height: int
    phash: str
    small: Image.Image | None


def decode(body: bytes, max_pixels: int, *, small: bool = True) -> Decoded:
    """Of an animation the first frame. Raises `ImageError`: not_an_image, bomb or broken; `MemoryError`.

    `small`: with the small copy, which few ask for. Without it, all of the file is read, but of a JPEG no more made
    than the hash needs: brightness, at a size where that is enough. Colours and shrinking take three times as long.
    """
    try:
        with _identify(body) as image:
            if image.width * image.height > max_pixels:
                raise ImageError("bomb", f"{image.width} x {image.height} pixels, {max_pixels} allowed")
            name = "JPEG" if image.format == "MPO" else str(image.format)  # a phone's JPEG with a second picture in it
            turn = _orientation(image)
            width, height = image.size if turn < 5 else image.size[::-1]
            size = _scaled(image, MAX_SIDE / max(image.size))
            if name == "JPEG":
                phash = perceptual_hash(_reduced(image, _scaled(image, HASH_ENOUGH / min(image.size)), "L"), turn)
                copy = _small(_reduced(_identify(body), size), size, turn) if small else None
            else:
                reduced = _reduced(image, size)
                phash = perceptual_hash(reduced, turn)
                copy = _small(reduced, size, turn) if small else None
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # Pillow's own limit
        raise ImageError("bomb", f"more than the {max_pixels} pixels allowed") from None
    except Exception as error:  # Pillow's decoders let out whatever a damaged file provokes, from struct.error on
        raise ImageError("broken", f"{type(error).__name__}: {error}") from error
    return Decoded(name, width, height, phash, copy)


def perceptual_hash(image: Image.Image, turn: int = 1) -> str:
    """256 bits in hex: the signs of the 16 x 16 lowest frequencies (Zauner, 2010). Shrunk first, faster than ImageHash
    does and as good; edges must not be cut for it: a copy of another size would differ in 8 bits and more.

    `turn`: EXIF orientation that is still to be undone."""
    import imagehash  # numpy and scipy stand behind it, and only the decoding processes come here

    side = HASH_SIDE * 4
    factor = max(1, min(image.size) // HASH_ENOUGH)
    grey = image.reduce(factor).convert("L")
    whole = (0.0, 0.0, image.width / factor, image.height / factor)  # the last row and column may be of fewer pixels
    small = grey.resize((side, side), Image.Resampling.LANCZOS, box=whole)
    return str(imagehash.phash(_upright(small, turn), hash_size=HASH_SIDE))


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


def _upright(image: Image.Image, turn: int) -> Image.Image:
    return image.transpose(_UPRIGHT[turn]) if turn in _UPRIGHT else image


def _scaled(image: Image.Image, scale: float) -> tuple[int, int]:
    """Width and height, never enlarged."""
    width, height = (max(1, round(side * min(1.0, scale))) for side in image.size)
    return width, height


def _small(image: Image.Image, size: tuple[int, int], turn: int) -> Image.Image:
    small = image if image.size == size else image.resize(size, Image.Resampling.HAMMING)
    return _upright(small if small.mode == "RGB" else small.convert("RGB"), turn)


def _reduced(image: Image.Image, size: tuple[int, int], mode: str | None = None) -> Image.Image:
    """Averaged down by whole numbers to no less than `size`, in RGB or grey.

    As early as possible: a JPEG is decoded at an eighth of its size where that is enough, and in grey for `mode` L."""
    image.draft(mode, size)
    image.load()  # from here on the mode is that of the pixels
    across, down = (max(1, side // wanted) for side, wanted in zip(image.size, size, strict=True))
    if image.mode in ("RGB", "L") and not image.has_transparency_data:
        return image if across == down == 1 else image.reduce((across, down))
    # Strip by strip: converting the whole at once would hold several copies of it, at 4 bytes a pixel and more.
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
    """RGB or grey, on white where it is transparent."""
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion would clip instead of scaling
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
