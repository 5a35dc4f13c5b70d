"""Text set in whatever fonts this machine has: each stretch of it in the first font that has its characters.

Pillow carries one font of its own (Aileron), which has ASCII and little more; it is used where no other is found.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Literal

from PIL import ImageDraw, ImageFont

Weight = Literal["regular", "bold"]
Font = ImageFont.FreeTypeFont

LATIN: dict[Weight, tuple[str, ...]] = {
    "regular": ("NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "segoeui.ttf", "DejaVuSans.ttf"),
    "bold": ("NotoSans-Bold.ttf", "LiberationSans-Bold.ttf", "Arial Bold.ttf", "segoeuib.ttf", "DejaVuSans-Bold.ttf"),
}
"""The first that is there is used; its weight is the text's."""

OTHERS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKjp-Regular.otf",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "NotoEmoji-Regular.ttf",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "Arial Unicode.ttf",
    "PingFang.ttc",
    "AppleSDGothicNeo.ttc",
    "msyh.ttc",
    "YuGothR.ttc",
    "malgun.ttf",
    "unifont.otf",
)
"""Asked in this order for what the first font lacks."""

NOWHERE = "\U0010fffe"
"""A noncharacter: no font has it, so it is drawn as the font draws what it lacks."""

HOLLOW_EM = 0.55
"""Width of the hollow box that stands for a character no font has, as a share of the font's size."""

ELLIPSIS = "…"
SMALLEST_BREAK = 0.5
"""A line is broken at a blank unless that leaves less than this share of it."""


@lru_cache(maxsize=256)
def _open(name: str, size: int) -> Font | None:
    """Pillow looks through the system's font folders."""
    try:
        return ImageFont.truetype(name, size)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=64)
def _fonts(size: int, weight: Weight) -> tuple[Font, ...]:
    first = next((font for name in LATIN[weight] if (font := _open(name, size))), None)
    own = ImageFont.load_default(size)
    rest = [font for name in OTHERS if (font := _open(name, size))]
    return tuple(font for font in (first, *rest, own) if isinstance(font, ImageFont.FreeTypeFont))


@lru_cache(maxsize=65536)
def _has(font: Font, character: str) -> bool:
    shape, lacking = font.getmask(character), font.getmask(NOWHERE)
    return (shape.size, bytes(shape)) != (lacking.size, bytes(lacking))


@dataclass(frozen=True)
class Type:
    """A size in pixels, and a weight."""

    size: int
    weight: Weight = "regular"

    @property
    def line(self) -> int:
        """From one line of text to the next."""
        return round(1.38 * self.size)

    def width(self, text: str) -> int:
        return round(sum(self._width(font, part) for font, part in self._parts(text)))

    def write(self, draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, colour: str) -> None:
        """One line; `at` is the left end of the top of its box of height `line`."""
        left, base = at[0], at[1] + 1.05 * self.size
        for font, part in self._parts(text):
            width = self._width(font, part)
            if font is None:
                self._hollow(draw, (left, base), len(part), colour)
            else:
                draw.text((left, base), part, colour, font, anchor="ls")
            left += width

    def wrap(self, text: str, width: int, lines: int) -> list[str]:
        """The text in lines no wider than `width` pixels, `lines` of them at most; what is cut off ends in an ellipsis.

        Breaks at blanks; where there are none, as in an address or in Chinese, between any two characters.
        """
        rest, wrapped = " ".join(text.split()), list[str]()
        while rest and len(wrapped) < lines:
            taken = self._fitting(rest, width)
            if len(wrapped) == lines - 1 and taken < len(rest):
                return [*wrapped, self.cut(rest, width)]
            blank = rest.rfind(" ", 0, taken + 1)
            if taken < len(rest) and blank > SMALLEST_BREAK * taken:
                taken = blank
            wrapped.append(rest[:taken].rstrip())
            rest = rest[taken:].lstrip()
        return wrapped

    def cut(self, text: str, width: int) -> str:
        """The text, or as much of its beginning as leaves room for an ellipsis."""
        if self._fitting(text, width) == len(text):
            return text
        return text[: self._fitting(text, width - self.width(ELLIPSIS))].rstrip() + ELLIPSIS

    def _fitting(self, text: str, width: int) -> int:
        """How many characters fit; one at least, so that wrapping ends."""
        low, high = 1, min(len(text), max(1, 2 * width // max(1, self.size // 4)))
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.width(text[:middle]) <= width else (low, middle - 1)
        return low

    def _parts(self, text: str) -> Iterator[tuple[Font | None, str]]:
        """Stretches in one font each. None: no font here has these characters."""
        fonts = _fonts(self.size, self.weight)
        choice: list[tuple[Font | None, str]] = []
        for character in text:
            if unicodedata.category(character) in ("Cc", "Cf", "Cs") or 0xFE00 <= ord(character) <= 0xFE0F:
                continue
            choice.append((_choose(fonts, character, choice[-1][0] if choice else None), character))
        for font, group in groupby(choice, key=lambda pair: pair[0]):
            yield font, "".join(character for _, character in group)

    def _width(self, font: Font | None, part: str) -> float:
        return font.getlength(part) if font else len(part) * HOLLOW_EM * self.size

    def _hollow(self, draw: ImageDraw.ImageDraw, at: tuple[float, float], count: int, colour: str) -> None:
        for number in range(count):
            left = at[0] + number * HOLLOW_EM * self.size
            box = (left + 1, at[1] - 0.7 * self.size, left + HOLLOW_EM * self.size - 2, at[1])
            draw.rectangle(box, outline=colour)


def _choose(fonts: Sequence[Font], character: str, before: Font | None) -> Font | None:
    """Marks, blanks and signs stay in the font before them, so that a sentence from right to left stays one stretch."""
    neutral = unicodedata.category(character)[0] in "MZP"
    if neutral and before and _has(before, character):
        return before
    return next((font for font in fonts if _has(font, character)), None)


def lacking(text: str) -> set[str]:
    """The characters for which no font was found."""
    return {character for font, part in Type(16)._parts(text) if font is None for character in part}
