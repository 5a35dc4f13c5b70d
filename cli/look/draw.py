"""What was read, painted on the picture: boxes round lines of text and objects, numbered as they are listed. Pillow."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from cli.look.fonts import Type
from model.vision.values import VisualContext

TEXT = "#0369a1"
OBJECT = "#b45309"
INK = "#ffffff"

FINE = 3
"""Lines are drawn so many times larger and shrunk again, which makes their edges smooth."""

BADGE = Type(12 * FINE, "bold")
LABEL = Type(13 * FINE, "bold")
STROKE = 2 * FINE

Corner = tuple[float, float]
Area = tuple[float, float, float, float]


def fit(size: tuple[int, int], room: tuple[int, int], enlarge: float = 1.0) -> tuple[int, int]:
    """The largest size of the same shape that has room, at most `enlarge` times as large as it was."""
    scale = min(room[0] / size[0], room[1] / size[1], enlarge)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def paint(
    picture: Image.Image, visual: VisualContext, size: tuple[int, int], *, numbers: int = 100, words: bool = False
) -> Image.Image:
    """The picture at `size`, with its boxes. A line's number is its place in `visual.lines`, from 1.

    So many lines as `numbers` says have one. `words`: the text itself, too, where it hides no other.
    """
    canvas = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    if not visual.lines and not any(tag.box for tag in visual.tags):
        return canvas
    wide, high = size[0] * FINE, size[1] * FINE
    layer = Image.new("RGBA", (wide, high))
    draw = ImageDraw.Draw(layer)
    quads = [[(x * wide, y * high) for x, y in line.box] for line in visual.lines]
    for quad in quads:
        _outline(draw, quad, TEXT)
    taken: list[Area] = []
    for tag in visual.tags:
        if tag.box:
            left, top, right, bottom = (part * side for part, side in zip(tag.box, (wide, high) * 2, strict=True))
            _outline(draw, [(left, top), (right, top), (right, bottom), (left, bottom)], OBJECT)
            _label(draw, (left, top), f"{tag.label} {tag.score:.2f}", OBJECT, (wide, high), taken)
    areas = [_bounds(quad) for quad in quads]
    for number, (area, line) in enumerate(zip(areas[:numbers], visual.lines, strict=False), start=1):
        others = [*taken, *(other for other in areas if other is not area)]
        if not words or not _label(draw, area[:2], f"{number}  {line.text}", TEXT, (wide, high), taken, others):
            _label(draw, area[:2], str(number), TEXT, (wide, high), taken)
    small = layer.resize(size, Image.Resampling.BOX)
    canvas.paste(small, (0, 0), small)
    return canvas


def _outline(draw: ImageDraw.ImageDraw, corners: Sequence[Corner], colour: str) -> None:
    draw.polygon(corners, fill=f"{colour}1f")
    draw.line([*corners, corners[0], corners[1]], fill=colour, width=STROKE, joint="curve")


def _label(
    draw: ImageDraw.ImageDraw,
    corner: Corner,
    text: str,
    colour: str,
    size: tuple[int, int],
    taken: list[Area],
    others: Sequence[Area] = (),
) -> bool:
    """A label at the corner, inside the picture, added to `taken`; false, and none, where it would hide `others`.

    A number stands left of the box, a text above it.
    """
    number = text.isdigit()
    face, pad = (BADGE, 3 * FINE) if number else (LABEL, 4 * FINE)
    width, height = face.width(text) + 2 * pad, face.line
    left = min(max(0.0, corner[0] - number * width), max(0.0, size[0] - width))
    top = min(max(0.0, corner[1] - (height / 2 if number else height + STROKE)), size[1] - height)
    area = (left, top, left + width, top + height)
    if width > size[0] or any(_overlap(area, other) for other in others):
        return False
    taken.append(area)
    draw.rounded_rectangle(area, radius=3 * FINE, fill=colour)
    face.write(draw, (left + pad, top + 0.05 * face.size), text, INK)
    return True


def _bounds(corners: Sequence[Corner]) -> Area:
    across, down = [x for x, _ in corners], [y for _, y in corners]
    return min(across), min(down), max(across), max(down)


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
