"""The review threshold with a promise: with probability 1 - delta over the validation data, mentions at or above it are
right to the target precision on data of the same kind.

Learn then Test: Angelopoulos et al., arXiv 2110.01052, by fixed-sequence testing. Each threshold of `GRID` is a null
hypothesis, "the precision here is below the target", with an exact binomial p-value (Clopper & Pearson, 1934). They are
tested from the most to the least cautious until one is not rejected; the last rejected one stands. The mentions of a
tweet are not independent: counts are divided by the design effect (Kish, 1965; Korn & Graubard, 1998), by 1 at least;
where too few tweets err to estimate it, as if all mentions of a tweet were right or wrong together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

DELTA = 0.1
GRID: tuple[float, ...] = tuple((1 / (1 + np.exp(-np.arange(8, -8.05, -0.1)))).round(6).tolist())
"""Thresholds that are tested, the most cautious first; the same for all data."""

FEW = 5
"""Tweets with a wrong mention, below which the design effect is not estimated alone."""

Marks = Sequence[tuple[float, bool]]
"""The predicted mentions of one tweet: probability, and whether it is right."""


@dataclass(frozen=True)
class Promise:
    """Of each way to read the tweets, on the validation data: `precision` of the mentions at or above the `threshold`,
    and `reviewed`, the share of all below it. `delta`: the chance that the promise fails over draws of that data."""

    threshold: float
    target: float
    delta: float
    precision: dict[str, float]
    reviewed: dict[str, float]

    def told(self) -> str:
        """What goes to people, in words; nothing where nothing is known."""
        return ", ".join(f"{share:.1%} of mentions go to review ({way})" for way, share in self.reviewed.items())


def promise(readings: Mapping[str, Sequence[Marks]], start: float, target: float, delta: float) -> Promise | None:
    """The least cautious threshold that keeps the target in every one of the `readings` (of the same tweets, as with
    and without captions: the largest p-value counts; Berger, 1982); None where none does.

    `start`: the most cautious threshold tested, chosen on other data.
    """
    if not readings:
        return None
    counted = {name: _Counts(tweets) for name, tweets in readings.items()}
    best = None
    for threshold in _from(start):
        if any(counts.at(threshold).p_value(target) > delta for counts in counted.values()):
            break
        best = threshold
    return None if best is None else _told(counted, best, target, delta)


def highest(readings: Mapping[str, Sequence[Marks]], start: float, delta: float) -> Promise:
    """The highest target, in whole hundredths, that can be promised: at `start`, and for one threshold alone, since a
    target that is chosen on the data leaves no room for a choice of thresholds. Of no readings, 0."""
    if not readings:
        return Promise(1.0, 0.0, delta, {}, {})
    counted = {name: _Counts(tweets) for name, tweets in readings.items()}
    first = _from(start)[0]
    bound = min(counts.at(first).lower_bound(delta) for counts in counted.values())
    return _told(counted, first, math.floor(bound * 100) / 100, delta)


def _from(start: float) -> tuple[float, ...]:
    return tuple(threshold for threshold in GRID if threshold <= start) or GRID[-1:]


def _told(counted: Mapping[str, _Counts], threshold: float, target: float, delta: float) -> Promise:
    kept = {name: counts.at(threshold) for name, counts in counted.items()}
    return Promise(
        threshold,
        target,
        delta,
        precision={name: one.precision for name, one in kept.items()},
        reviewed={name: 1 - one.mentions / max(1, counted[name].mentions) for name, one in kept.items()},
    )


@dataclass(frozen=True)
class Kept:
    """What a threshold keeps; `effect`: the variance of its precision over that of independent mentions."""

    mentions: int
    right: int
    effect: float

    @property
    def precision(self) -> float:
        return self.right / self.mentions if self.mentions else 0.0

    def p_value(self, target: float) -> float:
        """P(as many right or more), were the precision `target`: P(X >= k) = I_target(k, n - k + 1)."""
        n, k = self.mentions / self.effect, self.right / self.effect
        return float(betainc(k, n - k + 1, target)) if k else 1.0

    def lower_bound(self, delta: float) -> float:
        """The target whose p-value is `delta`."""
        n, k = self.mentions / self.effect, self.right / self.effect
        return float(betaincinv(k, n - k + 1, delta)) if k else 0.0


class _Counts:
    """Mentions of many tweets, to be counted above any threshold."""

    def __init__(self, tweets: Sequence[Marks]) -> None:
        marks = [(number, *mark) for number, tweet in enumerate(tweets) for mark in tweet]
        self.mentions = len(marks)
        self._tweet: NDArray[np.intp] = np.array([mark[0] for mark in marks], dtype=np.intp)
        self._probability = np.array([mark[1] for mark in marks], dtype=float)
        self._right = np.array([mark[2] for mark in marks], dtype=bool)

    def at(self, threshold: float) -> Kept:
        kept = self._probability >= threshold
        mentions, right = int(kept.sum()), int(self._right[kept].sum())
        if not right:
            return Kept(mentions, right, 1.0)
        precision, tweets = right / mentions, self._tweet[kept]
        effect = 1.0
        if right < mentions:
            residuals = np.bincount(tweets, self._right[kept] - precision)
            effect = float((residuals**2).sum() / (mentions * precision * (1 - precision)))
        if len(np.unique(self._tweet[kept & ~self._right])) < FEW:
            effect = max(effect, float((np.bincount(tweets) ** 2).sum() / mentions))
        return Kept(mentions, right, max(1.0, effect))
