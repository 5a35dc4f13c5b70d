"""How far apart are the perceptual hashes of what is one picture to people, and of what is not?

Sets `streams.vision.NEAR`.

    MNER_DATA=... python -m benchmarks.near_duplicates

Of every image of `MNER_DATA/images`: copies as they come about when people pass pictures on, and copies in which the
text differs, down to one figure of a small score. Drawn: flags, flat fields and other things that a hash hardly tells.
Prints, per kind, the share of pairs within each distance, and of those that would lend: within `NEAR`, not plain, and
alike in their colours (model/vision/likeness.py).
"""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont
from rich.console import Console
from rich.table import Table

from benchmarks.plain import plain_pictures
from core.errors import UserError
from core.pixels import Pixels
from model.vision.likeness import alike, colours
from streams.images.decode import decode
from streams.vision import NEAR

DISTANCES = (0, 2, 4, 8, 12, 16, 24, 32, 48, 64)
SEED = 20261121
MAX_PIXELS = 40_000_000
WORDS = ("WHEN THE BUS IS LATE", "NOBODY: ABSOLUTELY NOBODY:", "MONDAY AGAIN", "ME AFTER ONE COFFEE", "TRUST ME")


@dataclass(frozen=True)
class Pair:
    """Bits of 256 in which the hashes of two files differ. `kind`: how they came to be two. `lends`: one the other."""

    kind: str
    bits: int
    lends: bool


def main() -> None:
    folder = Path(os.environ.get("MNER_DATA", ".")) / "images"
    files = sorted(folder.glob("*.jpg"))
    if not files:
        raise UserError(f"no *.jpg in {folder}: set MNER_DATA to the folder of data sets")
    pairs = [pair for path in files for pair in copies(path.read_bytes(), random.Random(f"{SEED} {path.name}"))]
    pairs += [compared("another picture", *(file.read_bytes() for file in two)) for two in combinations(files, 2)]
    for kind, drawn in plain_pictures().items():
        pairs += [compared(kind, *(_file(image, "PNG") for image in two)) for two in combinations(drawn, 2)]
    Console(width=140).print(table(pairs))


def table(pairs: list[Pair]) -> Table:
    shown = Table("kind", "pairs", *(f"<= {bits}" for bits in DISTANCES), "least", "most", "lent", box=None)
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        bits = np.array([pair.bits for pair in pairs if pair.kind == kind])
        shares = [f"{np.mean(bits <= limit):.0%}" for limit in DISTANCES]
        lent = np.mean([pair.lends for pair in pairs if pair.kind == kind])
        shown.add_row(kind, str(len(bits)), *shares, str(bits.min()), str(bits.max()), f"{lent:.0%}")
    return shown


def copies(body: bytes, chance: random.Random) -> Iterator[Pair]:
    """The file beside copies of it; the text of a copy beside another text in the same place."""
    image = Image.open(io.BytesIO(body)).convert("RGB")
    for kind, copy in passed_on(image, chance):
        yield compared(kind, body, copy)
    yield compared("red and blue swapped", body, _file(Image.merge("RGB", image.split()[::-1])))
    for kind, part, texts in (
        ("other caption, 1/8 high", 8, chance.sample(WORDS, 2)),
        ("other caption, 1/20 high", 20, chance.sample(WORDS, 2)),
        ("other figure, 1/12 high", 12, _scores(chance)),
        ("other figure, 1/30 high", 30, _scores(chance)),
    ):
        place = chance.uniform(0.05, 0.85)
        one, two = (_file(_with_text(image, text, part, place)) for text in texts)
        yield compared(kind, one, two)
        if "caption" in kind:
            yield compared(kind.replace("other", "added"), body, one)


def passed_on(image: Image.Image, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """The files that come about when people pass a picture on, with how."""
    for quality in (30, 50, 75, 95):
        yield "JPEG again, q 30-95", _file(image, "JPEG", quality)
        yield "WEBP, q 30-95", _file(image, "WEBP", quality)
    for scale in (0.4, 0.6, 0.8, 1.25, 1.5):
        size = (round(image.width * scale), round(image.height * scale))
        yield "resized, 40-150%", _file(image.resize(size, Image.Resampling.LANCZOS))
    for edge in (0.01, 0.02):
        yield "cropped, 1-2%", _file(_cropped(image, [chance.uniform(0, edge) for _ in range(4)]))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
        for factor in (0.9, 1.1):
            yield "brightness, colour, contrast ±10%", _file(enhance(image).enhance(factor))
    yield "small watermark", _file(_with_text(image, "@someone", 24, 0.94))


def compared(kind: str, one: bytes, two: bytes) -> Pair:
    (hash_one, colours_one), (hash_two, colours_two) = fingerprint(one), fingerprint(two)
    bits = (hash_one ^ hash_two).bit_count()
    plain = colours_one is None or colours_two is None
    return Pair(kind, bits, bits <= NEAR and not plain and alike(colours_one or b"", colours_two or b""))


@lru_cache(maxsize=64)
def fingerprint(body: bytes) -> tuple[int, bytes | None]:
    """The perceptual hash and the colours, as a worker has them."""
    found = decode(body, MAX_PIXELS)
    assert found.small is not None
    return int(found.phash, 16), colours(Pixels(*found.small.size, found.small.tobytes()))


def _file(image: Image.Image, form: str = "JPEG", quality: int = 85) -> bytes:
    out = io.BytesIO()
    image.save(out, form, quality=quality)
    return out.getvalue()


def _cropped(image: Image.Image, sides: list[float]) -> Image.Image:
    left, top, right, bottom = sides
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


def _scores(chance: random.Random) -> list[str]:
    return [f"HOME {goals} : 1 GUESTS" for goals in chance.sample(range(10), 2)]


def _with_text(image: Image.Image, text: str, part: int, place: float) -> Image.Image:
    """`text` in white with a black rim, 1/`part` of the picture high, its top at the fraction `place` of the height."""
    copy = image.copy()
    size = max(8, image.height // part)
    draw = ImageDraw.Draw(copy)
    font = ImageFont.load_default(size)
    left = (image.width - draw.textlength(text, font)) / 2
    draw.text(
        (left, place * (image.height - size)), text, "white", font, stroke_width=max(1, size // 16), stroke_fill="black"
    )
    return copy


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
