"""Files that attack whoever decodes them. Each builder returns the bytes."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

from PIL import Image

from demo.examples import png_bomb
from tests.streams.images.sample_images import encoded, half_and_half, noise

MB = 1_000_000
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
XXE = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *before: bytes, data: bytes | None = None, depth: int = 8, colour: int = 2) -> bytes:
    """Returns an RGB PNG, black by default. `data` replaces the content of IDAT. The chunks `before` precede it."""
    pixels = zlib.compress(bytes((1 + 3 * width) * height)) if data is None else data
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG_HEAD + chunk(b"IHDR", header) + b"".join(before) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def inflating(megabytes: int) -> bytes:
    """Returns a zlib stream (RFC 1950) of `megabytes` MB of zeros. It repeats one megabyte, compressed to 1 kB."""
    squeezer = zlib.compressobj(9, wbits=-15)
    squeezed = squeezer.compress(bytes(MB)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    adler = (megabytes * MB % 65_521) << 16 | 1
    return b"\x78\xda" + squeezed * megabytes + squeezer.flush() + struct.pack(">I", adler)


def png_of_many_small_chunks() -> bytes:
    return png(8, 8, *[chunk(b"teSt", b"")] * 100_000)


def png_with_a_huge_chunk() -> bytes:
    return PNG_HEAD + struct.pack(">I", 0x7FFF_FFFF) + b"IHDR" + bytes(100)


def apng(frames: int) -> bytes:
    """Returns an animated PNG of frames of 1 x 1."""
    pixel = zlib.compress(bytes(4))
    parts = [chunk(b"acTL", struct.pack(">II", frames, 0))]
    tail = []
    for number in range(1, frames):
        tail.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", 2 * number - 1, 1, 1, 0, 0, 1, 100, 0, 0)))
        tail.append(chunk(b"fdAT", struct.pack(">I", 2 * number) + pixel))
    first = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 64, 0, 0, 1, 100, 0, 0))
    still = png(64, 64, *parts, first)
    return still[:-12] + b"".join(tail) + still[-12:]


def gif(screen: tuple[int, int], frame: tuple[int, int, int, int], frames: int = 1) -> bytes:
    """Returns a GIF of one colour whose pixels end early. `frame`: left, top, width, height."""
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\x00\x00\x00\xff\xff\xff"
    image = b"\x2c" + struct.pack("<HHHHB", *frame, 0) + b"\x02\x02\x44\x01\x00"
    return head + image * frames + b"\x3b"


def gif_of_many_frames() -> bytes:
    return gif((64, 64), (0, 0, 1, 1), frames=100_000)


def webp_that_claims(width: int, height: int) -> bytes:
    """Returns a lossless WEBP (RFC 9649, 3.4) with patched 14-bit sizes in the header."""
    body = bytearray(encoded(half_and_half(size=(16, 16)), "WEBP", lossless=True))
    at = body.index(b"VP8L") + 9
    bits = int.from_bytes(body[at : at + 4], "little")
    body[at : at + 4] = (bits & ~0x0FFF_FFFF | (width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return bytes(body)


def animated_webp() -> bytes:
    first, *rest = (Image.new("RGB", (400, 400), (number, 0, 0)) for number in range(200))
    return encoded(first, "WEBP", save_all=True, append_images=rest)


def jpeg_that_claims(width: int, height: int) -> bytes:
    body = bytearray(encoded(half_and_half(), "JPEG"))
    at = body.index(b"\xff\xc0") + 5
    body[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(body)


def jpeg_of_many_scans(count: int = 5_000, side: int = 6_000) -> bytes:
    """Returns a progressive JPEG that repeats its last scan. The repetitions are small and change no pixel.

    Each scan takes a pass over the whole image ("Two Issues with the JPEG Standard", libjpeg-turbo project, 2015).
    """
    body = encoded(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = body.rindex(b"\xff\xda")
    scan = body[last:-2]
    return body[:last] + scan * min(count, 9 * MB // len(scan)) + body[-2:]


def jpeg_with_segments(marker: int, data: bytes, size: int) -> bytes:
    """Returns a JPEG with `size` bytes of segments before the image. Each segment contains `data`."""
    body = encoded(half_and_half(), "JPEG")
    segment = bytes([0xFF, marker]) + struct.pack(">H", 2 + len(data)) + data
    return body[:2] + segment * (size // len(segment)) + body[2:]


def jpeg_with_icc() -> bytes:
    return jpeg_with_segments(0xE2, b"ICC_PROFILE\0\x01\xff" + bytes(60_000), 9 * MB)


def jpeg_with_endless_exif() -> bytes:
    """Returns an EXIF directory that claims 65,535 entries and points to itself."""
    tiff = b"II*\0\x08\0\0\0" + b"\xff\xff" + struct.pack("<HHII", 0x0112, 3, 0xFFFF_FFFF, 8) * 5_000 + b"\x08\0\0\0"
    return jpeg_with_segments(0xE1, b"Exif\0\0" + tiff, 61_000)


def jpeg_and_html() -> bytes:
    return encoded(half_and_half(), "JPEG", comment=b"<script>alert(1)</script>") + b"<html><script>alert(1)</script>"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../etc/cron.d/a", "payload")
    return buffer.getvalue()


def gifar() -> bytes:
    return encoded(half_and_half(), "GIF") + zipped()


def gif_and_script() -> bytes:
    """Returns a GIF that is also JavaScript: `GIF89a/*...*/=1;alert(1)`. The screen's width is the characters `/*`."""
    return b"GIF89a" + struct.pack("<HHBBB", 0x2A2F, 1, 0, 0, 0) + b"*/=1;alert(1)//" + b"\x3b"


