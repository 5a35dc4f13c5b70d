"""Figures over several training runs that differ only in their seed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from model.checkpoint import CheckpointInfo


@dataclass(frozen=True)
class Spread:
    """A figure over several seeds."""

    values: list[float | None]
    mean: float | None
    """None if one of the values is None."""
    deviation: float | None
    """Sample standard deviation; None for a single value."""

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        return f"{self.mean:.4f}" if self.deviation is None else f"{self.mean:.4f} ± {self.deviation:.4f}"


def spread(values: Iterable[float | None]) -> Spread:
    """Returns the mean and the deviation of the values."""
    listed = list(values)
    known = [value for value in listed if value is not None]
    if not known or len(known) < len(listed):
        return Spread(listed, None, None)
    return Spread(listed, statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


def seed_of(info: CheckpointInfo) -> int | None:
    """Returns the seed of the training from the options in the checkpoint's provenance."""
    found = re.search(r"\bseed=(\d+)", str(info.provenance.get("options", "")))
    return int(found[1]) if found else None
