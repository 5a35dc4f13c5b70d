"""Corrects names: writes what a person says to the table, and gives all corrections as `Names`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from core.corrections import PREFIX, SameName, SplitName
from core.errors import UserError
from core.events import explain
from sinks.names.names import Names
from sinks.table import Table

SOONEST = timedelta(microseconds=1)

C = TypeVar("C", SameName, SplitName)


def _now() -> datetime:
    return datetime.now(UTC)


class Corrections:
    """The corrections of names in a table, which may hold other values too.

    All methods that write return when the correction is in force here, and raise as `Table.put` does.
    """

    def __init__(self, table: Table[Any], clock: Callable[[], datetime] = _now) -> None:
        """The table is started, and closed, by the caller."""
        self._table, self._clock = table, clock
        self._resolved: tuple[int, Names] = (-1, Names())

    @property
    def names(self) -> Names:
        """The names as corrected up to now. It is resolved anew only when the table has changed."""
        version = self._table.version  # before the values, so that a change in between is seen the next time
        if self._resolved[0] != version:
            values = self._table.values.values()
            self._resolved = version, Names.of(one for one in values if isinstance(one, SameName | SplitName))
        return self._resolved[1]

    async def join(self, name: str, of: str, by: str) -> SameName:
        """Says that two names are one, listed under `of`. Raises `UserError` if they are one by their spelling."""
        return await self._put(self._made(SameName, {"name": name, "of": of, "by": by}))

    async def split(self, surface: str, name: str, by: str) -> SplitName:
        """Says that mentions with exactly this spelling count under another name. Raises `UserError` if it is none."""
        return await self._put(self._made(SplitName, {"surface": surface, "name": name, "by": by}))

    async def withdraw(self, key: str, by: str) -> None:
        """Takes a correction back, by its `key`. Does nothing if nobody said so, or if it was taken back already."""
        held = self._table.get(key)
        if held is not None and key.startswith(PREFIX) and not held.withdrawn:
            await self._put(held.model_copy(update={"by": by, "at": self._clock(), "withdrawn": True}))

    def _made(self, kind: type[C], fields: dict[str, str]) -> C:
        try:
            return kind.model_validate(fields | {"at": self._clock()})
        except ValidationError as error:
            raise UserError(explain(error)) from None

    async def _put(self, correction: C) -> C:
        """Writes a correction under a later time than the one it replaces, even if another clock was ahead."""
        held = self._table.get(correction.key)
        if held is not None and correction.at <= held.at:
            correction = correction.model_copy(update={"at": held.at + SOONEST})
        await self._table.put(correction.key, correction)
        return correction