def tiff_that_names_a_file() -> bytes:
    return encoded(half_and_half(), "TIFF", compression="tiff_lzw")


def eps_program() -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(/etc/passwd) (r) file pop\nshowpage\n"


def svg_squeezed() -> bytes:
    return gzip.compress(XXE)


def png_interlaced(side: int = 64) -> bytes:
    """Returns a PNG in the seven passes of Adam7, which Pillow does not write (PNG, third edition, section 8)."""
    rows = b""
    for left, top, across, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        width = len(range(left, side, across))
        rows += b"".join(b"\0" + random.randbytes(3 * width) for _ in range(top, side, down))
    body = bytearray(png(side, side, data=zlib.compress(rows)))
    body[28] = 1
    body[29:33] = struct.pack(">I", zlib.crc32(body[12:29]))
    return bytes(body)


def avif_that_claims(width: int, height: int) -> bytes:
    """Returns an AVIF with a patched size in its box `ispe` (ISO 23008-12, 6.5.3)."""
    body = bytearray(encoded(half_and_half(), "AVIF"))
    at = body.index(b"ispe") + 8
    body[at : at + 8] = struct.pack(">II", width, height)
    return bytes(body)


def animated_avif() -> bytes:
    first, *rest = (Image.new("RGB", (200, 200), (number, 0, 0)) for number in range(100))
    return encoded(first, "AVIF", save_all=True, append_images=rest, speed=10)


def bmp_that_claims(width: int, height: int) -> bytes:
    body = bytearray(encoded(half_and_half(), "BMP"))
    body[18:26] = struct.pack("<II", width, height)
    return bytes(body)


