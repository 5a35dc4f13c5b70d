"""What was found where in an image, in the form in which a post's events carry it. Pure."""

from __future__ import annotations

from core.events import MAX_REGIONS, Region
from model.vision.values import Box, Tag, TextLine, VisualContext

MAX_OBJECTS = 10
"""Most objects among the regions. The other places are for lines of text."""

DIGITS = 4
"""Decimal places of a box. The largest images that are shown have fewer pixels in a row."""


def regions(visual: VisualContext) -> tuple[Region, ...]:
    """Returns the objects, best first, then the lines of text in reading order: `MAX_REGIONS` at most.

    Tags of the whole image have no place, and are left out. A slanted line gets the upright box around it.
    """
    objects = [region for tag in visual.tags if (region := _object(tag))][:MAX_OBJECTS]
    lines = [region for line in visual.lines if (region := _line(line))]
    return (*objects, *lines)[:MAX_REGIONS]


def _object(tag: Tag) -> Region | None:
    return None if tag.box is None else _region("object", tag.label, tag.score, tag.box)


def _line(line: TextLine) -> Region | None:
    across, down = zip(*line.box, strict=True)
    return _region("text", line.text, line.score, (min(across), min(down), max(across), max(down)))


def _region(kind: str, label: str, score: float, box: Box) -> Region | None:
    if not label:
        return None  # nothing of it was left by `core.text.plain`
    rounded = tuple(round(edge, DIGITS) for edge in box)
    return Region.model_validate({"kind": kind, "label": label, "score": round(score, DIGITS), "box": rounded})
