"""Counts of posts over time: the width of the bars is chosen from the span. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MOST_BARS = 60

WIDTHS: tuple[tuple[str, str, timedelta], ...] = (
    ("fixed_interval", "1m", timedelta(minutes=1)),
    ("fixed_interval", "5m", timedelta(minutes=5)),
    ("fixed_interval", "15m", timedelta(minutes=15)),
    ("fixed_interval", "1h", timedelta(hours=1)),
    ("fixed_interval", "3h", timedelta(hours=3)),
    ("fixed_interval", "12h", timedelta(hours=12)),
    ("calendar_interval", "day", timedelta(days=1)),
    ("calendar_interval", "week", timedelta(days=7)),
    ("calendar_interval", "month", timedelta(days=28)),
    ("calendar_interval", "quarter", timedelta(days=90)),
    ("calendar_interval", "year", timedelta(days=365)),
    ("fixed_interval", "3653d", timedelta(days=3653)),
    ("fixed_interval", "36525d", timedelta(days=36525)),
)
"""Widths of a bar in Elasticsearch's words, with the shortest time that one covers."""


@dataclass(frozen=True)
class Timeline:
    """Posts by time (UTC). Bars follow each other without a gap, from the first post to the last."""

    interval: str  # such as `3h`, `day` or `month`
    bars: tuple[tuple[datetime, int], ...]  # beginning of the bar, number of posts


NO_TIMELINE = Timeline("day", ())


def width(first: datetime, last: datetime) -> tuple[str, str]:
    """Returns the narrowest width with which the span has `MOST_BARS` bars at most, as name and value of the option.

    Only a span of several thousand years has more, up to 100.
    """
    span = last - first
    for kind, value, shortest in WIDTHS:
        if span / shortest <= MOST_BARS - 2:  # one bar may begin before the span, and one end after it
            return kind, value
    return WIDTHS[-1][:2]


def histogram(kind: str, value: str) -> dict[str, Any]:
    """Returns the aggregation."""
    return {"date_histogram": {"field": "created_at", kind: value, "min_doc_count": 0}}


def read(value: str, answer: Mapping[str, Any]) -> Timeline:
    """Reads the answer to `histogram`."""
    bars = ((moment(bucket["key"]), bucket["doc_count"]) for bucket in answer["buckets"])
    return Timeline(value, tuple(bars))


def moment(milliseconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
