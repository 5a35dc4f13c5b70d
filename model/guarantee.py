"""The review threshold with a promise: with probability 1 - delta over the validation data, mentions at or above it are
right to the target precision on data of the same kind.

Learn then Test: Angelopoulos et al., arXiv 2110.01052 (section 3: multiple testing; fixed-sequence testing, example 3). Each
threshold is a null hypothesis, "precision here is below the target", with an exact binomial p-value (Clopper &
Pearson, 1934). They are tested from the most to the least cautious until one is not rejected; the last rejected one stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DELTA = 0.1
STEPS = 100
"""Thresholds tried: each keeps one more hundredth of the mentions. Fixed before anything is looked at but how many there are."""


@dataclass(frozen=True)
class Promise:
    """`threshold`: of the probability; `precision` and `reviewed` (the share below it) on validation; `delta`: the chance
    that the promise fails over draws of the validation data."""

    threshold: float
    precision: float
    reviewed: float
    target: float
    delta: float


def promise(probability: Sequence[float], right: Sequence[bool], target: float, delta: float = DELTA) -> Promise | None:
    """The least cautious threshold that keeps the promise; None where none does. Mentions count as independent."""
    order = np.argsort(-np.asarray(probability), kind="stable")
    ordered, correct = np.asarray(probability)[order], np.cumsum(np.asarray(right, dtype=int)[order])
    total, best = len(order), None
    for step in range(1, STEPS + 1):
        count = math.ceil(total * step / STEPS)
        while 0 < count < total and ordered[count] == ordered[count - 1]:
            count += 1  # a tie is all in or all out
        if count < fewest(target, delta):
            continue
        if binomial_tail(int(correct[count - 1]), count, target) > delta:
            break
        best = Promise(float(ordered[count - 1]), float(correct[count - 1] / count), 1 - count / total, target, delta)
    return best


def fewest(target: float, delta: float) -> int:
    """Mentions below which no precision, even a perfect one, could be told from the target."""
    return math.ceil(math.log(delta) / math.log(target))


def binomial_tail(successes: int, trials: int, chance: float) -> float:
    """P(X >= successes) of a binomial: the p-value of "the precision is `chance` at most"."""
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(chance)
        + (trials - k) * math.log1p(-chance)
        for k in range(successes, trials + 1)
    ]
    most = max(logs)
    return min(1.0, math.exp(most) * math.fsum(math.exp(log - most) for log in logs))
