"""Drawn pictures that a perceptual hash hardly tells apart: the same shapes in other colours, or hardly any shapes."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

UPRIGHT = {
    "Belgium": ("black", "#FDDA24", "#EF3340"),
    "France": ("#0055A4", "white", "#EF4135"),
    "Ireland": ("#169B62", "white", "#FF883E"),
    "Italy": ("#008C45", "white", "#CD212A"),
    "Romania": ("#002B7F", "#FCD116", "#CE1126"),
}
LEVEL = {
    "Germany": ("black", "#DD0000", "#FFCC00"),
    "Hungary": ("#CD2A3E", "white", "#436F4D"),
    "Luxembourg": ("#EA141D", "white", "#51ADDA"),
    "Netherlands": ("#AE1C28", "white", "#21468B"),
    "Russia": ("white", "#0039A6", "#D52B1E"),
}
CROSSES = {
    "Denmark": ("#C8102E", "white", "white"),
    "Finland": ("white", "#003580", "#003580"),
    "Iceland": ("#02529C", "white", "#DC1E35"),
    "Norway": ("#BA0C2F", "white", "#00205B"),
    "Sweden": ("#006AA7", "#FECC02", "#FECC02"),
}
FIELDS = ("red", "blue", "white", "black", "green", "#87CEEB")
DISCS = ("#BC002D", "#FF8C00", "#FFD700", "#228B22")
SKIES = (("#FFDCB4", "#143CA0"), ("#C8E6FF", "#003C3C"), ("#140A3C", "#FF7828"))
WORDS = ("2 : 1", "3 : 1", "YES", "NO", "SALE")


def plain_pictures() -> dict[str, list[Image.Image]]:
    """By kind; no two of a kind are one picture to people."""
    upright = [_stripes(shades).transpose(Image.Transpose.TRANSPOSE).resize((600, 400)) for shades in UPRIGHT.values()]
    return {
        "flags of stripes": upright + [_stripes(shades) for shades in LEVEL.values()],
        "flags with a cross": [_cross(*shades) for shades in CROSSES.values()],
        "flat fields": [Image.new("RGB", (640, 640), shade) for shade in FIELDS],
        "discs": [_disc(shade) for shade in DISCS],
        "shades, as of a sky": [_shaded(*shades) for shades in SKIES],
        "a word, 1/10 high": [_word(word, 64) for word in WORDS],
        "a word, 1/3 high": [_word(word, 213) for word in WORDS],
    }


def _stripes(shades: tuple[str, ...]) -> Image.Image:
    flag = Image.new("RGB", (600, 399))
    for row, shade in enumerate(shades):
        flag.paste(shade, (0, row * 133, 600, row * 133 + 133))
    return flag


def _cross(ground: str, outer: str, inner: str) -> Image.Image:
    flag = Image.new("RGB", (600, 400), ground)
    for shade, half in ((outer, 40), (inner, 20)):
        flag.paste(shade, (200 - half, 0, 200 + half, 400))
        flag.paste(shade, (0, 200 - half, 600, 200 + half))
    return flag


def _disc(shade: str) -> Image.Image:
    picture = Image.new("RGB", (500, 500), "white")
    ImageDraw.Draw(picture).ellipse((100, 100, 400, 400), shade)
    return picture


def _shaded(top: str, bottom: str) -> Image.Image:
    two = Image.new("RGB", (1, 2), top)
    two.paste(bottom, (0, 1, 1, 2))
    return two.resize((640, 640), Image.Resampling.BICUBIC)


def _word(word: str, points: int) -> Image.Image:
    picture = Image.new("RGB", (640, 640), "white")
    ImageDraw.Draw(picture).text((320, 320), word, "black", ImageFont.load_default(points), anchor="mm")
    return picture
