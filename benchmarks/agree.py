"""Whether two contenders found the same: else one of them did other work, and comparing their speed is idle."""

from __future__ import annotations

import math
from collections.abc import Mapping

from benchmarks.run import Wrong
from core.events import Extraction, Mention, Opinion

TOLERANCE = 1e-3
"""Between probabilities and variances of the same tweet: batches differ, and float sums with them."""


def agree(one: Mapping[str, Extraction], other: Mapping[str, Extraction]) -> None:
    """Raises `Wrong` at the first tweet whose mentions differ, in span, type, views or by more than `TOLERANCE`."""
    for name, extraction in one.items():
        ours, theirs = extraction.mentions, other[name].mentions
        if len(ours) != len(theirs) or not all(map(_same, ours, theirs)):
            raise Wrong(f"the contenders differ on {extraction.tweet.text!r}:\n  {ours}\n  {theirs}")


def _same(one: Mention, other: Mention) -> bool:
    place = (one.start, one.end, one.type, one.views.keys()) == (other.start, other.end, other.type, other.views.keys())
    return place and all(
        math.isclose(a, b, abs_tol=TOLERANCE, rel_tol=TOLERANCE)
        for a, b in zip(_figures(one), _figures(other), strict=True)
    )


def _figures(mention: Mention) -> list[float]:
    opinions: list[Mention | Opinion] = [mention, *mention.views.values()]
    return [figure for one in opinions for figure in (one.probability, one.aleatoric, one.epistemic)]
