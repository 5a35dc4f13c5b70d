"""Public posts of a Mastodon server, by its streaming API and, after a gap, by its timelines.

The protocol has no cursor. Ours is the highest id of a status. After a gap, the timeline is read page by page from
there (`min_id`) until it meets the stream, which has begun before.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from mastodon import Mastodon as Client

from core.errors import UserError
from core.json_text import read_json
from core.text import without_secrets
from streams.feeds.adapters.common import UNREADABLE, fault_in, unreadable
from streams.feeds.adapters.mastodon import KEEP, PLATFORM, adapt, adapt_deletion, moment_of, shown, status_id, wrong_in
from streams.feeds.mastodon_ids import Highest, before, id_at, rank, seconds_of
from streams.feeds.mastodon_session import Session, client
from streams.feeds.mastodon_stream import Connected, Item, Stream, detail, retry_at
from streams.feeds.source import Adapted, Began, Disconnected, Fault, Gap, Message, Received, Steps
from streams.feeds.sse import MAX_EVENT, Event

SERVER = "https://mastodon.social"
HEARTBEAT_S = 15.0
"""Time, in seconds, between two signs of life (`:thump`) of Mastodon's streaming server."""

PAGE = 40
"""Statuses of a page, the most that a server gives."""
MAX_PAGES = 500
"""Most pages that are read after a gap. What is missing then is reported as a gap."""
WAIT_S = 0.2

UPDATES, DELETE = frozenset({"update", "status.update"}), "delete"
OTHER = "other_event"
"""Reason to skip events that are about no post, such as announcements, and those that later versions add."""

ERASE = "if you know the post, erase it with `mner forget`"
DIRECT = "if more such events come, a proxy changes the stream: give the address of the server itself as --server"
"""What a person can do about events that cannot be read."""

TAG = re.compile(r"\w+")
TOKEN = re.compile(r"[\x21-\x7e]+")
MISSED = "edits, deletions and late posts of other servers in the gap are unknown, since no timeline tells them later"


