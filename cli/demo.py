"""`mner demo`: the whole system on real servers, with the example tweets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import UserError


def command(
    keep: Annotated[bool, typer.Option("--keep", help="leave servers and worker running afterwards")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="stop what an earlier --keep left running")] = False,
    json_out: Annotated[
        Path | None, typer.Option("--json", help="also write the final numbers to this file (- for standard output)")
    ] = None,
) -> None:
    """Start real servers and a worker, feed the example tweets, watch them arrive, check that the numbers add up, show
    what was found. Exit code 1 when something does not add up."""
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
        numbers = json.dumps(report.numbers(), indent=2)
        try:
            sys.stdout.write(numbers + "\n") if str(json_out) == "-" else json_out.write_text(numbers + "\n")
        except OSError as error:
            raise UserError(f"cannot write {json_out}: {error.strerror}") from None
    if keep:
        run.show_addresses(config, console)
    if report.problems:
        raise typer.Exit(1)
