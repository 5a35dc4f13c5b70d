"""Saved searches and webhooks on real servers, without the application around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from core.ending import end
from desk.saved.ledger import Ledgers
from desk.saved.poller import Poller
from desk.saved.sender import Sender
from desk.saved.signature import new_secret
from desk.saved.store import SavedSearches
from desk.saved.values import SavedSearch, Webhook
from desk.saved.webhooks import Hook, Pace, Parts, Webhooks
from sinks.index.index import Index
from sinks.searching.access import EVERYTHING
from streams import servers, topics
from streams.settings import Settings
from tests.desk.saved.receiver import Receiver
from tests.desk.search.conftest import fill, free_port

__all__ = ["fill", "free_port"]

PACE = Pace(tries=4, first_s=0.0, jitter_s=0.0, pause_after=2, away_s=0.0)


async def at_once(seconds: float) -> None:
    """Stands in for a pause, so that no test waits."""
    await asyncio.sleep(0)


@dataclass
class Deliveries:
    """A desk's part that delivers, and the places that it uses."""

    parts: Parts

    @property
    def index(self) -> Index:
        return self.parts.index

    async def save(self, receiver: Receiver, query: str = "q=nasa", search_id: str = "s1") -> SavedSearch:
        """Saves a search with a webhook for posts from now on."""
        hook = Webhook(url=receiver.url, secret=new_secret())
        saved = SavedSearch(
            id=search_id, name="Rockets", query=query, owner="ana", created=datetime.now(UTC), webhook=hook
        )
        await self.parts.ledgers.move(search_id, await self.parts.poller.place())
        await self.parts.searches.put(saved)
        return saved

    def of(self, search_id: str = "s1") -> SavedSearch:
        return self.parts.searches.get(search_id)

    @asynccontextmanager
    async def hook(self, search: SavedSearch) -> AsyncIterator[asyncio.Task[None]]:
        """Delivers for one search, without a lease."""
        tasks = [asyncio.create_task(self.parts.poller.run()), asyncio.create_task(Hook(search, self.parts).run())]
        try:
            yield tasks[1]
        finally:
            await end(tasks)

    @asynccontextmanager
    async def all(self, lease_s: float = 5.0) -> AsyncIterator[None]:
        """Delivers for all searches, as a desk does."""
        loops = (self.parts.poller.run(), Webhooks(self.parts, lease_s).run())
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            await end(tasks)


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something is true. The time limit of the test ends it otherwise."""
    while not condition():
        await asyncio.sleep(0.02)


@asynccontextmanager
async def deliveries(settings: Settings, *hosts: str, timeout_s: float = 5.0) -> AsyncIterator[Deliveries]:
    """Opens what deliveries use. `hosts`: receivers at private addresses that are allowed."""
    addresses = servers.addresses(settings)
    async with AsyncExitStack() as stack:
        index = Index(addresses.elasticsearch, settings.name("mentions"))
        stack.push_async_callback(index.close)
        await index.prepare()
        searches = SavedSearches(addresses.kafka, settings.name(topics.DESK))
        searches.start()
        stack.push_async_callback(searches.close)
        await searches.ready()
        ledgers = Ledgers(addresses.redis, settings.name(""))
        stack.push_async_callback(ledgers.close)
        sender = await stack.enter_async_context(Sender(hosts, timeout_s=timeout_s))
        poller = Poller(index, every_s=0.05)
        yield Deliveries(Parts(index, lambda: EVERYTHING, searches, poller, ledgers, sender, PACE, at_once))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as running:
        yield running
