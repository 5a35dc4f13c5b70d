"""What the page of a search shows beside the hits: filters, chips, orders, days and the position. Pure.

Every change of the search is the address of another state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from desk.charts import Columns
from desk.search import days
from sinks.searching.request import Found, Search
from sinks.searching.state import FACETS, ORDERS, Facet, Order, SearchState

PATH = "/search"
SIZE = 20
"""Hits of a page."""
FEW = 6
"""Values of a facet that are shown at once. The others wait behind "more"."""

TITLES: dict[Facet, str] = {
    "type": "Type",
    "name": "Entity",
    "account": "Account",
    "author": "Author",
    "lang": "Language",
    "source": "Source",
    "by": "Decided by",
}
ORDER_TITLES: dict[Order, str] = {"best": "Relevance", "newest": "Newest", "oldest": "Oldest"}
DECIDED_BY = {"model": "Model", "human": "Person"}


@dataclass(frozen=True)
class Choice:
    """A link that changes one thing of the search."""

    label: str
    address: str
    chosen: bool = False
    posts: int | None = None


@dataclass(frozen=True)
class Group:
    """The values of one filter."""

    name: str  # as in an address, or `day`
    title: str
    few: tuple[Choice, ...]
    more: tuple[Choice, ...]


@dataclass(frozen=True)
class Chip:
    """A filter that is set. `address` leads to the search without it."""

    title: str
    label: str
    address: str
    kind: str = ""  # entity type whose colour it has


@dataclass(frozen=True)
class Position:
    """Numbers of the first and the last hit of a page, counted from 1, and the addresses of the pages around it."""

    first: int
    last: int
    beginning: str
    previous: str
    next: str


def address(state: SearchState, path: str = PATH) -> str:
    """Returns the address of a search."""
    query = state.to_query()
    return f"{path}?{query}" if query else path


def groups(state: SearchState, found: Found) -> tuple[Group, ...]:
    """Returns the filters with their values and counts. A filter without values is left out."""
    made = [
        _group(
            facet,
            TITLES[facet],
            [
                Choice(_label(facet, each.value), address(state.toggled(facet, each.value)), each.chosen, each.posts)
                for each in found.facets[facet]
            ],
        )
        for facet in FACETS
    ]
    if found.timeline:
        made.append(_group("day", "Day", [_of_day(state, period) for period in days.periods(found.timeline)]))
    return tuple(group for group in made if group.few)


def _group(name: str, title: str, choices: list[Choice]) -> Group:
    """Shows the first values and all chosen ones. One more value is no reason for a "more"."""
    most = len(choices) if len(choices) == FEW + 1 else FEW
    few = [choice for place, choice in enumerate(choices) if place < most or choice.chosen]
    return Group(name, title, tuple(few), tuple(choice for choice in choices if choice not in few))


def _of_day(state: SearchState, period: days.Period) -> Choice:
    chosen = period.is_chosen(state)
    target = replace(state, since=None, until=None, page="") if chosen else period.narrowed(state)
    return Choice(period.label, address(target), chosen, period.posts)


def _label(facet: Facet, value: str) -> str:
    if facet == "account":
        return f"@{value}"
    return DECIDED_BY.get(value, value) if facet == "by" else value


def chips(state: SearchState) -> tuple[Chip, ...]:
    """Returns the filters that are set."""
    return tuple(_chips(state))


def _chips(state: SearchState) -> Iterator[Chip]:
    for facet in FACETS:
        for value in state.chosen(facet):
            kind = value if facet == "type" else ""
            yield Chip(TITLES[facet], _label(facet, value), address(state.toggled(facet, value)), kind)
    if state.since or state.until:
        without = replace(state, since=None, until=None, page="")
        yield Chip("Day", days.label(state.since, state.until), address(without))


def cleared(state: SearchState) -> str:
    """Returns the address of the search with its words and order alone."""
    return address(SearchState(words=state.words, order=state.order))


def orders(search: Search) -> tuple[Choice, ...]:
    """Returns the orders. Relevance is one of them only if the query has words to compare."""
    scored = bool(search.query.wanted or search.query.signs)
    possible = [order for order in ORDERS if scored or order != "best"]
    default = possible[0]
    return tuple(
        Choice(
            ORDER_TITLES[order],
            address(replace(search.state, order="best" if order == default else order, page="")),
            order == search.order,
        )
        for order in possible
    )


def hidden(state: SearchState, *left_out: str) -> tuple[tuple[str, str], ...]:
    """Returns the fields that a form must repeat, as (name, value), so that it changes only its own fields."""
    pairs: list[tuple[str, str]] = [(facet, value) for facet in FACETS for value in state.chosen(facet)]
    pairs += [("q", state.words)] if state.words else []
    pairs += [(name, day.isoformat()) for name, day in (("since", state.since), ("until", state.until)) if day]
    pairs += [("sort", state.order)] if state.order != "best" else []
    return tuple(pair for pair in pairs if pair[0] not in left_out)


def timelines(state: SearchState, found: Found) -> tuple[Columns | None, Columns | None]:
    """Returns the timeline of all days, and that of the chosen ones."""
    whole, within = found.timeline, found.within
    return (days.chart(whole, state, PATH) if whole else None), (days.chart(within, state, PATH) if within else None)


def position(state: SearchState, found: Found, first: int) -> Position:
    """Returns where in all hits the page stands. `first`: number of its first hit, as its address says.

    The cursor of a page does not hold its number. So pages say in their links to others where these begin, and a number
    that cannot be right is corrected.
    """
    shown = len(found.hits)
    if not found.previous:
        first = 1
    elif not found.next:
        first = found.total - shown + 1
    first = max(1, min(first, found.total - shown + 1))
    before = max(1, first - SIZE)
    return Position(
        first,
        first + shown - 1,
        address(replace(state, page="")) if found.previous else "",
        _page(state, found.previous, before),
        _page(state, found.next, first + shown),
    )


def _page(state: SearchState, cursor: str, first: int) -> str:
    return f"{address(replace(state, page=cursor))}&first={first}" if cursor else ""
