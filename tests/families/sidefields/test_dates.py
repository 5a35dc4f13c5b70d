"""Dates as platforms and libraries write them, each with the moment that it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from core.events import Tweet
from tests.families.sidefields.stored import stored

EVENING = datetime(2018, 10, 10, 20, 19, 24, tzinfo=UTC)
MILLIS, MICROS = EVENING.replace(microsecond=123_000), EVENING.replace(microsecond=123_456)
MINUTE, MIDNIGHT = EVENING.replace(second=0), EVENING.replace(hour=0, minute=0, second=0)

READ: dict[str, tuple[Any, datetime]] = {
    "ISO 8601": ("2018-10-10T20:19:24Z", EVENING),
    "ISO 8601, another zone": ("2018-10-10T22:19:24+02:00", EVENING),
    "ISO 8601, a zone without a colon": ("2018-10-10T22:19:24+0200", EVENING),
    "ISO 8601, hours of a zone": ("2018-10-10T22:19:24+02", EVENING),
    "ISO 8601, compact": ("20181010T201924Z", EVENING),
    "ISO 8601, compact with a zone": ("20181010T221924+0200", EVENING),
    "ISO 8601, milliseconds (Mastodon, Bluesky)": ("2018-10-10T20:19:24.123Z", MILLIS),
    "ISO 8601, nanoseconds (Go, Java)": ("2018-10-10T20:19:24.123456789Z", MICROS),
    "ISO 8601, a comma": ("2018-10-10T20:19:24,123Z", MILLIS),
    "ISO 8601, a week": ("2018-W41-3T20:19:24Z", EVENING),
    "ISO 8601, blanks around": (" 2018-10-10T20:19:24Z\n", EVENING),
    "ISO 8601, a blank before the zone": ("2018-10-10T20:19:24 +00:00", EVENING),
    "ISO 8601, a list of one": (["2018-10-10T20:19:24Z"], EVENING),
    "Java's ZonedDateTime": ("2018-10-10T22:19:24+02:00[Europe/Paris]", EVENING),
    "Python's str(datetime)": ("2018-10-10 20:19:24+00:00", EVENING),
    "pandas, PostgreSQL": ("2018-10-10 20:19:24.123456+00", MICROS),
    "Ruby's Time": ("2018-10-10 20:19:24 +0000", EVENING),
    "Ruby's Time, UTC": ("2018-10-10 20:19:24 UTC", EVENING),
    "Twint": ("2018-10-10 22:19:24 CEST", EVENING),
    "Go's Time.String": ("2018-10-10 20:19:24.123 +0000 UTC", MILLIS),
    "Japanese": ("2018/10/10 20:19:24 +0000", EVENING),
    "Twitter's first API": ("Wed Oct 10 20:19:24 +0000 2018", EVENING),
    "Java's Date": ("Wed Oct 10 22:19:24 CEST 2018", EVENING),
    "JavaScript's Date": ("Wed Oct 10 2018 22:19:24 GMT+0200 (Central European Summer Time)", EVENING),
    "JavaScript's Date, to UTC": ("Wed, 10 Oct 2018 20:19:24 GMT", EVENING),
    "RFC 2822": ("Wed, 10 Oct 2018 22:19:24 +0200", EVENING),
    "RFC 2822, with a comment": ("Wed, 10 Oct 2018 20:19:24 +0000 (UTC)", EVENING),
    "RFC 822 (RSS)": ("10 Oct 18 15:19:24 EST", EVENING),
    "RFC 822 (RSS), CST": ("Wed, 10 Oct 2018 14:19:24 CST", EVENING),
    "RFC 850": ("Wednesday, 10-Oct-18 20:19:24 GMT", EVENING),
    "Nitter": ("Oct 10, 2018 · 8:19 PM UTC", MINUTE),
    "seconds": (1539202764, EVENING),
    "seconds as text": ("1539202764", EVENING),
    "seconds with a fraction (Reddit)": (1539202764.0, EVENING),
    "seconds with a fraction, as text (Slack)": ("1539202764.123456", MICROS),
    "milliseconds": (1539202764123, MILLIS),
    "milliseconds as text": ("1539202764123", MILLIS),
    "microseconds": (1539202764123456, MICROS),
    "microseconds as text (Chrome, BigQuery)": ("1539202764123456", MICROS),
    "nanoseconds": (1539202764123456789, MICROS),
    "nanoseconds as text": ("1539202764123456789", MICROS),
    "MongoDB": ({"$date": "2018-10-10T20:19:24.123Z"}, MILLIS),
    "MongoDB, canonical": ({"$date": {"$numberLong": "1539202764123"}}, MILLIS),
    "JavaScript's Date, a German browser": (
        "Wed Oct 10 2018 22:19:24 GMT+0200 (Mitteleuropäische Sommerzeit)",
        EVENING,
    ),
    "JavaScript's Date, a Russian browser": (
        "Wed Oct 10 2018 23:19:24 GMT+0300 (Москва, стандартное время)",
        EVENING,
    ),
    "JavaScript's Date, a French browser": ("Wed Oct 10 2018 22:19:24 GMT+0200 (heure d’été d’Europe)", EVENING),
    "Microsoft's JSON": ("/Date(1539202764123)/", MILLIS),
    "Microsoft's JSON with an offset": ("/Date(1539202764123+0200)/", MILLIS),
    "Microsoft's JSON, the first day": ("/Date(86400000)/", datetime(1970, 1, 2, tzinfo=UTC)),
    "Go's Time.String with its own clock": ("2018-10-10 20:19:24.123 +0000 UTC m=+0.000012", MILLIS),
    "Firestore": ({"_seconds": 1539202764, "_nanoseconds": 123456789}, MICROS),
    "Firestore, of browsers": ({"seconds": 1539202764, "nanoseconds": 123000000}, MILLIS),
    "Protocol Buffers": ({"seconds": "1539202764", "nanos": 123000000}, MILLIS),
    "seconds in an object": ({"seconds": 1539202764}, EVENING),
    "the first day in an object": ({"seconds": 86400}, datetime(1970, 1, 2, tzinfo=UTC)),
    "BSON's timestamp": ({"$timestamp": {"t": 1539202764, "i": 1}}, EVENING),
    "a leap second": ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
    "a leap second with a fraction": ("2016-12-31 23:59:60.5 UTC", datetime(2016, 12, 31, 23, 59, 59, 500_000, UTC)),
    "a leap second of RFC 2822": (
        "Sat, 31 Dec 2016 23:59:60 +0000",
        datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC),
    ),
    "a compact leap second with a T": ("20161231T235960Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
    "a compact 24:00 with a T and a zone": ("20181009T240000Z", MIDNIGHT),
    "midnight as 24:00": ("2018-10-09T24:00:00Z", MIDNIGHT),
    "midnight as 24:00, end of a year": ("2018-12-31T24:00:00.000Z", datetime(2019, 1, 1, tzinfo=UTC)),
    "a year after 2038": ("2100-01-01T00:00:00Z", datetime(2100, 1, 1, tzinfo=UTC)),
    "RFC 822, last century": ("31 Dec 99 23:59:59 GMT", datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)),
}

WITHOUT_ZONE: dict[str, tuple[Any, datetime]] = {
    "ISO 8601": ("2018-10-10T20:19:24", EVENING),
    "Python's str(datetime)": ("2018-10-10 20:19:24.123456", MICROS),
    "a day": ("2018-10-10", MIDNIGHT),
    "a compact day": ("20181010", MIDNIGHT),
    "a compact day as a number": (20181010, MIDNIGHT),
    "a compact minute": ("201810102019", MINUTE),
    "a compact second (Wayback Machine)": ("20181010201924", EVENING),
    "a day with slashes": ("2018/10/10", MIDNIGHT),
    "a day with dots": ("2018.10.10", MIDNIGHT),
    "C's asctime": ("Wed Oct 10 20:19:24 2018", EVENING),
    "English": ("October 10th, 2018 at 8:19 p.m.", MINUTE),
    "English, a day": ("10 October 2018", MIDNIGHT),
    "Twitter's page": ("8:19 PM · Oct 10, 2018", MINUTE),
    "Twitter's older page": ("8:19 PM - 10 Oct 2018", MINUTE),
    "English, an ordinal": ("10th October 2018", MIDNIGHT),
    "English, of a month": ("10th of October, 2018", MIDNIGHT),
    "English, an ordinal and a time": ("Wednesday, 10th October 2018 20:19", MINUTE),
    "a German date with the month in letters": ("10. October 2018", MIDNIGHT),
    "a day above 12 and slashes": ("13/01/2024", datetime(2024, 1, 13, tzinfo=UTC)),
    "a day above 12 behind the month": ("01/13/2024", datetime(2024, 1, 13, tzinfo=UTC)),
    "a day above 12 and dots": ("31.01.2024 10:00", datetime(2024, 1, 31, 10, tzinfo=UTC)),
    "a day above 12 and hyphens": ("31-1-2024 10:00:30", datetime(2024, 1, 31, 10, 0, 30, tzinfo=UTC)),
    "a day above 12, with AM": ("1/31/2024, 8:19:24 PM", datetime(2024, 1, 31, 20, 19, 24, tzinfo=UTC)),
    "a compact day as a float (pandas)": (20181010.0, MIDNIGHT),
    "a compact day as a float, in text (CSV)": ("20181010.0", MIDNIGHT),
    "a compact day with blanks": (" 20181010 ", MIDNIGHT),
    "a compact leap second": ("20161231235960", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
    "a compact leap second as a number": (20161231235960, datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
    "a compact leap second in another zone": ("20170101052960", datetime(2017, 1, 1, 5, 29, 59, tzinfo=UTC)),
    "a compact 24:00": ("201810092400", MIDNIGHT),
    "a compact 24:00 with seconds": ("20181009240000", MIDNIGHT),
    "a compact 24:00 at the end of a leap February": ("202402292400", datetime(2024, 3, 1, tzinfo=UTC)),
    "a compact 24:00 at the end of a year": ("202412312400", datetime(2025, 1, 1, tzinfo=UTC)),
    "a compact 24:00 as a float in text": ("201810092400.0", MIDNIGHT),
    "a compact 24:00 with a T": ("20181009T2400", MIDNIGHT),
    "twelve at night": ("2018-10-10 12:00 AM", MIDNIGHT),
}

NOT_READ: dict[str, tuple[Any, str]] = {
    "three numbers": ("10/11/12", "unreadable"),
    "a day of two readings": ("10/11/2018", "unreadable"),
    "a day of two readings, with a time": ("10/10/2018, 8:19:24 PM", "unreadable"),
    "a year and a month": ("2018-10", "unreadable"),
    "a year": ("2024", "unreadable"),
    "a year as a number": (2024, "unreadable"),
    "a year as a float": (2024.0, "unreadable"),
    "a year as a float, in text": ("1999.0", "unreadable"),
    "a year with blanks": (" 2024 ", "unreadable"),
    "a compact month": ("202410", "unreadable"),
    "a compact month as a number": (202410, "unreadable"),
    "a day of the year": ("2024123", "unreadable"),
    "compact, hour 24 and a minute": ("201810102401", "unreadable"),
    "compact, hour 25": ("201810102500", "unreadable"),
    "compact, hour 24, minute 60 and second 60": ("20241231246060", "unreadable"),
    "compact, the same as a number": (20241231246060, "unreadable"),
    "compact, the same as a float": (20241231246060.0, "unreadable"),
    "compact, minute 60": ("201810102060", "unreadable"),
    "compact, second 61": ("20181010201961", "unreadable"),
    "compact, second 60 in the middle of an hour": ("20181010200060", "unreadable"),
    "compact, a second after 24:00": ("20181010240001", "unreadable"),
    "compact, all nines": ("20181010999999", "unreadable"),
    "compact, February 30": ("202402301200", "unreadable"),
    "compact, February 30 and seconds": ("20240230120000", "unreadable"),
    "compact with a T, hour 25": ("20181010T250000Z", "unreadable"),
    "compact with a T, second 61": ("20181010T201961Z", "unreadable"),
    "a day of two readings, with dots": ("05.01.2024 10:00", "unreadable"),
    "no day and no month": ("31/13/2024", "unreadable"),
    "second 61": ("2016-12-31T23:59:61Z", "unreadable"),
    "a minute after 24:00": ("2018-10-09T24:01:00Z", "unreadable"),
    "a fraction after 24:00": ("2018-10-09T24:00:00.1Z", "unreadable"),
    "a list of numbers, perhaps with months from 0": ([2024, 1, 5, 10, 0], "wrong_type"),
    "an object with more": ({"seconds": 5, "text": "x"}, "wrong_type"),
    "seconds that are true": ({"seconds": True}, "wrong_type"),
    "seconds that are a text": ({"seconds": "soon"}, "wrong_type"),
    "far seconds in an object": ({"seconds": 10**30}, "out_of_range"),
    "Microsoft's JSON, far": ("/Date(999999999999999999)/", "out_of_range"),
    "Microsoft's JSON, before 1970": ("/Date(-62135596800000)/", "out_of_range"),
    "a timestamp without a time": ({"$timestamp": {"i": 1}}, "wrong_type"),
    "a word": ("yesterday", "unreadable"),
    "a relative time": ("2 h", "unreadable"),
    "no such day": ("2018-02-30", "unreadable"),
    "no such hour": ("2018-10-10T25:00:00Z", "unreadable"),
    "no such zone": ("2018-10-10T20:19:24+25:00", "unreadable"),
    "a zone of several meanings": ("Wed Oct 10 20:19:24 IST 2018", "unreadable"),
    "CST outside of RFC 822": ("Wed Oct 10 20:19:24 CST 2018", "unreadable"),
    "another language": ("mié, 10 octubre 2018", "unreadable"),
    "half a surrogate pair": ("2018-10-10\ud83d", "unreadable"),
    "a long text": ("2018-10-10T20:19:24Z" + " " * 1000, "unreadable"),
    "before 1970": ("1969-12-31T23:59:59Z", "out_of_range"),
    "before 1970, a number": (-5, "out_of_range"),
    "the year 1": ("0001-01-01T00:00:00Z", "out_of_range"),
    "the year 9999": ("9999-12-31T23:59:59Z", "out_of_range"),
    "a zone that leads to the year 9999": ("9998-12-31 23:59:59 -1200", "out_of_range"),
    "infinite": (float("inf"), "out_of_range"),
    "forty digits": (10**40, "out_of_range"),
    "true": (True, "wrong_type"),
    "an object": ({"date": "2018-10-10"}, "wrong_type"),
    "Python's struct_time": ([2018, 10, 10, 20, 19, 24, 2, 283, 0], "wrong_type"),
}

ABSENT: dict[str, Any] = {
    "null": None,
    "empty": "",
    "a blank": " ",
    "no list": [],
    "no object": {},
    "NaN": float("nan"),
}


def read(value: Any) -> Tweet:
    return Tweet.model_validate_json(json.dumps({"id": "1", "text": "x", "created_at": value}))


@pytest.mark.parametrize("name", READ)
def test_a_date_with_a_zone_is_read(name: str) -> None:
    value, moment = READ[name]
    tweet = read(value)
    assert (tweet.created_at, tweet.left_out) == (moment, {})
    assert stored(tweet) == tweet


@pytest.mark.parametrize("name", WITHOUT_ZONE)
def test_a_date_without_a_zone_is_read_as_utc_and_says_so(name: str) -> None:
    value, moment = WITHOUT_ZONE[name]
    tweet = read(value)
    assert (tweet.created_at, tweet.left_out) == (moment, {"created_at": "no_zone"})


@pytest.mark.parametrize("name", NOT_READ)
def test_a_date_that_is_not_certain_is_left_out_with_its_reason(name: str) -> None:
    value, fault = NOT_READ[name]
    tweet = read(value)
    assert (tweet.created_at, tweet.left_out) == (None, {"created_at": fault})


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_date_is_no_fault(name: str) -> None:
    tweet = read(ABSENT[name])
    assert (tweet.created_at, tweet.left_out) == (None, {})
