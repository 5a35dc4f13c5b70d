"""`mner local`: real Kafka, Elasticsearch and Redis on this machine, without Docker."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Real Kafka, Elasticsearch and Redis as plain processes on this machine: no Docker, no root. "
    "Their data and logs lie in the folder MNER_HOME (.mner by default).",
)


@app.command()
def up() -> None:
    """Start what does not run yet; the servers stay until `mner local down`. Prints their addresses as exports."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from local import stack
    from streams.settings import load

    home = load().home
    shown = Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.fields[server]:<14}"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    with shown:
        tasks = {}

        def on_progress(name: str, message: str) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(message, total=1, server=name)
            shown.update(tasks[name], description=message, completed=message.startswith("ready"))

        addresses = stack.up(home, on_progress)
    for name, address in addresses.items():
        typer.echo(f"export MNER_{name.upper()}={address}")


@app.command()
def down() -> None:
    """Stop the servers; their data stays."""
    from local import stack
    from streams.settings import load

    home = load().home
    stopped = stack.down(home)
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else f"nothing runs in {home}")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a server, in a list, for scripts.")] = False,
) -> None:
    """Which servers run, where, and where their logs are."""
    from rich.console import Console
    from rich.table import Table

    from local import stack
    from streams.settings import load

    home = load().home
    servers = stack.status(home)
    if as_json:
        typer.echo(json.dumps([{**vars(server), "log": str(server.log)} for server in servers], indent=2))
        return
    table = Table("server", "state", "address", "pid")
    for server in servers:
        state = "[green]running" if server.running else "stopped"
        table.add_row(server.name, state, server.address or "", str(server.pid or ""))
    Console().print(table)
    typer.echo(f"logs: {home.absolute() / 'logs'}")
