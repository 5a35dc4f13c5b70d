"""A contact sheet: cards in a grid, a picture above and what is known of it below. Pillow only; lengths in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from PIL import Image, ImageDraw

from cli.look.draw import FINE, TEXT, fit
from cli.look.fonts import Type

PAGE, PAPER, RIM, MAT = "#eef1f4", "#ffffff", "#d5dbe1", "#e3e8ed"
INK, MUTED, BAR, TRACK = "#16202a", "#5b6874", "#0f766e", "#e3e8ed"
BAD, BAD_MAT = "#b42318", "#fdecea"

HEADING, TITLE, BODY, SMALL = Type(26, "bold"), Type(17, "bold"), Type(15), Type(13)
SECTION, NUMBER = Type(12, "bold"), Type(12, "bold")

MARGIN, GAP, PAD, RADIUS = 36, 22, 18, 12
SCORE_WIDTH = 40
LABEL_SHARE = 0.46


class Canvas:
    """An image that is drawn on."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.pen = ImageDraw.Draw(image)

    def write(self, face: Type, at: tuple[float, float], text: str, colour: str) -> None:
        face.write(self.pen, at, text, colour)

    def pill(self, box: tuple[int, int, int, int], radius: int, colour: str) -> None:
        """A box with round corners and smooth edges; right and bottom exclusive."""
        size = (box[2] - box[0], box[3] - box[1])
        self.image.paste(colour, box, rounded(size, radius))


@lru_cache(maxsize=256)
def rounded(size: tuple[int, int], radius: int) -> Image.Image:
    """A mask, drawn large and shrunk: Pillow's own curves are jagged."""
    mask = Image.new("L", (size[0] * FINE, size[1] * FINE))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), radius * FINE, 255)
    return mask.resize(size, Image.Resampling.BOX)


class Block(Protocol):
    """A part of a card."""

    def height(self, width: int) -> int: ...

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None: ...


@dataclass(frozen=True)
class Heading:
    """A section's name."""

    text: str

    def height(self, width: int) -> int:
        return 8 + SECTION.line + 3

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        canvas.write(SECTION, (left, top + 8), self.text.upper(), MUTED)


@dataclass(frozen=True)
class Paragraph:
    text: str
    colour: str = INK
    lines: int = 3
    face: Type = BODY

    def height(self, width: int) -> int:
        return self.face.line * len(self.face.wrap(self.text, width, self.lines))

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        for number, line in enumerate(self.face.wrap(self.text, width, self.lines)):
            canvas.write(self.face, (left, top + number * self.face.line), line, self.colour)


@dataclass(frozen=True)
class Bar:
    """A label, its score in [0, 1] as a bar and in figures. `faint`: it counts for little."""

    label: str
    score: float
    faint: bool = False

    def height(self, width: int) -> int:
        return BODY.line + 3

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        middle = left + round(LABEL_SHARE * width)
        right = left + width - SCORE_WIDTH - 8
        canvas.write(BODY, (left, top), BODY.cut(self.label, middle - left - 10), MUTED if self.faint else INK)
        high = top + BODY.line // 2 - 4
        canvas.pill((middle, high, right, high + 8), 4, TRACK)
        end = middle + max(8, round(self.score * (right - middle)))
        canvas.pill((middle, high, end, high + 8), 4, MUTED if self.faint else BAR)
        _score(canvas, left + width, top, self.score)


@dataclass(frozen=True)
class Numbered:
    """A line of text with the number that stands at its box, and its score."""

    number: int
    text: str
    score: float

    def _lines(self, width: int) -> list[str]:
        return BODY.wrap(self.text, width - 30 - SCORE_WIDTH - 8, 2)

    def height(self, width: int) -> int:
        return BODY.line * max(1, len(self._lines(width))) + 3

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        figure = str(self.number)
        canvas.pill((left, top + 2, left + 22, top + BODY.line - 2), 4, TEXT)
        canvas.write(NUMBER, (left + 11 - NUMBER.width(figure) / 2, top + 2), figure, PAPER)
        for index, line in enumerate(self._lines(width)):
            canvas.write(BODY, (left + 30, top + index * BODY.line), line, INK)
        _score(canvas, left + width, top, self.score)


def _score(canvas: Canvas, right: int, top: int, score: float) -> None:
    figure = f"{score:.2f}"
    canvas.write(SMALL, (right - SMALL.width(figure), top + 2), figure, MUTED)


