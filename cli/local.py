"""`mner local` runs Kafka, Elasticsearch and Redis on this machine, without Docker."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.as_json import print_json
from cli.output import make_console

app = typer.Typer(
    no_args_is_help=True,
    help="Run Kafka, Elasticsearch and Redis as plain processes on this machine, without Docker and without root. "
    "Their data and logs are in the folder MNER_HOME (default: .mner).",
)


@app.command()
def up() -> None:
    """Start the servers that are not running yet, and print their addresses as shell exports.

    They run until `mner local down`.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from local import stack
    from streams.settings import load

    home = load().home
    progress = Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.fields[server]:<14}"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    with progress:
        tasks = {}

        def on_progress(name: str, message: str) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(message, total=1, server=name)
            progress.update(tasks[name], description=message, completed=message.startswith("ready"))

        addresses = stack.up(home, on_progress)
    for name, address in addresses.items():
        typer.echo(f"export MNER_{name.upper()}={address}")


@app.command()
def down() -> None:
    """Stop the servers. Their data is kept."""
    from local import stack
    from streams.settings import load

    home = load().home
    stopped = stack.down(home)
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else f"no server runs in {home}")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array with one object per server.")] = False,
) -> None:
    """Show which servers are running, with their addresses and the folder of their logs."""
    from rich.table import Table

    from local import stack
    from streams.settings import load

    home = load().home
    servers = stack.status(home)
    if as_json:
        print_json([{**vars(server), "log": str(server.log)} for server in servers])
        return
    table = Table("server", "state", "address", "pid")
    for server in servers:
        state = "[green]running" if server.running else "stopped"
        table.add_row(server.name, state, server.address or "", str(server.pid or ""))
    make_console().print(table)
    typer.echo(f"logs: {home.absolute() / 'logs'}")
