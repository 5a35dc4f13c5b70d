"""Invalid values at the boundary are refused, with the field, the value and what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from core.events import Extraction, Mention, Question, Reason, ReviewTask, Tweet, Verdict, explain


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


def test_an_empty_span_is_refused() -> None:
    with pytest.raises(ValidationError, match="must lie before"):
        mention(4, 4, "x")
