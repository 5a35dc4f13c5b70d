"""The bars of a timeline as days, weeks or longer, each with the link that narrows a search to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from desk.charts import Columns, Link, columns
from sinks.searching.state import SearchState
from sinks.searching.timeline import INTERVALS, Timeline

MONTHS = {"1M": 1, "1q": 3, "1y": 12}
"""Intervals of the calendar whose length varies -> their months."""
LENGTHS = {name: length for name, _, length in INTERVALS}
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """Whole days, in UTC, with their posts."""

    since: date
    until: date
    posts: int

    @property
    def label(self) -> str:
        """Such as `30 Nov 2026`, `23 – 29 Nov 2026`, `Nov 2026` or `2026`."""
        return label(self.since, self.until)

    def narrowed(self, state: SearchState) -> SearchState:
        """Returns the first page of the state with these days."""
        return replace(state, since=self.since, until=self.until, page="")

    def is_chosen(self, state: SearchState) -> bool:
        return (state.since, state.until) == (self.since, self.until)


def label(since: date | None, until: date | None) -> str:
    """Returns the days as people write them. None: no limit."""
    if since is None or until is None:
        return f"since {_day(since)}" if since else f"until {_day(until)}" if until else "all days"
    if months := _months(since, until):
        return months
    if since == until:
        return _day(since)
    same_year, same_month = since.year == until.year, since.replace(day=1) == until.replace(day=1)
    beginning = f"{since.day}" if same_month else f"{since.day} {since:%b}" if same_year else _day(since)
    return f"{beginning} – {_day(until)}"


def _months(since: date, until: date) -> str:
    """Returns the label of whole months or years, or an empty text for other days."""
    after = until + DAY if until < date.max else until
    if not since.day == after.day == 1:
        return ""
    months = (after.year - since.year) * 12 + after.month - since.month
    if since.month == 1 and months % 12 == 0:
        return f"{since.year}" if months == 12 else f"{since.year} – {until.year}"
    if months == 1:
        return f"{since:%b} {since.year}"
    return f"{since:%b} – {until:%b} {until.year}" if since.year == until.year else ""


def _day(day: date) -> str:
    return f"{day.day} {day:%b} {day.year}"


def periods(timeline: Timeline) -> tuple[Period, ...]:
    """Returns the days, or longer periods, that have posts, the latest first. Bars of one day become one period."""
    found: dict[tuple[date, date], int] = {}
    for start, end, posts in _bars(timeline):
        days = start.date(), (end - timedelta(microseconds=1)).date()
        found[days] = found.get(days, 0) + posts
    return tuple(Period(since, until, posts) for (since, until), posts in reversed(found.items()) if posts)


def chart(timeline: Timeline, state: SearchState, address: str) -> Columns:
    """Returns the timeline as columns, each with a link to its days. `address`: of the search, without the query."""
    points, links = [], []
    for start, end, posts in _bars(timeline):
        period = Period(start.date(), (end - timedelta(microseconds=1)).date(), posts)
        chosen = (state.since or date.min) <= period.until and period.since <= (state.until or date.max)
        points.append((_tick(start, timeline), float(posts)))
        name = period.label if LENGTHS[timeline.interval] >= DAY else f"{period.label}, {start:%H:%M}"
        links.append(Link(f"{address}?{period.narrowed(state).to_query()}", name, chosen))
    return columns(points, links)


def _bars(timeline: Timeline) -> Iterator[tuple[datetime, datetime, int]]:
    """Yields start, end and posts of each bar."""
    ends = [bar.start for bar in timeline.bars[1:]]
    ends += [_end(bar.start, timeline.interval) for bar in timeline.bars[-1:]]
    for bar, end in zip(timeline.bars, ends, strict=True):
        yield bar.start, end, bar.posts


def _end(start: datetime, interval: str) -> datetime:
    months = MONTHS.get(interval)
    try:
        if months is None:
            return start + LENGTHS[interval]
        years, month = divmod(start.month - 1 + months, 12)
        return start.replace(year=start.year + years, month=month + 1)
    except (OverflowError, ValueError):  # after the year 9999
        return datetime.max.replace(tzinfo=UTC)


def _tick(start: datetime, timeline: Timeline) -> str:
    length = LENGTHS[timeline.interval]
    if length >= timedelta(days=365):
        return f"{start.year}"
    if length >= timedelta(days=28):
        return f"{start:%b %Y}"
    if length >= DAY:
        return f"{start.day} {start:%b}"
    one_day = timeline.bars[0].start.date() == timeline.bars[-1].start.date()
    return f"{start:%H:%M}" if one_day else f"{start.day} {start:%b} {start:%H:%M}"
