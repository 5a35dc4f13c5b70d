"""The promise of the threshold: exact tails, and how often it is broken over many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.guarantee import binomial_tail, fewest, promise


@pytest.mark.parametrize(("successes", "trials", "chance"), [(0, 5, 0.3), (3, 5, 0.3), (5, 5, 0.9), (40, 50, 0.75)])
def test_the_tail_is_the_sum_of_the_binomial(successes: int, trials: int, chance: float) -> None:
    wanted = sum(
        math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(successes, trials + 1)
    )
    assert binomial_tail(successes, trials, chance) == pytest.approx(wanted, rel=1e-9)


def test_with_too_few_mentions_nothing_can_be_promised() -> None:
    assert fewest(0.95, 0.1) == 45
    assert promise([0.9] * 44, [True] * 44, 0.95) is None
    found = promise([0.9] * 45, [True] * 45, 0.95)
    assert found is not None
    assert (found.threshold, found.precision, found.reviewed) == (0.9, 1.0, 0.0)


def test_the_promise_is_broken_no_more_often_than_it_says() -> None:
    """Mentions whose probability is what it says: above a threshold t the true precision is (1 + t) / 2."""
    random, broken, given = np.random.default_rng(7), 0, 0
    for _ in range(400):
        probability = random.random(1500)
        right = random.random(1500) < probability
        found = promise(probability.tolist(), right.tolist(), target=0.9, delta=0.1)
        if found is not None:
            given += 1
            broken += (1 + found.threshold) / 2 < 0.9
    assert given > 350
    assert broken / 400 <= 0.1
