"""What the pages of names ask for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from desk.entities import view
from desk.entities.asked import Asked, asked_of
from desk.entities.values import TrendingName

NOW = datetime(2026, 11, 30, 12, 30, 15, tzinfo=UTC)


@given(st.text(min_size=1))
def test_any_text_as_a_name_survives_its_address(name: str) -> None:
    if any("\ud800" <= sign <= "\udfff" for sign in name):
        return
    address = Asked(type="ORG", source="a&b=c").page(name)
    assert parse_qs(urlsplit(address).query, keep_blank_values=True)["name"] == [name]
    assert urlsplit(address).path == "/entities/name"


def test_an_address_gives_back_what_was_asked() -> None:
    for asked in (
        Asked(),
        Asked("24h", type="PER"),
        Asked("all", source="mastodon:é", lang="pt"),
        Asked(since=date(2026, 11, 1), until=date(2026, 11, 2)),
    ):
        values = {name: each[0] for name, each in parse_qs(urlsplit(asked.lists()).query).items()}
        assert asked_of(values) == asked
    assert asked_of({"since": "", "type": " ", "period": ""}) == Asked()


def test_a_period_is_whole_minutes_and_days_stand_in_its_place() -> None:
    begin, end = Asked("24h").span(NOW)
    assert (begin, end) == (datetime(2026, 11, 29, 12, 31, tzinfo=UTC), datetime(2026, 11, 30, 12, 31, tzinfo=UTC))
    days = Asked("24h", since=date(2026, 11, 1), until=date(2026, 11, 2))
    assert days.span(NOW) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC))
    assert Asked("all").span(NOW) == (None, None)


def test_only_a_period_with_a_beginning_is_compared() -> None:
    assert Asked("all").compared(NOW) is None
    assert Asked(until=date(2026, 11, 2)).compared(NOW) is None
    assert Asked(since=date(2026, 12, 24)).compared(NOW) is None, "it has not begun"
    assert Asked(since=date.min, until=date.max).compared(NOW) is None, "nothing lies before it"
    since, until = Asked(since=date(2026, 11, 29)).compared(NOW) or (NOW, NOW)
    assert until - since == timedelta(days=1, hours=12, minutes=31)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"period": "1y"}, "period: must be one of 24h, 7d, 30d, all (got '1y')"),
        ({"type": "<b>"}, "type: must be one of PER, LOC, ORG, MISC"),
        ({"since": "yesterday"}, "since: must be a day such as 2026-11-30 (got 'yesterday')"),
        ({"since": "2026-11-30", "until": "2026-11-01"}, "exchange the two"),
    ],
)
def test_a_wrong_address_is_told_with_its_remedy(values: dict[str, str], told: str) -> None:
    with pytest.raises(UserError) as caught:
        asked_of(values)
    assert told in str(caught.value)


def test_a_picture_of_a_trend_stays_inside_of_its_scale() -> None:
    def trend(low: float, ratio: float | None, high: float | None) -> TrendingName:
        return TrendingName(
            name="a",
            written="A",
            types={},
            posts=9,
            before=3,
            ratio=ratio,
            low=low,
            high=high,
            false_rate=0.01,
            sure="new",
        )

    both = [trend(2.0, 4.0, 8.0), trend(0.5, 200.0, 900.0), trend(3.0, None, None)]
    assert view.scale(both) == view.LARGEST
    assert view.scale(both[:1]) == 8.0
    assert view.ratio(both[0], 8.0) == view.Ratio(0.333, 0.667, 1.0)
    assert view.ratio(both[1], 64.0) == view.Ratio(0.0, 1.0, 1.0)
    assert view.ratio(both[2], 8.0) == view.Ratio(0.528, None, 1.0)
