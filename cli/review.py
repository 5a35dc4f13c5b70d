"""`mner review`: settle uncertain mentions in the terminal, one key each."""

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
from streams.settings import Settings, load


def command(
    reviewer: Annotated[
        str, typer.Option(help="Your name, as the decisions and the index show it.", show_default="login name")
    ] = "",
) -> None:
    """Settle uncertain mentions: claim the most uncertain tweet, see why the model doubts, answer with one key.

    a accept, r reject, 1-4 change the type, e edit the span, n new mention, s skip, u undo, ? help, q quit.
    Every settled tweet is an event on the topic `decisions`; a running worker applies it to the index.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        raise UserError("`mner review` needs a terminal to draw on and read keys from; for scripts: `mner queue list`")
    name = (reviewer or _login_name()).strip()
    if not 0 < len(name) <= 128 or any("\ud800" <= char <= "\udfff" for char in name):
        raise UserError(f"--reviewer {reviewer!r}: wanted a name of 1 to 128 characters, in UTF-8")
    asyncio.run(_review(load(), name))


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # the first up to Python 3.12, the second since
        raise UserError("this account has no login name: say who you are with --reviewer NAME") from None


async def _review(settings: Settings, reviewer: str) -> None:
    from rich.console import Console

    from review.decision_topic import DecisionTopic
    from review.session import Session
    from review.terminal import Terminal
    from sinks.queue import ReviewQueue
    from streams import topics
    from streams.servers import addresses

    where = addresses(settings)
    warnings = MemoryHandler(capacity=1000, flushLevel=sys.maxsize, target=logging.StreamHandler())
    logging.getLogger().addHandler(warnings)  # shown when the screen is given back
    queue = ReviewQueue(where.redis, settings.name("review:"))
    try:
        await queue.counts()  # a queue that is away is told before the screen is taken
        decisions = DecisionTopic(where.kafka, settings.name(topics.DECISIONS))
        try:
            session = Session(queue, decisions, reviewer, settings.lease_s)
            await Terminal(session, Console()).run()
        finally:
            await decisions.close()
    finally:
        await queue.close()
        warnings.close()
    if session.settled:
        print(f"{session.settled} settled, thank you")
