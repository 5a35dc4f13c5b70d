"""An interval for a precision that holds at every moment, however often people look, and while the stream drifts. Pure.

The method is the empirical-Bernstein confidence sequence with predictable weights (Waudby-Smith & Ramdas,
arXiv 2010.09686, Theorem 2). Answer i is 1 if right and 0 if wrong. Given the past, it is right with the probability
mu_i, which may change with the stream and with the threshold. With probability 1 - delta, the interval contains the
weighted mean of mu_1 to mu_t at every t. The weights lambda_i depend on earlier answers only.

The hedged capital of the same paper gives shorter intervals, but it is for one constant mean.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pydantic import Field

from core.events import Value

HEAVIEST = 0.5
"""Largest weight. The paper recommends 1/2 or 3/4."""


class Interval(NamedTuple):
    """The precisions that agree with the answers."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


class ConfidenceSequence(Value):
    """The sums that the interval needs. Empty before the first answer."""

    answers: int = Field(default=0, ge=0)
    right: int = Field(default=0, ge=0)
    weight: float = 0.0  # sum of lambda_i
    weighted: float = 0.0  # sum of lambda_i x_i
    spread: float = 0.0  # sum of v_i psi(lambda_i)
    squares: float = 0.25  # 1/4 + sum of (x_i - mean after i)^2

    def after(self, is_right: bool, delta: float) -> ConfidenceSequence:
        """Returns the sums with one more answer. `delta` must be the same for all answers."""
        x, count = float(is_right), self.answers + 1
        before = (0.5 + self.right) / count
        mean = (0.5 + self.right + x) / (count + 1)
        variance = self.squares / count
        weight = min(HEAVIEST, math.sqrt(2 * math.log(2 / delta) / (variance * count * math.log(1 + count))))
        psi = (-math.log1p(-weight) - weight) / 4
        return ConfidenceSequence(
            answers=count,
            right=self.right + is_right,
            weight=self.weight + weight,
            weighted=self.weighted + weight * x,
            spread=self.spread + 4 * (x - before) ** 2 * psi,
            squares=self.squares + (x - mean) ** 2,
        )

    def interval(self, delta: float) -> Interval:
        """Returns the interval; 0 to 1 without answers."""
        if not self.weight:
            return Interval(0.0, 1.0)
        middle, radius = self.weighted / self.weight, (math.log(2 / delta) + self.spread) / self.weight
        return Interval(max(0.0, middle - radius), min(1.0, middle + radius))


class Recent(Value):
    """Two sequences in turn, so that the interval is about recent answers.

    A new sequence begins after `block` answers. Until it has half a block, the one before it is reported, which leaves
    out the newest answers. Each sequence holds with probability 1 - delta; which one is reported depends on the count
    alone.
    """

    current: ConfidenceSequence = ConfidenceSequence()
    before: ConfidenceSequence = ConfidenceSequence()

    def after(self, is_right: bool, delta: float, block: int) -> Recent:
        """Returns the sequences with one more answer."""
        if self.current.answers >= block:
            return Recent(current=ConfidenceSequence().after(is_right, delta), before=self.current)
        return Recent(current=self.current.after(is_right, delta), before=self.before)

    @property
    def reported(self) -> ConfidenceSequence:
        """The sequence that counts now."""
        return self.current if 2 * self.current.answers >= self.before.answers else self.before

    def interval(self, delta: float) -> Interval:
        """Returns the interval of the sequence that counts now."""
        return self.reported.interval(delta)
