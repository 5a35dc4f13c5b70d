"""Checks that two contenders found the same mentions; otherwise their speeds cannot be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping

from benchmarks.run import Wrong
from core.events import Extraction, Mention, Opinion

TOLERANCE = 1e-3
"""Largest difference between probabilities or variances. Batches differ, so floats are added in a different order."""


def agree(ours: Mapping[str, Extraction], theirs: Mapping[str, Extraction]) -> None:
    """Compares extractions by post id.

    Raises `Wrong` at the first post whose mentions differ in span, type or views, or by more than `TOLERANCE`.
    """
    for name, extraction in ours.items():
        found, expected = extraction.mentions, theirs[name].mentions
        if len(found) != len(expected) or not all(map(_same, found, expected)):
            raise Wrong(f"the contenders differ on {extraction.tweet.text!r}:\n  {found}\n  {expected}")


def _same(ours: Mention, theirs: Mention) -> bool:
    pair = [(each.start, each.end, each.type, each.views.keys()) for each in (ours, theirs)]
    return pair[0] == pair[1] and all(
        math.isclose(a, b, abs_tol=TOLERANCE, rel_tol=TOLERANCE)
        for a, b in zip(_figures(ours), _figures(theirs), strict=True)
    )


def _figures(mention: Mention) -> list[float]:
    opinions: list[Mention | Opinion] = [mention, *mention.views.values()]
    return [figure for each in opinions for figure in (each.probability, each.aleatoric, each.epistemic)]
