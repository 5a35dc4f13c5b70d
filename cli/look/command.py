"""`mner look` shows what the model reads in images, or why an image is refused."""

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
from cli.output import WIDE, make_console, output_file
from core.errors import UserError
from streams.settings import Settings, load

if TYPE_CHECKING:
    from cli.look.inspector import InspectedImage

MAX_IMAGES_OF_PAGE = 200
HTML_SUFFIXES = (".html", ".htm")


def command(
    sources: Annotated[list[str], typer.Argument(metavar="FILE_OR_URL...", help="Files, or http, https or file URLs.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, in the order given.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a web page with the images and what was read in them.")
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(help="Channels to read, separated by commas: tags, ocr, caption. Default: MNER_VISION_CHANNELS."),
    ] = None,
) -> int:
    """Show what the model reads in images: tags, text and caption.

    It also shows the size and the hashes of each image. A refused image is shown with the reason, and the exit code is
    then 1. URLs are fetched by the same rules as in a worker.
    """
    settings = look_settings(channels)
    unique = list(dict.fromkeys(sources))
    if html is not None:
        _check_page(html, unique)
    with _page_file(html) as file:
        by_source = asyncio.run(_inspect(unique, settings, keep_pixels=file is not None))
        if file is not None:
            _write_page([by_source[source] for source in unique], file)
    images = [by_source[source] for source in sources]
    if as_json:
        print_json([_as_json(image) for image in images])
    else:
        _print(images)
    if html is not None:
        print(f"wrote {html}", file=sys.stderr)
    return int(any(image.image is None for image in images))


def look_settings(channels: str | None) -> Settings:
    """Returns a worker's settings without its caches, so that the command shows what a URL serves now."""
    settings = load(image={"cache_mb": 0}, vision={"cache": 0})
    if channels is None:
        return settings
    from model.vision.values import CHANNELS

    names = tuple(name.strip() for name in channels.split(",") if name.strip())
    if unknown := [name for name in names if name not in CHANNELS]:
        raise UserError(f"--channels: there is no channel {unknown[0]!r}; choose from {', '.join(CHANNELS)}")
    return settings.changed(vision={"channels": names})


def _check_page(html: Path, sources: Sequence[str]) -> None:
    """Raises `UserError` if the page cannot be written as asked, before any work is done."""
    if len(sources) > MAX_IMAGES_OF_PAGE:
        raise UserError(f"--html: one page shows at most {MAX_IMAGES_OF_PAGE} images; you named {len(sources)}")
    if html.suffix.lower() not in HTML_SUFFIXES and (html.is_file() or not html.exists()):
        raise UserError(f"--html {html}: the name must end in .html")
    if html.is_file() and any(_is_same(html, source) for source in sources):
        raise UserError(f"--html {html}: this file is one of the images to look at; name another file")


def _is_same(file: Path, source: str) -> bool:
    try:
        path = url2pathname(urlsplit(source).path) if source.lower().startswith("file:") else source
        return file.samefile(path)
    except (OSError, ValueError):  # no such file, or not a path at all
        return False


def _page_file(html: Path | None) -> AbstractContextManager[IO[bytes] | None]:
    return nullcontext() if html is None else output_file(html, "--html")


async def _inspect(sources: Sequence[str], settings: Settings, *, keep_pixels: bool) -> dict[str, InspectedImage]:
    """Loads and reads many images at a time."""
    from rich.console import Console
    from rich.progress import Progress

    from cli.look.inspector import ImageInspector

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=len(sources))

        async def inspect(inspector: ImageInspector, source: str) -> InspectedImage:
            image = await inspector.inspect(source, keep_pixels=keep_pixels)
            progress.advance(task)
            return image

        async with ImageInspector(settings.image, settings.vision, settings.device, settings.home) as inspector:
            images = await asyncio.gather(*(inspect(inspector, source) for source in sources))
    return dict(zip(sources, images, strict=True))


def _write_page(images: Sequence[InspectedImage], file: IO[bytes]) -> None:
    from cli.look.page import page

    file.write(page(images).encode("utf-8", "backslashreplace"))


def _as_json(inspected: InspectedImage) -> dict[str, Any]:
    image = inspected.image
    visual = inspected.visual.model_dump(mode="json")
    return {
        "source": inspected.source,
        "status": "ok" if image else "refused",
        "reason": inspected.reason,
        "format": image and image.format,
        "width": image and image.width,
        "height": image and image.height,
        "sha256": image and image.sha256,
        "phash": image and image.phash,
        "tags": visual["tags"],
        "lines": visual["lines"],
        "caption": visual["caption"],
        "absent": visual["absent"],
        "context": inspected.context,
    }


def _print(images: Sequence[InspectedImage]) -> None:
    from cli.look.panels import panel

    console = make_console()
    for image in images:
        drawn = panel(image)
        drawn.expand = console.width < WIDE
        console.print(drawn)
