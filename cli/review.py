"""`mner review` lets a person decide uncertain mentions in the terminal."""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import sys
from logging.handlers import MemoryHandler
from typing import Annotated

import typer

from core.errors import UserError
from core.events import ENTITY_TYPES
from streams.settings import Settings, load

_KEYS = (
    f"a accept, r reject, 1-{len(ENTITY_TYPES)} change the type, e edit the span, n new mention, s skip, u undo, "
    "? help, q quit"
)
HELP = f"""Decide uncertain mentions, each with one key. Uncertain posts and those that have waited long come first.

Keys: {_KEYS}.
Each decided post becomes an event on the topic `decisions`. A running worker applies it to the index.
"""


def command(
    reviewer: Annotated[
        str, typer.Option(help="Your name in the decisions and in the index.", show_default="login name")
    ] = "",
) -> None:
    """Runs a review session. `HELP` is what the user sees of this command."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        raise UserError("`mner review` needs a terminal; scripts can use `mner queue list --json`")
    name = (reviewer or _login_name()).strip()
    if not 0 < len(name) <= 128 or any("\ud800" <= char <= "\udfff" for char in name):
        raise UserError(f"--reviewer {reviewer!r}: not a name of 1 to 128 characters in UTF-8")
    asyncio.run(_review(load(), name))


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # KeyError up to Python 3.12, OSError from 3.13
        raise UserError("this account has no login name; give your name with --reviewer NAME") from None


async def _review(settings: Settings, reviewer: str) -> None:
    from rich.console import Console

    from review.decision_topic import DecisionTopic
    from review.session import Session
    from review.terminal import Terminal
    from sinks.queue.queue import ReviewQueue
    from streams import topics
    from streams.servers import addresses

    servers = addresses(settings)
    warnings = MemoryHandler(capacity=1000, flushLevel=sys.maxsize, target=logging.StreamHandler())
    logging.getLogger().addHandler(warnings)  # shown after the screen is restored
    queue = ReviewQueue(servers.redis, settings.name("review:"))
    try:
        await queue.counts()  # reports an unreachable queue before the screen is taken
        decisions = DecisionTopic(servers.kafka, settings.name(topics.DECISIONS))
        try:
            session = Session(queue, decisions, reviewer, reviewers=settings.reviewers)
            await Terminal(session, Console()).run()
        finally:
            await decisions.close()
    finally:
        await queue.close()
        warnings.close()
    if session.settled:
        print(f"{session.settled} settled. Thank you!")
