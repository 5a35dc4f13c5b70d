"""What `mner look` prints for people: a panel for each image."""

from __future__ import annotations

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.look.sight import Looked
from core.text import one_line
from model.context import TAG_SCORE
from model.vision.values import Tag, TextLine
from streams.images.decode import Picture

BAR_WIDTH = 16


def panel(looked: Looked) -> Panel:
    """Strangers wrote most of it: nothing of theirs is markup, and no control character gets through."""
    title = Text(one_line(looked.source), style="bold")
    if looked.picture is None:
        kind, _, detail = (looked.reason or "").partition(": ")
        told = Text.assemble((one_line(kind), "bold red"), f"  {one_line(detail)}")
        return Panel(told, title=title, title_align="left", subtitle="refused", subtitle_align="right", style="red")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, content in _rows(looked, looked.picture):
        table.add_row(name, content)
    size = f"{looked.picture.format} {looked.picture.width} x {looked.picture.height}"
    return Panel(table, title=title, title_align="left", subtitle=size, subtitle_align="right", border_style="cyan")


def _rows(looked: Looked, picture: Picture) -> list[tuple[str, RenderableType]]:
    visual, absent = looked.visual, looked.visual.absent
    return [
        ("tags", _tags(visual.tags) if visual.tags else _nothing(absent.get("tags", "none"))),
        ("text", _lines(visual.lines, picture) if visual.lines else _nothing(absent.get("ocr", "none"))),
        ("caption", Text(one_line(visual.caption)) if visual.caption else _nothing(absent.get("caption", "none"))),
        ("the model reads", Text(one_line(looked.context)) if looked.context else _nothing("nothing")),
        ("sha256", Text(picture.sha256, style="dim")),
        ("phash", Text(picture.phash, style="dim")),
    ]


def _tags(tags: tuple[Tag, ...]) -> Table:
    """Dim are those that the model does not read."""
    table = Table.grid(padding=(0, 2))
    for tag in tags:
        bar = "━" * max(1, round(tag.score * BAR_WIDTH))
        style = "" if tag.score >= TAG_SCORE else "dim"
        table.add_row(Text(one_line(tag.label)), f"{tag.score:.2f}", Text(bar, style="cyan"), style=style)
    return table


def _lines(lines: tuple[TextLine, ...], picture: Picture) -> Table:
    """Each with the box that holds it, in pixels of the file: left, top, width x height."""
    table = Table.grid(padding=(0, 2))
    for line in lines:
        across = [x * picture.width for x, _ in line.box]
        down = [y * picture.height for _, y in line.box]
        left, top = min(across), min(down)
        box = f"{left:.0f},{top:.0f} {max(across) - left:.0f}x{max(down) - top:.0f}"
        table.add_row(Text(one_line(line.text)), f"{line.score:.2f}", Text(box, style="dim"))
    return table


def _nothing(why: str) -> Text:
    return Text(one_line(why), style="dim italic")
