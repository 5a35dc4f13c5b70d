"""What goes into the vision channels and what comes out of them. No torch here: the pipeline reads these too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from PIL import Image
from pydantic import Field

from streams.events import Score, Value

Channel = Literal["tags", "caption", "ocr"]
CHANNELS: tuple[Channel, ...] = ("tags", "caption", "ocr")

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""Of the picture's width or height, from the left or the top: the same for every size of one picture."""

Box = tuple[Fraction, Fraction, Fraction, Fraction]
"""Left, top, right, bottom."""

Point = tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True)
class Pixels:
    """A small upright picture: rows from the top, 3 bytes (red, green, blue) a pixel."""

    width: int
    height: int
    rgb: bytes

    def image(self) -> Image.Image:
        return Image.frombytes("RGB", (self.width, self.height), self.rgb)


class Tag(Value):
    """An object or a scene. `box` where a detector found it, None where a classifier named the whole picture."""

    label: str
    score: Score
    box: Box | None = None


class TextLine(Value):
    """A line of text in the picture. `box`: its corners, clockwise from the text's own top left."""

    text: str
    score: Score
    box: tuple[Point, Point, Point, Point]


class VisualContext(Value):
    """What the channels read of one image. A channel that gave nothing because it could not stands in `absent`, with
    the reason; one that looked and found nothing does not. `tags` best first, `lines` in reading order."""

    tags: tuple[Tag, ...] = ()
    caption: str | None = None
    lines: tuple[TextLine, ...] = ()
    absent: dict[Channel, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One picture for the reader, and the channels that are wanted of it."""

    pixels: Pixels
    channels: tuple[Channel, ...]
