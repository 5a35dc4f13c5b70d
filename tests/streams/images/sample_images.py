"""Images for the tests of the decoder."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageChops

from streams.images.decode import Decoded


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def half_and_half(mode: str = "RGB", size: tuple[int, int] = (80, 40)) -> Image.Image:
    """Returns an image that is red on the left and blue on the right, so that rotation and colours can be checked."""
    image = Image.new("RGB", size, (255, 0, 0))
    image.paste((0, 0, 255), (size[0] // 2, 0, size[0], size[1]))
    return image.convert(mode)


def noise(size: tuple[int, int] = (300, 200)) -> Image.Image:
    """Returns an image that does not compress, so that a truncated file lacks pixels."""
    return Image.effect_noise(size, 80).convert("RGB")


def small(found: Decoded) -> Image.Image:
    assert found.small is not None
    return found.small


def png(depth: int, colour: int, row: bytes, transparent: bytes = b"") -> bytes:
    """Returns a PNG of 9 x 9 with equal rows, of a depth and colour type that Pillow does not write (PNG, 11.2.1)."""
    chunks = [(b"IHDR", struct.pack("!IIBBBBB", 9, 9, depth, colour, 0, 0, 0))]
    chunks += [(b"tRNS", transparent)] if transparent else []
    chunks += [(b"IDAT", zlib.compress((b"\0" + row) * 9)), (b"IEND", b"")]
    framed = [struct.pack("!I", len(data)) + name + data for name, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk + struct.pack("!I", zlib.crc32(chunk[4:])) for chunk in framed)


def ycck(colour: tuple[int, int, int]) -> bytes:
    """Returns a JPEG as Photoshop writes it for print: YCbCr of the inverted ink, and black (Adobe TN 5116, 18)."""
    ink = Image.new("RGB", (80, 40), colour)
    planes = [ImageChops.invert(plane) for plane in ImageChops.invert(ink).convert("YCbCr").split()]
    body = encoded(Image.merge("CMYK", [*planes, Image.new("L", ink.size, 0)]), "JPEG", quality=100)
    transform = body.index(b"Adobe") + 11
    return body[:transform] + b"\x02" + body[transform + 1 :]


def slow_jpeg(scans: int = 5000) -> bytes:
    """Returns a small progressive JPEG that keeps a decoder busy. Each repeated scan takes about 5 ms."""
    body = encoded(Image.new("L", (2000, 2000), 90), "JPEG", progressive=True)
    last = body.rindex(b"\xff\xda")
    return body[:last] + body[last:-2] * scans + body[-2:]


GIF_BOMB = (
    b"GIF89a"
    + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0)
    + b"\x2c"
    + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    + b"\x02\x02\x44\x01\x00\x3b"
)
_WEBP = encoded(half_and_half(), "WEBP", save_all=True, append_images=[Image.new("RGB", (80, 40))])
WEBP_BOMB = _WEBP[:24] + b"\x0f\x27\0\x0f\x27\0" + _WEBP[30:]
"""A WEBP whose header says 10,000 x 10,000 and whose frames are 80 x 40."""

FILES = {
    "JPEG": encoded(noise(), "JPEG"),
    "progressive JPEG": encoded(noise(), "JPEG", progressive=True),
    "CMYK JPEG": encoded(noise().convert("CMYK"), "JPEG"),
    "PNG": encoded(noise(), "PNG"),
    "palette PNG": encoded(noise().convert("P"), "PNG", transparency=3),
    "WEBP": encoded(noise(), "WEBP"),
    "lossless WEBP": encoded(noise((90, 60)).convert("RGBA"), "WEBP", lossless=True),
    "GIF": encoded(noise(), "GIF", save_all=True, append_images=[noise()]),
}
"""A small file of each format."""
