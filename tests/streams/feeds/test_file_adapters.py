"""What the records of a file become: events without the author's place, and the entries of pages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.json_text import read_json
from streams.feeds.adapters.files import ADAPTERS, PLACES, without_place
from streams.feeds.source import Received
from tests.streams.feeds.test_files import V1, V2


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        pytest.param('{"place":{"a":[1,"}"]},"id":1}', '{"id":1}', id="the first field"),
        pytest.param('{"id":1,"geo":null}', '{"id":1}', id="the last field"),
        pytest.param('{"geo":{}}', "{}", id="the only field"),
        pytest.param('{"geo":1,"geo":2,"id":1}', '{"id":1}', id="a repeated field"),
        pytest.param('{"id":1,"pl\\u0061ce":"Rome"}', '{"id":1}', id="an escaped name"),
        pytest.param('{"id":"geo","x":["place",{"geo":1}]}', '{"id":"geo","x":["place",{"geo":1}]}', id="values"),
        pytest.param('{"id":"\\"geo\\":","text":"\\u0022"}', '{"id":"\\"geo\\":","text":"\\u0022"}', id="escapes"),
        pytest.param(
            '{"id":1.50,"text":"\u6771\u4eac \\/","geo":1}', '{"id":1.50,"text":"\u6771\u4eac \\/"}', id="bytes"
        ),
        pytest.param('{"id":1,"n":' + "9" * 5000 + ',"geo":1}', '{"id":1,"n":' + "9" * 5000 + "}", id="a long number"),
        pytest.param('{"id":1,"geo":' + "[" * 9999 + "]" * 9999 + "}", '{"id":1}', id="deep nesting"),
        pytest.param('{"id":1,"geo":1', '{"id":1,"geo":1', id="a broken event"),
        pytest.param('["geo"]', '["geo"]', id="no object"),
    ],
)
def test_the_place_of_an_author_is_cut_out_and_nothing_else_changes(record: str, kept: str) -> None:
    assert without_place(record.encode()) == kept.encode()


def test_the_place_is_cut_out_of_an_event_that_is_not_utf_8() -> None:
    assert without_place(b'{"id":1,"text":"\xff","geo":1}') == b'{"id":1,"text":"\xff"}'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PLACES, "id", '"']), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*PLACES, "id", "\\", "text"]), VALUES), st.booleans(), st.sampled_from(" \n"))
def test_any_event_keeps_its_other_fields(event: dict[str, Any], ascii_only: bool, blank: str) -> None:
    record = json.dumps(event, ensure_ascii=ascii_only, separators=("," + blank, blank + ":")).encode()
    kept = without_place(record)
    assert read_json(kept) == {name: value for name, value in event.items() if name not in PLACES}
    assert len(kept) <= len(record)


def unread(form: Any, page: Any) -> list[Received]:
    """Returns the messages of the entries that cannot be read."""
    return [message for message in ADAPTERS[form](json.dumps(page).encode()) if message.raw is not None]


@pytest.mark.parametrize(
    ("form", "page", "entries"),
    [
        ("x-v2", V2 | {"data": [*V2["data"], {"id": "x", "text": "\ud800 \u6771"}, 7]}, [{"id": "x"}, 7]),
        ("x-v1", {"statuses": [V1, {"id": "x", "text": "\ud800 \u6771"}, 7]}, [{"id": "x"}, 7]),
    ],
)
def test_an_entry_of_a_page_that_cannot_be_read_is_kept_alone(form: Any, page: Any, entries: list[Any]) -> None:
    bad = unread(form, page)
    values = [json.loads(message.raw or b"") for message in bad]
    found = [value.get("data", value) if isinstance(value, dict) else value for value in values]
    assert [{"id": value["id"]} if isinstance(value, dict) else value for value in found] == entries
    count = len(page.get("data") or page["statuses"])
    assert [message.why for message in bad] == [
        f"entry {place} of the page is no post with an id and a text that can be read" for place in (count - 1, count)
    ]


def test_a_single_record_keeps_its_bytes_and_says_why() -> None:
    (message,) = ADAPTERS["x-v1"](b'{"id_str":  "x"}')
    assert (message.raw, message.why) == (
        b'{"id_str":  "x"}',
        "the record is no post with an id and a text that can be read",
    )


def test_the_dead_letters_of_a_page_are_no_larger_than_the_page() -> None:
    page = {"data": [{"id": "x"}] * 500, "includes": {"users": [{"id": "1", "name": "a" * 10_000}]}}
    assert sum(len(message.raw or b"") for message in unread("x-v2", page)) < len(json.dumps(page))


def test_an_original_that_cannot_be_read_stays_with_its_repost() -> None:
    repost = {"id": "11", "text": "RT", "referenced_tweets": [{"type": "retweeted", "id": "5"}]}
    tweets = [{"id": "5", "text": 7}, {"id": "6", "text": "other"}]
    (message,) = unread("x-v2", {"data": [repost, {"id": "12", "text": "b"}], "includes": {"tweets": tweets}})
    assert json.loads(message.raw or b"") == {"data": repost, "includes": {"tweets": tweets[:1]}}


def test_a_page_is_adapted_entry_by_entry() -> None:
    assert iter(messages := ADAPTERS["x-v2"](json.dumps(V2).encode())) is messages
