"""Runs the review screen on the queue at the given URL and prefix. Its decisions go nowhere."""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console

from core.events import Decision
from review.session import Session
from review.terminal import Terminal
from sinks.queue.queue import ReviewQueue


class Nowhere:
    async def publish(self, decision: Decision) -> None:
        pass


async def main(url: str, prefix: str) -> None:
    queue = ReviewQueue(url, prefix)
    await Terminal(Session(queue, Nowhere(), "ana", 60), Console()).run()
    await queue.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
