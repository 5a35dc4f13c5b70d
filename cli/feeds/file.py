"""`mner feed FILE` sends a file of posts to Kafka."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.feeds.options import Filter, JsonOut, Limit, Rate, Since
from cli.posts_file import described, reading
from core.errors import UserError
from core.files.formats import FORMATS, Format
from core.text import printable

if TYPE_CHECKING:
    from core.files.posts import Posts
    from streams.feeds.orders import Oversize
    from streams.feeds.runner import Runner

STANDARD_INPUT = "-"
HINT = ". Nothing is sent; --as-is sends the lines all the same"


def command(
    file: Annotated[Path, typer.Argument(help="File of posts; - reads standard input.")],
    rate: Rate = None,
    limit: Limit = None,
    since: Since = None,
    filters: Filter = None,
    from_line: Annotated[
        int, typer.Option(help="Number of the first line to send, or of the first post of an array.", min=1)
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Start after the last line of this file that Kafka has.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(
            help="Send the posts by their own times, this many times faster than they were published.", min=0.01
        ),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="At the end of FILE, begin again with its first line.")] = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Format of the records. By default, the first record tells it."),
    ] = None,
    as_is: Annotated[bool, typer.Option("--as-is", help="Send each line of any FILE unchanged.")] = False,
    json_out: JsonOut = None,
) -> None:
    """Send the posts of FILE to the topic `tweets`.

    FILE holds JSON Lines, JSON arrays, JSON objects, or a corpus in CoNLL's layout, in UTF-8, UTF-16 or UTF-32, also
    compressed. The records are our own events, recorded Jetstream frames, or posts of X's APIs or archive. Our own
    events in UTF-8 are sent unchanged. A file without posts is refused before anything is sent.

    Lines that are not valid posts become dead letters; see `mner dead-letters list`. If the command is stopped or
    fails, it says how many records Kafka has, and with which line to go on.
    """
    from functools import partial

    from cli.feeds.options import moment
    from cli.feeds.running import BROKEN_OFF, STOPPED, prepared, write_counts
    from streams.feeds.files import FileSource
    from streams.feeds.filters import Filters
    from streams.feeds.orders import Options
    from streams.settings import load

    name = str(file)
    if name == STANDARD_INPUT and (loop or resume):
        raise UserError(f"--{'loop' if loop else 'resume'} cannot read standard input again; give a file")
    if resume and from_line > 1:
        raise UserError("--resume and --from-line both say where to start; give one of them")
    options = Options(rate, limit, None, not resume, Filters.parse(filters or ()))
    starts = moment(since)
    config = load()
    formats = frozenset({form}) if form is not None else frozenset(FORMATS)
    again = partial(reading, name, as_is=as_is, formats=formats) if loop else None
    with reading(name, as_is=as_is, hint=HINT, formats=formats) as posts:
        try:
            source = FileSource(
                posts, f"file:{file.resolve()}", first=from_line, since=starts, speed=speed, again=again, as_is=as_is
            )
        except UserError as error:
            raise UserError(f"{printable(name)} {error}") from None
        with prepared(config, source, options, is_live=False, keeps_cursor=name != STANDARD_INPUT) as runner:
            typer.echo(described(name, posts))
            topic = config.name("tweets")
            try:
                told = _run(runner, name, posts, topic, from_line)
            finally:
                _warn(posts)
                write_counts(runner, json_out)
        if told is None and runner.signalled is not None:
            told = "stopped"
        if told is not None:
            typer.echo(f"mner: {printable(told)}{': ' if told == 'stopped' else '; '}", nl=False, err=True)
            typer.echo(_summary(runner, posts, from_line), err=True)
            raise typer.Exit(STOPPED if runner.signalled == signal.SIGINT else BROKEN_OFF)
    typer.echo(f"fed {runner.account.posts} events into {topic}")
    if runner.account.posts != runner.account.received or json_out is not None:
        typer.echo(printable(runner.account.line()))


def _run(runner: Runner, name: str, posts: Posts, topic: str, first: int) -> str | None:
    """Feeds the file. Returns why it ended early, or None. Raises `UserError` where the file is refused."""
    from core.files.posts import reason_of
    from core.files.stream import FileBroke
    from streams.feeds.orders import FeedEnded, Oversize
    from streams.feeds.source import FeedRefused

    try:
        runner.run()
    except Oversize as error:
        raise _too_long(error, runner, posts, topic, first) from None
    except FeedRefused as error:
        raise UserError(f"{printable(name)} {error}") from None
    except FeedEnded as ended:
        return str(ended)
    except (OSError, FileBroke) as error:
        return f"cannot read on: {reason_of(error)}"
    return None


def _summary(runner: Runner, posts: Posts, first: int) -> str:
    """Says how many records Kafka has, and with which line to go on."""
    line, count = _number_after(runner, first), runner.acknowledged
    said = f"Kafka has {count} record{'s' * (count != 1)}; go on with `mner feed FILE --from-line {line}`"
    return said + ("" if posts.unit == "line" else f" ({posts.unit} {line})")


def _number_after(runner: Runner, first: int) -> int:
    """Returns the number of the first record that Kafka may lack."""
    from streams.feeds.file_place import Place

    return first if runner.cursor is None else Place.read(runner.cursor).number + 1


def _too_long(error: Oversize, runner: Runner, posts: Posts, topic: str, first: int) -> UserError:
    """Returns the error for a line that is too long. The lines before it are acknowledged."""
    from streams.feeds.file_place import Place

    number = _number_after(runner, first) if error.cursor is None else Place.read(error.cursor).number
    unit = posts.unit
    return UserError(
        f"{unit} {number} has {error.size} bytes, more than topic {topic} allows. "
        f"The {unit}s before it are fed: continue with {unit} {number + 1}, "
        f"as `mner feed FILE --from-line {number + 1}` does"
    )


def _warn(posts: Posts) -> None:
    """Names the first post that is not UTF-8. It was sent as it stands."""
    if posts.damaged and posts.format == "events":
        others = f", nor are {posts.damaged - 1} others" if posts.damaged > 1 else ""
        typer.echo(
            f"mner: {posts.unit} {posts.first_damaged} is not UTF-8{others}; a worker makes dead letters of them. "
            "If the file is in Windows-1252, `iconv -f WINDOWS-1252 -t UTF-8` converts it",
            err=True,
        )
