"""Computes the shapes of charts. `templates/charts.html` draws them as SVG, with the numbers in a table behind. Pure.

Places and sizes are percentages of the drawing's width and height, so a chart fits any width; its labels are HTML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

#: Share of a column's room that the column fills.
FILL = 0.8
#: Lowest height, in percent, of a column that is not zero, so that one of many thousands is seen.
SEEN = 1.5


@dataclass(frozen=True)
class Link:
    """Where a column leads."""

    address: str
    label: str  # what the column stands for, in full
    chosen: bool = True  # whether the page shows what the column stands for; others are drawn faint


@dataclass(frozen=True)
class Column:
    """One column of `Columns`: its rectangle, and what it says."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: float
    link: Link | None = None

    @property
    def room(self) -> tuple[float, float]:
        """The left edge and the width of the column with the gaps beside it: what a pointer can hit."""
        return _short(self.x - self.width * (1 - FILL) / FILL / 2), _short(self.width / FILL)


@dataclass(frozen=True)
class Columns:
    """Values over time, or over anything with an order."""

    columns: tuple[Column, ...]
    top: float  # the value at the upper edge
    #: The labels below: of the first column, one in the middle, and the last.
    ticks: tuple[str, ...]


def columns(points: Sequence[tuple[str, float]], links: Sequence[Link] = ()) -> Columns:
    """Returns the columns of (label, value) pairs, in their order. No value may be negative. `links`: one a point."""
    top = round_up(max((value for _, value in points), default=0.0))
    room = 100 / max(1, len(points))
    made = []
    for place, (label, value) in enumerate(points):
        height = max(SEEN, 100 * value / top) if value else 0.0
        x = place * room + room * (1 - FILL) / 2
        link = links[place] if links else None
        made.append(Column(_short(x), _short(100 - height), _short(room * FILL), _short(height), label, value, link))
    labels = [label for label, _ in points]
    ticks = labels if len(labels) < 4 else [labels[0], labels[len(labels) // 2], labels[-1]]
    return Columns(tuple(made), top, tuple(ticks))


def round_up(value: float) -> float:
    """Returns the next of 1, 2, 2.5 and 5 times a power of ten: a number that people read at a glance."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9))


def day_or_hour(start: datetime, interval_s: float) -> str:
    """Returns the label of a column that begins at `start`, in UTC: a month, a day or a time of day."""
    moment = start.astimezone(UTC)
    if interval_s >= 28 * 86_400:
        return f"{moment:%b %Y}"
    if interval_s >= 86_400:
        return f"{moment:%d %b}".lstrip("0")
    return f"{moment:%H:%M}"


def _short(value: float) -> float:
    return round(value, 2)
