"""Decodes a file to a small RGB image with Pillow. Runs in the decoding process (see `decoder`).

Only the content counts, not what an HTTP header or a file name says.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from core.pixels import Pixels
from streams.images.errors import ImageError
from streams.images.formats import FORMATS, ImageFormat
from streams.images.partial import fill, load_damaged
from streams.images.png import SIGNATURE, rewritten

DECODER = 4
"""Version of the decoder. Whoever changes its results must raise it; cached results of other versions are not used."""

MAX_SIDE = 640
"""Longest side of the small copy, in pixels. A copy has at most 640 x 640 x 3 = 1.2 MB."""

HASH_SIDE = 16
"""The perceptual hash has 16 x 16 bits. It is computed from 64 x 64 pixels."""

HASH_MIN_SIDE = 8 * HASH_SIDE
"""Shortest side, in pixels, to which an image is reduced before it is hashed. A smaller image is not reduced."""

STRIP_ROWS = 64
"""Rows of the reduced image that are converted at a time."""

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
"""EXIF orientation (EXIF 2.32, table 6) to the operation that turns the image upright."""

_TURNED = ("JPEG", "MPO", "PNG", "AVIF")
"""Formats in which browsers obey the EXIF orientation. Pillow states an AVIF's own rotation as its EXIF orientation."""


@dataclass(frozen=True)
class LoadedImage:
    """A decoded image of a URL."""

    url: str
    #: Hash of the file.
    sha256: str
    format: ImageFormat
    #: Size of the file's image in pixels, once it is upright.
    width: int
    height: int
    #: Perceptual hash, 64 hex digits. Images that look alike have similar hashes.
    phash: str
    #: The small copy: upright, transparent areas white. None if it must be made from the file in the cache.
    pixels: Pixels | None


@dataclass(frozen=True)
class Decoded:
    """The result of `decode`. The fields are those of `LoadedImage`."""

    format: str
    width: int
    height: int
    phash: str
    #: The small copy, if it was asked for.
    small: Image.Image | None


def decode(body: bytes, max_pixels: int, *, small: bool = True) -> Decoded:
    """Decodes a file. An animation counts as its first frame. `small` asks for the small copy too.

    A damaged file counts as far as it can be read; what is missing is white. Without the copy, a JPEG is decoded only
    as far as the hash needs: grey, and no larger than necessary. This takes a third of the time. Raises `ImageError`
    (not_an_image, bomb or broken), and `MemoryError`.
    """
    try:
        if body.startswith(SIGNATURE):
            body = rewritten(body)
        with _identify(body) as image:
            if image.width * image.height > max_pixels:
                raise ImageError("bomb", f"{image.width} x {image.height} pixels; {max_pixels} are allowed")
            name = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG with a second image in it
            turn = _orientation(image)
            width, height = image.size if turn < 5 else image.size[::-1]
            size = _scaled(image, MAX_SIDE / max(image.size))
            if name == "JPEG":
                hashed = _reduced(image, body, _scaled(image, HASH_MIN_SIDE / min(image.size)), "L")
                phash = perceptual_hash(hashed, turn)
                copy = _small(_reduced(_identify(body), body, size), size, turn) if small else None
            else:
                reduced = _reduced(image, body, size)
                phash = perceptual_hash(reduced, turn)
                copy = _small(reduced, size, turn) if small else None
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):  # Pillow's own limit
        raise ImageError("bomb", f"more than the {max_pixels} pixels allowed") from None
    except Exception as error:  # a damaged file makes Pillow raise many kinds of exceptions, such as struct.error
        raise ImageError("broken", f"{type(error).__name__}: {error}") from error
    return Decoded(name, width, height, phash, copy)


