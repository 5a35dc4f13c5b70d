"""`mner predict`: mentions of one text, or of tweets in a file."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.as_json import escaped_json
from cli.training.seeing import named
from core.atomic import whole_file
from core.errors import UserError, naming
from core.events import ImageResult, Media, Tweet, explain
from streams.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from model.checkpoint import CheckpointInfo
    from model.extractor import Extracted, Extractor
    from model.vision.values import Pixels

    Look = Callable[[Sequence[Tweet]], Sequence[tuple[ImageResult, str | None, Pixels | None]]]

LINES_AT_ONCE = 256
LINES_WITH_PIXELS = 16
"""Lines of tweets that are looked at together; pixels of a picture are much."""
STRANGE = 0.01
"""Of tweets as the model knows them, so many are called strange."""

console = Console()


def command(
    text: Annotated[str | None, typer.Argument(help="The text of one post.")] = None,
    image: Annotated[str | None, typer.Option(help="Its image: a file, or an http, https or file: URL.")] = None,
    context: Annotated[
        str | None, typer.Option(help="What its image shows, in words; in place of what is read of it.")
    ] = None,
    no_vision: Annotated[bool, typer.Option("--no-vision", help="Fetch images, but read nothing of them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of colours.")] = False,
    jsonl: Annotated[
        str | None, typer.Option(help="File of tweets, one JSON object a line; - for standard input.")
    ] = None,
    out: Annotated[str, typer.Option(help="Where --jsonl writes, one line each; - for standard output.")] = "-",
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder; MNER_MODEL if not given.")] = None,
    views: Annotated[
        str | None, typer.Option(help="Comma-separated: read these views of the checkpoint, and no others.")
    ] = None,
) -> int:
    """Name the entities in a text or in a file of tweets; no server is needed.

    What is read of an image is the text's context; an image that cannot be had is told, and the text stands alone.
    With --jsonl a line that is no tweet, or has nothing that --views read, gives a line with `error` in its place, and
    exit code 1 at the end.
    """
    if (text is None) == (jsonl is None):
        raise UserError('wanted either a text, `mner predict "text"`, or `--jsonl FILE`')
    if text is None and context is not None:
        raise UserError("--context goes with a text; in a file, the media's `alt` and their images are the context")
    if text is None and image is not None:
        raise UserError("--image goes with a text; in a file, `media` names the images")
    if text is not None and out != "-":
        raise UserError("--out goes with --jsonl; one text's mentions are for standard output")
    if jsonl is not None:
        _check_apart(jsonl, out)
    from model.checkpoint import describe

    settings = _settings(no_vision or context is not None, alone=text is not None)
    folder = checkpoint or settings.model
    tweet = None if text is None else _tweet_of(text, image)
    some = None if views is None else named(views)
    with naming("MNER_MODEL" if checkpoint is None else "--checkpoint"):
        info = describe(folder)  # before torch is imported, so that a wrong path is reported at once
    info = info.reading(some)
    sees = info.vision is not None
    with _reading(jsonl or "-") as source, _writing(out) as sink, _looking(settings, sees) as look:
        from model.extractor import Extractor

        extractor = Extractor.load(
            folder,
            device=settings.device,
            threads=settings.model_threads,
            candidate_threshold=settings.candidate_threshold,
            views=some,
        )
        if tweet is None:
            return _predict_lines(extractor, source, sink, look, LINES_WITH_PIXELS if sees else LINES_AT_ONCE)
        ((found, seen, pixels),) = look([tweet])
    words = seen if context is None else context
    shown = None if pixels is None else pixels.image()
    (read,) = extractor.extract_all([tweet], [words], [shown])
    if not read.read:
        why = f": {found.reason}" if found.status == "failed" else ""
        raise UserError(f"{_unread(info)}{why}; give --context or an --image that can be read")
    if as_json:
        print(escaped_json(_result(tweet, read, found)))
    else:
        _show_image(found, words)
        threshold = extractor.info.threshold if settings.threshold is None else settings.threshold
        _show(tweet, read, threshold)
    return 0


def _settings(blind: bool, alone: bool) -> Settings:
    """`blind`: nothing is read of images. `alone`: one image is looked at afresh; of a file's, what is kept serves."""
    settings = load()
    changes: dict[str, object] = {"vision": ()} if blind else {}
    return settings.model_copy(update=changes | ({"image_cache_mb": 0, "vision_cache": 0} if alone else {}))


