"""Builds the files of `corpus/` byte by byte. Each function returns a file, or an image for one."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

SIZE = (96, 64)
RED, GREEN, BLUE, YELLOW = (220, 40, 40), (40, 180, 60), (40, 60, 220), (230, 210, 50)
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
JUNK = b"not a part of the image, " * 20


def quarters(size: tuple[int, int] = SIZE) -> Image.Image:
    """Returns four quarters: red, green, blue, yellow. A fine pattern on them keeps half a file from being a whole."""
    image = Image.new("RGB", size)
    for x in range(size[0]):
        for y in range(size[1]):
            colour = ((RED, GREEN), (BLUE, YELLOW))[2 * y // size[1]][2 * x // size[0]]
            shade = (x * x * 7 + y * y * 13 + x * y) % 11
            image.putpixel((x, y), tuple(value - shade for value in colour))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(image or quarters(), "JPEG", **{"quality": 92, **options})


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def after_soi(body: bytes, *segments: bytes) -> bytes:
    return body[:2] + b"".join(segments) + body[2:]


def without_segment(body: bytes, marker: int) -> bytes:
    at = body.index(bytes([0xFF, marker]))
    return body[:at] + body[at + 2 + struct.unpack_from(">H", body, at + 2)[0] :]


def xmp(orientation: int) -> bytes:
    text = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text.encode())


def cut(body: bytes, share: float) -> bytes:
    return body[: int(len(body) * share)]


def cmyk(adobe: bool = True, transform: int | None = None) -> bytes:
    body = jpeg(quarters().convert("CMYK"))
    if not adobe:
        return without_segment(body, 0xEE)
    if transform is not None:
        at = body.index(b"Adobe") + 11
        body = body[:at] + bytes([transform]) + body[at + 1 :]
    return body


def scan_damaged() -> bytes:
    body = bytearray(jpeg())
    at = len(body) * 3 // 4
    body[at : at + 12] = bytes(12)
    return bytes(body)


def fill_bytes() -> bytes:
    """Returns a JPEG with fill bytes before each of the first markers (ITU T.81, B.1.1.2)."""
    body = jpeg()
    at = body.index(b"\xff\xdb")
    return body[:at] + b"\xff\xff\xff" + body[at:]


def chunk(kind: bytes, data: bytes, wrong: bool = False) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)


def chunks(body: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(body):
        (length,) = struct.unpack_from(">I", body, at)
        found.append((body[at + 4 : at + 8], body[at + 8 : at + 8 + length]))
        at += length + 12
    return found


def png(
    *before_idat: bytes, wrong: bytes = b"", image: Image.Image | None = None, leave_out: bytes = b"", **options: Any
) -> bytes:
    """Returns a PNG with `before_idat` before its pixels. The chunk named `wrong` has a wrong checksum."""
    body, done = PNG_HEAD, False
    for kind, data in chunks(encoded(image or quarters(), "PNG", **options)):
        if kind == b"IDAT" and not done:
            body, done = body + b"".join(before_idat), True
        if kind != leave_out:
            body += chunk(kind, data, wrong=kind == wrong)
    return body


def raw_png(depth: int, colour: int, rows: bytes, *before: bytes, size: tuple[int, int] = SIZE, lace: int = 0) -> bytes:
    """Returns a PNG of rows as they are, with their filter bytes."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, lace)
    parts = (chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return PNG_HEAD + b"".join(parts)


def sixteen(grey: bool) -> bytes:
    rows = b""
    for y in range(SIZE[1]):
        rows += b"\0"
        for x in range(SIZE[0]):
            pixel = quarters_pixel(x, y)
            rows += (
                struct.pack(">2H", pixel[0] * 257, 0x8000) if grey else struct.pack(">3H", *(v * 257 for v in pixel))
            )
    return raw_png(16, 4 if grey else 2, rows)


_QUARTERS = quarters()


def quarters_pixel(x: int, y: int) -> tuple[int, int, int]:
    pixel = _QUARTERS.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel[0], pixel[1], pixel[2]


PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: left, top, step across, step down (PNG, third edition, section 8)."""


def interlaced() -> bytes:
    rows = b""
    for left, top, across, down in PASSES:
        for y in range(top, SIZE[1], down):
            rows += b"\0" + b"".join(bytes(quarters_pixel(x, y)) for x in range(left, SIZE[0], across))
    return raw_png(8, 2, rows, lace=1)


def palette(transparency: bytes | None = None, image: Image.Image | None = None, **options: Any) -> bytes:
    image = image or quarters().quantize(4, dither=Image.Dither.NONE)
    return png(image=image, **({"transparency": transparency} if transparency else {}), **options)


def palette_too_short() -> bytes:
    """Returns a palette PNG with two colours, whose lower half names a third."""
    rows = b"".join(b"\0" + bytes([y // 32 * 2] * 96) for y in range(64))
    return raw_png(8, 3, rows, chunk(b"PLTE", bytes(RED + GREEN)))


def wrong_adler() -> bytes:
    rows = b"".join(b"\0" + b"".join(bytes(quarters_pixel(x, y)) for x in range(96)) for y in range(64))
    data = zlib.compress(rows)
    header = struct.pack(">IIBBBBB", *SIZE, 8, 2, 0, 0, 0)
    return PNG_HEAD + chunk(b"IHDR", header) + chunk(b"IDAT", data[:-4] + b"\1\2\3\4") + chunk(b"IEND", b"")


def swap(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_180)


def apng(default: bool) -> bytes:
    """Returns an animated PNG. With `default`, the still image is not a frame of it."""
    return encoded(quarters(), "PNG", save_all=True, append_images=[swap(quarters())], default_image=default)


def icc(swapped: bool) -> bytes:
    """Returns a colour profile (ICC.1, version 2). `swapped` exchanges red and blue."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:24] + struct.pack(">6H", 2026, 11, 29, 7, 0, 0) + profile[36:]  # otherwise the time of the call
    return profile.replace(b"rXYZ", b"TEMP").replace(b"bXYZ", b"rXYZ").replace(b"TEMP", b"bXYZ") if swapped else profile


def gif(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded((image or quarters()).quantize(16, dither=Image.Dither.NONE), "GIF", **{"interlace": 0, **options})


def gif_screen(width: int, height: int, left: int = 0, top: int = 0) -> bytes:
    """Returns the GIF with another screen, and its frame moved on it."""
    body = bytearray(gif())
    struct.pack_into("<HH", body, 6, width, height)
    struct.pack_into("<HH", body, body.index(b"\x2c\0\0\0\0") + 1, left, top)
    return bytes(body)


def webp(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(image or quarters(), "WEBP", **{"quality": 92, **options})


def large() -> Image.Image:
    """Returns an image whose file is too large to be held in a decoder's first step."""
    return quarters((256, 192))


def webp_with_riff_size(change: int) -> bytes:
    body = bytearray(webp())
    struct.pack_into("<I", body, 4, len(body) - 8 + change)
    return bytes(body)


def steps() -> Image.Image:
    """Returns four shades of grey, from black above."""
    image = Image.new("L", SIZE)
    for number in range(4):
        image.paste(64 * number, (0, 16 * number, 96, 16 * number + 16))
    return image


def see_through() -> Image.Image:
    image = quarters().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 48, 32))
    image.paste((0, 0, 255, 128), (48, 32, 96, 64))
    return image
