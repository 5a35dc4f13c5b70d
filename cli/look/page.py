"""Writes one HTML page with images and what was read in them. The page needs no other file and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cli.look.inspector import InspectedImage
from core.text import one_line
from model.context import TAG_SCORE
from model.vision.values import Channel, Tag, TextLine
from streams.images.decode import LoadedImage

GRID_SIZE = (420, 280)
"""Width and height, in CSS pixels, into which an image of a grid is fitted."""

SINGLE_SIZE = (900, 720)
"""Width and height, in CSS pixels, into which the only image of a page is fitted."""

JPEG_QUALITY = 88


@dataclass(frozen=True)
class ObjectBox:
    """The box of a detected object, in the units of the card's image."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class LineBox:
    """A line of recognised text and its box, in the units of the card's image."""

    text: str
    score: float
    #: The corners, as SVG writes them.
    points: str
    #: The top left corner for a reader of the text, and the text's direction in degrees, clockwise from the right.
    x: float
    y: float
    angle: float
    length: float
    height: float
    badge_x: float
    badge_y: float


@dataclass(frozen=True)
class Card:
    """One image of the page. Without a `data_url` it was refused."""

    name: str
    detail: str
    data_url: str = ""
    refusal: str = ""
    refusal_detail: str = ""
    #: Size of the image on the page. Boxes have the same units.
    width: int = 0
    height: int = 0
    tags: tuple[Tag, ...] = ()
    objects: tuple[ObjectBox, ...] = ()
    lines: tuple[LineBox, ...] = ()
    caption: str = ""
    context: str = ""
    #: Why a channel read nothing.
    absent: dict[Channel, str] = field(default_factory=dict)
    sha256: str = ""
    phash: str = ""


def page(images: Sequence[InspectedImage]) -> str:
    """Returns the HTML of all images, in order.

    Strangers wrote most of the strings. All of them are escaped, control characters and direction marks become
    visible, and the content security policy allows nothing but the page's own style sheet and its embedded images.
    """
    size = SINGLE_SIZE if len(images) == 1 else GRID_SIZE
    cards = [_card(image, size) for image in images]
    refused = sum(image.image is None for image in images)
    title = f"{len(cards)} image{'' if len(cards) == 1 else 's'}" + (f", {refused} refused" if refused else "")
    css = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    template = _environment().get_template("page.html")
    return template.render(
        title=title,
        policy=policy,
        css=css,
        cards=cards,
        tag_score=TAG_SCORE,
    )


def _environment() -> Environment:
    return Environment(
        autoescape=True,
        finalize=lambda value: one_line(value) if type(value) is str else value,
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
    )


def _card(inspected: InspectedImage, room: tuple[int, int]) -> Card:
    name, image, visual = _name(inspected.source), inspected.image, inspected.visual
    if image is None or inspected.pixels is None:
        kind, _, detail = (inspected.reason or "refused").partition(": ")
        return Card(name, inspected.source, refusal=kind, refusal_detail=detail)
    pixels = inspected.pixels
    scale = min(room[0] / pixels.width, room[1] / pixels.height)
    width, height = max(1, round(scale * pixels.width)), max(1, round(scale * pixels.height))
    file = io.BytesIO()
    pixels.image().save(file, "JPEG", quality=JPEG_QUALITY)
    return Card(
        name,
        _detail(image),
        data_url=f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}",
        width=width,
        height=height,
        tags=visual.tags,
        objects=tuple(_object_box(tag, width, height) for tag in visual.tags if tag.box),
        lines=tuple(_line_box(line, width, height) for line in visual.lines),
        caption=visual.caption or "",
        context=inspected.context or "",
        absent=dict(visual.absent),
        sha256=image.sha256,
        phash=image.phash,
    )


def _detail(image: LoadedImage) -> str:
    return f"{image.format} · {image.width} × {image.height} pixels"


def _object_box(tag: Tag, width: int, height: int) -> ObjectBox:
    assert tag.box is not None
    left, top, right, bottom = tag.box
    label = f"{tag.label} {tag.score:.2f}"
    return ObjectBox(left * width, top * height, (right - left) * width, (bottom - top) * height, label)


def _line_box(line: TextLine, width: int, height: int) -> LineBox:
    corners = [(x * width, y * height) for x, y in line.box]
    top_left, top_right, _, bottom_left = corners
    return LineBox(
        text=line.text,
        score=line.score,
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in corners),
        x=round(top_left[0], 1),
        y=round(top_left[1], 1),
        angle=round(math.degrees(math.atan2(top_right[1] - top_left[1], top_right[0] - top_left[0])), 1),
        length=round(max(1.0, math.dist(top_left, top_right)), 1),
        height=round(max(1.0, math.dist(top_left, bottom_left)), 1),
        badge_x=round(min(max(top_left[0], 10.0), width - 10.0), 1),
        badge_y=round(min(max(top_left[1], 9.0), height - 9.0), 1),
    )


def _name(source: str) -> str:
    """Returns the last part of a path or URL."""
    try:
        path = urlsplit(source).path if "://" in source else source
    except ValueError:
        return source
    return unquote(path.rstrip("/").rpartition("/")[2]) or source
