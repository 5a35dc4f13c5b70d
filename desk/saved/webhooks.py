"""Sends each matching post to the webhook of a saved search: in order, at least once, and never more than a page ahead.

A webhook is a watch of the poller. Its place in the index moves in Redis only when a message was delivered or given up.
So after a crash, messages may come twice, with the same `webhook-id`, and none is lost. The post is read anew for each
try, so an erased post is not sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json
from redis.exceptions import LockError
from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt, wait_exponential_jitter

from core.ending import end
from core.errors import Retry, Stop, UserError, first_line
from core.threads import Threads
from desk.saved.ledger import Ledgers
from desk.saved.poller import Poller
from desk.saved.sender import Outcome, Sender
from desk.saved.signature import headers, message_id
from desk.saved.store import SavedSearches
from desk.saved.values import Delivery, SavedSearch
from desk.search.values import FoundPost
from sinks.answers.redis import FAULTS
from sinks.index.index import Index
from sinks.searching.access import Access
from sinks.searching.changes import Ask, Batch, Change, Ends, Place, matching
from sinks.searching.request import Search

LEASE_S = 15.0
"""Seconds after which another desk delivers if this one falls silent."""

LOOK_S = 1.0
"""Seconds between two looks at which webhooks there are."""

MATCHED, TEST = "post.matched", "webhook.test"
"""Types of messages."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often a message is tried. Times are in seconds."""

    tries: int = 8
    #: Pause after the first try. Each one is twice as long, and longer by up to `jitter_s`, at random.
    first_s: float = 2.0
    longest_s: float = 300.0
    jitter_s: float = 2.0
    #: Messages in a row that were given up, after which the webhook is paused.
    pause_after: int = 3
    #: Pause while Elasticsearch, Redis or Kafka does not answer.
    away_s: float = 2.0


@dataclass(frozen=True)
class Parts:
    """What deliveries use."""

    index: Index
    access: Callable[[], Access]
    searches: SavedSearches
    poller: Poller
    ledgers: Ledgers
    sender: Sender
    pace: Pace = Pace()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    #: Whether the owner of a search may still see posts. Is called in a thread. Nothing is sent while that is not so.
    may_send: Callable[[str], bool] = lambda owner: True


