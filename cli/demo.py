"""`mner demo` runs the whole system on real servers, with the example posts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.output import output_file


def command(
    keep: Annotated[bool, typer.Option("--keep", help="Leave servers, worker and desk running.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop what --keep left running.")] = False,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="File for the final numbers; - for standard output.")
    ] = None,
) -> None:
    """Run the whole system once, with the example posts.

    Starts real servers and a worker, feeds the posts and shows the results. The exit code is 1 if the counts do not
    agree.
    """
    import asyncio
    import json
    import sys

    from rich.console import Console

    from demo import run
    from streams import settings

    config = settings.load()
    console = Console(stderr=str(json_out) == "-")
    if stop:
        stopped = run.stop(config.home)
        typer.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
        return
    report = asyncio.run(run.demo(config, console, keep=keep))
    report.show(console)
    if json_out is not None:
        numbers = json.dumps(report.numbers(), indent=2) + "\n"
        if str(json_out) == "-":
            sys.stdout.write(numbers)
        else:
            with output_file(json_out, "--json") as file:
                file.write(numbers.encode())
    if keep:
        run.show_addresses(config, console)
    if report.problems:
        raise typer.Exit(1)
