"""Wilson's interval agrees with that of scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from sinks.share import Share


@given(st.integers(1, 5000).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_the_interval_is_the_score_interval(counts: tuple[int, int]) -> None:
    part, whole = counts
    expected = binomtest(part, whole).proportion_ci(0.95, method="wilson")
    low, high = Share(part, whole).interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low <= part / whole <= high or part in (0, whole)


def test_nothing_says_nothing() -> None:
    assert (Share(0, 0).value, Share(0, 0).interval) == (None, (0.0, 1.0))
