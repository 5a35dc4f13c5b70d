"""X as a source of the contract in `streams.feeds.source`.

After a reconnect, the stream goes on at once, and the recent search follows `search_lag_s` later: before, it does not
know the newest posts. Until it has answered, messages have no cursor, so that a crash in between loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from streams.feeds.adapters.x import fields
from streams.feeds.source import Began, Disconnected, Fault, FeedRefused, Gap, Message, Received, Steps, damaged
from streams.feeds.x.api import Api
from streams.feeds.x.connection import Connection
from streams.feeds.x.message import is_read, of_line
from streams.feeds.x.meter import Meter
from streams.feeds.x.search import Filling, Missed, snowflake
from streams.feeds.x.session import SERVER, ApiSession, checked

KEEP_ALIVE_S = 20.0
"""X sends a line end at least this often (docs.x.com, fundamentals/handling-disconnections)."""

SEARCH_LAG_S = 35.0
"""The search knows posts that are 30 seconds old (docs.x.com, posts/search-recent: the default of `end_time`)."""

OVERLAP_S = 10.0
"""How far before the cursor, in seconds, the search begins: the stream's order is not exact."""

TICK_S = 0.25

FIRST_S = 1.3e9
"""A Unix time of 2011. Ids before it may hold no time."""

BACKOFF: dict[Fault, Steps] = {
    "network": Steps(0.25, 16.0, doubles=False),
    "silent": Steps(0.25, 16.0, doubles=False),
    "http": Steps(5.0, 320.0),
    "rate_limit": Steps(60.0, 960.0),
}
"""X's own table (docs.x.com, fundamentals/handling-disconnections). X names no longest wait after 429."""


class XSource:
    """The filtered stream of one app, by the rules that the app has."""

    name = fields.SOURCE

    def __init__(
        self,
        token: str,
        meter: Meter,
        *,
        server: str = SERVER,
        heartbeat_s: float = KEEP_ALIVE_S,
        search_lag_s: float = SEARCH_LAG_S,
        overlap_s: float = OVERLAP_S,
    ) -> None:
        self.identity = fields.SOURCE if server == SERVER else f"{fields.SOURCE}:{server}"
        self.heartbeat_s: float | None = heartbeat_s
        self._silence_s = 2 * heartbeat_s
        self.backoff = dict(BACKOFF)
        self._token, self._meter, self._server = checked(token), meter, server
        self._search_lag_s, self._overlap_s = search_lag_s, overlap_s
        #: Called once, when the first connection begins and the budget is not spent, such as to set the app's rules.
        self.before_first: Callable[[], None] | None = None

    def session(self) -> ApiSession:
        """Returns a session that gives up after a silence of two keep-alives."""
        return ApiSession(self._token, self._server, self._silence_s)

    @contextmanager
    def open(self, cursor: str | None, since: datetime | None) -> Iterator[Iterator[Message]]:
        """Connects, and yields what arrives. Raises `FeedRefused` when the budget is spent, also on the way.

        `cursor`: the largest id that was received.
        """
        if cursor is not None and fields.time_of(fields.whole(cursor)) is None:
            raise damaged(cursor)
        self._meter.check()
        prepare, self.before_first = self.before_first, None
        if prepare is not None:
            prepare()
        connection = Connection(self.session())
        try:
            connection.start()
            yield self._messages(connection, cursor, since)
        finally:
            connection.close()
            self._meter.save()

    def _messages(self, connection: Connection, cursor: str | None, since: datetime | None) -> Iterator[Message]:
        if cursor is None:
            yield Began(snowflake(connection.server_time if since is None else max(FIRST_S, since.timestamp())))
        newest = _Newest(cursor)
        missed = self._missed(cursor, since)
        for line in connection.lines(TICK_S):
            if line is not None:
                yield from self._live(line, newest, holds=missed is not None)
            if missed is not None and time.monotonic() >= connection.opened_at + self._search_lag_s:
                yield from self._filled(connection, missed, newest)
                missed = None
                newest.forget()

    def _live(self, line: bytes, newest: _Newest, *, holds: bool) -> Iterator[Received]:
        """`holds`: whether the message gets no cursor yet."""
        message = of_line(line)
        if is_read(message):
            self._meter.add()
        is_repeated = newest.see(message.cursor, keeps=holds)
        cursor = None if holds or not is_read(message) else newest.cursor
        yield replace(message, cursor=cursor, is_repeated=is_repeated)
        self._meter.check()

    def _filled(self, connection: Connection, missed: Missed, newest: _Newest) -> Iterator[Received | Gap]:
        """Yields what the search finds, and the stream between its pages. The last message has the cursor again."""
        held: Received | None = None
        try:
            for item in self._mixed(connection, missed, newest):
                if isinstance(item, Gap):
                    yield item
                    continue
                if held is not None:
                    yield held
                held = item
        except (Disconnected, FeedRefused):
            if held is not None:
                yield held
            raise
        if held is not None:
            yield replace(held, cursor=newest.cursor)
        self._meter.check()

    def _mixed(self, connection: Connection, missed: Missed, newest: _Newest) -> Iterator[Received | Gap]:
        for page in Filling(Api(self.session()), self._meter, missed).pages():
            for item in page:
                if isinstance(item, Received):
                    is_repeated = newest.see(item.cursor, keeps=True)
                    item = replace(item, cursor=None, is_repeated=is_repeated)  # noqa: PLW2901
                yield item
            for line in connection.waiting():
                yield from self._live(line, newest, holds=True)

    def _missed(self, cursor: str | None, since: datetime | None) -> Missed | None:
        last = fields.time_of(fields.whole(cursor))
        if last is not None:
            return Missed(last.timestamp() - self._overlap_s)
        return None if since is None else Missed(since.timestamp())


class _Newest:
    """The largest id so far, and which posts this connection or an earlier one has sent."""

    def __init__(self, cursor: str | None) -> None:
        self._id = self._opened = int(fields.whole(cursor) or 0)
        self._seen: set[int] = set()

    def see(self, digits: str | None, *, keeps: bool) -> bool:
        """Takes note of an id. Returns whether its post is sent again. `keeps`: whether the search may find it, too."""
        number = int(digits or 0)
        self._id = max(self._id, number)
        is_repeated = digits is not None and (number <= self._opened or number in self._seen)
        if keeps:
            self._seen.add(number)
        return is_repeated

    def forget(self) -> None:
        """Frees the memory of the ids after the search."""
        self._seen.clear()

    @property
    def cursor(self) -> str | None:
        """The id as a cursor, or None before the first one."""
        return str(self._id) if self._id else None