def perceptual_hash(image: Image.Image, turn: int = 1) -> str:
    """Returns 256 bits in hex: the signs of the 16 x 16 lowest frequencies (Zauner, 2010).

    The image is reduced before ImageHash sees it, which is faster and gives as good a hash. Reducing must not cut off
    the edges. Otherwise the hash of a copy in another size would differ in 8 bits or more. `turn` is the EXIF
    orientation that is still to be undone.
    """
    import imagehash  # imports numpy and scipy, which only the decoding process needs

    side = HASH_SIDE * 4
    factor = max(1, min(image.size) // HASH_MIN_SIDE)
    grey = image.reduce(factor).convert("L")
    whole = (0.0, 0.0, image.width / factor, image.height / factor)  # the last row and column may average fewer pixels
    small = grey.resize((side, side), Image.Resampling.LANCZOS, box=whole)
    return str(imagehash.phash(_upright(small, turn), hash_size=HASH_SIDE))


def _identify(body: bytes) -> Image.Image:
    """Reads only the header."""
    try:
        return Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError("not_an_image", f"none of {', '.join(FORMATS)}; the file starts with {body[:12]!r}") from None


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8. Damaged EXIF data counts as 1, so that the image is not lost.

    `Image.getexif` would not do: it takes the orientation from XMP too, which browsers ignore.
    """
    if image.format not in _TURNED or not isinstance(image.info.get("exif"), bytes):
        return 1
    try:
        exif = Image.Exif()
        exif.load(image.info["exif"])
        value = exif.get(_ORIENTATION, 1)
    except Exception:  # as in `decode`, damaged data raises many kinds of exceptions
        return 1
    return value if value in _UPRIGHT else 1


def _upright(image: Image.Image, turn: int) -> Image.Image:
    return image.transpose(_UPRIGHT[turn]) if turn in _UPRIGHT else image


def _scaled(image: Image.Image, scale: float) -> tuple[int, int]:
    """Returns the scaled width and height, but never enlarges."""
    width, height = (max(1, round(side * min(1.0, scale))) for side in image.size)
    return width, height


def _small(image: Image.Image, size: tuple[int, int], turn: int) -> Image.Image:
    small = image if image.size == size else image.resize(size, Image.Resampling.HAMMING)
    return _upright(small if small.mode == "RGB" else small.convert("RGB"), turn)


def _reduced(image: Image.Image, body: bytes, size: tuple[int, int], mode: str | None = None) -> Image.Image:
    """Reduces an image by whole factors, but not below `size`, by averaging pixels. Returns RGB or grey.

    A JPEG is already decoded at a fraction of its size, down to an eighth, and in grey for `mode` L.
    """
    image = _loaded(image, body, size, mode)  # from here on, `mode` is the mode of the pixels
    across, down = (max(1, side // wanted) for side, wanted in zip(image.size, size, strict=True))
    if image.mode in ("RGB", "L") and not image.has_transparency_data:
        return image if across == down == 1 else image.reduce((across, down))
    # Works in strips. Converting the whole image at once would hold several copies of it, with 4 or more bytes a pixel.
    result: Image.Image | None = None
    for top in range(0, image.height, down * STRIP_ROWS):
        bottom = min(image.height, top + down * STRIP_ROWS)
        strip = _rgb_or_grey(image.crop((0, top, image.width, bottom))).reduce((across, down))
        if result is None:
            result = Image.new(strip.mode, (strip.width, -(-image.height // down)))
        result.paste(strip, (0, top // down))
    assert result is not None
    return result


def _loaded(image: Image.Image, body: bytes, size: tuple[int, int], mode: str | None) -> Image.Image:
    """Loads the pixels. If the file is damaged, opens it again and loads what is there."""
    image.draft(mode, size)
    if image.format == "GIF":  # whose first frame may cover a part of the screen
        fill(image)
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        if image.format in ("WEBP", "AVIF"):  # their decoders take whole files only
            raise
        again = _identify(body)
        again.draft(mode, size)
        try:
            load_damaged(again, body)
        except (ImageError, MemoryError):
            raise
        except Exception:  # not even that: the first exception says more
            raise error from None
        return again
    return image


def _rgb_or_grey(image: Image.Image) -> Image.Image:
    """Converts to RGB or grey. Transparent areas become white."""
    if image.mode.startswith("I"):  # 16 bits of grey: Pillow would clip them instead of scaling
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
