"""The figures behind trends and companions, against scipy and by their properties."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from sinks.names.statistics import (
    association,
    false_discovery_rates,
    incomplete_beta,
    least_p_value,
    ratio_interval,
    rise,
)

COUNTS = st.one_of(st.integers(0, 20), st.integers(0, 20_000))
POSTS = st.integers(1, 200_000)


@given(st.floats(0.5, 50_000), st.floats(0.5, 50_000), st.floats(0, 1))
def test_the_incomplete_beta_function_is_that_of_scipy(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-7, abs=1e-13)


@given(COUNTS, COUNTS, POSTS, POSTS)
def test_the_p_value_is_the_exact_tail_of_the_binomial(now: int, before: int, posts: int, posts_before: int) -> None:
    exact = stats.binom.sf(now - 1, now + before, posts / (posts + posts_before))
    assert rise(now, before, posts, posts_before) == pytest.approx(exact, rel=1e-6, abs=1e-13)
    assert rise(now, before, posts, posts_before) >= least_p_value(now + before, posts, posts_before) * (1 - 1e-9)


@given(COUNTS, COUNTS, POSTS, POSTS)
def test_the_interval_is_clopper_and_pearsons(now: int, before: int, posts: int, posts_before: int) -> None:
    low, high = ratio_interval(now, before, posts, posts_before)
    if now + before:
        share = stats.binomtest(now, now + before).proportion_ci(0.95, method="exact")
        for found, exact in ((low, share.low), (high, share.high)):
            odds = exact / (1 - exact) * posts_before / posts if exact < 1 else math.inf
            assert found == pytest.approx(odds, rel=1e-3, abs=1e-6)
    assert low <= high
    assert (high == math.inf) == (before == 0)


def test_the_ratio_lies_in_its_interval_and_the_volume_counts() -> None:
    low, high = ratio_interval(40, 20, 1000, 1000)
    assert low < 2.0 < high
    assert ratio_interval(40, 20, 2000, 1000) == pytest.approx((low / 2, high / 2))
    assert rise(40, 20, 2000, 1000) > 0.4, "twice the posts with twice the mentions are no rise"
    assert rise(40, 20, 1000, 1000) < 0.01


def test_an_interval_covers_the_ratio_as_often_as_it_says() -> None:
    chance, covered = random.Random(7), 0
    for _ in range(400):
        now = sum(chance.random() < 0.004 for _ in range(1500))
        before = sum(chance.random() < 0.002 for _ in range(2500))
        low, high = ratio_interval(now, before, 1500, 2500)
        covered += low <= 2.0 <= high
    assert covered >= 0.95 * 400


def test_without_a_period_before_nothing_rises() -> None:
    assert rise(10, 0, 100, 0) == 1.0
    assert rise(0, 10, 100, 100) == 1.0


@given(st.lists(st.floats(0, 1), max_size=30))
def test_false_discovery_rates_are_those_of_scipy(p_values: list[float]) -> None:
    wanted = stats.false_discovery_control(p_values) if p_values else []
    assert false_discovery_rates(p_values) == pytest.approx(list(wanted))


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(1, 5000))
def test_the_association_is_the_log_likelihood_ratio(both: int, first: int, second: int, others: int) -> None:
    table = [[both, first], [second, others]]
    n, a, b = both + first + second + others, both + first, both + second
    found = association(both, a, b, n)
    if both * n <= a * b:
        assert found == 0.0
    else:
        exact = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        assert found == pytest.approx(exact, rel=1e-6, abs=1e-6)


def test_a_name_that_is_frequent_everywhere_is_not_associated() -> None:
    everywhere = association(both=50, first=100, second=5000, posts=10_000)
    close = association(both=8, first=100, second=10, posts=10_000)
    assert everywhere == 0.0
    assert close > 50
