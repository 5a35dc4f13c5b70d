"""Draws what `mner look` read: one panel per image."""

from __future__ import annotations

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.look.inspector import InspectedImage
from core.text import one_line
from model.context import TAG_SCORE
from model.vision.values import Tag, TextLine
from streams.images.decode import LoadedImage

BAR_WIDTH = 16


def panel(inspected: InspectedImage) -> Panel:
    """Returns the panel of one image.

    Strangers wrote most of its strings. None is read as markup, and no control character gets through.
    """
    title = Text(one_line(inspected.source), style="bold")
    if inspected.image is None:
        kind, _, detail = (inspected.reason or "").partition(": ")
        reason = Text.assemble((one_line(kind), "bold red"), f"  {one_line(detail)}")
        return Panel(reason, title=title, title_align="left", subtitle="refused", subtitle_align="right", style="red")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, content in _rows(inspected, inspected.image):
        table.add_row(name, content)
    size = f"{inspected.image.format} {inspected.image.width} x {inspected.image.height}"
    return Panel(table, title=title, title_align="left", subtitle=size, subtitle_align="right", border_style="cyan")


def _rows(inspected: InspectedImage, image: LoadedImage) -> list[tuple[str, RenderableType]]:
    visual, absent = inspected.visual, inspected.visual.absent
    return [
        ("tags", _tags(visual.tags) if visual.tags else _dim(absent.get("tags", "none"))),
        ("text", _lines(visual.lines, image) if visual.lines else _dim(absent.get("ocr", "none"))),
        ("caption", Text(one_line(visual.caption)) if visual.caption else _dim(absent.get("caption", "none"))),
        ("the model reads", Text(one_line(inspected.context)) if inspected.context else _dim("nothing")),
        ("sha256", Text(image.sha256, style="dim")),
        ("phash", Text(image.phash, style="dim")),
    ]


def _tags(tags: tuple[Tag, ...]) -> Table:
    """Tags that the model does not read are dim."""
    table = Table.grid(padding=(0, 2))
    for tag in tags:
        bar = "━" * max(1, round(tag.score * BAR_WIDTH))
        style = "" if tag.score >= TAG_SCORE else "dim"
        table.add_row(Text(one_line(tag.label)), f"{tag.score:.2f}", Text(bar, style="cyan"), style=style)
    return table


def _lines(lines: tuple[TextLine, ...], image: LoadedImage) -> Table:
    """Each line has its bounding box in pixels of the file: left, top, width x height."""
    table = Table.grid(padding=(0, 2))
    for line in lines:
        across = [x * image.width for x, _ in line.box]
        down = [y * image.height for _, y in line.box]
        left, top = min(across), min(down)
        box = f"{left:.0f},{top:.0f} {max(across) - left:.0f}x{max(down) - top:.0f}"
        table.add_row(Text(one_line(line.text)), f"{line.score:.2f}", Text(box, style="dim"))
    return table


def _dim(text: str) -> Text:
    return Text(one_line(text), style="dim italic")