class Mastodon:
    """A server's public posts, those of a hashtag, or only those of its own users (`local`)."""

    name = PLATFORM

    def __init__(
        self,
        server: str = SERVER,
        token: str | None = None,
        hashtag: str | None = None,
        local: bool = False,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """Raises `UserError` for an address, a hashtag or a token that cannot be one."""
        self._base, self.host = _address(server)
        self._tag = hashtag.removeprefix("#") if hashtag is not None else None
        if self._tag is not None and not TAG.fullmatch(self._tag):
            raise UserError(f"--hashtag {hashtag!r} is no hashtag; write one word, such as --hashtag caturday")
        if token is not None and not TOKEN.fullmatch(token):
            raise UserError("MNER_MASTODON_TOKEN is no token: it is empty, or has blanks or line ends; copy it again")
        self._token, self._local = token, local
        self.identity = f"{PLATFORM}:{self.host}:{'tag:' + self._tag if self._tag else 'public'}" + ":local" * local
        self.heartbeat_s: float | None = heartbeat_s
        # Mastodon publishes limits (300 requests in 5 minutes), and no back-off. A 429 says when its limit ends.
        self.backoff: dict[Fault, Steps] = {
            "network": Steps(1.0, 60.0),
            "http": Steps(5.0, 320.0),
            "rate_limit": Steps(60.0, 300.0),
            "silent": Steps(1.0, 60.0),
        }
        self._has_streamed = False  # in this run or an earlier one

    @contextmanager
    def open(self, cursor: str | None, since: datetime | None) -> Iterator[Iterator[Message]]:
        """Connects when the first message is asked for. See `streams.feeds.source`."""
        self._has_streamed |= cursor is not None
        silence_s = 2 * (self.heartbeat_s or HEARTBEAT_S)
        stream = Stream(self._base, self._token, self._tag, self._local, silence_s, self._has_streamed)
        try:
            yield self._messages(stream, cursor, since)
        finally:
            stream.close()

    def _messages(self, stream: Stream, cursor: str | None, since: datetime | None) -> Iterator[Message]:
        held = self._connected(stream)
        self._has_streamed |= stream.began > 0
        if cursor is None:
            yield Began(id_at(since or datetime.fromtimestamp(stream.began, UTC)))
        highest = Highest(cursor)
        start = cursor or (id_at(since) if since is not None else None)
        try:
            for message in self._after_gap(stream, start) if start is not None else ():
                if isinstance(message, Received):
                    is_repeated = message.cursor is not None and rank(message.cursor) <= rank(cursor)
                    highest.see(message.cursor, stream.now_s)
                    yield replace(message, cursor=highest.name, is_repeated=is_repeated)
                else:
                    yield message
        except Disconnected:  # what the stream has brought meanwhile is kept, and the cursor stays before the gap
            for item in (*held, *stream.take(0)):
                if isinstance(item, Event):
                    yield replace(self._read(item), cursor=None)
            raise
        for event in _live(stream, held):
            message = self._read(event)
            yield replace(message, cursor=highest.see(message.cursor, stream.now_s))

    def _connected(self, stream: Stream) -> list[Item]:
        """Waits until the server streams, as long as `mastodon_session` lets it. Returns what came with it."""
        stream.start()
        while not stream.is_closed:
            first, *rest = stream.take(WAIT_S) or (None,)
            if isinstance(first, Exception):
                raise first
            if isinstance(first, Connected):
                return list(rest)
        return []

    def _after_gap(self, stream: Stream, start: str) -> Iterator[Received | Gap]:
        """Yields what the timeline has from `start` to the moment at which the stream began.

        An id in the stream does not tell that the two have met: a late post of another server has an old one.
        """
        yield Gap(MISSED, seconds_of(start), time.time())
        requests, session = client(self._base, self._token)
        with session:
            yield from self._pages(stream, requests, session, start)

    def _pages(self, stream: Stream, requests: Client, session: Session, start: str) -> Iterator[Received | Gap]:
        reached = Highest(before(start))
        for _ in range(MAX_PAGES):
            place = reached.name or start
            page = self._page(requests, session, place)
            if isinstance(page, Gap):
                yield page
                return
            newer = [entry for entry in page if (name := status_id(entry)) is None or rank(name) > rank(place)]
            for status in sorted(newer, key=lambda entry: rank(status_id(entry))):
                yield self._status(status)
                reached.see(status_id(status), stream.now_s)
            if stream.is_closed or not page:
                return
            if reached.name == place:
                if not newer or len(page) >= PAGE:
                    yield Gap("the server does not page its timeline by `min_id`", seconds_of(place), time.time())
                return
            reached_s = seconds_of(reached.name or place)
            if (reached_s is not None and reached_s > stream.began + 1) or (reached_s is None and len(page) < PAGE):
                return
        yield Gap(f"the gap has more than {MAX_PAGES * PAGE} posts", seconds_of(reached.name or start), time.time())

    def _page(self, requests: Client, session: Session, place: str) -> list[Any] | Gap:
        """Returns the statuses after `place`, or a gap if the server refuses its timeline. Raises `Disconnected`."""
        name = f"tag/{self._tag}" if self._tag is not None else "public"
        failure: Exception | None = None
        try:
            requests.timeline(name, min_id=place, limit=PAGE, local=self._local)
        except Exception as error:  # the answer says more than the client's error, and the client changes statuses
            failure = error
        answer = session.last
        if answer is None:
            raise Disconnected("network", detail(failure or OSError("no answer")))
        if answer.status_code == 429:
            raise Disconnected("rate_limit", "HTTP 429 for the timeline", retry_at(answer))
        if answer.status_code in {400, 401, 403, 404, 410, 422}:
            remedy = "" if self._token else "; it may give it with a token (MNER_MASTODON_TOKEN)"
            return Gap(
                f"the server refuses its timeline (HTTP {answer.status_code}){remedy}", seconds_of(place), time.time()
            )
        with suppress(ValueError):
            page = read_json(answer.content)
            if answer.status_code == 200 and isinstance(page, list):
                return page
        raise Disconnected("http", f"HTTP {answer.status_code} for the timeline", retry_at(answer))

    def _read(self, event: Event) -> Received:
        """Returns the message of an event. Its cursor is the id of the status."""
        if wrong := _wrong_in(event):
            return unreadable(event.raw, ValueError(wrong))
        data = event.data or b""
        if event.name in UPDATES:
            try:
                status = read_json(data)
            except ValueError as error:
                return unreadable(event.raw, ValueError(f"data: {fault_in(error)} (got {shown(data)}); {KEEP}"))
            return self._status(status, event.raw)
        if event.name == DELETE:
            text = data.decode("utf-8", "replace").strip('" ')
            adapted = adapt_deletion(text, self.host, datetime.now(UTC))
            if adapted.skipped:
                return unreadable(event.raw, ValueError(f"data: is no id of a status (got {shown(text)}); {ERASE}"))
            return Received(adapted)
        return Received(Adapted(skipped=OTHER))

    def _status(self, status: Any, raw: bytes | None = None) -> Received:
        now = datetime.now(UTC)
        adapted = adapt(status, self.host, now)
        if adapted.skipped == UNREADABLE:
            # Half a surrogate pair becomes its escape, so the bytes are JSON again.
            raw = raw or json.dumps(status, ensure_ascii=False).encode("utf-8", "backslashreplace")
            return unreadable(raw, ValueError(wrong_in(status, self.host, now)))
        return Received(adapted, status_id(status), moment_of(status))


def _wrong_in(event: Event) -> str | None:
    """Returns why an event cannot be read, and what a person can do, or None."""
    if event.too_long:
        return f"data: has more than {MAX_EVENT} bytes (got {shown(event.raw[:80])}); the rest is lost; {KEEP}"
    if not event.name:
        return f"event: is missing (got {shown(event.raw[:80])}); {DIRECT}"
    if event.data is None and event.name in {*UPDATES, DELETE}:
        return f"data: is missing (got {shown(event.raw[:80])}); {DIRECT}"
    return None


def _live(stream: Stream, held: list[Item]) -> Iterator[Event]:
    """Yields the events that are held, and then those that come. Raises what ends the stream."""
    while not stream.is_closed:
        for item in held:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, Event):
                yield item
        held = stream.take(WAIT_S)
        if not held and not stream.is_closed and stream.is_silent:
            raise Disconnected("silent", "neither an event nor a sign of life")


def _address(server: str) -> tuple[str, str]:
    """Returns the address without a path, and the host with its port if that is unusual. Raises `UserError`."""
    parts = urlsplit(server if "://" in server else f"https://{server}")
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if parts.scheme not in {"http", "https"} or not host or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise UserError(
            f"--server {without_secrets(server)!r} is no address of a server; write only https://HOST, such as {SERVER}"
        )
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    usual = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{host}]" if ":" in host else host
    name = host if port in {None, usual} else f"{host}:{port}"
    return f"{parts.scheme}://{host}" + (f":{port}" if port else ""), name
