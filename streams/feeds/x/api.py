"""Single requests to X: the rules of the stream, and pages of the recent search."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import requests
import tweepy

from core.json_text import read_json
from streams.feeds.adapters.x import fields
from streams.feeds.source import Disconnected
from streams.feeds.x.answers import answer
from streams.feeds.x.connection import QUERY, broken
from streams.feeds.x.rules import Rule
from streams.feeds.x.session import TWEEPY_SERVER, ApiSession

LEAST_PAGE, PAGE = 10, 100
"""Smallest and largest number of posts that a page of the search may be asked for."""


class _Plain:
    """Hands out every answer as it is. tweepy's own errors fail on bodies of unexpected forms."""

    session: ApiSession

    def request(self, method: str, route: str, params: Any = None, json: Any = None, user_auth: bool = False) -> Any:
        return self.session.request(method, TWEEPY_SERVER + route, params=params, json=json)


class _Rules(_Plain, tweepy.StreamingClient):  # type: ignore[misc]
    pass


class _Search(_Plain, tweepy.Client):  # type: ignore[misc]
    pass


class Api:
    """All methods raise `Disconnected` for what passes, and `FeedRefused` for what a person must mend."""

    def __init__(self, session: ApiSession) -> None:
        self._rules = _Rules("unused", return_type=requests.Response)
        self._search = _Search("unused", return_type=requests.Response)
        self._rules.session = self._search.session = session

    def rules(self) -> list[Rule]:
        """Returns the rules that the app has."""
        body = _asked(self._rules.get_rules)
        found = [fields.as_object(entry) for entry in fields.as_list(body.get("data"))]
        return [
            Rule(entry["value"], entry["tag"] if isinstance(entry.get("tag"), str) else None, entry["id"])
            for entry in found
            if isinstance(entry.get("value"), str) and isinstance(entry.get("id"), str)
        ]

    def add_rules(self, rules: list[Rule], *, dry_run: bool = False) -> list[Any]:
        """Adds rules, or only has X check them. Returns X's errors: a rule with an error is not added."""
        wanted = [tweepy.StreamRule(rule.value, rule.tag) for rule in rules]
        options = {"dry_run": "true"} if dry_run else {}
        body = _asked(partial(self._rules.add_rules, wanted, **options), refusals=(400,))
        return fields.as_list(body.get("errors"))

    def delete_rules(self, rules: list[Rule]) -> None:
        """Deletes rules that the app has."""
        _asked(partial(self._rules.delete_rules, [rule.id for rule in rules]))

    def search(self, query: str, since_id: str, next_token: str | None, budget: int | None) -> dict[str, Any]:
        """Returns a page of the recent search, the newest posts first.

        `budget`: most posts that the page should have, or None. X gives up to `LEAST_PAGE` all the same.
        """
        size = PAGE if budget is None else max(LEAST_PAGE, min(PAGE, budget))
        options: dict[str, Any] = {"since_id": since_id, "max_results": size, **QUERY}
        options |= {"next_token": next_token} if next_token else {}
        return _asked(partial(self._search.search_recent_tweets, query, **options))


def _asked(ask: Callable[[], requests.Response], refusals: tuple[int, ...] = ()) -> dict[str, Any]:
    """Returns the object that X answers. `refusals`: statuses whose body is an answer, too."""
    try:
        response = ask()
    except (requests.RequestException, OSError) as error:
        raise broken(error) from None
    if response.status_code not in (200, 201, *refusals):
        raise answer(response.status_code, response.headers, response.content)
    try:
        body = read_json(response.content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Disconnected("http", f"the answer with HTTP {response.status_code} is no JSON object")
    return body
