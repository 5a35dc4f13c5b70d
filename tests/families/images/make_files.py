"""Makes the files of `corpus/`: what honest people and programs post, whole, damaged and oddly labelled.

`python -m tests.families.images.make_files` writes them. They are kept in the repository, because another version of
Pillow may write other bytes than those that the browser was shown.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.families.images.builders import (
    JUNK,
    RED,
    SIZE,
    after_soi,
    apng,
    chunk,
    cmyk,
    cut,
    encoded,
    exif,
    fill_bytes,
    gif,
    gif_screen,
    icc,
    interlaced,
    jpeg,
    large,
    palette,
    palette_too_short,
    png,
    quarters,
    scan_damaged,
    see_through,
    segment,
    sixteen,
    swap,
    webp,
    webp_with_riff_size,
    wrong_adler,
    xmp,
)

CORPUS = Path(__file__).with_name("corpus")

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="64"><rect width="96" height="64" fill="red"/></svg>'

FILES: dict[str, Callable[[], bytes]] = {
    "jpeg-baseline.jpg": jpeg,
    "jpeg-progressive.jpg": lambda: jpeg(progressive=True),
    "jpeg-grey.jpg": lambda: jpeg(quarters().convert("L")),
    "jpeg-cmyk-adobe.jpg": cmyk,
    "jpeg-cmyk-without-adobe.jpg": lambda: cmyk(adobe=False),
    "jpeg-ycck.jpg": lambda: cmyk(transform=2),
    "jpeg-rgb-adobe.jpg": lambda: jpeg(keep_rgb=True),
    "jpeg-exif-6.jpg": lambda: jpeg(exif=exif(6)),
    "jpeg-exif-5.jpg": lambda: jpeg(exif=exif(5)),
    "jpeg-exif-99.jpg": lambda: jpeg(exif=exif(99)),
    "jpeg-exif-6-then-3.jpg": lambda: after_soi(jpeg(exif=exif(3)), segment(0xE1, exif(6))),
    "jpeg-exif-corrupt.jpg": lambda: jpeg(exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage"),
    "jpeg-exif-cut-off.jpg": lambda: jpeg(exif=exif(6)[:20]),
    "jpeg-xmp-6.jpg": lambda: after_soi(jpeg(), xmp(6)),
    "jpeg-exif-1-xmp-6.jpg": lambda: after_soi(jpeg(exif=exif(1)), xmp(6)),
    "jpeg-garbage-behind.jpg": lambda: jpeg() + JUNK,
    "jpeg-junk-before.jpg": lambda: b"\r\n" + jpeg(),
    "jpeg-without-end.jpg": lambda: jpeg()[:-2],
    "jpeg-progressive-without-end.jpg": lambda: jpeg(progressive=True)[:-2],
    "jpeg-truncated.jpg": lambda: cut(jpeg(), 0.7),
    "jpeg-grey-truncated.jpg": lambda: cut(jpeg(quarters().convert("L")), 0.7),
    "jpeg-large-truncated.jpg": lambda: cut(jpeg(large()), 0.6),
    "jpeg-large-progressive-truncated.jpg": lambda: cut(jpeg(large(), progressive=True), 0.5),
    "jpeg-progressive-truncated.jpg": lambda: cut(jpeg(progressive=True), 0.8),
    "jpeg-head-only.jpg": lambda: jpeg()[: jpeg().index(b"\xff\xda") + 14],
    "jpeg-cut-in-tables.jpg": lambda: jpeg()[:200],
    "jpeg-scan-damaged.jpg": scan_damaged,
    "jpeg-fill-bytes.jpg": fill_bytes,
    "jpeg-profile-corrupt.jpg": lambda: jpeg(icc_profile=b"no profile" * 20),
    "jpeg-profile-swapped.jpg": lambda: jpeg(icc_profile=icc(swapped=True)),
    "jpeg-two-images.jpg": lambda: encoded(quarters(), "MPO", save_all=True, append_images=[swap(quarters())]),
    "jpeg-two-images-truncated.jpg": lambda: cut(
        encoded(large(), "MPO", save_all=True, append_images=[swap(large())]), 0.3
    ),
    "jpeg-named-png.png": jpeg,
    "png-rgb.png": png,
    "png-16-bit.png": lambda: sixteen(grey=False),
    "png-16-bit-grey-alpha.png": lambda: sixteen(grey=True),
    "png-palette.png": palette,
    "png-palette-transparent.png": lambda: palette(bytes([0, 255, 128])),
    "png-palette-too-short.png": palette_too_short,
    "png-alpha.png": lambda: png(image=see_through()),
    "png-grey-key.png": lambda: png(
        image=Image.linear_gradient("L").resize(SIZE).point(lambda v: v // 64 * 64), transparency=0
    ),
    "png-interlaced.png": interlaced,
    "png-1x1.png": lambda: png(image=Image.new("RGB", (1, 1), RED)),
    "png-1x1-transparent.png": lambda: png(image=Image.new("RGBA", (1, 1))),
    "png-text-checksum.png": lambda: png(chunk(b"tEXt", b"Comment\0hello", wrong=True)),
    "png-time-checksum.png": lambda: png(chunk(b"tIME", b"\x07\xea\x0b\x1d\0\0\0", wrong=True)),
    "png-transparency-checksum.png": lambda: palette(bytes([0, 255, 128]), wrong=b"tRNS"),
    "png-gamma-checksum.png": lambda: png(chunk(b"gAMA", struct.pack(">I", 100_000), wrong=True)),
    "png-gamma-linear.png": lambda: png(chunk(b"gAMA", struct.pack(">I", 100_000))),
    "png-palette-checksum.png": lambda: palette(wrong=b"PLTE"),
    "png-pixels-checksum.png": lambda: png(wrong=b"IDAT"),
    "png-header-checksum.png": lambda: png(wrong=b"IHDR"),
    "png-end-checksum.png": lambda: png(wrong=b"IEND"),
    "png-zlib-checksum.png": wrong_adler,
    "png-profile-corrupt.png": lambda: png(chunk(b"iCCP", b"a\0\0no zlib stream")),
    "png-profile-swapped.png": lambda: png(icc_profile=icc(swapped=True)),
    "png-text-inflates.png": lambda: png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000), 9))),
    "png-text-broken.png": lambda: png(chunk(b"iTXt", b"a\0\1\0\xff")),
    "png-unknown-critical-chunk.png": lambda: png(chunk(b"ABCD", b"hello")),
    "png-bad-transparency.png": lambda: png(chunk(b"tRNS", b"\0")),
    "png-without-end.png": lambda: png(leave_out=b"IEND"),
    "png-truncated.png": lambda: cut(png(), 0.6),
    "png-palette-truncated.png": lambda: cut(palette(), 0.6),
    "png-interlaced-truncated.png": lambda: cut(interlaced(), 0.8),
    "png-alpha-truncated.png": lambda: cut(png(image=see_through()), 0.6),
    "png-large-truncated.png": lambda: cut(png(image=large()), 0.6),
    "png-large-palette-truncated.png": lambda: cut(palette(image=large().quantize(4, dither=Image.Dither.NONE)), 0.6),
    "png-interlaced-truncated-early.png": lambda: cut(interlaced(), 0.3),
    "png-garbage-behind.png": lambda: png() + JUNK,
    "png-exif-6.png": lambda: png(exif=exif(6)),
    "png-animated.png": lambda: apng(default=False),
    "png-animated-default.png": lambda: apng(default=True),
    "png-named-jpeg.jpg": png,
    "gif-plain.gif": gif,
    "gif-interlaced.gif": lambda: gif(interlace=1),
    "gif-transparent.gif": lambda: gif(transparency=quarters().quantize(16, dither=Image.Dither.NONE).getpixel((5, 5))),
    "gif-animated.gif": lambda: encoded(quarters(), "GIF", save_all=True, append_images=[swap(quarters())]),
    "gif-larger-screen.gif": lambda: gif_screen(128, 96, 16, 16),
    "gif-smaller-screen.gif": lambda: gif_screen(60, 40),
    "gif-zero-screen.gif": lambda: gif_screen(0, 0),
    "gif-truncated.gif": lambda: cut(gif(), 0.3),
    "gif-large-truncated.gif": lambda: cut(gif(large()), 0.3),
    "gif-large-interlaced-truncated.gif": lambda: cut(gif(large(), interlace=1), 0.3),
    "gif-animated-truncated.gif": lambda: cut(
        encoded(large(), "GIF", save_all=True, append_images=[swap(large())]), 0.2
    ),
    "gif-without-end.gif": lambda: gif()[:-1],
    "gif-garbage-behind.gif": lambda: gif() + JUNK,
    "webp-lossy.webp": webp,
    "webp-lossless.webp": lambda: webp(lossless=True),
    "webp-alpha.webp": lambda: webp(see_through()),
    "webp-animated.webp": lambda: webp(save_all=True, append_images=[swap(quarters())]),
    "webp-exif-6.webp": lambda: webp(exif=exif(6)),
    "webp-truncated.webp": lambda: cut(webp(), 0.6),
    "webp-lossless-truncated.webp": lambda: cut(webp(lossless=True), 0.6),
    "webp-alpha-truncated.webp": lambda: cut(webp(see_through()), 0.8),
    "webp-large-truncated.webp": lambda: cut(webp(large()), 0.6),
    "webp-large-lossless-truncated.webp": lambda: cut(webp(large(), lossless=True), 0.6),
    "webp-large-alpha-truncated.webp": lambda: cut(webp(see_through().resize((256, 192))), 0.8),
    "webp-large-last-byte-missing.webp": lambda: webp(large())[:-1],
    "webp-animated-truncated.webp": lambda: cut(webp(large(), save_all=True, append_images=[swap(large())]), 0.7),
    "webp-riff-too-long.webp": lambda: webp_with_riff_size(2),
    "webp-riff-too-short.webp": lambda: webp_with_riff_size(-2),
    "webp-garbage-behind.webp": lambda: webp() + JUNK,
    "bmp-plain.bmp": lambda: encoded(quarters(), "BMP"),
    "bmp-palette.bmp": lambda: encoded(quarters().quantize(16), "BMP"),
    "bmp-truncated.bmp": lambda: cut(encoded(quarters(), "BMP"), 0.6),
    "avif-plain.avif": lambda: encoded(quarters(), "AVIF", quality=90),
    "avif-alpha.avif": lambda: encoded(see_through(), "AVIF", quality=90),
    "avif-turned.avif": lambda: encoded(quarters(), "AVIF", quality=90, exif=exif(6)),
    "avif-truncated.avif": lambda: cut(encoded(quarters(), "AVIF", quality=90), 0.7),
    "tiff-plain.tif": lambda: encoded(quarters(), "TIFF", compression="tiff_lzw"),
    "ico-plain.ico": lambda: encoded(quarters((32, 32)), "ICO", sizes=[(32, 32)]),
    "svg-plain.svg": lambda: SVG,
    "heic-head.heic": lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
    "html-page.jpg": lambda: b"<!doctype html><title>Sign in</title><p>Sign in",
    "empty.jpg": lambda: b"",
}
"""File name -> the function that builds it."""


def main() -> None:
    CORPUS.mkdir(exist_ok=True)
    for name, build in FILES.items():
        (CORPUS / name).write_bytes(build())
    print(len(FILES), "files,", sum(path.stat().st_size for path in CORPUS.iterdir()) // 1000, "kB")


if __name__ == "__main__":
    main()
