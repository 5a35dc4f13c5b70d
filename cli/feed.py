"""`mner feed` sends a file of posts to Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import UserError


def command(
    file: Annotated[Path, typer.Argument(help="File with one post as JSON per line; - reads standard input.")],
    rate: Annotated[float | None, typer.Option(help="Largest number of posts per second.", min=0.01)] = None,
) -> None:
    """Send each line of FILE to the topic `tweets`, unchanged.

    A worker writes lines that are not valid posts to the dead letters; see `mner dead-letters list`.
    """
    import sys

    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from streams import servers, settings, topics
    from streams.feed import feed

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
    with source, Progress(*columns, transient=True) as progress:
        task = progress.add_task("feeding", total=None)
        count = feed(source, brokers, name, rate=rate, on_fed=lambda fed: progress.update(task, completed=fed))
    typer.echo(f"fed {count} events into {name}")
