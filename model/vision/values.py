"""What goes into the vision channels and what comes out of them. No torch here: the pipeline reads these too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from core.events import Score, Value
from core.pixels import Pixels
from core.text import plain

Channel = Literal["tags", "caption", "ocr"]
CHANNELS: tuple[Channel, ...] = ("tags", "caption", "ocr")

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""Of the picture's width or height, from the left or the top: the same for every size of one picture."""

Box = tuple[Fraction, Fraction, Fraction, Fraction]
"""Left, top, right, bottom."""

Point = tuple[Fraction, Fraction]

MAX_WORDS, MAX_REASON = 256, 500
"""Characters of a label, a caption or a line, and of why there is none: what a person can mend is told whole."""

MAX_TAGS, MAX_LINES = 100, 200
"""Of one picture; the channels' own limits are stricter. Who answers more is no reader of ours."""

MISCONFIGURED = "misconfigured: "
"""Begins the reason of a channel that a person set up wrongly; the rest says how to mend it."""

Words = Annotated[str, Field(max_length=MAX_WORDS), AfterValidator(lambda text: plain(text, MAX_WORDS))]
Reason = Annotated[str, AfterValidator(lambda text: plain(text, MAX_REASON))]
"""Both are cleaned here too: what comes out of a process that reads strangers' files is a stranger's."""


class Tag(Value):
    """An object or a scene. `box` where a detector found it, None where a classifier named the whole picture."""

    label: Words
    score: Score
    box: Box | None = None


class TextLine(Value):
    """A line of text in the picture. `box`: its corners, clockwise from the text's own top left."""

    text: Words
    score: Score
    box: tuple[Point, Point, Point, Point]


class VisualContext(Value):
    """What the channels read of one image. A channel that gave nothing because it could not stands in `absent`, with
    the reason; one that looked and found nothing does not. `tags` best first, `lines` in reading order. `lent`: by a
    copy of the image, not read of itself."""

    tags: Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)] = ()
    caption: Words | None = None
    lines: Annotated[tuple[TextLine, ...], Field(max_length=MAX_LINES)] = ()
    absent: dict[Channel, Reason] = Field(default_factory=dict)
    lent: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One picture for the reader, and the channels that are wanted of it."""

    pixels: Pixels
    channels: tuple[Channel, ...]