@contextmanager
def _looking(settings: Settings, keep_pixels: bool) -> Iterator[Look]:
    """What becomes of tweets' images, the contexts they give and, if kept, their pixels; many at once. Nothing is
    started for text alone."""
    from cli.look.sight import Sight

    async def look(tweets: Sequence[Tweet]) -> list[tuple[ImageResult, str | None, Pixels | None]]:
        return await asyncio.gather(*(sight.look_at(tweet, keep_pixels=keep_pixels) for tweet in tweets))

    with asyncio.Runner() as runner:  # the loop rests while a line is awaited, so that Ctrl-C ends the waiting
        sight = Sight(settings)
        runner.run(sight.__aenter__())
        try:
            yield lambda tweets: runner.run(look(tweets))
        finally:
            runner.run(sight.__aexit__())


def _tweet_of(text: str, image: str | None) -> Tweet:
    from cli.look.sight import address

    try:
        return Tweet(id="1", text=text, media=() if image is None else (Media(url=address(image)),))
    except ValidationError as error:
        raise UserError(f"this post cannot be read: {explain(error)}") from None


def _predict_lines(extractor: Extractor, source: IO[bytes], sink: IO[bytes], look: Look, at_once: int) -> int:
    failed = False
    lines = (line for line in source if line.strip())
    for chunk in iter(lambda: list(islice(lines, at_once)), []):
        parsed = [_parse(line) for line in chunk]
        tweets = [tweet for tweet in parsed if isinstance(tweet, Tweet)]
        seen = look(tweets)
        contexts = [context for _, context, _ in seen]
        images = [None if pixels is None else pixels.image() for _, _, pixels in seen]
        found = iter(zip(extractor.extract_all(tweets, contexts, images), seen, strict=True))
        for tweet in parsed:
            if isinstance(tweet, Tweet):
                read, (image, _, _) = next(found)
                result = _result(tweet, read, image)
                if not read.read:
                    result = {"id": tweet.id, "error": _unread(extractor.info), "image": result["image"]}
            else:
                result = tweet
            failed |= "error" in result
            sink.write(escaped_json(result).encode() + b"\n")
        sink.flush()
    return int(failed)


def _unread(info: CheckpointInfo) -> str:
    return f"{info.name} reads {' and '.join(info.design.views)} alone here, of which this tweet has nothing"


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


def _result(tweet: Tweet, read: Extracted, image: ImageResult) -> dict[str, object]:
    """An output line. `candidates` is all that the model holds for possible, also what nobody would be asked about."""
    return {
        "id": tweet.id,
        "mentions": [mention.model_dump(exclude={"source"}) for mention in read.mentions],
        "candidates": [mention.model_dump(exclude={"source"}) for mention in read.candidates],
        "typicality": read.typicality,
        "image": image.model_dump(exclude_none=True, exclude=None if image.channels else {"channels"}),
    }


def _show_image(image: ImageResult, context: str | None) -> None:
    from core.text import one_line

    if image.status == "failed":
        console.print(Text(f"image refused: {image.reason}", style="red"))
    if context:
        console.print(Text(f"context: {one_line(context)}", style="dim"))


def _show(tweet: Tweet, read: Extracted, threshold: float) -> None:
    from core.text import one_line, printable
    from model.mentions import candidates_to_ask
    from review.marks import COLOURS

    mentions, candidates, typicality, _ = read
    coloured = Text(printable(tweet.text))
    for mention in mentions:
        coloured.stylize(f"bold {COLOURS[mention.type]}", mention.start, mention.end)
    console.print(coloured)
    if typicality is not None and typicality <= STRANGE:
        console.print(f"[red]strange[/]: {typicality:.1%} of the validation tweets are as unlike what the model knows")
    asked = candidates_to_ask(mentions, candidates)
    if not mentions:
        console.print("[dim]no mention found[/]")
    if not (mentions or asked):
        return
    table = Table("mention", "type", "at", "probability", "aleatoric", "epistemic", "views", box=None)
    for mention in (*mentions, *asked):
        doubt = "  [red]to review[/]" if mention.probability < threshold else ""
        doubt = "  [red]possibly missed[/]" if mention in asked else doubt
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
