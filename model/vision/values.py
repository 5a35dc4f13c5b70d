"""The values that go into the vision channels and come out of them.

Imports no torch, because the pipeline uses them too.
"""

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
"""A share of the image's width or height, from the left or the top. It is the same at every size of the image."""

Box = tuple[Fraction, Fraction, Fraction, Fraction]
"""Left, top, right, bottom."""

Point = tuple[Fraction, Fraction]

MAX_WORDS = 256
"""Longest label, caption or line, in characters."""

MAX_REASON = 500
"""Longest reason for an absent channel, in characters. A person must be able to read all of the advice in it."""

MAX_TAGS, MAX_LINES = 100, 200
"""Largest numbers of tags and lines of one image. The channels have stricter limits of their own. These guard against a
reader that exceeds them."""

MISCONFIGURED = "misconfigured: "
"""Begins the reason of a channel that a person set up wrongly. The rest says what to do."""


# Words and reasons are cleaned here too, because they come from a process that reads strangers' files.
Words = Annotated[str, Field(max_length=MAX_WORDS), AfterValidator(lambda text: plain(text, MAX_WORDS))]
Reason = Annotated[str, AfterValidator(lambda text: plain(text, MAX_REASON))]


class Tag(Value):
    """An object or a scene in an image."""

    label: Words
    score: Score
    #: Where a detector found the object. None for a classifier, which labels the whole image.
    box: Box | None = None


class TextLine(Value):
    """A line of text in an image."""

    text: Words
    score: Score
    #: The corners, clockwise from the text's own top left.
    box: tuple[Point, Point, Point, Point]


class VisualContext(Value):
    """What the channels read in one image."""

    #: Best first.
    tags: Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)] = ()
    caption: Words | None = None
    #: In reading order.
    lines: Annotated[tuple[TextLine, ...], Field(max_length=MAX_LINES)] = ()
    #: The channels that could not read the image, with the reason. A channel that found nothing is not among them.
    absent: dict[Channel, Reason] = Field(default_factory=dict)
    #: The channels whose results were taken from a near-duplicate of the image.
    lent: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """An image for the reader, and the channels that are to read it."""

    pixels: Pixels
    channels: tuple[Channel, ...]