Painter = Callable[[tuple[int, int]], Image.Image]
"""Draws a picture at a size."""


@dataclass(frozen=True)
class Shown:
    """A picture for a card: its own size, and what draws it at another."""

    size: tuple[int, int]
    paint: Painter


@dataclass(frozen=True)
class Card:
    """`picture`: what is shown, or why there is nothing to show: the word for it, and the sentence."""

    title: str
    detail: str
    picture: Shown | tuple[str, str]
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Cards of `width`, with room for a picture of `room` = (width, height); `close`: no higher than the picture."""

    columns: int
    room: tuple[int, int]
    close: bool = False


GRID = (500, 375)
ALONE = (960, 960)
ENLARGE = 2.0


def layout(count: int) -> Layout:
    """One picture is shown large; several in a grid, a little wider than high."""
    if count == 1:
        return Layout(1, ALONE, close=True)
    return Layout(min(4, count), GRID)


def sheet(cards: Sequence[Card], heading: str = "", shape: Layout | None = None) -> Image.Image:
    """All cards, in the order given, row by row. A row is as high as its highest card."""
    shape = shape or layout(len(cards))
    rows = [cards[start : start + shape.columns] for start in range(0, len(cards), shape.columns)]
    heights = [max(_height(card, shape) for card in row) for row in rows]
    top = MARGIN + (HEADING.line + 14 if heading else 0)
    width = 2 * MARGIN + shape.columns * shape.room[0] + (shape.columns - 1) * GAP
    page = Image.new("RGB", (width, top + sum(heights) + (len(rows) - 1) * GAP + MARGIN), PAGE)
    if heading:
        Canvas(page).write(HEADING, (MARGIN, MARGIN - 6), HEADING.cut(heading, width - 2 * MARGIN), INK)
    for row, height in zip(rows, heights, strict=True):
        for column, card in enumerate(row):
            drawn = _draw(card, shape, height)
            page.paste(drawn, (MARGIN + column * (shape.room[0] + GAP), top), rounded(drawn.size, RADIUS))
        top += height + GAP
    return page


def _picture_height(card: Card, shape: Layout) -> int:
    if shape.close and isinstance(card.picture, Shown):
        return fit(card.picture.size, shape.room, ENLARGE)[1]
    return GRID[1] if shape.close else shape.room[1]


def _height(card: Card, shape: Layout) -> int:
    inner = shape.room[0] - 2 * PAD
    body = TITLE.line + Paragraph(card.detail, face=SMALL, lines=2).height(inner)
    return _picture_height(card, shape) + PAD + body + sum(block.height(inner) for block in card.blocks) + PAD


def _draw(card: Card, shape: Layout, height: int) -> Image.Image:
    width, high = shape.room[0], _picture_height(card, shape)
    image = Image.new("RGB", (width, height), PAPER)
    canvas = Canvas(image)
    if isinstance(card.picture, Shown):
        canvas.pen.rectangle((0, 0, width, high), MAT)
        size = fit(card.picture.size, (width, high), ENLARGE)
        image.paste(card.picture.paint(size), ((width - size[0]) // 2, (high - size[1]) // 2))
    else:
        _refusal(canvas, card.picture, width, high)
    inner, top = width - 2 * PAD, high + PAD
    canvas.write(TITLE, (PAD, top), TITLE.cut(card.title, inner), INK)
    detail = Paragraph(card.detail, MUTED, 2, SMALL)
    for block in (detail, *card.blocks):
        top += TITLE.line if block is detail else 0
        block.draw(canvas, PAD, top, inner)
        top += block.height(inner)
    canvas.pen.rounded_rectangle((0, 0, width - 1, height - 1), RADIUS, outline=RIM)
    return image


def _refusal(canvas: Canvas, why: tuple[str, str], width: int, height: int) -> None:
    canvas.pen.rectangle((0, 0, width, height), BAD_MAT)
    kind, sentence = why
    lines = BODY.wrap(sentence, width - 4 * PAD, 6)
    top = (height - HEADING.line - 8 - BODY.line * len(lines)) // 2
    canvas.write(HEADING, ((width - HEADING.width(kind)) // 2, top), kind, BAD)
    top += HEADING.line + 8
    for line in lines:
        canvas.write(BODY, ((width - BODY.width(line)) // 2, top), line, INK)
        top += BODY.line
