"""Chooses a review threshold with a promise about precision.

With probability 1 - delta over the draw of the validation data, mentions at or above the threshold have at least the
target precision on data of the same kind.

The method is Learn then Test (Angelopoulos et al., arXiv 2110.01052) by fixed-sequence testing. Each threshold of
`GRID` is a null hypothesis, "the precision here is below the target", with an exact binomial p-value (Clopper &
Pearson, 1934). They are tested from the most to the least cautious until one is not rejected; the last rejected one is
chosen.

The mentions of a post are not independent. So counts are divided by the design effect (Kish, 1965; Korn & Graubard,
1998), which is at least 1. When too few posts have errors to estimate it, all mentions of a post are taken to be right
or wrong together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

DELTA = 0.1
"""Default probability that a promise fails."""
GRID: tuple[float, ...] = tuple((1 / (1 + np.exp(-np.arange(8, -8.05, -0.1)))).round(6).tolist())
"""Thresholds to test, the most cautious first. They do not depend on the data."""

FEW = 5
"""With fewer posts that have a wrong mention, the design effect is at least that of posts whose mentions are all right
or all wrong together."""

Marks = Sequence[tuple[float, bool]]
"""The predicted mentions of one post: the probability of each, and whether it is right."""


@dataclass(frozen=True)
class Promise:
    """A threshold and what it promises."""

    threshold: float
    target: float
    """The promised precision of mentions at or above the threshold."""
    delta: float
    """The probability, over draws of the validation data, that the promise fails."""
    precision: dict[str, float]
    """Precision on the validation data at or above the threshold, by reading mode."""
    reviewed: dict[str, float]
    """Share of the predicted mentions below the threshold on the validation data, by reading mode."""
    least: dict[str, float]
    """Smallest share that had to be below it there, had the probabilities been perfect (`least_reviewed`)."""

    def summary(self) -> str:
        """Returns a phrase that says what share goes to review in each reading mode; empty without any mode."""
        return ", ".join(
            f"{share:.1%} of mentions go to review ({way}), and at least {self.least[way]:.1%} must"
            for way, share in self.reviewed.items()
        )


def least_reviewed(precision: float, target: float) -> float:
    """Returns the smallest share of the mentions that must go to people, so that the others reach the target.

    `precision`: of all mentions. The best order sends only wrong mentions. With a share mu of wrong ones, sending x
    leaves (mu - x) / (1 - x) wrong, and this is at most alpha = 1 - target from x = (mu - alpha) / (1 - alpha) on.
    """
    return max(0.0, (target - precision) / target) if target else 0.0


def promise(readings: Mapping[str, Sequence[Marks]], start: float, target: float, delta: float) -> Promise | None:
    """Returns the promise of the least cautious threshold that keeps the target in all `readings`; None if none does.

    The readings are the same posts in different modes, with and without captions. Their largest p-value counts
    (intersection-union test: Berger, 1982). `start` is the most cautious threshold to test; it must be chosen on other
    data.
    """
    if not readings:
        return None
    counted = {name: _Counts(tweets) for name, tweets in readings.items()}
    best = None
    for threshold in _thresholds_from(start):
        if any(counts.at(threshold).p_value(target) > delta for counts in counted.values()):
            break
        best = threshold
    return None if best is None else _promise(counted, best, target, delta)


def highest(readings: Mapping[str, Sequence[Marks]], start: float, delta: float) -> Promise:
    """Returns the promise of the highest target that holds at `start`, in whole hundredths; 0 without readings.

    Only one threshold is tested: the data already chooses the target, and must not choose a threshold too.
    """
    if not readings:
        return Promise(1.0, 0.0, delta, {}, {}, {})
    counted = {name: _Counts(tweets) for name, tweets in readings.items()}
    first = _thresholds_from(start)[0]
    bound = min(counts.at(first).lower_bound(delta) for counts in counted.values())
    return _promise(counted, first, math.floor(bound * 100) / 100, delta)


def _thresholds_from(start: float) -> tuple[float, ...]:
    return tuple(threshold for threshold in GRID if threshold <= start) or GRID[-1:]


def _promise(counted: Mapping[str, _Counts], threshold: float, target: float, delta: float) -> Promise:
    at_threshold = {name: counts.at(threshold) for name, counts in counted.items()}
    return Promise(
        threshold,
        target,
        delta,
        precision={name: each.precision for name, each in at_threshold.items()},
        reviewed={name: 1 - each.mentions / max(1, counted[name].mentions) for name, each in at_threshold.items()},
        least={
            name: least_reviewed(each.at(0.0).precision, target) if target else 0.0 for name, each in counted.items()
        },
    )


@dataclass(frozen=True)
class Part:
    """What a threshold does to a part of the mentions, such as those of one type. It promises nothing for the part."""

    mentions: int
    reviewed: float
    """Share of them below the threshold."""
    least: float
    """As in `Promise`, for this part alone."""
    precision: float | None
    """Of those at or above the threshold; None without any."""


def part(tweets: Sequence[Marks], threshold: float, target: float) -> Part:
    """Counts the mentions of a part. Raises `ValueError` when it has none."""
    counts = _Counts(tweets)
    if not counts.mentions:
        raise ValueError("the part has no mentions")
    above, least = counts.at(threshold), least_reviewed(counts.at(0.0).precision, target)
    precision = above.precision if above.mentions else None
    return Part(counts.mentions, 1 - above.mentions / counts.mentions, least, precision)


@dataclass(frozen=True)
class AtThreshold:
    """The mentions at or above a threshold."""

    mentions: int
    right: int
    effect: float
    """Design effect: the variance of the precision, as a multiple of that of independent mentions."""

    @property
    def precision(self) -> float:
        return self.right / self.mentions if self.mentions else 0.0

    def p_value(self, target: float) -> float:
        """Returns P(at least as many are right) if the precision is `target`: P(X >= k) = I_target(k, n - k + 1)."""
        n, k = self.mentions / self.effect, self.right / self.effect
        return float(betainc(k, n - k + 1, target)) if k else 1.0

    def lower_bound(self, delta: float) -> float:
        """Returns the target whose p-value is `delta`."""
        n, k = self.mentions / self.effect, self.right / self.effect
        return float(betaincinv(k, n - k + 1, delta)) if k else 0.0


class _Counts:
    """The mentions of many posts, to be counted at any threshold."""

    def __init__(self, tweets: Sequence[Marks]) -> None:
        marks = [(number, *mark) for number, tweet in enumerate(tweets) for mark in tweet]
        self.mentions = len(marks)
        self._tweet: NDArray[np.intp] = np.array([mark[0] for mark in marks], dtype=np.intp)
        self._probability = np.array([mark[1] for mark in marks], dtype=float)
        self._right = np.array([mark[2] for mark in marks], dtype=bool)

    def at(self, threshold: float) -> AtThreshold:
        kept = self._probability >= threshold
        mentions, right = int(kept.sum()), int(self._right[kept].sum())
        if not right:
            return AtThreshold(mentions, right, 1.0)
        precision, tweets = right / mentions, self._tweet[kept]
        effect = 1.0
        if right < mentions:
            residuals = np.bincount(tweets, self._right[kept] - precision)
            effect = float((residuals**2).sum() / (mentions * precision * (1 - precision)))
        if len(np.unique(self._tweet[kept & ~self._right])) < FEW:
            effect = max(effect, float((np.bincount(tweets) ** 2).sum() / mentions))
        return AtThreshold(mentions, right, max(1.0, effect))
