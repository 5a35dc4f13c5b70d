"""A timeline has neither too many bars nor too few."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.moments import FIRST_YEAR, LAST_YEAR
from sinks.names.timeline import MOST_BARS, WIDTHS, width

START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "value"),
    [
        (timedelta(0), "1m"),
        (timedelta(hours=6), "15m"),
        (timedelta(days=1), "1h"),
        (timedelta(days=7), "3h"),
        (timedelta(days=30), "day"),
        (timedelta(days=365), "week"),
        (timedelta(days=4 * 365), "month"),
    ],
)
def test_the_width_of_a_bar_follows_from_the_span(span: timedelta, value: str) -> None:
    assert width(START, START + span)[1] == value


@given(
    st.datetimes(datetime(FIRST_YEAR, 1, 1), datetime(LAST_YEAR, 12, 31)),
    st.datetimes(datetime(FIRST_YEAR, 1, 1), datetime(LAST_YEAR, 12, 31)),
)
def test_no_span_has_too_many_bars(first: datetime, last: datetime) -> None:
    first, last = sorted([first, last])
    shortest = {value: each for _, value, each in WIDTHS}
    assert (last - first) / shortest[width(first, last)[1]] <= (MOST_BARS if last.year - first.year < 5000 else 100)
