"""`mner look`: what the model would read of images, or why it may not see them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer

from cli.as_json import print_json
from cli.output import output_file
from core.errors import UserError
from streams.settings import Settings, load

if TYPE_CHECKING:
    from cli.look.sight import Looked

MOST_DRAWN = 200


def command(
    sources: Annotated[list[str], typer.Argument(metavar="FILE_OR_URL...", help="Files, http, https or file: URLs.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, in the order given.")] = False,
    draw: Annotated[
        Path | None, typer.Option(help="PNG to draw: the picture with what was read of it, or a sheet of several.")
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Of tags, ocr, caption, by commas; MNER_VISION_CHANNELS if not given.")
    ] = None,
) -> int:
    """Show what the model reads of images: tags, text, caption, size and hashes, or why one was refused.

    Addresses are fetched under the rules of a worker. Exit code 1 if an image was refused.
    """
    settings = _settings(channels)
    once = list(dict.fromkeys(sources))
    if draw is not None:
        _check_drawing(draw, once)
    with _drawing(draw) as out:
        found = asyncio.run(_look(once, settings, keep_pixels=out is not None))
        looked = [found[source] for source in sources]
        if out is not None:
            _draw([found[source] for source in once], out)
    if as_json:
        print_json([_as_json(one) for one in looked])
    else:
        _show(looked)
    if draw is not None:
        print(f"drawn: {draw}", file=sys.stderr)
    return int(any(one.picture is None for one in looked))


def _settings(channels: str | None) -> Settings:
    """A worker's, but nothing is kept on disk or taken from there: what is shown is what is there now."""
    settings = load(image={"cache_mb": 0}, vision={"cache": 0})
    if channels is None:
        return settings
    from model.vision.values import CHANNELS

    wanted = tuple(name.strip() for name in channels.split(",") if name.strip())
    if unknown := [name for name in wanted if name not in CHANNELS]:
        raise UserError(f"--channels: no channel is called {unknown[0]!r}; wanted some of {', '.join(CHANNELS)}")
    return settings.changed(vision={"channels": tuple(wanted)})


def _check_drawing(draw: Path, sources: Sequence[str]) -> None:
    if len(sources) > MOST_DRAWN:
        raise UserError(f"--draw: {len(sources)} images do not go on one sheet; at most {MOST_DRAWN} do")
    if draw.suffix.lower() != ".png" and (draw.is_file() or not draw.exists()):
        raise UserError(f"--draw {draw}: wanted a name that ends in .png")
    if draw.is_file() and any(_is_same(draw, source) for source in sources):
        raise UserError(f"--draw {draw}: is an image to look at; name another file")


def _is_same(file: Path, source: str) -> bool:
    """Is `source` a path or a file: URL of this file?"""
    try:
        path = url2pathname(urlsplit(source).path) if source.lower().startswith("file:") else source
        return file.samefile(path)
    except (OSError, ValueError):  # there is none, or it cannot be one
        return False


def _drawing(draw: Path | None) -> AbstractContextManager[IO[bytes] | None]:
    return nullcontext() if draw is None else output_file(draw, "--draw")


async def _look(sources: Sequence[str], settings: Settings, *, keep_pixels: bool) -> dict[str, Looked]:
    """All of them, many at once."""
    from rich.console import Console
    from rich.progress import Progress

    from cli.look.sight import Sight

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("looking", total=len(sources))

        async def look(sight: Sight, source: str) -> Looked:
            looked = await sight.look(source, keep_pixels=keep_pixels)
            progress.advance(task)
            return looked

        async with Sight(settings) as sight:
            looked = await asyncio.gather(*(look(sight, source) for source in sources))
    return dict(zip(sources, looked, strict=True))


def _draw(looked: Sequence[Looked], out: IO[bytes]) -> None:
    from cli.look.cards import contact_sheet
    from cli.look.fonts import lacking
    from core.text import one_line

    contact_sheet(looked).save(out, "PNG")
    if without := lacking("".join(line.text for one in looked for line in one.visual.lines)):
        few = one_line(" ".join(sorted(without)[:5]))
        told = f"{len(without)} characters, such as {few}, are drawn as boxes: no font of this machine has them"
        print(f"mner: {told}; install one, such as Noto Sans CJK", file=sys.stderr)


def _as_json(looked: Looked) -> dict[str, Any]:
    picture, visual = looked.picture, looked.visual
    read = visual.model_dump(mode="json")
    return {
        "source": looked.source,
        "status": "ok" if picture else "refused",
        "reason": looked.reason,
        "format": picture and picture.format,
        "width": picture and picture.width,
        "height": picture and picture.height,
        "sha256": picture and picture.sha256,
        "phash": picture and picture.phash,
        "tags": read["tags"],
        "lines": read["lines"],
        "caption": read["caption"],
        "absent": read["absent"],
        "context": looked.context,
    }


def _show(looked: Sequence[Looked]) -> None:
    from rich.console import Console

    from cli.look.panels import panel

    console = Console()
    for one in looked:
        console.print(panel(one))
