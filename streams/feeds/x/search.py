"""Fills a gap of the stream with the recent search: one query a rule, page by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from core.text import one_line, shorten
from streams.feeds.adapters.x import fields, single_pages
from streams.feeds.source import Disconnected, FeedRefused, Gap, Received
from streams.feeds.x.api import Api
from streams.feeds.x.message import of_page
from streams.feeds.x.meter import Meter
from streams.feeds.x.rules import Rule

T = TypeVar("T")

REACH_S = 7 * 86400.0 - 60
"""How far back, in seconds, the recent search goes: seven days, less a minute for clocks that differ."""

TRIES, PAUSE_S = 3, 1.0
"""How often a request is tried while X is out of order, and the first pause, in seconds, between the tries."""


@dataclass(frozen=True)
class Missed:
    """What a connection must make up for: everything since a Unix time."""

    since: float


class Filling:
    """`pages` yields what was found, page by page, and a `Gap` for all that was not."""

    def __init__(self, api: Api, meter: Meter, missed: Missed, now: float | None = None) -> None:
        self._api, self._meter = api, meter
        self._since, self._now = missed.since, time.time() if now is None else now

    def pages(self) -> Iterator[list[Received | Gap]]:
        """Yields lists, so that the stream can be read between two of them."""
        since = max(self._since, self._now - REACH_S)
        if since > self._since:
            yield [Gap("the search of X covers only seven days", self._since, since)]
        try:
            rules = _tried(self._api.rules)
        except (Disconnected, FeedRefused) as error:
            yield [_gap(error, since, self._now)]
            return
        for rule in rules:
            if not (yield from self._search(rule, since)):
                return

    def _search(self, rule: Rule, since: float) -> Generator[list[Received | Gap], None, bool]:
        """Searches by one rule. Returns whether the next rule is worth a try.

        The newest posts come first, so what is missing after an error is older than what was found.
        """
        token: str | None = None
        until = self._now
        while True:
            left = self._meter.left()
            if left == 0:
                yield [Gap("the budget of posts is spent", since, until)]
                return False
            try:
                page = _tried(partial(self._api.search, rule.value, snowflake(since), token, left))
            except (Disconnected, FeedRefused) as error:
                yield [_gap(error, since, until)]
                return not (isinstance(error, Disconnected) and error.fault == "rate_limit")
            found = [of_page(part) for part in single_pages(page)] if isinstance(page.get("data"), list) else []
            self._meter.add(len(found))
            until = min([until, *(message.at for message in found if message.at is not None)])
            yield list(found)
            token = fields.as_object(page.get("meta")).get("next_token")
            if not isinstance(token, str) or not token:
                return True


def _gap(error: Disconnected | FeedRefused, since: float, until: float) -> Gap:
    return Gap(f"the search of X fails: {shorten(one_line(str(error)), 200)}", since, until)


def _tried(ask: Callable[[], T]) -> T:
    """Asks again a few times while X is out of order. A rate limit is not waited for, since the stream goes on."""
    for number in range(1, TRIES):
        try:
            return ask()
        except Disconnected as error:
            if error.fault == "rate_limit":
                raise
            time.sleep(PAUSE_S * number)
    return ask()


def snowflake(moment: float) -> str:
    """Returns the smallest id that a post of this Unix time can have."""
    return str(max(1, (int(moment * 1000) - fields.SNOWFLAKE_EPOCH_MS) << 22))
