"""`mner worker` runs the agents."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from core.errors import UserError
from streams.agents.names import AgentName


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
    """Run the agents: extract posts, deliver extractions, apply decisions and tombstones.

    Ctrl-C or SIGTERM stops the worker after it has finished what is in flight. Several workers share the load.
    """
    if unknown := sorted(set(only or ()) - set(AgentName)):
        raise UserError(f"--only {unknown[0]}: no such agent; the agents are {', '.join(AgentName)}")
    from local import lock
    from streams import metrics, servers, settings, worker

    config = settings.load()
    logging.basicConfig(
        level=config.log_level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    for verbose in ("aiokafka", "elastic_transport", "mode"):
        logging.getLogger(verbose).setLevel(logging.WARNING)
    with lock.pid_file(pid_file) if pid_file else nullcontext(), metrics.served(config.metrics):
        agents = [AgentName(name) for name in only or AgentName]
        code = asyncio.run(worker.work(config, servers.addresses(config), agents, owned=owned))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # a thread of Faust that hangs must not keep a stopped worker alive
