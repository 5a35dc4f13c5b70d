"""What the pages of saved searches use, one of each for a whole process, and the loops behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import Request

from core.ending import end
from desk.saved.ledger import Ledgers
from desk.saved.poller import Poller
from desk.saved.sender import Sender
from desk.saved.store import SavedSearches
from desk.saved.tail import Streams
from desk.saved.webhooks import Parts, Webhooks
from desk.search.posts import access_of
from desk.services import Services
from streams import servers, topics


@dataclass(frozen=True)
class Following:
    """Saved searches, and what follows them. `following` makes it."""

    searches: SavedSearches
    poller: Poller
    streams: Streams
    ledgers: Ledgers
    sender: Sender


@asynccontextmanager
async def following(services: Services, may_send: Callable[[str], bool]) -> AsyncIterator[Following]:
    """Starts the loops, and ends them. Waits for no server. `may_send`: whether this person may still see posts."""
    settings, addresses = services.settings, servers.addresses(services.settings)
    async with AsyncExitStack() as stack:
        searches = SavedSearches(addresses.kafka, settings.name(topics.DESK))
        searches.start()
        stack.push_async_callback(searches.close)
        ledgers = Ledgers(addresses.redis, settings.name(""))
        stack.push_async_callback(ledgers.close)
        sender = await stack.enter_async_context(Sender(settings.desk.webhook_allow))
        poller = Poller(services.index)
        may_see = partial(access_of, services)
        parts = Parts(services.index, may_see, searches, poller, ledgers, sender, may_send=may_send)
        loops = [asyncio.create_task(poller.run()), asyncio.create_task(Webhooks(parts).run())]
        try:
            yield Following(searches, poller, Streams(), ledgers, sender)
        finally:
            await end(loops)


def of(request: Request) -> Following:
    """Returns that of the application."""
    found: Following = request.app.state.following
    return found
