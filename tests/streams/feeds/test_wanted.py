"""Which posts of a feed are wanted: `--filter` and `--since`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cli.feeds.options import moment
from core.errors import UserError
from core.events import Tweet
from streams.feeds.filters import Filters


@pytest.mark.parametrize(
    ("filters", "text", "lang", "refusal"),
    [
        (["en"], "x", "en-GB", None),
        (["en"], "x", "de", "language"),
        (["en"], "x", None, "language"),
        (["en", "de"], "x", "de", None),
        (["pt-BR"], "x", "pt_br", None),
        (["pt-BR"], "x", "pt", "language"),
        (["lang:pt_BR"], "x", "pt-BR", None),
        (["lang:zh-Hant"], "x", "zh-Hant-TW", None),
        (["lang:zh-hant-tw"], "x", "zh_Hant_TW", None),
        (["lang:zh-Hant"], "x", "zh-Hans", "language"),
        (["lang:zh-Han"], "x", "zh-Hant", "language"),
        (["lang:yue"], "x", "yue", None),
        (["Paris"], "to PARIS!", None, None),
        (["Paris"], "#paris", None, None),
        (["Paris"], "Parisian", None, "word"),
        (["word:eu"], "the EU votes", "de", None),
        (["en", "Paris", "Rome"], "Rome", "en", None),
        (["en", "Paris"], "Rome", "en", "word"),
        (["C++"], "I like C++, too", None, None),
        (["東京"], "今日は東京で会議", "ja", None),
        (["กรุงเทพ"], "ไปกรุงเทพมา", "th", None),
        (["Zu\u0308rich"], "in Z\u00fcrich", "de", None),
        (["Z\u00fcrich"], "in Zu\u0308rich", "de", None),
        ([], "x", None, None),
    ],
)
def test_a_filter_is_a_language_or_a_word(filters: list[str], text: str, lang: str | None, refusal: str | None) -> None:
    assert Filters.parse(filters).refusal(Tweet(id="1", text=text, lang=lang)) == refusal


def test_an_edit_always_passes_a_filter() -> None:
    wanted = Filters.parse(["en", "Paris"])
    assert wanted.refusal(Tweet(id="1", text="gone", lang="de", edit=2)) is None
    assert wanted.refusal(Tweet(id="1", text="gone", lang="de")) == "language"


def test_since_is_a_moment_or_a_duration() -> None:
    assert moment("2026-11-01T08:00Z") == datetime(2026, 11, 1, 8, tzinfo=UTC)
    ago = moment("2h")
    assert ago is not None
    assert timedelta(hours=2) <= datetime.now(UTC) - ago < timedelta(hours=2, minutes=5)
    assert moment(None) is None


@pytest.mark.parametrize("value", ["999999w", "soon", "2026-11-01T08:00", ""])
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(UserError, match="is no time; write a moment such as"):
        moment(value)


def test_a_moment_in_the_future_is_refused() -> None:
    with pytest.raises(UserError, match="lies in the future; leave it out to start now"):
        moment("2099-01-01T00:00Z")
