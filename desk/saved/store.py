"""Keeps saved searches in the topic `desk`, and decides who may change them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from fastapi import HTTPException

from core.errors import UserError
from desk.access.people import Person
from desk.saved.values import PREFIX, SAVED_SEARCH, SavedSearch
from desk.table import DeskTable
from sinks.connect.kafka import Brokers
from sinks.searching.access import EVERYTHING
from sinks.searching.request import Search
from sinks.searching.state import SearchState
from sinks.table import Table

MOST = 50
"""Saved searches of one person."""


class SavedSearches:
    """All saved searches, by id. `start` it, and `close` it at the end. Other desks on the same topic see the same."""

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._table = DeskTable(Table(brokers, topic, SAVED_SEARCH, prefix=PREFIX), "the saved searches")
        self._changing = asyncio.Lock()

    def start(self) -> None:
        """Begins to read the topic. So the desk starts, and searches, while Kafka is away."""
        self._table.start()

    async def close(self) -> None:
        await self._table.close()

    async def ready(self) -> None:
        """Waits until the topic has been read."""
        await self._table.ready()

    def all(self) -> Sequence[SavedSearch]:
        """Returns all saved searches by their names. Raises `Retry` before the topic has been read."""
        self._table.check()
        return sorted(self._table.table.values.values(), key=lambda each: (each.name.casefold(), each.id))

    def get(self, search_id: str) -> SavedSearch:
        """Returns a saved search. Raises HTTP 404 if there is none, and as `all` does."""
        self._table.check()
        found = self._table.table.get(PREFIX + search_id)
        if found is None:
            raise HTTPException(404, "there is no such saved search; somebody may have deleted it")
        return found

    def owned(self, search_id: str, person: Person) -> SavedSearch:
        """Returns a saved search that the person may change. Raises HTTP 403 for another's, and as `get` does."""
        found = self.get(search_id)
        if not may_change(found, person):
            raise HTTPException(403, f"this search belongs to {found.owner}; only they or an admin may change it")
        return found

    async def add(self, name: str, query: str, person: Person) -> SavedSearch:
        """Saves a search. Raises `UserError` if the query cannot be used or the person has too many, and `Retry`."""
        state = replace(SearchState.from_query(query), page="")
        Search(state, EVERYTHING)
        async with self._changing:
            if sum(each.owner == person.name for each in self.all()) >= MOST:
                raise UserError(f"you have {MOST} saved searches already; delete one first")
            new = SavedSearch(
                id=secrets.token_urlsafe(9),
                name=name,
                query=state.to_query(),
                owner=person.name,
                created=datetime.now(UTC),
            )
            await self._table.table.put(new.key, new)
        return new

    async def change(self, search_id: str, person: Person, change: Callable[[SavedSearch], SavedSearch]) -> SavedSearch:
        """Stores what `change` makes of a search as it is now, so no change undoes another of this process.

        Raises as `owned` and `put` do.
        """
        async with self._changing:
            changed = change(self.owned(search_id, person))
            await self.put(changed)
        return changed

    async def replace(self, known: SavedSearch, changed: SavedSearch) -> None:
        """Stores a changed search unless somebody has changed it meanwhile. Raises `Retry`."""
        async with self._changing:
            if known in self.all():
                await self.put(changed)

    async def put(self, search: SavedSearch) -> None:
        """Stores a changed search. Raises `Retry`."""
        self._table.check()
        await self._table.table.put(search.key, search)

    async def delete(self, search: SavedSearch) -> None:
        """Deletes a search with its webhook. Raises `Retry`."""
        self._table.check()
        async with self._changing:
            await self._table.table.delete(search.key)


def may_change(search: SavedSearch, person: Person) -> bool:
    """Whether the person may rename or delete the search, and set up its webhook."""
    return search.owner == person.name or person.may("admin")
