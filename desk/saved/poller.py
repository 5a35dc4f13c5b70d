"""Asks Elasticsearch once for all who wait for new posts of a search. One instance serves a whole process."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from core.errors import Retry, Stop, UserError, first_line
from sinks.index.index import Index
from sinks.searching.changes import Ask, Batch, Ends, Place, ends, read

EVERY_S = 1.0
"""Seconds between two looks at the index, while somebody waits. Elasticsearch shows new posts once a second anyway."""

MOST_PAUSE_S = 30.0
"""Longest pause, in seconds, while Elasticsearch does not answer."""

log = logging.getLogger(__name__)


class Watch(Protocol):
    """Somebody who waits for the posts of a search."""

    def ask(self, ends: Ends) -> Ask | None:
        """Returns what to ask for now, or None while there is no room for an answer."""

    def take(self, batch: Batch) -> None:
        """Takes the answer to the last `ask`."""


class Poller:
    """The loop that asks. A watch keeps its own place, so it may start anywhere, pause, and lag behind the others."""

    def __init__(self, index: Index, every_s: float = EVERY_S) -> None:
        self._index, self._every_s = index, every_s
        self._watches: list[Watch] = []
        self._some = asyncio.Event()
        self._refreshed: Ends = {}
        #: Why the last look at the index failed, or empty.
        self.problem = ""

    def add(self, watch: Watch) -> None:
        self._watches.append(watch)
        self._some.set()

    def remove(self, watch: Watch) -> None:
        if watch in self._watches:
            self._watches.remove(watch)
        if not self._watches:
            self._some.clear()

    async def place(self) -> Place:
        """Returns the place after all present posts. Raises as `Index.search` does."""
        return Place.at(await ends(self._index))

    async def run(self) -> None:
        """Polls for ever, and longer apart while Elasticsearch does not answer."""
        pause = self._every_s
        while True:
            await self._some.wait()
            try:
                more = await self.poll()
            except (Retry, Stop, UserError) as error:
                pause = min(MOST_PAUSE_S, pause * 2)
                self._told(first_line(error))
            except Exception as error:  # a fault of ours must not end all tails
                log.exception("a fault while new posts were looked for")
                pause, self.problem = MOST_PAUSE_S, first_line(error)
            else:
                pause, self.problem = self._every_s, ""
                if more:
                    continue
            await asyncio.sleep(pause)

    async def poll(self) -> bool:
        """Asks once for all. Returns whether some have more posts waiting. Raises as `Index.search` does."""
        now = await ends(self._index)
        if now != self._refreshed:
            await self._index.refresh()
            self._refreshed = now
        asking = [(watch, ask) for watch in list(self._watches) if (ask := watch.ask(now)) is not None]
        batches = await read(self._index, [ask for _, ask in asking], now)
        for (watch, _), batch in zip(asking, batches, strict=True):
            watch.take(batch)
        return any(batch.more for batch in batches)

    def _told(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("new posts cannot be looked for: %s", problem)
        self.problem = problem
