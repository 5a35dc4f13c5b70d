"""Feeds in RSS, Atom and JSON Feed: polled, with conditional requests.

A feed shows its newest entries only. Where none of them was seen before, others may have come and gone between two
polls: that is a gap. The protocol knows no deletions.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from core.errors import UserError
from core.reading import MAX_EDIT
from streams.feeds import rss_places
from streams.feeds.adapters.common import unreadable
from streams.feeds.adapters.feed_bytes import NotAFeed
from streams.feeds.adapters.rss import PLATFORM, Entry, moment_of, number_of, read_entry
from streams.feeds.rss_fetch import Answer, FeedPolicy, Fetcher, checked_url, shown
from streams.feeds.rss_places import Place
from streams.feeds.rss_reader import READ_S, FeedReader
from streams.feeds.source import Adapted, Disconnected, Fault, FeedRefused, Gap, Received, Steps
from streams.feeds.tls import TlsFault

EVERY_S = 300.0
TIMEOUT_S = 30.0
"""Longest time, in seconds, for a whole answer."""
LOOK_S = 0.1
OLD = "before_since"
"""Reason to skip entries that are older than the moment to begin with."""

log = logging.getLogger(__name__)


@dataclass
class _Poll:
    """What a feed may lead to, when it is due, and how often it failed in a row."""

    policy: FeedPolicy
    due: float = 0.0  # Unix seconds
    failures: int = 0
    fault: Disconnected | None = None
    bad_body: str = ""  # hash of the last body that was no feed, so that it becomes one dead letter


class _Reading:
    """The process that reads documents, for code that is not asynchronous."""

    def __init__(self, loop: asyncio.Runner, reader: FeedReader) -> None:
        self._loop, self._reader = loop, reader

    def entries(self, body: bytes, content_type: str, feed: str) -> list[Entry]:
        """See `FeedReader.read`."""
        return self._loop.run(self._reader.read(body, content_type, feed))

    def close(self) -> None:
        """Ends the process."""
        self._loop.run(self._reader.end())


class Rss:
    """Several feeds with one cursor. A feed that fails is asked again later, on its own."""

    name = PLATFORM

    def __init__(
        self, feeds: Sequence[str], every_s: float = EVERY_S, timeout_s: float = TIMEOUT_S, read_s: float = READ_S
    ) -> None:
        """`timeout_s`, `read_s`: longest time for an answer, and for reading its document, in seconds.

        Raises `UserError` for addresses that are none.
        """
        self._feeds = list(dict.fromkeys(map(checked_url, feeds)))
        if not self._feeds:
            raise UserError("no feed is given; write the address of one, such as https://example.org/feed.xml")
        # An address may hold a key, and the identity stands in records and in the name of a file.
        self.identity = f"{PLATFORM}:{rss_places.name_of(' '.join(sorted(self._feeds)))}"
        self._every_s, self._timeout_s, self._read_s = every_s, timeout_s, read_s
        self.heartbeat_s: float | None = every_s
        self.backoff: dict[Fault, Steps] = dict.fromkeys(
            ("network", "http", "rate_limit", "silent"), Steps(min(60.0, every_s), 3600.0)
        )
        self._polls = {feed: _Poll(FeedPolicy(feed)) for feed in self._feeds}
        self._has_begun = False  # whether there was a message, in this run or an earlier one

    @contextmanager
    def open(self, cursor: str | None, since: datetime | None) -> Iterator[Iterator[Received | Gap]]:
        """Polls when the first message is asked for. See `streams.feeds.source`."""
        places = rss_places.decoded(cursor) if cursor is not None else {}
        self._has_begun |= cursor is not None
        closed = threading.Event()
        reader = FeedReader(self._read_s)
        messages = self._messages(places, since, closed, reader)
        try:
            yield messages
        finally:
            closed.set()
            reader.stop()
            with suppress(ValueError):  # another thread runs it, and ends it
                messages.close()

    def _messages(
        self, places: dict[str, Place], since: datetime | None, closed: threading.Event, reader: FeedReader
    ) -> Generator[Received | Gap, None, None]:
        """Yields new entries until every feed is gone. Raises `Disconnected` when all of them fail."""
        with asyncio.Runner() as loop, closing(_Reading(loop, reader)) as reading:
            while self._polls and not closed.is_set():
                due = [feed for feed, poll in self._polls.items() if poll.due <= time.time()]
                if not due:
                    closed.wait(max(0.0, min(poll.due for poll in self._polls.values()) - time.time()))
                    continue
                answers = loop.run(self._fetch(due, places, closed))
                if closed.is_set():
                    return
                yield from self._round(answers, places, since, reading)
                if faults := [poll.fault for poll in self._polls.values() if poll.fault]:
                    self._raise_if_all_fail(faults)

    def _round(
        self,
        answers: dict[str, Answer | Disconnected],
        places: dict[str, Place],
        since: datetime | None,
        reading: _Reading,
    ) -> Iterator[Received | Gap]:
        """Yields what all answers bring. The last message has the cursor, which holds the places of all feeds."""
        items: Iterator[Received | Gap] = (
            item for feed, answer in answers.items() for item in self._taken(feed, answer, places, since, reading)
        )
        if not self._has_begun:
            items = iter(list(items))  # a wrong address is refused before anything is sent
        held: Received | None = None
        for item in items:
            self._has_begun = True
            if isinstance(item, Gap):
                yield item
                continue
            if held is not None:
                yield held
            held = item
        if held is not None:
            yield replace(held, cursor=rss_places.encoded(places) if places else None)
        self._has_begun |= bool(places)  # also with feeds that are still empty

    async def _fetch(
        self, feeds: list[str], places: dict[str, Place], closed: threading.Event
    ) -> dict[str, Answer | Disconnected]:
        """Fetches feeds side by side. Returns nothing once the source is closed."""
        fetcher = Fetcher(self._timeout_s)
        tasks = {}
        for feed in feeds:
            place = places.get(rss_places.name_of(feed), Place())
            request = fetcher.get(feed, self._polls[feed].policy, place.etag, place.modified)
            tasks[feed] = asyncio.create_task(request)
        while not closed.is_set():
            _, pending = await asyncio.wait(tasks.values(), timeout=LOOK_S)
            if not pending:
                break
        for task in tasks.values():
            task.cancel()
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        found: dict[str, Answer | Disconnected] = {}
        for feed, result in zip(tasks, results, strict=True):
            if isinstance(result, Answer | Disconnected):
                found[feed] = result
            elif not isinstance(result, asyncio.CancelledError):
                raise result
        return found

    def _taken(
        self,
        feed: str,
        answer: Answer | Disconnected,
        places: dict[str, Place],
        since: datetime | None,
        reading: _Reading,
    ) -> Iterator[Received | Gap]:
        """Yields what an answer brings, and sets when the feed is asked again."""
        poll = self._polls[feed]
        if isinstance(answer, TlsFault) and not self._has_begun:
            raise FeedRefused(f"{shown(feed)}: {answer.refusal()}")
        if isinstance(answer, Disconnected):
            self._failed(feed, answer)
            return
        if answer.status == 410:
            log.warning("%s is gone for good (HTTP 410), and is asked no more", shown(feed))
            del self._polls[feed]
            return
        if answer.status in {401, 403, 404} and not self._has_begun:
            raise FeedRefused(f"{shown(feed)} answers with HTTP {answer.status}; is the address right, and public?")
        if answer.status not in {200, 304}:
            kind: Fault = "rate_limit" if answer.status == 429 else "http"
            self._failed(feed, Disconnected(kind, f"HTTP {answer.status}", answer.retry_at))
            return
        if answer.body is not None:
            try:
                entries = reading.entries(answer.body, answer.content_type, feed)
            except Disconnected as fault:
                self._failed(feed, fault)
                return
            except NotAFeed as error:
                if not self._has_begun:
                    raise FeedRefused(f"{shown(feed)}: {error}") from None
                digest = hashlib.sha256(answer.body).hexdigest()
                if digest != poll.bad_body:
                    poll.bad_body = digest
                    yield unreadable(answer.body, error)
                self._failed(feed, Disconnected("http", str(error)))
                return
            yield from self._new(feed, entries, answer, places, since)
        poll.due, poll.failures, poll.fault = time.time() + self._every_s, 0, None

    def _new(
        self, feed: str, entries: list[Entry], answer: Answer, places: dict[str, Place], since: datetime | None
    ) -> Iterator[Received | Gap]:
        """Yields the entries that are new or edited, the last of the feed first."""
        now = datetime.now(UTC)
        name = rss_places.name_of(feed)
        place = places.get(name)
        known = place.seen if place else {}
        window = {entry.key(feed): entry for entry in reversed(entries)}
        if place and known and window and not window.keys() & known.keys():
            yield Gap("no entry that the feed shows was seen before", place.polled, now.timestamp())
        seen = {}
        begin = since if place is None else None
        for key, entry in window.items():
            before = known.get(key)
            if before is not None and before[0] == entry.mark:
                seen[key] = before
                continue
            edit = number_of(entry, now)
            if before is not None:
                edit = min(MAX_EDIT, max(edit, before[1] + 1))
            seen[key] = (entry.mark, edit)
            yield _message(entry, feed, now, edit, begin)
        place = (place or Place()).after(seen)
        places[name] = replace(place, etag=answer.etag, modified=answer.modified, polled=now.timestamp())

    def _failed(self, feed: str, fault: Disconnected) -> None:
        poll = self._polls[feed]
        poll.failures += 1
        wait_s = self.backoff[fault.fault].wait(poll.failures)
        poll.due = max(time.time() + wait_s, fault.retry_at or 0.0)
        poll.fault = Disconnected(fault.fault, f"{shown(feed)}: {fault}", poll.due)
        if len(self._polls) > 1:
            log.warning("%s; it is asked again in %.0f s", poll.fault, poll.due - time.time())

    def _raise_if_all_fail(self, faults: list[Disconnected]) -> None:
        if len(faults) == len(self._polls):
            raise min(faults, key=lambda fault: fault.retry_at or 0.0)


def _message(entry: Entry, feed: str, now: datetime, edit: int, since: datetime | None) -> Received:
    moment = moment_of(entry)
    at = moment.timestamp() if moment else None
    if since is not None and moment is not None and moment < since:
        return Received(Adapted(skipped=OLD), at=at)
    try:
        return Received(Adapted(posts=(read_entry(entry, feed, now, edit),)), at=at)
    except ValueError as error:  # also of pydantic
        return replace(unreadable(json.dumps(asdict(entry), default=str).encode(), error), at=at)
