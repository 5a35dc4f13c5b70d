"""`mner worker` runs the agents."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import failures
from core import secret
from core.errors import UserError
from streams.agents.names import AgentName

log = logging.getLogger(__name__)

FAULT = 1
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def command(
    only: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Run only this agent ({', '.join(AgentName)}); repeat the option for several.", metavar="AGENT"
        ),
    ] = None,
    owned: Annotated[bool, typer.Option("--owned", hidden=True, help="Stop when standard input closes.")] = False,
    pid_file: Annotated[
        Path | None, typer.Option(hidden=True, help="File for the process number, locked while the worker runs.")
    ] = None,
) -> None:
    """Run the agents: extract posts, deliver extractions, apply decisions and lifecycle events.

    Ctrl-C or SIGTERM stops the worker after it has finished what is in flight; a second one stops it at once. Several
    workers share the load.
    """
    if unknown := sorted(set(only or ()) - set(AgentName)):
        raise UserError(f"--only {unknown[0]}: no such agent; the agents are {', '.join(AgentName)}")
    from local import lock
    from streams import metrics, quiet, servers, settings, worker

    config = settings.load()
    logging.basicConfig(level=config.log_level, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(secret.Formatter(FORMAT))
    quiet.install()
    with lock.pid_file(pid_file) if pid_file else nullcontext(), metrics.served(config.metrics):
        agents = [AgentName(name) for name in only or AgentName]
        code = _run(worker.work(config, servers.addresses(config), agents, owned=owned))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # a thread or a task that hangs must not keep a stopped worker alive


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Returns the exit code. Leaves the event loop open: to close it could take for ever."""
    try:
        return asyncio.new_event_loop().run_until_complete(work)
    except (Exception, asyncio.CancelledError) as error:  # a library may cancel the task that waits for it
        if isinstance(error, Exception) and failures.told(error):
            return failures.FAILED
        log.exception("the worker has a fault")
        return FAULT
