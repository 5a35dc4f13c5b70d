"""The state of a search as a value, and as the query string of an address, so that every state is a permalink. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlencode

from core.errors import UserError
from core.events import ENTITY_TYPES
from core.spelling import account_name
from core.text import plain
from sinks.searching.language import cleaned

Facet = Literal["type", "name", "account", "author", "lang", "source", "by"]
FACETS: tuple[Facet, ...] = get_args(Facet)
Order = Literal["best", "newest", "oldest"]
"""`best`: by relevance, then newest first."""
ORDERS: tuple[Order, ...] = get_args(Order)

CHOICES: dict[str, tuple[str, ...]] = {"type": ENTITY_TYPES, "by": ("model", "human"), "sort": ORDERS}

MAX_VALUES = 100
"""Most values of one filter."""
MAX_VALUE = 512
"""Longest value of a filter, in characters. The index holds no longer ones."""
MAX_PARAMETERS = 1000


@dataclass(frozen=True)
class SearchState:
    """What a person asks for. Of one filter, any value matches; all filters must match.

    Values of filters are kept sorted and once each, so that equal states have equal addresses. Raises `UserError`
    naming the field, the value and the remedy.
    """

    words: str = ""
    #: Posts with a mention of one of these types.
    types: tuple[str, ...] = ()
    #: Posts with a mention of one of these names. With `types`, the same mention must have name and type.
    names: tuple[str, ...] = ()
    #: Posts that name one of these accounts, such as `nasa` or `@NASA`.
    accounts: tuple[str, ...] = ()
    #: Names or ids of authors.
    authors: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    #: Names of feeds, such as `mastodon:example.social`.
    sources: tuple[str, ...] = ()
    #: `model` or `human`
    decided_by: tuple[str, ...] = ()
    #: First and last day, in UTC, of `created_at`.
    since: date | None = None
    until: date | None = None
    order: Order = "best"
    #: Cursor of a page, as the page before or after it gave it. Empty for the first page.
    page: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", cleaned(self.words))
        object.__setattr__(self, "page", cleaned(self.page))
        for facet in FACETS:
            object.__setattr__(self, FIELDS[facet], _values(facet, self.chosen(facet)))
        _checked("sort", self.order)
        if self.since and self.until and self.since > self.until:
            raise UserError(f"since: {self.since} lies after until, {self.until}; exchange the two")

    def chosen(self, facet: Facet) -> tuple[str, ...]:
        """Returns the values of a filter."""
        values: tuple[str, ...] = getattr(self, FIELDS[facet])
        return values

    def toggled(self, facet: Facet, value: str) -> SearchState:
        """Returns the first page of the state with this value of a filter added, or removed if it has it."""
        return self.with_filter(facet, set(self.chosen(facet)) ^ set(_values(facet, [value])))

    def with_filter(self, facet: Facet, values: Iterable[str]) -> SearchState:
        """Returns the first page of the state with these values of a filter."""
        changes: dict[str, tuple[str, ...]] = {FIELDS[facet]: tuple(values)}
        return replace(self, page="", **changes)  # type: ignore[arg-type]

    @property
    def is_filtered(self) -> bool:
        return bool(self.since or self.until or any(map(self.chosen, FACETS)))

    def to_query(self) -> str:
        """Returns the query string, without `?`: only what differs from the default, always in the same order."""
        pairs = [("q", self.words)] if self.words else []
        pairs += [(facet, value) for facet in FACETS for value in self.chosen(facet)]
        pairs += [(name, day.isoformat()) for name, day in (("since", self.since), ("until", self.until)) if day]
        pairs += [("sort", self.order)] if self.order != "best" else []
        pairs += [("page", self.page)] if self.page else []
        return urlencode(pairs)

    @classmethod
    def from_query(cls, query: str) -> SearchState:
        """Reads the result of `to_query`. Ignores unknown fields. Of a field that takes one value, the last counts."""
        try:
            pairs = parse_qsl(query.removeprefix("?"), errors="replace", max_num_fields=MAX_PARAMETERS)
        except ValueError:
            raise UserError(f"the address has more than {MAX_PARAMETERS} fields; leave some out") from None
        single = dict(pairs)
        chosen = {FIELDS[facet]: tuple(value for name, value in pairs if name == facet) for facet in FACETS}
        order = _checked("sort", single.get("sort", "best"))
        return cls(
            words=single.get("q", ""),
            since=_day("since", single.get("since")),
            until=_day("until", single.get("until")),
            order=next(known for known in ORDERS if known == order),
            page=single.get("page", ""),
            **chosen,
        )


FIELDS: dict[Facet, str] = {
    "type": "types",
    "name": "names",
    "account": "accounts",
    "author": "authors",
    "lang": "languages",
    "source": "sources",
    "by": "decided_by",
}
"""Short name in an address -> field of `SearchState`."""


def _values(facet: str, values: Iterable[str]) -> tuple[str, ...]:
    spelled = account_name if facet == "account" else cleaned
    kept = sorted({_checked(facet, clean) for value in values if (clean := spelled(cleaned(value)))})
    if len(kept) > MAX_VALUES:
        raise UserError(f"{facet}: has {len(kept)} values; a filter may have up to {MAX_VALUES}")
    return tuple(kept)


def _checked(field: str, value: str) -> str:
    if len(value) > MAX_VALUE:
        raise UserError(
            f"{field}: {plain(value, 40)!r} has {len(value)} characters; a filter may have up to {MAX_VALUE}"
        )
    if field in CHOICES and value not in CHOICES[field]:
        raise UserError(f"{field}: must be one of {', '.join(CHOICES[field])} (got {plain(value, 40)!r})")
    return value


def _day(field: str, value: str | None) -> date | None:
    if not value:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise UserError(f"{field}: must be a day such as 2026-11-30 (got {plain(value, 40)!r})") from None
