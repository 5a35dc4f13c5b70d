"""A table that is read in the background, so that the desk starts while Kafka is away."""

from __future__ import annotations

import asyncio
import logging
from typing import Generic, TypeVar

from core.ending import end
from core.errors import Retry, first_line
from sinks.table import Table

V = TypeVar("V")

AGAIN_S = 2.0
"""Seconds between two attempts to read the topic."""

log = logging.getLogger(__name__)


class DeskTable(Generic[V]):
    """A table and whether it was read. `start` it, and `close` it at the end."""

    def __init__(self, table: Table[V], what: str) -> None:
        """`what`: the values in words, for messages, such as `the corrections`."""
        self.table = table
        self.problem = f"{what} are being read; try again in a moment"
        """Why the values are not known. Empty once they are."""
        self.has_failed = False
        """Whether the values are not known because a first attempt to read them failed."""
        self._what = what
        self._is_read = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to read. The table is empty until the topic has been read."""
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        if self._reading is not None:
            await end([self._reading])
        if not self.problem:
            await self.table.close()

    async def ready(self) -> None:
        """Waits until the topic has been read."""
        await self._is_read.wait()

    def check(self) -> None:
        """Raises `Retry` if the values are not known yet."""
        if self.problem:
            raise Retry(self.problem)

    async def _read(self) -> None:
        while True:
            try:
                await self.table.start()
            except Exception as error:  # the desk goes on without the values, and says why
                self.problem, self.has_failed = f"{self._what} cannot be read: {first_line(error)}", True
                log.warning("%s", self.problem)
                await asyncio.sleep(AGAIN_S)
            else:
                self.problem, self.has_failed = "", False
                self._is_read.set()
                return
