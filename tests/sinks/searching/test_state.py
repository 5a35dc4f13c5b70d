"""A state of a search and the query string of an address are the same thing."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.events import ENTITY_TYPES
from sinks.searching.paging import Cursor, Direction
from sinks.searching.state import FACETS, MAX_VALUES, ORDERS, Order, SearchState

VALUES = st.lists(st.text(min_size=1, max_size=20), max_size=4).map(tuple)
STATES = st.builds(
    SearchState,
    words=st.text(max_size=60),
    types=st.lists(st.sampled_from(ENTITY_TYPES)).map(tuple),
    names=VALUES,
    accounts=VALUES,
    authors=VALUES,
    languages=VALUES,
    sources=VALUES,
    decided_by=st.lists(st.sampled_from(["model", "human"])).map(tuple),
    since=st.none() | st.dates(max_value=date(2026, 1, 1)),
    until=st.none() | st.dates(min_value=date(2026, 1, 1)),
    order=st.sampled_from(ORDERS),
    page=st.text(max_size=20),
)


@given(STATES)
def test_every_state_comes_back_from_its_address(state: SearchState) -> None:
    query = state.to_query()
    assert SearchState.from_query(query) == state
    assert SearchState.from_query("?" + query).to_query() == query
    assert query.isascii()


FIELDS = st.sampled_from([*FACETS, "q", "since", "until", "sort", "page"])
PAIRS = st.lists(st.tuples(FIELDS, st.text(max_size=8))).map(lambda pairs: "&".join(map("=".join, pairs)))


@given(st.one_of(st.text(max_size=200), PAIRS))
def test_any_address_gives_a_state_or_one_clear_line(query: str) -> None:
    line = ""
    try:
        SearchState.from_query(query)
    except UserError as error:
        line = str(error)
    assert "\n" not in line
    assert not line or line.partition(":")[0] in {*FACETS, "since", "until", "sort", "page"}


def test_an_address_has_short_names_in_a_fixed_order() -> None:
    state = SearchState(
        words="Paris & Ana", types=("PER", "LOC", "PER"), names=("paris",), sources=("x:a",), since=date(2026, 11, 1)
    )
    expected = "q=Paris+%26+Ana&type=LOC&type=PER&name=paris&source=x%3Aa&since=2026-11-01"
    assert state.to_query() == expected
    assert (
        SearchState.from_query("since=20261101&source=x:a&utm=1&type=PER&name=paris&type=LOC&q=Paris%20%26%20Ana")
        == state
    )
    assert SearchState().to_query() == ""


def test_an_account_is_one_in_every_spelling() -> None:
    state = SearchState(accounts=("@NASA", "nasa", "＠Nasa", "@"))
    assert (state.accounts, state.to_query()) == (("nasa",), "account=nasa")
    assert state.toggled("account", "@Nasa").accounts == ()


def test_a_value_of_a_filter_is_toggled_and_leads_to_the_first_page() -> None:
    state = SearchState(words="x", page="cursor").toggled("lang", "en").toggled("lang", "de")
    assert (state.languages, state.page) == (("de", "en"), "")
    assert state.toggled("lang", "de").languages == ("en",)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"types": ("CITY",)}, "type: must be one of PER, LOC, ORG, MISC (got 'CITY')"),
        ({"decided_by": ("me",)}, "by: must be one of model, human"),
        ({"order": "random"}, "sort: must be one of best, newest, oldest"),
        ({"names": tuple(map(str, range(MAX_VALUES + 1)))}, f"up to {MAX_VALUES}"),
        ({"authors": ("x" * 600,)}, "600 characters"),
        ({"since": date(2026, 2, 1), "until": date(2026, 1, 1)}, "since: 2026-02-01 lies after until"),
    ],
)
def test_what_cannot_be_used_is_told_with_field_value_and_remedy(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as refused:
        SearchState(**fields)
    assert told in str(refused.value)


@pytest.mark.parametrize("query", ["since=yesterday", "until=2026-13-01", "type=per", "a=1&" * 2000])
def test_what_cannot_be_read_is_told(query: str) -> None:
    with pytest.raises(UserError):
        SearchState.from_query(query)


@given(
    st.sampled_from(["next", "previous"]),
    st.floats(0, 2.0**100, width=32),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=128),
)
def test_every_cursor_comes_back_from_its_text(way: Direction, score: float, moment: int, post: str) -> None:
    cursors = [Cursor("best", way, (score, moment, post)), Cursor("oldest", way, (moment, post))]
    for cursor in cursors:
        assert Cursor.read(str(cursor), cursor.order) == cursor
        with pytest.raises(UserError, match="go to the first page"):
            Cursor.read(str(cursor), "newest")


@given(st.text(max_size=40), st.sampled_from(ORDERS))
def test_any_other_text_is_no_cursor(text: str, order: Order) -> None:
    with pytest.raises(UserError, match="page: the cursor belongs to no search"):
        Cursor.read(text, order)