class Webhooks:
    """Delivers for all webhooks, while it holds the lease. Of several desks, one delivers."""

    def __init__(self, parts: Parts, lease_s: float = LEASE_S) -> None:
        self._parts, self._lease_s, self._files = parts, lease_s, Threads("webhook-owners", 1)
        self._running: dict[str, tuple[SavedSearch, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Delivers for ever. Waits while another desk does, or while Redis is away."""
        await self._parts.searches.ready()
        while True:
            lease = self._parts.ledgers.lease(self._lease_s)
            try:
                if await lease.acquire():
                    await self._deliver(lease)
            except FAULTS as error:
                log.warning("no webhook is delivered now: %s", first_line(error))
            except Exception:
                log.exception("a fault while webhooks were delivered")
            await asyncio.sleep(LOOK_S)

    async def _deliver(self, lease: Any) -> None:
        """Delivers until the lease is lost. Raises errors of redis-py."""
        renewed = time.monotonic()
        try:
            while True:
                await self._follow(await self._files.run(self._wanted))
                await asyncio.sleep(LOOK_S)
                if time.monotonic() - renewed > self._lease_s / 3:
                    await lease.reacquire()
                    renewed = time.monotonic()
        finally:
            await self._end(list(self._running))
            with suppress(LockError, *FAULTS):
                await lease.release()

    def _wanted(self) -> dict[str, SavedSearch]:
        """Returns the searches to deliver for, by id. Blocks, since files say who may still see posts."""
        active = [each for each in self._parts.searches.all() if each.webhook and not each.webhook.paused]
        return {each.id: each for each in active if self._parts.may_send(each.owner)}

    async def _follow(self, wanted: dict[str, SavedSearch]) -> None:
        """Ends what has gone or changed, then starts what is new: so no webhook has two senders."""
        running = self._running.items()
        await self._end([each for each, (known, task) in running if wanted.get(each) != known or task.done()])
        for search_id in wanted.keys() - self._running.keys():
            search = wanted[search_id]
            sending = asyncio.create_task(Hook(search, self._parts).run(), name=f"the webhook of search {search_id}")
            self._running[search_id] = search, sending

    async def _end(self, search_ids: list[str]) -> None:
        await end([self._running[search_id][1] for search_id in search_ids])
        for search_id in search_ids:
            del self._running[search_id]


class Hook:
    """The deliveries of one webhook. A watch of the poller."""

    def __init__(self, search: SavedSearch, parts: Parts) -> None:
        assert search.webhook is not None
        self._saved, self._webhook, self._parts = search, search.webhook, parts
        self._after: Place | None = None
        self._search: Search | None = None
        self._batch: Batch | None = None
        self._some = asyncio.Event()

    async def run(self) -> None:
        """Delivers until the webhook is paused. Waits out faults of our servers, which cost no message a try."""
        try:
            self._search = Search(self._saved.state, self._parts.access())
        except UserError as error:
            await self._pause(f"the search cannot be used any more: {error}")
            return
        self._after = await self._patiently(self._beginning)
        self._parts.poller.add(self)
        try:
            while True:
                await self._some.wait()
                if not await self._page():
                    return
        except UserError as error:  # the search is refused, or the secret is damaged
            await self._pause(str(error))
        finally:
            self._parts.poller.remove(self)

    def ask(self, ends: Ends) -> Ask | None:
        if self._batch is not None or self._after is None or self._search is None:
            return None
        return Ask(replace(self._search, access=self._parts.access()), self._after)

    def take(self, batch: Batch) -> None:
        if batch.changes or batch.gap or batch.fault or batch.after != self._after:
            self._batch = batch
            self._some.set()

    async def _beginning(self) -> Place:
        """Returns the place where the webhook stopped, or the present one, with a note that posts may be missing."""
        known = await self._parts.ledgers.place(self._saved.id)
        if known is not None:
            return known
        place = await self._parts.poller.place()
        log.warning("the place of the webhook of search %s was lost; it goes on from now", self._saved.id)
        await self._parts.ledgers.gap(self._saved.id)
        await self._parts.ledgers.move(self._saved.id, place)
        return place

    async def _page(self) -> bool:
        """Delivers a page. Returns whether to go on."""
        batch = self._batch
        assert batch is not None
        if batch.fault:
            await self._pause(f"Elasticsearch refuses the search: {batch.fault}")
            return False
        if batch.gap:
            log.warning("the index of search %s was replaced; its webhook goes on from now", self._saved.id)
            await self._patiently(lambda: self._parts.ledgers.gap(self._saved.id))
        for change in batch.changes:
            if not await self._one(change):
                return False
            await self._move(change.after)
        await self._move(batch.after)
        self._after, self._batch = batch.after, None
        self._some.clear()
        return True

    async def _move(self, place: Place) -> None:
        await self._patiently(lambda: self._parts.ledgers.move(self._saved.id, place))

    async def _one(self, change: Change) -> bool:
        """Delivers one post, or gives it up. Returns whether to go on."""
        tries = 0

        async def attempt() -> Outcome | None:
            nonlocal tries
            message = await self._patiently(lambda: self._message(change))
            if message is None:
                return None
            tries += 1
            return await self._parts.sender.send(self._webhook.url, *message)

        pace = self._parts.pace
        retrying = AsyncRetrying(
            stop=stop_after_attempt(pace.tries),
            wait=wait_exponential_jitter(multiplier=pace.first_s, max=pace.longest_s, jitter=pace.jitter_s),
            retry=retry_if_result(lambda outcome: outcome is not None and not (outcome.delivered or outcome.is_gone)),
            sleep=self._parts.sleep,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        outcome: Outcome | None = await retrying(attempt)
        if outcome is None:  # erased, hidden, or written again, which is a change of its own
            return True
        delivery = Delivery(
            at=datetime.now(UTC),
            message=message_id(self._saved.id, change.hit.id, change.version),
            delivered=outcome.delivered,
            tries=tries,
            said=outcome.said,
        )
        in_row = await self._patiently(lambda: self._parts.ledgers.note(self._saved.id, delivery))
        if outcome.is_gone:
            await self._move(change.after)
            await self._pause("the receiver answered HTTP 410: it wants no more messages")
            return False
        if not outcome.delivered:
            log.warning("a message to the webhook of search %s was given up: %s", self._saved.id, outcome.said)
            if in_row >= pace.pause_after:
                await self._move(change.after)
                await self._pause(f"{in_row} messages in a row were given up; the last time: {outcome.said}")
                return False
        return True

    async def _message(self, change: Change) -> tuple[bytes, dict[str, str]] | None:
        """Returns body and headers, or None if the post is not to be sent any more."""
        assert self._search is not None
        search = replace(self._search, access=self._parts.access())
        hit = await matching(self._parts.index, search, change.hit.id, change.version)
        if hit is None:
            return None
        message = message_id(self._saved.id, hit.id, change.version)
        return signed(self._saved, MATCHED, message, FoundPost.of(hit))

    async def _pause(self, reason: str) -> None:
        log.warning("the webhook of search %s is paused: %s", self._saved.id, reason)
        paused = self._saved.with_changes(webhook=self._webhook.model_copy(update={"paused": reason[:500]}))
        await self._patiently(lambda: self._parts.searches.replace(self._saved, paused))

    async def _patiently(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Calls until our own server answers."""
        while True:
            try:
                return await call()
            except (Retry, Stop) as error:
                log.warning("the webhook of search %s waits: %s", self._saved.id, first_line(error))
                await self._parts.sleep(self._parts.pace.away_s)


def signed(search: SavedSearch, kind: str, message: str, post: FoundPost | None = None) -> tuple[bytes, dict[str, str]]:
    """Returns body and headers of a message to the webhook of a search. Raises `UserError` for a damaged secret."""
    assert search.webhook is not None
    now = datetime.now(UTC)
    data: dict[str, Any] = {"search": {"id": search.id, "name": search.name}}
    if post is not None:
        data["post"] = post.model_dump(mode="json")
    body = to_json({"type": kind, "timestamp": now.isoformat(timespec="seconds"), "data": data})
    return body, headers(search.webhook.secret, message, int(now.timestamp()), body)
