"""Any bytes give an upright RGB image or one of three reasons."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from demo.examples import png_bomb
from streams.images.decode import Decoded, decode
from streams.images.errors import ImageError
from tests.streams.images.sample_images import GIF_BOMB, WEBP_BOMB, encoded, half_and_half, noise, png, small, ycck

# the product silences these for good (see `decode`), pytest sets them back
pytestmark = [pytest.mark.filterwarnings("ignore:Corrupt EXIF"), pytest.mark.filterwarnings("ignore:Image size")]

LIMIT = 1_000_000
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def read(body: bytes) -> Decoded:
    return decode(body, LIMIT)


def near(found: object, wanted: tuple[int, int, int]) -> bool:
    """Returns whether two colours differ by no more than JPEG's loss."""
    assert isinstance(found, tuple)
    return all(abs(a - b) <= 12 for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("body", "name"),
    [
        pytest.param(encoded(half_and_half(), "JPEG"), "JPEG", id="JPEG"),
        pytest.param(encoded(half_and_half(), "JPEG", progressive=True), "JPEG", id="progressive JPEG"),
        pytest.param(encoded(half_and_half("CMYK"), "JPEG"), "JPEG", id="CMYK JPEG"),
        pytest.param(
            encoded(half_and_half(), "MPO", save_all=True, append_images=[half_and_half()]), "JPEG", id="a phone's JPEG"
        ),
        pytest.param(encoded(half_and_half(), "PNG"), "PNG", id="PNG"),
        pytest.param(encoded(half_and_half("P"), "PNG"), "PNG", id="palette PNG"),
        pytest.param(encoded(half_and_half("RGBA"), "PNG"), "PNG", id="PNG with alpha"),
        pytest.param(encoded(half_and_half(), "WEBP", lossless=True), "WEBP", id="WEBP"),
        pytest.param(encoded(half_and_half(), "GIF"), "GIF", id="GIF"),
        pytest.param(
            encoded(half_and_half(), "GIF", save_all=True, append_images=[Image.new("RGB", (80, 40))]),
            "GIF",
            id="animated GIF, first frame",
        ),
        pytest.param(
            encoded(half_and_half(), "PNG", save_all=True, append_images=[Image.new("RGB", (80, 40))]),
            "PNG",
            id="animated PNG, first frame",
        ),
        pytest.param(
            encoded(half_and_half(), "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", (80, 40))]),
            "WEBP",
            id="animated WEBP, first frame",
        ),
    ],
)
def test_good_files_become_rgb_with_the_right_colours(body: bytes, name: str) -> None:
    image = read(body)
    assert (image.format, image.width, image.height, small(image).size) == (name, 80, 40, (80, 40))
    assert near(small(image).getpixel((10, 20)), RED)
    assert near(small(image).getpixel((70, 20)), BLUE)


GREY, KEY = struct.pack("!H", 0x8000), struct.pack("!3B", 1, 2, 3)


@pytest.mark.parametrize(
    ("body", "colour"),
    [
        pytest.param(png(16, 2, struct.pack("!3H", 0x8000, 0x4000, 0xFFFF) * 9), (128, 64, 255), id="16-bit RGB"),
        pytest.param(png(16, 6, struct.pack("!4H", 0, 0, 0xFFFF, 0x8000) * 9), (127, 127, 255), id="16-bit RGB, alpha"),
        pytest.param(png(16, 0, GREY * 9), (128, 128, 128), id="16-bit grey"),
        pytest.param(png(16, 4, (GREY + b"\xff\xff") * 9), (128, 128, 128), id="16-bit grey, alpha"),
        pytest.param(png(4, 0, b"\x88" * 5), (136, 136, 136), id="4-bit grey"),
        pytest.param(png(2, 0, b"\xaa" * 3), (170, 170, 170), id="2-bit grey"),
        pytest.param(png(8, 2, KEY * 9, b"\0\1\0\2\0\3"), WHITE, id="RGB, one colour transparent"),
        pytest.param(png(8, 0, bytes(9), b"\0\0"), WHITE, id="grey, black transparent"),
        pytest.param(png(1, 0, bytes(2), b"\0\0"), WHITE, id="1 bit, black transparent"),
        pytest.param(png(1, 0, bytes(2), b"\0\1"), (0, 0, 0), id="1 bit, white transparent"),
        pytest.param(encoded(half_and_half("P"), "PNG", transparency=bytes(256)), WHITE, id="palette, all transparent"),
        pytest.param(encoded(Image.new("LA", (9, 9), (0, 128)), "PNG"), (127, 127, 127), id="grey, half transparent"),
        pytest.param(encoded(Image.new("RGBA", (9, 9)), "WEBP", lossless=True), WHITE, id="transparent WEBP"),
        pytest.param(encoded(Image.new("L", (9, 9), 77), "JPEG"), (77, 77, 77), id="grey JPEG"),
        pytest.param(ycck(RED), RED, id="YCCK JPEG"),
        pytest.param(ycck((20, 160, 90)), (20, 160, 90), id="YCCK JPEG, green"),
    ],
)
def test_colours_come_out_right(body: bytes, colour: tuple[int, int, int]) -> None:
    assert near(small(read(body)).getpixel((4, 4)), colour)


