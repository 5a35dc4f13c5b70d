"""How sure a difference between two counts is, also of small counts. Pure, and without scipy.

- Rates of two periods: the exact conditional test of two Poisson counts, and the interval of their ratio.
- Many names at once: the false discovery rate.
- Two names in the same posts: the log-likelihood ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

PRECISION = 1e-12
TINY = 1e-300
ROUNDS = 100_000
"""More rounds than any continued fraction here needs: about the square root of the counts."""


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Returns the regularised incomplete beta function I_x(a, b), for a, b > 0 and 0 <= x <= 1.

    Source: NIST Digital Library of Mathematical Functions, the continued fraction 8.17.22, by Lentz's method.
    """
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):  # the fraction converges fast only below the mean: 8.17.4
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    upper, lower = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    fraction = lower
    for m in range(1, ROUNDS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            lower = 1.0 / _not_zero(1.0 + term * lower)
            upper = _not_zero(1.0 + term / upper)
            fraction *= lower * upper
        if abs(lower * upper - 1.0) < PRECISION:
            break
    return min(1.0, math.exp(log_front) * fraction / a)


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY


def rise(now: int, before: int, posts_now: int, posts_before: int) -> float:
    """Returns the probability of at least `now` of the `now + before` posts, if the rate did not rise (a p-value).

    Given their sum, one of two Poisson counts of equal rates is binomial with p = posts_now / (posts_now +
    posts_before). Source: Przyborowski and Wilenski (1940), "Homogeneity of results in testing samples from Poisson
    series", Biometrika 31. The tail is I_p(now, before + 1) (DLMF 8.17.5).
    """
    if now == 0 or posts_before == 0:
        return 1.0
    return incomplete_beta(now, before + 1, posts_now / (posts_now + posts_before))


def ratio_interval(
    now: int, before: int, posts_now: int, posts_before: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Returns the exact interval of the ratio of the two rates. It covers the true one at least that often.

    The upper end is infinite when `before` is 0. Source: Clopper and Pearson (1934), "The use of confidence or fiducial
    limits illustrated in the case of the binomial", Biometrika 26, for the share of the posts that are of now; the
    ratio is share / (1 - share) times posts_before / posts_now.
    """
    tail, exposure = (1.0 - confidence) / 2, posts_before / posts_now
    low = _where(lambda share: incomplete_beta(now, before + 1, share), tail) if now else 0.0
    high = _where(lambda share: incomplete_beta(now + 1, before, share), 1.0 - tail) if before else 1.0
    return _odds(low) * exposure, _odds(high) * exposure


def _odds(share: float) -> float:
    return share / (1.0 - share) if share < 1.0 else math.inf


def _where(rising: Callable[[float], float], target: float) -> float:
    """Returns where a function that rises from 0 to 1 over [0, 1] has the target value, by halving."""
    low, high = 0.0, 1.0
    while high - low > 1e-7 * high and high > 1e-9:
        middle = (low + high) / 2
        if rising(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def least_p_value(total: int, posts_now: int, posts_before: int) -> float:
    """Returns the smallest p-value that `rise` can give for this sum of counts: if all are of now."""
    return float((posts_now / (posts_now + posts_before)) ** total) if total else 1.0


def false_discovery_rates(p_values: Sequence[float]) -> list[float]:
    """Returns, for each p-value, the share of false ones to expect if it and all smaller ones are called true.

    Source: Benjamini and Hochberg (1995), "Controlling the false discovery rate", Journal of the Royal Statistical
    Society B 57, procedure (1), as adjusted p-values. If nothing has changed at all, the chance that any name falls
    below a rate is at most this rate.
    """
    rates, lowest = [0.0] * len(p_values), 1.0
    ordered = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    for place, number in enumerate(ordered):
        lowest = min(lowest, p_values[number] * len(p_values) / (len(p_values) - place))
        rates[number] = lowest
    return rates


def association(both: int, first: int, second: int, posts: int) -> float:
    """Returns how sure it is that two names occur together more often than by chance: -2 log lambda.

    `first` and `second`: posts with each name; `both`: with both; `posts`: all. It is 0 for names that do not. Without
    an association, it exceeds 3.84 in 5%, and 10.83 in 0.1% of pairs (chi-squared, one degree of freedom).

    Source: Dunning (1993), "Accurate methods for the statistics of surprise and coincidence", Computational Linguistics
    19(1), section 5, for two binomials.
    """
    if both * posts <= first * second:
        return 0.0
    with_first = both, first - both
    without = second - both, posts - first - second + both
    observed = [*with_first, *without]
    rows, columns = (first, posts - first), (second, posts - second)
    expected = [row * column / posts for row in rows for column in columns]
    return 2.0 * sum(count * math.log(count / mean) for count, mean in zip(observed, expected, strict=True) if count)
