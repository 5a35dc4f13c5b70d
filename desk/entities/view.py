"""What the pages of names draw: bars, ratios and the timeline. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from desk.charts import Columns, columns
from desk.entities.values import NameTimeline, TrendingName

LARGEST = 64.0
"""Largest ratio at the right edge of the pictures."""

SURE = {
    "new": "no post of the period before mentions it",
    "certain": "fewer than 1 in 1 000 such trends are chance",
    "likely": "fewer than 1 in 20 such trends are chance",
}


@dataclass(frozen=True)
class Ratio:
    """Where ratio and interval stand, from 0 (as before) to 1 (the right edge), on a logarithmic scale."""

    low: float
    ratio: float | None
    high: float


def scale(trends: Sequence[TrendingName]) -> float:
    """Returns the ratio at the right edge: a power of two."""
    most = max((trend.high or 2 * trend.low for trend in trends), default=2.0)
    return min(LARGEST, 2.0 ** math.ceil(math.log2(max(2.0, most))))


def ratio(trend: TrendingName, top: float) -> Ratio:
    """Returns the picture of a trend. `top`: see `scale`."""

    def place(value: float) -> float:
        return round(min(1.0, max(0.0, math.log2(max(value, 1e-9)) / math.log2(top))), 3)

    return Ratio(
        place(trend.low),
        None if trend.ratio is None else place(trend.ratio),
        1.0 if trend.high is None else place(trend.high),
    )


def times(value: float) -> str:
    """Returns a ratio as people write it, such as `3.4` or `12`."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def timeline(found: NameTimeline) -> Columns:
    """Returns the posts of a name over time."""
    label = _labels(found)
    return columns([(label(bar.start), float(bar.posts)) for bar in found.bars])


def _labels(found: NameTimeline) -> _Label:
    one_day = bool(found.bars) and found.bars[0].start.date() == found.bars[-1].start.date()
    return _Label(found.interval, one_day)


@dataclass(frozen=True)
class _Label:
    interval: str
    one_day: bool

    def __call__(self, start: datetime) -> str:
        if self.interval in ("month", "quarter"):
            return f"{start:%b} {start.year}"
        if self.interval == "year" or self.interval.endswith("d"):
            return f"{start.year}"
        if self.interval in ("day", "week"):
            return f"{start.day} {start:%b} {start.year}"
        return f"{start:%H:%M}" if self.one_day else f"{start.day} {start:%b} {start:%H:%M}"
