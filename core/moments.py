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
COMPACT = re.compile(
    r"(?:19[89]|2\d\d)\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-3])(?:[0-5]\d){1,2})?", re.ASCII
)
"""Digits such as 20181010 or 20181010201924. As Unix times they would lie in 1970, in 1976 or after 2600."""

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
    r"(?:\ ?[(\[][\w\ /+.:-]+[)\]])?"
)
_DATES = (
    rf"{_WEEKDAY}{_DAY}[\ -]{_MONTH}[\ -](?P<year>\d{{4}}|\d\d)",  # RFC 2822, RFC 822 and RFC 850
    rf"{_WEEKDAY}{_MONTH}\ +{_DAY}(?:st|nd|rd|th)?,?\ +(?P<year>\d{{4}})",  # English, and JavaScript's Date
    r"(?P<year>\d{4})(?P<separator>[-/.])(?P<month>\d{1,2})(?P=separator)(?P<day>\d{1,2})",
)
_BETWEEN = r"(?:[\ t]|,\ *|\ [-·|]\ |,?\ at\ )\ *"


ASCTIME = re.compile(rf"{_WEEKDAY}{_MONTH}\ +{_DAY}\ +{_TIME}{_ZONE}\ +(?P<year>\d{{4}})", re.ASCII)
"""The form of C, of Twitter's first API, and of Java's Date."""


def _patterns() -> Iterator[re.Pattern[str]]:
    yield ASCTIME
    for date in _DATES:
        yield re.compile(rf"{date}(?:{_BETWEEN}{_TIME}{_ZONE})?", re.ASCII)
        yield re.compile(rf"{_TIME}{_ZONE}{_BETWEEN}{date}", re.ASCII)


PATTERNS = tuple(_patterns())


def is_compact(value: object) -> bool:
    """Returns whether the value is a date in digits alone, such as 20181010, as a text or a number."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return False
    return (isinstance(value, str) or 0 < value < 10**14) and COMPACT.fullmatch(str(value)) is not None


def read_moment(value: object) -> tuple[datetime | None, Fault | None]:
    """Returns the moment, in UTC, and what is wrong with the value.

    `no_zone` comes with a moment: a date without a zone is read as UTC. Every other fault comes with None.
    """
    if isinstance(value, dict) and len(value) == 1:  # MongoDB's extended JSON
        value = value.get("$date", value.get("$numberLong", value))
        value = value.get("$numberLong", value) if isinstance(value, dict) else value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None, "wrong_type"
    try:
        moment = _read(value)
        in_utc = None if moment is None else moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        return None, "unreadable"
    except OverflowError:
        return None, "out_of_range"
    if moment is None or in_utc is None or not FIRST_YEAR <= in_utc.year <= LAST_YEAR:
        return None, "out_of_range"
    return in_utc, None if moment.tzinfo else "no_zone"


def _read(value: float | str) -> datetime | None:
    """Returns the moment, with or without a zone, or None when it lies far outside of the years that are read.

    Raises `ValueError` when the value is no date, or may be more than one, and `OverflowError` for a far one.
    """
    if is_compact(value):
        return datetime.fromisoformat(f"{str(value)[:8]}T{str(value)[8:]}" if len(str(value)) > 8 else str(value))
    if not isinstance(value, str):
        return _from_number(value)
    if len(value) > MAX_LENGTH:
        raise ValueError("too long for a date")
    text = value.strip()
    if NUMBER.fullmatch(text):
        return _from_number(float(text) if "." in text else int(text))
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
    if parts["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a clock with twelve hours")
        hour = hour % 12 + (12 if parts["half"] == "p" else 0)
    month = parts["month"]
    return datetime(
        year,
        MONTHS.index(month[:3]) + 1 if month.isalpha() else int(month),
        int(parts["day"]),
        hour,
        int(parts["minute"] or 0),
        int(parts["second"] or 0),
        int((parts["fraction"] or "")[:6].ljust(6, "0")),
        tzinfo=_zone(parts["zone"], rfc_822=found.re is not ASCTIME),
    )


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
