"""Any JSON value in any side field gives a post, the same one each time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.events import Tweet
from core.moments import read_moment
from core.reading import READERS
from tests.families.sidefields.stored import stored

KEYS = st.sampled_from(
    ["id", "name", "url", "src", "type", "alt", "$date", "$numberLong", "$timestamp", "t", "seconds"]
) | st.text(max_size=3)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=40)
    | st.text(alphabet=st.characters(categories=["Cs", "Cc", "Nd"]), max_size=20)
    | st.from_regex(r"[0-9]{1,20}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,12}([+-][0-9:]{2,6})?", fullmatch=True)
    | st.sampled_from(["x" * 5000, "<" * 100, "&#x110000;<b>" * 9, "1e5", "+-3", "٣", "-0"])
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=30
)


def post(fields: dict[str, Any]) -> str:
    return json.dumps({"id": "1", "text": "x"} | fields)


@pytest.mark.parametrize("field", READERS)
@given(value=JSON)
@example(value="<" * 3 + ">" * 3)
@example(value={"$date": {"$numberLong": []}})
@example(value=[[]])
@example(value={"seconds": 1, "nanos": 10**400})
def test_any_value_in_a_side_field_gives_the_same_post_each_time(field: str, value: Any) -> None:
    raw = post({field: value})
    tweet = Tweet.model_validate_json(raw)
    written = tweet.model_dump_json()
    assert Tweet.model_validate_json(raw).model_dump_json() == written
    assert stored(tweet) == tweet, "a worker that reads it again reads the same"
    assert (tweet.id, tweet.text) == ("1", "x")
    assert {name.partition(".")[0] for name in tweet.left_out} <= {field}


@given(fields=st.dictionaries(st.sampled_from([*READERS, "left_out", "z"]), JSON))
def test_any_values_in_all_side_fields_give_a_post(fields: dict[str, Any]) -> None:
    tweet = Tweet.model_validate_json(post(fields))
    assert stored(tweet) == tweet


@given(text=st.text(alphabet="0123456789 :-/.,+TZ·()[]apmgtuces", max_size=40))
@example(text="1" * 129)
@example(text="(" * 128)
@example(text="00001231T00:00:00+23:59")
def test_any_text_is_a_date_in_utc_or_none(text: str) -> None:
    moment, fault = read_moment(text)
    assert (moment is None) == (fault not in (None, "no_zone"))
    assert moment is None or 1970 <= moment.year <= 9998
