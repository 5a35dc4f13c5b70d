"""What the pages of names ask for: a period and filters, as the query of an address. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, TypeVar, get_args
from urllib.parse import urlencode

from core.errors import UserError
from core.events import ENTITY_TYPES
from core.text import plain
from desk.search import days
from sinks.names.scope import Scope
from sinks.searching.access import Access

T = TypeVar("T", bound=str)

Period = Literal["24h", "7d", "30d", "all"]
PERIODS: tuple[Period, ...] = get_args(Period)
LENGTHS: dict[Period, timedelta] = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
LONGEST = 512
"""Longest source or language, in characters. The index holds no longer ones."""
TITLES: dict[Period, str] = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "all": "All"}


@dataclass(frozen=True)
class Asked:
    """Which posts and mentions count. Days, if any is set, stand in place of the period. Raises `UserError`."""

    period: Period = "7d"
    since: date | None = None  # first day, in UTC
    until: date | None = None  # last day, in UTC
    type: str = ""
    source: str = ""
    lang: str = ""

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise UserError(f"since: {self.since} lies after until, {self.until}; exchange the two")

    @property
    def has_days(self) -> bool:
        return bool(self.since or self.until)

    @property
    def is_filtered(self) -> bool:
        """Whether anything but the period leaves posts out."""
        return bool(self.type or self.source or self.lang)

    @property
    def label(self) -> str:
        """The period in words."""
        if self.has_days:
            return days.label(self.since, self.until)
        return "all posts" if self.period == "all" else f"the last {TITLES[self.period]}"

    def span(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """Returns begin and end. None: no limit. They are whole minutes, so that equal requests come from a cache."""
        if self.has_days:
            begin = datetime.combine(self.since, time(), UTC) if self.since else None
            last = self.until if self.until and self.until < date.max else None
            return begin, datetime.combine(last + timedelta(days=1), time(), UTC) if last else None
        if self.period == "all":
            return None, None
        end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        return end - LENGTHS[self.period], end

    def compared(self, now: datetime) -> tuple[datetime, datetime] | None:
        """Returns the period that can be compared with the one before it, or None if it has no beginning."""
        begin, end = self.span(now)
        end = end or now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        if begin is None or begin >= end or begin - datetime.min.replace(tzinfo=UTC) < end - begin:
            return None
        return begin, end

    def scope(self, now: datetime, access: Access) -> Scope:
        """Returns the posts and mentions that count."""
        begin, end = self.span(now)
        return Scope(self.type or None, self.source or None, self.lang or None, begin, end, access=access)

    def pairs(self, default: Period = "7d") -> list[tuple[str, str]]:
        """Returns name and value of what is set, for an address or a form. `default`: the period of a bare address."""
        found = [(name, day.isoformat()) for name, day in (("since", self.since), ("until", self.until)) if day]
        if not found and self.period != default:
            found = [("period", self.period)]
        found += [(name, getattr(self, name)) for name in ("type", "source", "lang") if getattr(self, name)]
        return found

    def lists(self) -> str:
        """Returns the address of the lists."""
        return _address("/entities", self.pairs())

    def page(self, name: str) -> str:
        """Returns the address of a name's page. Any text can be a name, so it stands in the query."""
        return _address("/entities/name", [("name", name), *self.pairs("all")])

    def with_period(self, period: Period) -> Asked:
        return replace(self, period=period, since=None, until=None)


def _address(path: str, pairs: list[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def asked_of(values: Mapping[str, str], period: Period = "7d") -> Asked:
    """Reads the query of an address. Empty values, as forms send them, count as absent. Raises `UserError`.

    `period`: the one to take if the address names none.
    """
    given = {name: value for name, value in values.items() if value.strip()}
    return Asked(
        period=_one_of("period", given.get("period", period), PERIODS),
        since=_day("since", given.get("since")),
        until=_day("until", given.get("until")),
        type=_one_of("type", given["type"], ENTITY_TYPES) if "type" in given else "",
        source=given.get("source", "")[:LONGEST],
        lang=given.get("lang", "")[:LONGEST],
    )


def _one_of(name: str, value: str, possible: Sequence[T]) -> T:
    found = next((one for one in possible if one == value), None)
    if found is None:
        raise UserError(f"{name}: must be one of {', '.join(map(str, possible))} (got {plain(value, 40)!r})")
    return found


def _day(name: str, value: str | None) -> date | None:
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise UserError(f"{name}: must be a day such as 2026-11-30 (got {plain(value or '', 40)!r})") from None
