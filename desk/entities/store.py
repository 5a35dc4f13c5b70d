"""The corrections of names that a process of the desk holds."""

from __future__ import annotations

from collections.abc import Sequence

from core.corrections import CORRECTION, PREFIX, SameName, SplitName
from desk.table import DeskTable
from sinks.connect.kafka import Brokers
from sinks.names.corrections import Corrections
from sinks.names.names import Names
from sinks.table import Table


class NameCorrections:
    """Reads and writes the corrections. Until the topic has been read, `problem` says so and no name is corrected."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        table: Table[SameName | SplitName] = Table(brokers, topic, CORRECTION, prefix=PREFIX)
        self._table = DeskTable(table, "the corrections")
        self._corrections = Corrections(self._table.table)

    def start(self) -> None:
        """Begins to read the topic in the background."""
        self._table.start()

    async def close(self) -> None:
        await self._table.close()

    @property
    def problem(self) -> str:
        """Why the corrections are not known. Empty once they are."""
        return self._table.problem

    @property
    def names(self) -> Names:
        """The names as corrected up to now."""
        return self._corrections.names

    def all(self) -> Sequence[SameName | SplitName]:
        """Returns every correction, also those taken back, the newest first."""
        return sorted(self._table.table.values.values(), key=lambda one: one.at, reverse=True)

    def get(self, key: str) -> SameName | SplitName | None:
        """Returns the correction with this key."""
        return self._table.table.get(key)

    async def join(self, name: str, of: str, by: str) -> SameName:
        """Says that two names are one, listed under `of`.

        Raises `UserError` if they are one by their spelling, and `Retry` if the topic is not read or does not answer.
        """
        self._table.check()
        return await self._corrections.join(name, of, by)

    async def split(self, surface: str, name: str, by: str) -> SplitName:
        """Says that a spelling is another name. Raises as `join` does."""
        self._table.check()
        return await self._corrections.split(surface, name, by)

    async def withdraw(self, key: str, by: str) -> None:
        """Takes a correction back. Does nothing if nobody said so. Raises `Retry` as `join` does."""
        self._table.check()
        await self._corrections.withdraw(key, by)
