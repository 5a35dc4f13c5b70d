"""Invalid values at the boundary are refused, with the field, the value and what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from core.events import (
    Account,
    Extraction,
    ImageResult,
    Mention,
    Question,
    Reason,
    Region,
    ReviewTask,
    Tweet,
    Verdict,
    explain,
)


def mention(start: int, end: int, text: str) -> Mention:
    return Mention(start=start, end=end, text=text, type="PER", probability=0.9, aleatoric=0.1, epistemic=0.1)


def test_id_and_text_are_enough() -> None:
    tweet = Tweet.model_validate_json('{"id": "1", "text": "hello"}')
    assert (tweet.edit, tweet.media, tweet.author) == (0, (), None)


def test_fields_that_a_platform_adds_are_ignored() -> None:
    assert Tweet.model_validate_json('{"id": "1", "text": "hello", "retweets": 7}').id == "1"


@pytest.mark.parametrize(
    ("event", "says"),
    [
        pytest.param("{not json", "event: Invalid JSON", id="invalid JSON"),
        pytest.param("[]", "event:", id="not an object"),
        pytest.param({"id": "1"}, "text: Field required", id="no text"),
        pytest.param({"id": "a/b", "text": "x"}, "id: String should match pattern", id="id with a slash"),
        pytest.param({"id": True, "text": "x"}, "id: must be a string or a whole number", id="id of wrong type"),
        pytest.param({"id": "1", "text": 7}, "text: Input should be a valid string (got 7)", id="text of wrong type"),
        pytest.param('{"id": "1", "text": "\\ud83d"}', "text: has half a surrogate pair", id="half a surrogate pair"),
    ],
)
def test_a_bad_post_is_refused_with_field_value_and_reason(event: Any, says: str) -> None:
    raw = event if isinstance(event, str) else json.dumps(event)
    with pytest.raises(ValidationError) as caught:
        Tweet.model_validate_json(raw)
    assert says in explain(caught.value)


def test_a_mention_must_match_the_text_at_its_offsets() -> None:
    tweet = Tweet(id="1", text="🚀 NASA!")
    extraction = Extraction(tweet=tweet, mentions=(mention(2, 6, "NASA"),), model="m", model_version=1, threshold=0.9)
    assert extraction.mentions[0].text == "NASA"
    for wrong in ({"mentions": (mention(3, 7, "NASA"),)}, {"candidates": (mention(3, 7, "NASA"),)}):
        with pytest.raises(ValidationError, match="is not the post's text at"):
            Extraction(tweet=tweet, model="m", model_version=1, threshold=0.9, **wrong)


def test_fields_about_candidates_are_written_only_when_set() -> None:
    tweet, nasa = Tweet(id="1", text="NASA!"), mention(0, 4, "NASA")
    extraction = Extraction(tweet=tweet, mentions=(nasa,), model="m", model_version=1, threshold=0.9)
    question = Question(mention=nasa, reasons=(Reason(kind="ambiguous", sentence="it is"),))
    task = ReviewTask(
        id="1", tweet=tweet, questions=(question,), model="m", model_version=1, threshold=0.9, uncertainty=0.1
    )
    verdict = Verdict(action="accept", before=nasa, after=nasa)
    for value in (extraction, task, verdict):
        assert "candidates" not in value.model_dump_json()
        assert type(value).model_validate_json(value.model_dump_json()) == value
    for full in (
        extraction.model_copy(update={"candidates": (nasa,), "candidate_threshold": 0.2}),
        task.model_copy(update={"candidate_threshold": 0.2}),
        question.model_copy(update={"is_candidate": True}),
        verdict.model_copy(update={"is_candidate": True}),
    ):
        assert type(full).model_validate_json(full.model_dump_json()) == full


def test_accounts_are_written_only_when_there_are_some_and_lie_in_the_text() -> None:
    extraction = Extraction(tweet=Tweet(id="1", text="@nasa"), model="m", model_version=1, threshold=0.9)
    assert "accounts" not in extraction.model_dump_json()
    assert Extraction.model_validate_json(extraction.model_dump_json()).accounts == ()
    full = extraction.model_copy(update={"accounts": (Account(start=0, end=5, name="nasa"),)})
    assert Extraction.model_validate_json(full.model_dump_json()) == full
    for start, end in ((0, 6), (1, 1), (3, 2)):
        wrong = full.model_copy(update={"accounts": (Account(start=start, end=end, name="nasa"),)})
        with pytest.raises(ValidationError, match="account 'nasa' at"):
            Extraction.model_validate_json(wrong.model_dump_json())


def test_typicality_and_regions_are_written_only_when_known() -> None:
    extraction = Extraction(tweet=Tweet(id="1", text="x"), model="m", model_version=1, threshold=0.9)
    assert {"typicality", "regions"}.isdisjoint(json.loads(extraction.model_dump_json()))
    assert "regions" not in json.loads(extraction.model_dump_json())["image"]
    region = Region(kind="text", label="EXIT", score=0.9, box=(0, 0, 1, 0.5))
    full = extraction.model_copy(update={"typicality": 0.0, "image": ImageResult(status="ok", regions=(region,))})
    assert json.loads(full.model_dump_json())["typicality"] == 0
    assert Extraction.model_validate_json(full.model_dump_json()) == full


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(ValidationError, match="must lie before"):
        mention(4, 4, "x")