def png_text(count: int, size: int) -> bytes:
    texts = PngInfo()
    for number in range(count):
        texts.add_text(f"k{number}", "a" * size, zip=True)
    return encoded(half_and_half(), "PNG", pnginfo=texts)


ENTRIES = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack("!H", 65_000) + b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" * 300_000


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(png_text(70, 1_000_000), id="70 MB of text in 70 kB"),
        pytest.param(png_text(1, 50_000_000), id="50 MB of text at once"),
        pytest.param(encoded(half_and_half(), "PNG", icc_profile=bytes(50_000_000)), id="50 MB of profile"),
        pytest.param(encoded(half_and_half(), "JPEG", icc_profile=bytes(8_000_000)), id="a JPEG's, as it is"),
        pytest.param(encoded(half_and_half(), "WEBP", exif=ENTRIES), id="65,000 entries of EXIF"),
    ],
)
def test_metadata_is_passed_over(body: bytes) -> None:
    """None of it is inflated."""
    started = time.process_time()
    assert max(small(read(body)).size) == 80
    assert time.process_time() - started < 1


def test_the_hash_is_stable_and_similar_for_copies_of_another_size_and_quality() -> None:
    image = Image.linear_gradient("L").resize((600, 450)).convert("RGB")
    image.paste(half_and_half(size=(200, 150)), (90, 60))
    first = read(encoded(image, "PNG")).phash
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    script = "import sys; from streams.images.decode import decode; print(decode(sys.stdin.buffer.read(), 10**6).phash)"
    run = subprocess.run([sys.executable, "-c", script], input=encoded(image, "PNG"), capture_output=True, check=True)
    assert run.stdout.decode().strip() == first
    copy = read(encoded(image.resize((450, 338)), "JPEG", quality=50)).phash
    other = read(encoded(image.rotate(90), "PNG")).phash
    assert (int(first, 16) ^ int(copy, 16)).bit_count() < 20 < (int(first, 16) ^ int(other, 16)).bit_count()


