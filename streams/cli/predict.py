"""`mner predict`: mentions of one text, or of tweets in a file."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.cli.as_json import escaped_json
from streams.cli.whole_file import whole_file
from streams.errors import UserError
from streams.events import ImageResult, Mention, Tweet, explain
from streams.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from model.extractor import Extractor

LINES_AT_ONCE = 256

console = Console()


def command(
    text: Annotated[str | None, typer.Argument(help="The text of one post.")] = None,
    context: Annotated[str | None, typer.Option(help="What its image shows, in words.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of colours.")] = False,
    jsonl: Annotated[
        str | None, typer.Option(help="File of tweets, one JSON object a line; - for standard input.")
    ] = None,
    out: Annotated[str, typer.Option(help="Where --jsonl writes, one line each; - for standard output.")] = "-",
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder; MNER_MODEL if not given.")] = None,
) -> int:
    """Name the entities in a text or in a file of tweets; no server is needed.

    With --jsonl a line that is no tweet gives a line with `error` in its place, and exit code 1 at the end.
    """
    if (text is None) == (jsonl is None):
        raise UserError('wanted either a text, `mner predict "text"`, or `--jsonl FILE`')
    if text is None and context is not None:
        raise UserError("--context goes with a text; in a file, the media's `alt` is the context")
    if text is not None and out != "-":
        raise UserError("--out goes with --jsonl; one text's mentions are for standard output")
    if jsonl is not None:
        _check_apart(jsonl, out)
    from model.checkpoint import describe

    settings = load()
    folder = checkpoint or settings.model
    tweet = None if text is None else _tweet_of(text)
    describe(folder)  # before torch is imported: a wrong path is told at once
    with _reading(jsonl or "-") as source, _writing(out) as sink:
        from model.extractor import Extractor

        extractor = Extractor.load(folder, device=settings.device, threads=settings.model_threads)
        if jsonl is not None:
            return _predict_lines(extractor, source, sink, settings)
    assert tweet is not None
    mentions = extractor.extract([tweet], [context])[0]
    if as_json:
        print(escaped_json(_result(tweet, mentions, ImageResult())))
    else:
        _show(tweet, mentions, extractor.info.threshold)
    return 0


def _tweet_of(text: str) -> Tweet:
    try:
        return Tweet(id="1", text=text)
    except ValidationError as error:
        raise UserError(f"this text cannot be read: {explain(error)}") from None


def _predict_lines(extractor: Extractor, source: IO[bytes], sink: IO[bytes], settings: Settings) -> int:
    failed = False
    lines = (line for line in source if line.strip())
    for chunk in iter(lambda: list(islice(lines, LINES_AT_ONCE)), []):
        parsed = [_parse(line) for line in chunk]
        tweets = [tweet for tweet in parsed if isinstance(tweet, Tweet)]
        found, images = iter(extractor.extract(tweets)), iter(asyncio.run(_look(tweets, settings)))
        for tweet in parsed:
            result = _result(tweet, next(found), next(images)) if isinstance(tweet, Tweet) else tweet
            failed |= "error" in result
            sink.write(escaped_json(result).encode() + b"\n")
        sink.flush()
    return int(failed)


def _parse(line: bytes) -> Tweet | dict[str, object]:
    """The tweet, or the output line that names what is wrong with it."""
    try:
        return Tweet.model_validate_json(line)
    except ValidationError as error:
        return {"id": _identifier(line), "error": explain(error)}


def _identifier(line: bytes) -> str | None:
    try:
        identifier = json.loads(line)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return identifier if isinstance(identifier, str) else None


async def _look(tweets: Sequence[Tweet], settings: Settings) -> list[ImageResult]:
    """What becomes of the tweets' images, many at once."""
    from streams.images.files import look_anywhere
    from streams.images.loader import ImageLoader

    async with ImageLoader(settings) as loader:
        looks = await asyncio.gather(*(look_anywhere(tweet.media, loader, settings) for tweet in tweets))
    return [result for result, _ in looks]


def _result(tweet: Tweet, mentions: list[Mention], image: ImageResult) -> dict[str, object]:
    """An output line."""
    return {
        "id": tweet.id,
        "mentions": [mention.model_dump(exclude={"source"}) for mention in mentions],
        "image": image.model_dump(exclude_none=True),
    }


def _show(tweet: Tweet, mentions: list[Mention], threshold: float) -> None:
    from review.marks import COLOURS
    from review.text import one_line, printable

    coloured = Text(printable(tweet.text))
    for mention in mentions:
        coloured.stylize(f"bold {COLOURS[mention.type]}", mention.start, mention.end)
    console.print(coloured)
    if not mentions:
        console.print("[dim]no mention found[/]")
        return
    table = Table("mention", "type", "at", "probability", "aleatoric", "epistemic", "views", box=None)
    for mention in mentions:
        doubt = "  [red]to review[/]" if mention.probability < threshold else ""
        views = ", ".join(f"{name} {view.probability:.2f} ({view.share:.0%})" for name, view in mention.views.items())
        table.add_row(
            Text(one_line(mention.text), style=COLOURS[mention.type]),
            mention.type,
            f"{mention.start}-{mention.end}",
            f"{mention.probability:.3f}{doubt}",
            f"{mention.aleatoric:.4f}",
            f"{mention.epistemic:.4f}",
            views,
        )
    console.print(table)


def _reading(name: str) -> AbstractContextManager[IO[bytes]]:
    try:
        return nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb")
    except OSError as error:
        raise UserError(f"--jsonl {name}: {error.strerror}") from None


def _writing(name: str) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdout.buffer) if name == "-" else whole_file(Path(name), "--out")


def _check_apart(source: str, out: str) -> None:
    """Raises `UserError` when the output would take the place of the input."""
    files = (Path(source), Path(out))
    if "-" not in (source, out) and all(file.is_file() for file in files) and files[0].samefile(files[1]):
        raise UserError(f"--out {out}: is the file that --jsonl reads; name another")
