"""How many posts were created when: chooses the interval, builds the histogram, reads it. Pure. Times are UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sinks.searching.words import Clause

BARS = 60
"""An interval is chosen so that the timeline has up to so many bars. Spans of more than 600 years have more."""

INTERVALS: tuple[tuple[str, str, timedelta], ...] = (
    ("1m", "fixed", timedelta(minutes=1)),
    ("5m", "fixed", timedelta(minutes=5)),
    ("15m", "fixed", timedelta(minutes=15)),
    ("1h", "fixed", timedelta(hours=1)),
    ("3h", "fixed", timedelta(hours=3)),
    ("12h", "fixed", timedelta(hours=12)),
    ("1d", "calendar", timedelta(days=1)),
    ("1w", "calendar", timedelta(weeks=1)),
    ("1M", "calendar", timedelta(days=30)),
    ("1q", "calendar", timedelta(days=91)),
    ("1y", "calendar", timedelta(days=365)),
    ("3652d", "fixed", timedelta(days=3652)),
)
"""Elasticsearch's name of the interval, whether it follows the calendar, and about how long it is."""


@dataclass(frozen=True)
class Span:
    """The time between two moments."""

    first: datetime
    last: datetime

    @classmethod
    def read(cls, first: Sequence[float], last: Sequence[float]) -> Span | None:
        """Reads the dates of the first and the last post, in Unix milliseconds. None if no post has a date."""
        return cls(_moment(first[0]), _moment(last[0])) if first and last else None

    @classmethod
    def of_days(cls, since: date, until: date) -> Span:
        return cls(datetime.combine(since, time.min, UTC), datetime.combine(until, time.max, UTC))

    @property
    def interval(self) -> str:
        """The shortest interval of which `BARS` cover the span."""
        fitting = (name for name, _, length in INTERVALS if (self.last - self.first) / length < BARS - 1)
        return next(fitting, INTERVALS[-1][0])


@dataclass(frozen=True)
class Bar:
    """The posts from `start` until the next bar starts."""

    start: datetime
    posts: int


@dataclass(frozen=True)
class Timeline:
    """Posts by their date. Bars without posts are there, too."""

    #: `1m`, `5m`, `15m`, `1h`, `3h`, `12h`, `1d`, `1w` (from Monday), `1M`, `1q`, `1y` or `3652d`
    interval: str
    bars: tuple[Bar, ...] = ()


def histogram(span: Span) -> Clause:
    """Returns the aggregation that counts posts by the interval of the span."""
    interval = span.interval
    kind = next(kind for name, kind, _ in INTERVALS if name == interval)
    return {"date_histogram": {"field": "created_at", f"{kind}_interval": interval, "min_doc_count": 0}}


def timeline(span: Span, answer: Mapping[str, Any]) -> Timeline:
    """Reads the answer to `histogram`."""
    bars = (Bar(_moment(bucket["key"]), bucket["doc_count"]) for bucket in answer["buckets"])
    return Timeline(span.interval, tuple(bars))


def _moment(milliseconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
