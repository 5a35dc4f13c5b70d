"""`mner feed` sends a file of posts to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.posts_file import described, reading
from core.errors import UserError
from core.files.posts import Posts
from core.text import printable

BROKEN_OFF = 1
STOPPED = 130
"""Exit codes when Kafka or the file failed on the way, and after Ctrl-C."""


def command(
    file: Annotated[Path, typer.Argument(help="File of posts as JSON; - reads standard input.")],
    rate: Annotated[float | None, typer.Option(help="Largest number of posts per second.", min=0.01)] = None,
    from_line: Annotated[
        int, typer.Option(help="Number of the first line to send, or of the first post of an array.", min=1)
    ] = 1,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Send each line of FILE as it stands, whatever FILE holds.")
    ] = False,
) -> None:
    """Send the posts of FILE to the topic `tweets`.

    FILE may hold JSON Lines, one JSON array or JSON objects, in UTF-8, UTF-16 or UTF-32, and may be compressed. Lines
    in UTF-8 are sent unchanged. A file that holds no posts is refused before anything is sent.

    A worker writes lines that are not valid posts to the dead letters; see `mner dead-letters list`.
    Feeding may be stopped, or may fail. The command then says how many posts are sent, and with which line to go on.
    """
    import sys

    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from streams import servers, settings, topics
    from streams.feed import FeedEnded, feed

    config = settings.load()
    brokers = servers.address(config, "kafka")
    name = config.name(topics.TWEETS)
    if name in topics.missing(brokers, topics.plan(config)):
        raise UserError(f"topic {name} is missing; create it with `mner topics create`")
    columns = (SpinnerColumn(), TextColumn("feeding"), MofNCompleteColumn())
    with reading(str(file), as_is=as_is, hint=". Nothing is sent; --as-is sends the lines all the same") as posts:
        typer.echo(described(str(file), posts))
        try:
            with Progress(*columns, transient=True, disable=not sys.stdout.isatty()) as progress:
                task = progress.add_task("feeding", total=None)

                def show(fed: int) -> None:
                    progress.update(task, completed=fed)

                count = feed(posts, brokers, name, rate=rate, first=from_line, unit=posts.unit, on_fed=show)
        except FeedEnded as ended:
            typer.echo(f"mner: {printable(str(ended))}", err=True)
            raise typer.Exit(STOPPED if ended.interrupted else BROKEN_OFF) from None
        finally:
            _warn(posts)
    typer.echo(f"fed {count} events into {name}")


def _warn(posts: Posts) -> None:
    """Names the first post that is not UTF-8. It was sent as it stands."""
    if posts.damaged:
        others = f", nor are {posts.damaged - 1} others" if posts.damaged > 1 else ""
        typer.echo(
            f"mner: {posts.unit} {posts.first_damaged} is not UTF-8{others}; a worker makes dead letters of them. "
            "If the file is in Windows-1252, `iconv -f WINDOWS-1252 -t UTF-8` converts it",
            err=True,
        )
