"""`mner predict` finds the mentions of one text, or of the posts in a file."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from cli.as_json import escaped_json
from cli.output import make_console, output_file
from cli.posts_file import described, reading
from cli.training.views import parse_views
from core.errors import UserError, naming
from core.events import ImageResult, Media, Runtime, Tweet, explain
from core.files.posts import Readable
from core.files.split import Oversized, Record
from streams.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from core.pixels import Pixels
    from model.checkpoint import CheckpointInfo
    from model.extractor import Extracted, Extractor

    LoadImages = Callable[[Sequence[Tweet]], Sequence[tuple[ImageResult, str | None, Pixels | None]]]

BATCH_LINES = 256
BATCH_LINES_WITH_PIXELS = 16
"""Lines per batch when the model needs the pixels, which take much memory."""
BLANK = "text: is blank; give the post's words"
UNUSUAL = 0.01
"""Typicality up to which a post is called unusual. One in a hundred validation posts is that unusual."""

console = make_console()


def command(
    text: Annotated[str | None, typer.Argument(help="The text of one post.")] = None,
    image: Annotated[
        str | None, typer.Option(help="Image of the post: a file, or an http, https or file: URL.")
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Description of the image, used in place of what the vision models read.")
    ] = None,
    no_vision: Annotated[bool, typer.Option("--no-vision", help="Fetch images without reading them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    jsonl: Annotated[
        str | None, typer.Option(help="File of posts as JSON, such as JSON Lines; - for standard input.")
    ] = None,
    out: Annotated[str, typer.Option(help="File for the results of --jsonl; - for standard output.")] = "-",
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder. The default is MNER_MODEL.")] = None,
    views: Annotated[
        str | None, typer.Option(help="Views to use, separated by commas. The default is all views of the checkpoint.")
    ] = None,
) -> int:
    """Find the entities in a text or in a file of posts. No server is needed.

    What the vision models read in an image becomes context for the text. If the image cannot be loaded, the command
    says why and uses only the text.

    With --jsonl, the file may have each form that `mner feed` reads. A line that is not a valid post becomes a result
    with `error`, and the exit code is 1. The same holds for a post that has none of the views of --views.
    """
    if (text is None) == (jsonl is None):
        raise UserError('give either a text, as in `mner predict "text"`, or `--jsonl FILE`')
    if text is None and context is not None:
        raise UserError("--context goes with a text; in a file, `alt` and the images of `media` are the context")
    if text is None and image is not None:
        raise UserError("--image goes with a text; in a file, `media` names the images")
    if text is not None and out != "-":
        raise UserError("--out goes with --jsonl; the mentions of one text go to standard output")
    if jsonl is not None:
        _check_apart(jsonl, out)
    from model.checkpoint import describe
    from streams.checkpoint import runtime_here

    settings = _settings(no_vision or context is not None, alone=text is not None)
    folder = checkpoint or settings.model
    tweet = None if text is None else _tweet_of(text, image)
    chosen_views = None if views is None else parse_views(views)
    with naming("MNER_MODEL" if checkpoint is None else "--checkpoint"):
        info = describe(folder)  # before the import of torch, so that a wrong path fails at once
    runtime = runtime_here(settings, info)
    info = info.reading(chosen_views)
    needs_pixels = info.vision is not None
    with (
        nullcontext() if jsonl is None else reading(jsonl, "--jsonl") as posts,
        _writing(out) as sink,
        _image_loader(settings, needs_pixels) as load_images,
    ):
        from model.extractor import Extractor

        extractor = Extractor.load(
            folder,
            device=settings.device,
            threads=settings.model_threads,
            candidate_threshold=settings.candidate_threshold,
            views=chosen_views,
            runtime=runtime,
            accounts=settings.accounts,
        )
        if tweet is None:
            assert jsonl is not None
            assert posts is not None
            print(described(jsonl, posts), file=sys.stderr)
            batch_lines = BATCH_LINES_WITH_PIXELS if needs_pixels else BATCH_LINES
            return predict_lines(extractor, posts, sink, load_images, batch_lines)
        ((result, image_context, pixels),) = load_images([tweet])
    words = image_context if context is None else context
    (extracted,) = extractor.extract_all([tweet], [words], [None if pixels is None else pixels.image()])
    if not extracted.read:
        why = f": {result.reason}" if result.status == "failed" else ""
        raise UserError(f"{_unread(info)}{why}; give --context or an --image that can be read")
    if as_json:
        print(escaped_json(_result(tweet, extracted, result, extractor.info.runtime)))
    else:
        _show_image(result, words)
        threshold = extractor.info.threshold if settings.threshold is None else settings.threshold
        _show(tweet, extracted, threshold)
    return 0


def _settings(blind: bool, alone: bool) -> Settings:
    """Returns the settings of a worker with two changes. `blind` turns the vision models off. `alone` turns the caches
    off, so that a single image is fetched and read anew.
    """
    settings = load()
    if blind:
        settings = settings.changed(vision={"channels": ()})
    return settings.changed(image={"cache_mb": 0}, vision={"cache": 0}) if alone else settings


@contextmanager
def _image_loader(settings: Settings, keep_pixels: bool) -> Iterator[LoadImages]:
    """Yields a function that loads and reads the images of many posts at once.

    For each post it returns the result, the context and, with `keep_pixels`, the pixels. Processes start with the first
    image.
    """
    from cli.look.inspector import ImageInspector

    async def look(tweets: Sequence[Tweet]) -> list[tuple[ImageResult, str | None, Pixels | None]]:
        return await asyncio.gather(*(inspector.inspect_photo(tweet, keep_pixels=keep_pixels) for tweet in tweets))

    with asyncio.Runner() as runner:  # the loop does not run while a line is awaited, so that Ctrl-C works
        inspector = ImageInspector(settings.image, settings.vision, settings.device, settings.home)
        runner.run(inspector.__aenter__())
        try:
            yield lambda tweets: runner.run(look(tweets))
        finally:
            runner.run(inspector.__aexit__())


def _tweet_of(text: str, image: str | None) -> Tweet:
    from cli.look.inspector import as_url

    if not text.strip():
        raise UserError(f"this post is not valid: {BLANK}")
    try:
        return Tweet(id="1", text=text, media=() if image is None else (Media(url=as_url(image)),))
    except ValidationError as error:
        raise UserError(f"this post is not valid: {explain(error)}") from None


def predict_lines(
    extractor: Extractor, posts: Iterable[Record], sink: IO[bytes], load_images: LoadImages, batch_lines: int
) -> int:
    """Writes one result per post, in order. Returns the exit code.

    Raises `UserError` where the posts cannot be read on. The results of the posts before that place are written.
    """
    failed = False
    readable = Readable(posts)
    lines = (line for line in readable if isinstance(line, Oversized) or line.strip())
    for chunk in iter(lambda: list(islice(lines, batch_lines)), []):
        parsed = [_parse(line) for line in chunk]
        tweets = [tweet for tweet in parsed if isinstance(tweet, Tweet)]
        loaded = load_images(tweets)
        contexts = [context for _, context, _ in loaded]
        images = [None if pixels is None else pixels.image() for _, _, pixels in loaded]
        extractions = iter(zip(extractor.extract_all(tweets, contexts, images), loaded, strict=True))
        for tweet in parsed:
            if isinstance(tweet, Tweet):
                extracted, (image, _, _) = next(extractions)
                result = _result(tweet, extracted, image, extractor.info.runtime)
                if not extracted.read:
                    result = {"id": tweet.id, "error": _unread(extractor.info), "image": result["image"]}
            else:
                result = tweet
            failed |= "error" in result
            sink.write(escaped_json(result).encode() + b"\n")
        sink.flush()
    if readable.problem is not None:
        raise UserError(f"cannot read on after {readable.count} lines or posts: {readable.problem}")
    return int(failed)


def _unread(info: CheckpointInfo) -> str:
    return f"{info.name} reads only {' and '.join(info.design.views)} here, and this post has none"


def _parse(line: Record) -> Tweet | dict[str, object]:
    """Returns the post, or the result that says what is wrong with the line."""
    if isinstance(line, Oversized):
        return {"id": None, "error": f"event: has {line.size} bytes, more than a topic takes"}
    try:
        tweet = Tweet.model_validate_json(line)
    except ValidationError as error:
        return {"id": _identifier(line), "error": explain(error)}
    return tweet if tweet.has_words else {"id": tweet.id, "error": BLANK}


def _identifier(line: bytes) -> str | None:
    try:
        identifier = json.loads(line)["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return identifier if isinstance(identifier, str) else None


def _result(tweet: Tweet, extracted: Extracted, image: ImageResult, runtime: Runtime) -> dict[str, object]:
    """Returns a result line. `candidates` has every candidate, also those that no person would be asked about.

    As in an extraction, `runtime` is absent for torch.
    """
    return {
        "id": tweet.id,
        "mentions": [mention.model_dump(exclude={"source"}) for mention in extracted.mentions],
        "candidates": [mention.model_dump(exclude={"source"}) for mention in extracted.candidates],
        "accounts": [account.model_dump() for account in extracted.accounts],
        "typicality": extracted.typicality,
        "image": image.model_dump(exclude_none=True, exclude=None if image.channels else {"channels"}),
        **({} if runtime == "torch" else {"runtime": runtime}),
    }


def _show_image(image: ImageResult, context: str | None) -> None:
    from core.text import one_line

    if image.status == "failed":
        console.print(Text(f"image refused: {image.reason}", style="red"))
    if context:
        console.print(Text(f"context: {one_line(context)}", style="dim"))


def _show(tweet: Tweet, extracted: Extracted, threshold: float) -> None:
    from core.text import one_line
    from model.mentions import candidates_to_ask
    from review.marks import COLOURS, draw_mentions

    mentions, candidates, typicality, _, accounts = extracted
    console.print(draw_mentions(tweet.text, mentions))
    if typicality is not None and typicality <= UNUSUAL:
        console.print(f"[red]unusual[/]: only {typicality:.1%} of the validation posts are this unusual")
    asked = candidates_to_ask(mentions, candidates)
    if not mentions:
        console.print("[dim]no mention found[/]")
    if accounts:
        console.print(Text(f"accounts: {', '.join(f'@{account.name}' for account in accounts)}", style="dim"))
    if not (mentions or asked):
        return
    table = Table("mention", "type", "at", "probability", "aleatoric", "epistemic", "views", box=None)
    for mention in (*mentions, *asked):
        remark = "" if mention.is_confident(threshold) else "  [red]to review[/]"
        remark = "  [red]candidate: not chosen by the model[/]" if mention in asked else remark
        views = ", ".join(f"{name} {view.probability:.2f} ({view.share:.0%})" for name, view in mention.views.items())
        table.add_row(
            Text(one_line(mention.text), style=COLOURS[mention.type]),
            mention.type,
            f"{mention.start}-{mention.end}",
            f"{mention.probability:.3f}{remark}",
            f"{mention.aleatoric:.4f}",
            f"{mention.epistemic:.4f}",
            views,
        )
    console.print(table)


def _writing(name: str) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdout.buffer) if name == "-" else output_file(Path(name), "--out")


def _check_apart(source: str, out: str) -> None:
    """Raises `UserError` when the output would overwrite the input."""
    files = (Path(source), Path(out))
    if "-" not in (source, out) and all(file.is_file() for file in files) and files[0].samefile(files[1]):
        raise UserError(f"--out {out} is the file that --jsonl reads; name another file")
