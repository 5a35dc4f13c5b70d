"""What the page shows beside the hits: days, filters, chips, orders and the position."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from desk.search import days, view
from sinks.searching.access import EVERYTHING
from sinks.searching.facets import FacetValue
from sinks.searching.request import Found, Search
from sinks.searching.state import SearchState
from sinks.searching.timeline import INTERVALS, Bar, Timeline


def found(**fields: object) -> Found:
    nothing = dict.fromkeys(view.TITLES, ())
    values = {"total": 0, "hits": (), "facets": nothing, "timeline": None, "previous": "", "next": ""} | fields
    return Found(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("since", "until", "label"),
    [
        (date(2026, 11, 30), date(2026, 11, 30), "30 Nov 2026"),
        (date(2026, 11, 23), date(2026, 11, 29), "23 – 29 Nov 2026"),
        (date(2026, 11, 30), date(2026, 12, 6), "30 Nov – 6 Dec 2026"),
        (date(2026, 12, 28), date(2027, 1, 3), "28 Dec 2026 – 3 Jan 2027"),
        (date(2026, 11, 1), date(2026, 11, 30), "Nov 2026"),
        (date(2026, 1, 1), date(2026, 3, 31), "Jan – Mar 2026"),
        (date(2026, 1, 1), date(2026, 12, 31), "2026"),
        (date(2020, 1, 1), date(2026, 12, 31), "2020 – 2026"),
        (date(2026, 11, 30), None, "since 30 Nov 2026"),
        (None, date.max, "until 31 Dec 9999"),
        (None, None, "all days"),
    ],
)
def test_days_are_named_as_people_name_them(since: date | None, until: date | None, label: str) -> None:
    assert days.label(since, until) == label


@pytest.mark.parametrize("interval", [name for name, _, _ in INTERVALS])
@pytest.mark.parametrize("year", [1, 2026, 9999])
def test_every_bar_is_of_whole_days(interval: str, year: int) -> None:
    start = datetime(year, 10, 1, tzinfo=UTC)
    timeline = Timeline(interval, (Bar(start, 3),))
    (period,) = days.periods(timeline)
    length = next(length for name, _, length in INTERVALS if name == interval)
    assert period.since == start.date()
    assert period.posts == 3
    expected = min(max(length.days, 1), (datetime.max.replace(tzinfo=UTC) - start).days + 1)
    assert abs((period.until - period.since).days + 1 - expected) <= 3  # months differ in length
    chart = days.chart(timeline, SearchState(), "/search")
    assert chart.columns[0].link
    assert chart.columns[0].link.address == f"/search?since={period.since}&until={period.until}"


def test_bars_of_one_day_are_one_day_of_the_filter() -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)
    bars = tuple(Bar(start + timedelta(hours=12 * number), number) for number in range(5))
    periods = days.periods(Timeline("12h", bars))
    assert [(period.label, period.posts) for period in periods] == [
        ("22 Nov 2026", 4),
        ("21 Nov 2026", 5),
        ("20 Nov 2026", 1),
    ]


def test_columns_outside_of_the_chosen_days_are_faint() -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)
    timeline = Timeline("1d", tuple(Bar(start + timedelta(days=number), 1) for number in range(4)))
    state = SearchState(since=date(2026, 11, 21), until=date(2026, 11, 22))
    chart = days.chart(timeline, state, "/search")
    assert [column.link and column.link.chosen for column in chart.columns] == [False, True, True, False]


def test_a_filter_shows_the_first_values_and_all_chosen_ones() -> None:
    names = tuple(FacetValue(f"name {number}", 100 - number, number == 15) for number in range(20))
    facets = dict.fromkeys(view.TITLES, ()) | {"name": names}
    (group,) = view.groups(SearchState(names=("name 15",)), found(facets=facets))
    assert [choice.label for choice in group.few] == [*(f"name {number}" for number in range(6)), "name 15"]
    assert len(group.few) + len(group.more) == 20
    assert group.few[-1].address == "/search"
    assert group.few[0].address == "/search?name=name+0&name=name+15"


def test_a_chip_leads_to_the_search_without_it() -> None:
    state = SearchState("nasa", types=("ORG",), decided_by=("human",), since=date(2026, 11, 1))
    assert [(chip.title, chip.label, chip.address) for chip in view.chips(state)] == [
        ("Type", "ORG", "/search?q=nasa&by=human&since=2026-11-01"),
        ("Decided by", "Person", "/search?q=nasa&type=ORG&since=2026-11-01"),
        ("Day", "since 1 Nov 2026", "/search?q=nasa&type=ORG&by=human"),
    ]
    assert view.cleared(state) == "/search?q=nasa"


@pytest.mark.parametrize(
    ("words", "order", "labels"),
    [
        ("nasa", "best", ["[Relevance]", "Newest", "Oldest"]),
        ("nasa", "oldest", ["Relevance", "Newest", "[Oldest]"]),
        ("", "best", ["[Newest]", "Oldest"]),
        ("-nasa", "newest", ["[Newest]", "Oldest"]),
    ],
)
def test_relevance_is_offered_only_where_there_are_words(words: str, order: str, labels: list[str]) -> None:
    orders = view.orders(Search(SearchState(words, order=order), EVERYTHING))  # type: ignore[arg-type]
    assert [f"[{each.label}]" if each.chosen else each.label for each in orders] == labels


def test_a_form_repeats_what_it_does_not_change() -> None:
    state = SearchState("a b", types=("LOC", "ORG"), until=date(2026, 11, 30), order="oldest", page="")
    assert view.hidden(state, "q") == (("type", "LOC"), ("type", "ORG"), ("until", "2026-11-30"), ("sort", "oldest"))
    assert view.hidden(state, "since", "until") == (
        ("type", "LOC"),
        ("type", "ORG"),
        ("q", "a b"),
        ("sort", "oldest"),
    )


@pytest.mark.parametrize(
    ("first", "previous", "following", "numbers"),
    [
        pytest.param(21, "p", "n", (21, 40), id="as the address says"),
        pytest.param(21, "", "n", (1, 20), id="the first page begins with 1"),
        pytest.param(1, "p", "", (81, 100), id="the last page ends with the total"),
        pytest.param(10**12, "p", "n", (81, 100), id="beyond the end"),
    ],
)
def test_a_wrong_position_is_corrected(first: int, previous: str, following: str, numbers: tuple[int, int]) -> None:
    page = found(total=100, hits=(None,) * 20, previous=previous, next=following)
    position = view.position(SearchState("nasa"), page, first)
    assert (position.first, position.last) == numbers
    assert position.next == (f"/search?q=nasa&page=n&first={numbers[1] + 1}" if following else "")
