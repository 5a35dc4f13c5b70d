"""`mner desk` serves the web application."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from cli.desk import tokens, users
from cli.failures import FAILED
from streams.settings import load

app = typer.Typer(invoke_without_command=True)
app.add_typer(users.app, name="users")
app.add_typer(tokens.app, name="tokens")


@app.callback()
def serve(
    context: typer.Context,
    listen: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Address to serve on. Default: MNER_DESK_LISTEN.", show_default=False),
    ] = "",
    pid_file: Annotated[
        Path | None, typer.Option(hidden=True, help="File for the process number, locked while the desk runs.")
    ] = None,
) -> None:
    """Serve the desk: review, search and overview in a browser.

    On a loopback address, which only this machine reaches, it needs no login. Any other address needs users or
    OpenID Connect. Ctrl-C stops it.
    """
    if context.invoked_subcommand is not None:
        return
    from core import secret
    from desk.access.access import folder_of
    from desk.access.machine import one_machine
    from desk.app import create
    from desk.serving import Server, address, config, warnings
    from local import lock

    settings = load(**({"desk": {"listen": listen}} if listen else {}))
    app = create(settings)
    logging.basicConfig(level=settings.log_level)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(secret.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    for library in ("elastic_transport", "httpx", "uvicorn"):  # they have a line for each request
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))
    for warning in warnings(settings.desk):
        typer.echo(warning, err=True)
    server = Server(config(app, settings), lambda: print(f"desk at {address(settings.desk)}", flush=True))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again once it has shut down
    with one_machine(folder_of(settings)), lock.pid_file(pid_file) if pid_file else nullcontext():
        server.run()
    if not server.started:
        raise typer.Exit(FAILED)
