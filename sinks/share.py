"""A proportion of counted things, with its confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)
"""Half width, in standard deviations, of a two-sided interval that holds with a probability of 95%."""


@dataclass(frozen=True)
class Share:
    """`part` of `whole` things."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """The proportion. None if there is nothing."""
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% score interval: Wilson, "Probable inference, the law of succession, and statistical inference", JASA
        22 (1927). It is (0, 1) if there is nothing."""
        n, k, z2 = self.whole, self.part, Z * Z
        if not n:
            return 0.0, 1.0
        centre, half = k + z2 / 2, Z * math.sqrt(k * (n - k) / n + z2 / 4)
        return max(0.0, (centre - half) / (n + z2)), min(1.0, (centre + half) / (n + z2))
