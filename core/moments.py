"""Reads the dates that platforms and libraries write: ISO 8601, RFC 2822, Unix times, `str(date)` of many languages.

A date that has two readings, such as `10/11/12`, is not read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

Fault = Literal["wrong_type", "unreadable", "out_of_range", "no_zone"]

FIRST_YEAR, LAST_YEAR = 1970, 9998
MAX_LENGTH = 128
"""Longest text, in characters, that is read as a date."""

SECONDS_MOST = 2 * 10**10
"""Largest Unix time in seconds. Larger numbers are milliseconds, as pydantic reads them too."""
MILLISECONDS_MOST = 253_370_764_800_000
"""The beginning of the year 9999, in milliseconds. Numbers up to a thousand times this are microseconds, and so on."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
COMPACT = re.compile(r"(?:19[89]|2\d\d)\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{4}(?:\d\d)?)?", re.ASCII)
"""Digits such as 20181010 or 20181010201924. As Unix times they would lie in 1970, in 1976 or after 2600.

What follows the day may be no time. Then the digits are no date, and no Unix time either.
"""
PARTIAL = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2]|[0-3]\d\d)?", re.ASCII)
"""Digits such as 2018, 201810 or 2018283: a year, a month, a day of the year. As Unix times they would lie in 1970."""
DIGITS = re.compile(r"\+?(\d{4,14})(?:\.0*)?", re.ASCII)
MICROSOFT = re.compile(r"/Date\((-?\d{1,30})(?:[+-]\d{4})?\)/", re.ASCII)
"""Milliseconds since 1970. The offset behind them is for display."""

SECONDS = (("seconds", "nanos", "nanoseconds"), ("_seconds", "_nanoseconds"))
"""Names of an object's seconds since 1970, and of the nanoseconds behind them."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ZONES = {
    **dict.fromkeys(("z", "ut", "utc", "gmt", "wet"), 0),
    **{"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7},
    **{"west": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3, "msk": 3, "jst": 9, "kst": 9, "aest": 10, "aedt": 11},
}
"""Name of a zone -> hours east of Greenwich: those of RFC 822, and others with one meaning (so not IST and BST)."""

_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,?\ +)?"
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})"
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\ ?(?P<half>[ap])\.?m\.?)?"
)
_ZONE = (
    r"(?:\ *(?P<zone>(?:(?:gmt|utc?)?[+-]\d{1,2}:?(?:\d\d)?)(?:\ [a-z]{3,5})?|[a-z]{1,5}))?"
    r"(?:\ ?[(\[][^()\[\]]+[)\]])?(?:\ m=[+-]\d+\.\d+)?"  # the zone's name in any language; Go's own clock
)
_LATE = r"1[3-9]|2\d|3[01]"  # no month, so that the date has one reading
_DATES = (
    rf"{_WEEKDAY}{_DAY}(?:st|nd|rd|th|\.)?(?:[\ -]|\ of\ ){_MONTH},?[\ -](?P<year>\d{{4}}|\d\d)",  # RFC 2822, 822, 850
    rf"{_WEEKDAY}{_MONTH}\ +{_DAY}(?:st|nd|rd|th)?,?\ +(?P<year>\d{{4}})",  # English, and JavaScript's Date
    r"(?P<year>\d{4})(?P<separator>[-/.])(?P<month>\d{1,2})(?P=separator)(?P<day>\d{1,2})",
    rf"(?P<day>{_LATE})(?P<separator>[-/.])(?P<month>\d{{1,2}})(?P=separator)(?P<year>\d{{4}})",
    rf"(?P<month>\d{{1,2}})(?P<separator>[-/.])(?P<day>{_LATE})(?P=separator)(?P<year>\d{{4}})",
)
_BETWEEN = r"(?:[\ t]|,\ *|\ [-·|]\ |,?\ at\ )\ *"


ASCTIME = re.compile(rf"{_WEEKDAY}{_MONTH}\ +{_DAY}\ +{_TIME}{_ZONE}\ +(?P<year>\d{{4}})", re.ASCII)
"""The form of C, of Twitter's first API, and of Java's Date."""

ISO_COMPACT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)[t\ ]"
    rf"(?P<hour>\d\d)(?P<minute>\d\d)(?:(?P<second>\d\d)(?:[.,](?P<fraction>\d{{1,9}}))?)?{_ZONE}",
    re.ASCII,
)
"""The compact form of ISO 8601, for the leap seconds and the 24:00 that `datetime.fromisoformat` does not read."""


def _patterns() -> Iterator[re.Pattern[str]]:
    yield from (ASCTIME, ISO_COMPACT)
    for date in _DATES:
        yield re.compile(rf"{date}(?:{_BETWEEN}{_TIME}{_ZONE})?", re.ASCII)
        yield re.compile(rf"{_TIME}{_ZONE}{_BETWEEN}{date}", re.ASCII)


PATTERNS = tuple(_patterns())


def date_in_digits(value: object) -> str | None:
    """Returns digits that begin with a date, such as 20181010 or 2018, or None for any other value.

    The value may be a text or a number. pandas writes it as 20181010.0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        value = str(int(value)) if 0 < value < 10**14 and value == int(value) else ""
    found = DIGITS.fullmatch(value.strip())
    return found[1] if found and (COMPACT.fullmatch(found[1]) or PARTIAL.fullmatch(found[1])) else None


