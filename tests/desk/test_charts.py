"""The shapes of charts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.charts import columns, day_or_hour, round_up


@given(st.lists(st.floats(0, 1e12), max_size=200))
def test_columns_stay_inside_and_in_order(values: list[float]) -> None:
    chart = columns([(str(place), value) for place, value in enumerate(values)])
    assert [column.value for column in chart.columns] == values
    assert all(column.x >= 0 and column.x + column.width <= 100.01 for column in chart.columns)
    assert all(column.y >= 0 and column.y + column.height == pytest.approx(100, abs=0.02) for column in chart.columns)
    assert all((column.height > 0) == (column.value > 0) for column in chart.columns)


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 1), (1.1, 2), (3, 5), (7, 10), (23, 25), (250, 250), (251, 500), (0.03, 0.05)]
)
def test_the_upper_edge_is_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_a_label_is_as_fine_as_its_interval() -> None:
    start = datetime(2026, 3, 7, 9, 30, tzinfo=UTC)
    assert [day_or_hour(start, seconds) for seconds in (60, 86_400, 31 * 86_400)] == ["09:30", "7 Mar", "Mar 2026"]