def test_importing_the_decoder_changes_no_global_state() -> None:
    script = """
import sys, warnings
from PIL import Image, ImageFile
def state(): return warnings.filters[:], Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
before = state()
import streams.images.decoder
assert state() == before
assert "numpy" not in sys.modules, "what is heavy belongs to the decoding processes"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_sixteen_bits_of_grey_are_scaled_not_clipped() -> None:
    grey = Image.frombytes("I;16", (4, 1), struct.pack("<4H", 0, 0x4000, 0x8000, 0xFFFF))
    values = [small(read(encoded(grey, "PNG"))).getpixel((x, 0)) for x in range(4)]
    assert values == [(0, 0, 0), (64, 64, 64), (128, 128, 128), (255, 255, 255)]


def test_black_and_white_stay_black_and_white() -> None:
    assert small(read(encoded(Image.new("1", (9, 9), 1), "PNG"))).getpixel((4, 4)) == WHITE


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.new("RGBA", (9, 9), (255, 0, 0, 0)), id="RGBA"),
        pytest.param(Image.new("LA", (9, 9), (0, 0)), id="grey with alpha"),
    ],
)
def test_transparent_areas_become_white(image: Image.Image) -> None:
    assert small(read(encoded(image, "PNG"))).getpixel((4, 4)) == WHITE


@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [
        pytest.param(1, (80, 40), (10, 20), id="upright"),
        pytest.param(2, (80, 40), (70, 20), id="mirrored"),
        pytest.param(3, (80, 40), (70, 20), id="upside down"),
        pytest.param(4, (80, 40), (10, 20), id="flipped"),
        pytest.param(5, (40, 80), (20, 10), id="transposed"),
        pytest.param(6, (40, 80), (20, 10), id="turned right"),
        pytest.param(7, (40, 80), (20, 70), id="transversed"),
        pytest.param(8, (40, 80), (20, 70), id="turned left"),
        pytest.param(99, (80, 40), (10, 20), id="nonsense"),
    ],
)
def test_exif_orientation_is_undone(orientation: int, size: tuple[int, int], red_at: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read(encoded(half_and_half(), "JPEG", exif=exif, quality=95))
    assert (image.width, image.height) == small(image).size == size
    assert near(small(image).getpixel(red_at), RED)


def test_damaged_exif_data_is_ignored() -> None:
    assert read(encoded(half_and_half(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xffgarbage")).format == "JPEG"


def test_the_small_copy_is_limited_and_keeps_the_aspect_ratio() -> None:
    image = read(encoded(half_and_half(size=(1000, 500)), "JPEG"))
    assert (image.width, image.height, small(image).size) == (1000, 500, (640, 320))
    assert len(small(image).tobytes()) == 640 * 320 * 3


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "I;16"])
def test_shrinking_in_strips_leaves_no_seams(mode: str) -> None:
    """A ramp from top to bottom, and an image so tall that it takes several strips."""
    ramp = Image.linear_gradient("L").resize((300, 3000))
    body = encoded(
        ramp.convert("I;16").point(lambda value: value * 257) if mode == "I;16" else ramp.convert(mode), "PNG"
    )
    image = read(body)
    assert small(image).size == (64, 640)
    found, wanted = small(image).convert("L"), ramp.resize((64, 640), Image.Resampling.BOX)
    assert max(abs(a - b) for a, b in zip(found.tobytes(), wanted.tobytes(), strict=True)) <= 2


@pytest.mark.parametrize("size", [(100_000, 1), (1, 100_000), (700, 3), (641, 641), (1300, 11)], ids=str)
def test_every_shape_is_reduced_within_the_limit(size: tuple[int, int]) -> None:
    image = read(encoded(Image.new("RGB", size, RED), "PNG"))
    assert max(small(image).size) == 640
    assert small(image).getpixel((small(image).width - 1, small(image).height - 1)) == RED


PEAK = """
import sys
from PIL import Image
from streams.images.decode import decode, perceptual_hash
perceptual_hash(Image.new("RGB", (64, 64)))  # imports much
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
before = peak()
decode(sys.stdin.buffer.read(), 40_000_000)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize(
    ("image", "bytes_a_pixel"),
    [
        pytest.param(lambda size: Image.frombytes("I;16", size, bytes(2 * size[0] * size[1])), 2, id="16-bit grey"),
        pytest.param(lambda size: Image.new("P", size), 1, id="palette"),
        pytest.param(lambda size: Image.new("RGBA", size), 4, id="RGBA"),
    ],
)
def test_a_large_image_is_held_in_memory_once(
    image: Callable[[tuple[int, int]], Image.Image], bytes_a_pixel: int
) -> None:
    size = (4000, 4000)
    body = encoded(image(size), "PNG", compress_level=1)
    run = subprocess.run([sys.executable, "-c", PEAK], input=body, capture_output=True, check=True, timeout=60)
    assert int(run.stdout) < 1.35 * bytes_a_pixel * size[0] * size[1] + 16_000_000


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "not_an_image", id="nothing"),
        pytest.param(b"<!doctype html><p>Sign in", "not_an_image", id="HTML"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not_an_image", id="SVG"),
        pytest.param(encoded(half_and_half(), "TIFF"), "not_an_image", id="TIFF"),
        pytest.param(encoded(half_and_half(), "PDF"), "not_an_image", id="PDF"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image", id="PostScript"),
        pytest.param(b"\x1f\x8b\x08" + bytes(40), "not_an_image", id="gzip"),
        pytest.param(encoded(noise(), "JPEG")[:700], "broken", id="JPEG without pixels"),
        pytest.param(encoded(noise(), "PNG")[:50], "broken", id="PNG without pixels"),
        pytest.param(encoded(noise(), "GIF")[:793], "broken", id="GIF without pixels"),
        pytest.param(encoded(Image.new("L", (1001, 1000)), "PNG"), "bomb", id="one row more than allowed"),
        pytest.param(png_bomb(4000), "bomb", id="PNG bomb"),
        pytest.param(png_bomb(), "bomb", id="PNG bomb beyond Pillow's own limit"),
        pytest.param(GIF_BOMB, "bomb", id="GIF bomb"),
        pytest.param(WEBP_BOMB, "bomb", id="WEBP bomb"),
    ],
)
def test_bad_files_are_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as refused:
        read(body)
    assert refused.value.kind == reason, refused.value.reason


def test_a_truncated_webp_is_refused() -> None:
    """libwebp has one kind of failure, whether the header or the pixels are unreadable."""
    body = encoded(noise(), "WEBP")
    for cut in (20, 200, len(body) // 2):
        with pytest.raises(ImageError, match=r"^(broken|not_an_image): "):
            read(body[:cut])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
@pytest.mark.parametrize("size", [pytest.param((300, 200), id="small"), pytest.param((1100, 900), id="to be shrunk")])
def test_a_truncated_file_keeps_its_pixels_and_the_rest_is_white(kind: str, size: tuple[int, int]) -> None:
    body = encoded(noise(size), kind, **({"interlace": 0} if kind == "GIF" else {}))
    image = small(read(body[: len(body) // 2]))
    rows = [image.crop((0, row, image.width, row + 1)).convert("L").getextrema() for row in (5, image.height - 5)]
    if kind == "BMP":  # begins with its last row
        rows.reverse()
    assert rows[0] != (255, 255)
    assert rows[1] == (255, 255)