def bmp_of_runs() -> bytes:
    """Returns a BMP in runs of one pixel (BI_RLE8), which Pillow decodes in Python."""
    head = struct.pack("<IiiHHIIiiII", 40, 6_000, 6_000, 1, 8, 1, 0, 0, 0, 256, 0)
    pixels = b"\x01\x07" * (9 * MB // 2)
    return b"BM" + struct.pack("<IHHI", 1078 + len(pixels), 0, 0, 1078) + head + bytes(1024) + pixels


def png_of_rows(side: int, rows: int, lace: int = 0) -> bytes:
    """Returns an RGB PNG that ends after `rows` of its rows."""
    body = bytearray(png(side, side, data=zlib.compress((b"\0" + b"\x90" * 3 * side) * rows)))
    body[28] = lace
    body[29:33] = struct.pack(">I", zlib.crc32(body[12:29]))
    return bytes(body)


ANY_REFUSAL = ("bomb", "broken", "not_an_image", "too_slow", "decoder_died")

FILES: dict[str, tuple[Callable[[], bytes], str | tuple[str, ...]]] = {
    # bombs: few bytes, many pixels, much work or much memory
    "PNG bomb, 400 million pixels": (png_bomb, "bomb"),
    "PNG bomb, 40 million and a few": (lambda: png_bomb(6325), "bomb"),
    "PNG of 2^31-1 x 2^31-1": (lambda: png(2**31 - 1, 2**31 - 1, data=zlib.compress(b"")), "bomb"),
    "PNG whose pixels inflate to 2 GB for 8 x 8": (lambda: png(8, 8, data=inflating(2_000)), ("ok", "broken")),
    "PNG text chunk that inflates to 1 GB": (
        lambda: png(8, 8, chunk(b"zTXt", b"a\0\0" + inflating(1_000))),
        ("ok", "broken"),
    ),
    "PNG colour profile that inflates to 1 GB": (
        lambda: png(8, 8, chunk(b"iCCP", b"a\0\0" + inflating(1_000))),
        ("ok", "broken"),
    ),
    "PNG text chunk of 9 MB": (lambda: png(8, 8, chunk(b"tEXt", b"a\0" + b"b" * 9 * MB)), ("ok", "broken")),
    "PNG of 100,000 chunks": (png_of_many_small_chunks, ("ok", "broken")),
    "PNG with a chunk of 2 GB announced": (png_with_a_huge_chunk, ANY_REFUSAL),
    "APNG of 10,000 frames": (lambda: apng(10_000), "ok"),
    "GIF screen of 65,535 x 65,535": (lambda: gif((65_535, 65_535), (0, 0, 1, 1)), "bomb"),
    "GIF frame far larger than the screen": (lambda: gif((1, 1), (0, 0, 65_535, 65_535)), "bomb"),
    "GIF frame outside of the screen": (lambda: gif((10, 10), (60_000, 60_000, 10, 10)), ("bomb", "broken")),
    "GIF of 100,000 frames": (gif_of_many_frames, ("ok", "broken")),
    "WEBP that claims 16,384 x 16,384": (lambda: webp_that_claims(16_384, 16_384), ANY_REFUSAL),
    "WEBP that claims 6,000 x 6,000": (lambda: webp_that_claims(6_000, 6_000), ANY_REFUSAL),
    "WEBP of 200 frames": (animated_webp, "ok"),
    "JPEG that claims 65,500 x 65,500": (lambda: jpeg_that_claims(65_500, 65_500), "bomb"),
    "JPEG that claims 6,000 x 6,000 and has 80 x 40": (lambda: jpeg_that_claims(6_000, 6_000), ("broken", "ok")),
    "JPEG of thousands of scans": (jpeg_of_many_scans, ("too_slow", "decoder_died", "broken")),
    "JPEG with 9 MB of colour profile": (jpeg_with_icc, ("ok", "broken")),
    "JPEG with 9 MB of comments": (lambda: jpeg_with_segments(0xFE, bytes(65_000), 9 * MB), ("ok", "broken")),
    "JPEG with EXIF that has no end": (jpeg_with_endless_exif, ("ok", "broken")),
    "AVIF that claims 16,000 x 16,000": (lambda: avif_that_claims(16_000, 16_000), ANY_REFUSAL),
    "AVIF that claims 6,000 x 6,000": (lambda: avif_that_claims(6_000, 6_000), ("ok", *ANY_REFUSAL)),
    "AVIF of 100 frames": (animated_avif, "ok"),
    "BMP that claims 60,000 x 60,000": (lambda: bmp_that_claims(60_000, 60_000), "bomb"),
    "BMP that claims 6,000 x 6,000": (lambda: bmp_that_claims(6_000, 6_000), ("ok", "broken")),
    "BMP of 36 million pixels in runs": (bmp_of_runs, ANY_REFUSAL),
    # large and damaged: the second attempt to read them is bounded too
    "PNG of 36 million pixels, truncated": (lambda: png_of_rows(6_000, 3_000), "ok"),
    "PNG of 36 million pixels, interlaced and truncated": (
        lambda: png_of_rows(6_000, 3_000, lace=1),
        ("ok", "too_slow"),
    ),
    "JPEG of thousands of scans, truncated": (lambda: jpeg_of_many_scans()[:-9], ("too_slow", "decoder_died")),
    "GIF of 36 million pixels, truncated": (lambda: gif((6_000, 6_000), (0, 0, 6_000, 6_000)), ("ok", "broken")),
    # damaged
    "JPEG truncated": (lambda: encoded(noise(), "JPEG")[:15_000], "ok"),
    "PNG truncated": (lambda: encoded(noise(), "PNG")[:3000], "ok"),
    "PNG interlaced, truncated": (lambda: png_interlaced()[:3000], "ok"),
    "GIF truncated": (lambda: encoded(noise(), "GIF")[:3000], "ok"),
    "WEBP truncated": (lambda: encoded(noise(), "WEBP")[:3000], ("broken", "not_an_image")),
    "PNG with a wrong checksum": (lambda: png(8, 8).replace(b"IDAT", b"IDAU", 1), ("broken", "not_an_image")),
    "PNG of 0 x 0": (lambda: png(0, 0), ("broken", "not_an_image")),
    "GIF of 0 x 0": (lambda: gif((0, 0), (0, 0, 0, 0)), ("broken", "not_an_image")),
    "a signature and nothing else": (lambda: PNG_HEAD, ("broken", "not_an_image")),
    "one byte": (lambda: b"\xff", "not_an_image"),
    "nothing": (lambda: b"", "not_an_image"),
    # files of two formats at once: only the pixels are passed on
    "GIFAR: GIF and ZIP": (gifar, "ok"),
    "GIF that is JavaScript": (gif_and_script, ("broken", "not_an_image")),
    "JPEG and HTML": (jpeg_and_html, "ok"),
    "HTML that names itself JPEG": (lambda: b"<html><body>hi", "not_an_image"),
    # formats that Pillow, or a library behind it, would open if we let it
    "SVG with an external entity": (lambda: XXE, "not_an_image"),
    "SVG squeezed": (svg_squeezed, "not_an_image"),
    "TIFF": (tiff_that_names_a_file, "not_an_image"),
    "ICO": (lambda: encoded(half_and_half(), "ICO"), "not_an_image"),
    "PDF": (lambda: encoded(half_and_half(), "PDF"), "not_an_image"),
    "EPS, a PostScript program": (eps_program, "not_an_image"),
    "PSD": (lambda: b"8BPS\0\x01" + bytes(100), "not_an_image"),
    "JPEG 2000": (lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100), "not_an_image"),
    "AVIF of zeros": (lambda: b"\0\0\0\x1cftypavif" + bytes(100), "not_an_image"),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "not_an_image"),
    "ZIP": (zipped, "not_an_image"),
    "ELF": (lambda: b"\x7fELF" + bytes(100), "not_an_image"),
}
"""Name of the attack -> the function that builds its file, and the start of the expected outcome."""
