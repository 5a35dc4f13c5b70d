"""`mner worker`: run the agents."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Annotated

import typer

from core.errors import UserError
from streams.agents.names import AgentName


def command(
    only: Annotated[
        list[str] | None, typer.Option(help=f"run only this agent ({', '.join(AgentName)}); may be repeated")
    ] = None,
    owned: Annotated[bool, typer.Option("--owned", hidden=True, help="stop when standard input closes")] = False,
) -> None:
    """Run the agents: extract tweets, deliver extractions, apply decisions and tombstones. Stops on Ctrl-C or SIGTERM,
    after finishing what is in flight. Start it several times to share the load."""
    unknown = sorted(set(only or ()) - set(AgentName))
    if unknown:
        raise UserError(f"--only {unknown[0]}: there is no such agent; the agents are {', '.join(AgentName)}")
    from streams import metrics, servers, settings, worker

    config = settings.load()
    logging.basicConfig(
        level=config.log_level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    for chatty in ("aiokafka", "elastic_transport", "mode"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with metrics.served(config.metrics):
        code = asyncio.run(
            worker.work(config, servers.addresses(config), [AgentName(name) for name in only or AgentName], owned=owned)
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread of Faust that hangs must not keep a stopped worker alive