def read_moment(value: object) -> tuple[datetime | None, Fault | None]:
    """Returns the moment, in UTC, and what is wrong with the value.

    `no_zone` comes with a moment: a date without a zone is read as UTC. Every other fault comes with None.
    """
    try:
        value = _unwrapped(value)
        if isinstance(value, bool) or not isinstance(value, int | float | str | datetime):
            return None, "wrong_type"
        moment = value if isinstance(value, datetime) else _read(value)
        in_utc = None if moment is None else moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        return None, "unreadable"
    except OverflowError:
        return None, "out_of_range"
    if moment is None or in_utc is None or not FIRST_YEAR <= in_utc.year <= LAST_YEAR:
        return None, "out_of_range"
    return in_utc, None if moment.tzinfo else "no_zone"


def _unwrapped(value: object) -> object:
    """Returns the date in an object of MongoDB, Firestore or Protocol Buffers. Any other value stays as it is."""
    if not isinstance(value, dict):
        return value
    if len(value) == 1:  # MongoDB's extended JSON
        value = value.get("$date", value.get("$numberLong", value))
        value = value.get("$numberLong", value) if isinstance(value, dict) else value
        stamp = value.get("$timestamp") if isinstance(value, dict) else None
        if isinstance(stamp, dict) and stamp.keys() <= {"t", "i"}:
            return _since_epoch(stamp.get("t"), 0)
    for seconds, *fractions in SECONDS:
        if isinstance(value, dict) and seconds in value and value.keys() <= {seconds, *fractions}:
            return _since_epoch(value[seconds], next((value[name] for name in fractions if name in value), 0))
    return value


def _since_epoch(seconds: object, nanoseconds: object) -> datetime | None:
    """Returns the moment, or None if one of the two is no whole number. Protocol Buffers write them as text."""
    numbers = []
    for part in (seconds, nanoseconds):
        if isinstance(part, bool) or not isinstance(part, int | str):
            return None
        if isinstance(part, str) and not re.fullmatch(r"-?\d{1,30}", part, re.ASCII):
            return None
        numbers.append(int(part))
    return EPOCH + timedelta(seconds=numbers[0], microseconds=numbers[1] // 1000)


def _read(value: float | str) -> datetime | None:
    """Returns the moment, with or without a zone, or None when it lies far outside of the years that are read.

    Raises `ValueError` when the value is no date, or may be more than one, and `OverflowError` for a far one.
    """
    if digits := date_in_digits(value):
        if len(digits) < 8:
            raise ValueError("no day, or one of another form")
        return _moment(int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, len(digits), 2)))
    if not isinstance(value, str):
        return _from_number(value)
    if len(value) > MAX_LENGTH:
        raise ValueError("too long for a date")
    text = value.strip()
    if NUMBER.fullmatch(text):
        return _from_number(float(text) if "." in text else int(text))
    if since := MICROSOFT.fullmatch(text):
        return EPOCH + timedelta(milliseconds=int(since[1]))
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _from_words(" ".join(text.lower().split()))


def _from_number(number: float) -> datetime | None:
    """Reads a Unix time. Its size tells the unit, from seconds to nanoseconds."""
    if not math.isfinite(number) or not 0 <= number <= MILLISECONDS_MOST * 10**6:
        return None
    if number <= SECONDS_MOST:
        microseconds = round(number * 10**6)
    elif number <= MILLISECONDS_MOST:
        microseconds = round(number * 1000)
    elif number <= MILLISECONDS_MOST * 1000:
        microseconds = int(number)
    else:
        microseconds = int(number) // 1000
    return EPOCH + timedelta(microseconds=microseconds)


def _from_words(text: str) -> datetime:
    found = next((match for pattern in PATTERNS if (match := pattern.fullmatch(text))), None)
    if found is None:
        raise ValueError("no form of a date")
    parts = found.groupdict()
    year, hour = int(parts["year"]), int(parts["hour"] or 0)
    if year < 100:
        year += 2000 if year < 50 else 1900  # RFC 2822, section 4.3
    if parts.get("half"):
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a clock with twelve hours")
        hour = hour % 12 + (12 if parts["half"] == "p" else 0)
    month, minute, second = parts["month"], int(parts["minute"] or 0), int(parts["second"] or 0)
    microsecond = int((parts["fraction"] or "")[:6].ljust(6, "0"))
    moment = _moment(
        year,
        MONTHS.index(month[:3]) + 1 if month.isalpha() else int(month),
        int(parts["day"]),
        hour,
        minute,
        second,
        microsecond,
    )
    return moment.replace(tzinfo=_zone(parts["zone"], rfc_822=found.re is not ASCTIME))


def _moment(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0
) -> datetime:
    """Returns the moment without a zone. A leap second is the second before it, 24:00 the beginning of the next day."""
    if second == 60 and minute % 15 == 14:  # a leap second, in any zone
        second = 59
    is_end = (hour, minute, second, microsecond) == (24, 0, 0, 0)  # of the day, as in ISO 8601
    return datetime(year, month, day, 0 if is_end else hour, minute, second, microsecond) + timedelta(days=is_end)


def _zone(name: str | None, *, rfc_822: bool) -> timezone | None:
    """Returns the zone, such as `gmt+0200`, `+0000 utc` or `est`. Raises `ValueError` for one that is not known.

    Java writes CST for China too. So it has the meaning of RFC 822 only in the forms of that standard.
    """
    if name is None:
        return None
    if name == "cst" and not rfc_822:
        raise ValueError("a zone with several meanings")
    offset = re.match(r"(?:gmt|utc?)?([+-])(\d{1,2}):?(\d\d)?", name)
    if offset is None:
        if name not in ZONES:
            raise ValueError("a zone without a single meaning")
        return timezone(timedelta(hours=ZONES[name]))
    ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
    return timezone(ahead if offset[1] == "+" else -ahead)
