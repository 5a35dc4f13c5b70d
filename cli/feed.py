"""`mner feed` sends a file of posts to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import UserError
from core.text import printable

BROKEN_OFF = 1
STOPPED = 130
"""Exit codes when Kafka failed on the way, and after Ctrl-C."""


def command(
    file: Annotated[Path, typer.Argument(help="File with one post as JSON per line; - reads standard input.")],
    rate: Annotated[float | None, typer.Option(help="Largest number of posts per second.", min=0.01)] = None,
    from_line: Annotated[int, typer.Option(help="Number of the first line to send, counted from 1.", min=1)] = 1,
) -> None:
    """Send each line of FILE to the topic `tweets`, unchanged.

    A worker writes lines that are not valid posts to the dead letters; see `mner dead-letters list`.
    Feeding may be stopped, or break off. It then says how many posts are sent, and with which line to go on.
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
    try:
        source = sys.stdin.buffer if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    columns = (SpinnerColumn(), TextColumn("feeding"), MofNCompleteColumn())
    try:
        with source, Progress(*columns, transient=True) as progress:
            task = progress.add_task("feeding", total=None)

            def show(fed: int) -> None:
                progress.update(task, completed=fed)

            count = feed(source, brokers, name, rate=rate, first=from_line, on_fed=show)
    except FeedEnded as ended:
        typer.echo(f"mner: {printable(str(ended))}", err=True)
        raise typer.Exit(STOPPED if ended.interrupted else BROKEN_OFF) from None
    typer.echo(f"fed {count} events into {name}")
