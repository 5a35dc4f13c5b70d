"""A post may come with a field `left_out` of its own. It is ours to write: only our own messages keep it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from core.events import Decision, Extraction, Mention, Question, Reason, ReviewTask, Tweet

#: Name -> what a stranger sends as `left_out`.
FORGED: dict[str, Any] = {
    "a known field and reason": {"lang": "too_long"},
    "two of them": {"lang": "too_long", "media.alt": "wrong_type"},
    "a known field, another reason": {"lang": "stolen"},
    "another field": {"text": "too_long"},
    "a number as reason": {"lang": 5},
    "a list as reason": {"lang": ["too_long"]},
    "an object as reason": {"lang": {"too_long": 1}},
    "a list": ["lang"],
    "a list of pairs": [["lang", "too_long"]],
    "a text": "lang",
    "true": True,
    "null": None,
    "empty": {},
    "many fields": {f"field {number}": number for number in range(100_000)},
    "a long reason": {"lang": "x" * 100_000},
}

#: Name -> the side fields that come with it, and what the post notes itself.
BESIDE: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "nothing": ({}, {}),
    "valid": ({"lang": "de", "created_at": "2018-10-10T20:19:24Z"}, {}),
    "unread": ({"lang": 5}, {"lang": "wrong_type"}),
    "half a pair": ({"z": "\ud83d"}, {}),
}


def raw(**fields: Any) -> str:
    return json.dumps({"id": "1", "text": "x"} | fields)


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("name", FORGED)
def test_a_post_from_outside_notes_only_what_we_left_out(name: str, beside: str) -> None:
    fields, noted = BESIDE[beside]
    tweet = Tweet.model_validate_json(raw(**fields, left_out=FORGED[name]))
    assert tweet.left_out == noted
    assert tweet == Tweet.model_validate_json(raw(**fields))
    assert tweet.model_dump_json() == Tweet.model_validate_json(raw(**fields)).model_dump_json()


@pytest.mark.parametrize("name", FORGED)
def test_no_entry_becomes_an_error(name: str) -> None:
    """pydantic makes two errors for each wrong entry of a mapping. A hundred thousand of them took three seconds."""
    TypeAdapter(Tweet).validate_json(raw(left_out=FORGED[name]))


#: Name -> what the extraction of another version has, and what this version keeps.
NESTED: dict[str, tuple[Any, dict[str, str]]] = {
    "known": ({"lang": "too_long", "edit": "unreadable"}, {"lang": "too_long", "edit": "unreadable"}),
    "a later field": ({"lang": "too_long", "place": "too_long"}, {"lang": "too_long"}),
    "a later part of a field": ({"author.url": "missing"}, {}),
    "a later reason": ({"lang": "too_long", "edit": "too_old"}, {"lang": "too_long"}),
    "a reason that became an object": ({"lang": {"reason": "too_long"}, "edit": "unreadable"}, {"edit": "unreadable"}),
    "a reason that became a list": ({"lang": ["too_long"], "edit": "unreadable"}, {"edit": "unreadable"}),
    "a list of objects": ([{"field": "lang", "reason": "too_long"}], {}),
    "null": (None, {}),
    "empty": ({}, {}),
}


@pytest.mark.parametrize("name", NESTED)
def test_our_own_messages_keep_it_and_those_of_a_later_version_are_read(name: str) -> None:
    given, kept = NESTED[name]
    mention = Mention(start=0, end=1, text="x", type="LOC", probability=0.5, aleatoric=0, epistemic=0)
    tweet = Tweet(id="1", text="x")
    question = Question(mention=mention, reasons=(Reason(kind="ambiguous", sentence="it is"),))
    model: dict[str, Any] = {"tweet": tweet, "model": "m", "model_version": 1, "threshold": 0.9}
    task = ReviewTask(id="1", questions=(question,), uncertainty=0.5, **model)
    decision = Decision(id="1", task=task, mentions=(), reviewer="ada", decided_at="2018-10-10T20:19:24Z")

    def with_it(value: Any) -> str:
        fields = json.loads(value.model_dump_json())
        holder = fields.get("task", fields)
        holder["tweet"]["left_out"] = given
        return json.dumps(fields)

    assert Extraction.model_validate_json(with_it(Extraction(**model))).tweet.left_out == kept
    assert ReviewTask.model_validate_json(with_it(task)).tweet.left_out == kept
    assert Decision.model_validate_json(with_it(decision)).task.tweet.left_out == kept
