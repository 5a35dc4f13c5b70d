"""Payloads of X and the posts or events that they become. Each file of pairs/x holds one payload and its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.lifecycle import Cause, Lifecycle
from core.standing import Standing
from streams.feeds.adapters import x
from streams.feeds.adapters.x import compliance
from streams.feeds.source import Adapted
from tests.conftest import ROOT

DAY = datetime(2026, 11, 20, tzinfo=UTC)

PAIRS = sorted((Path(__file__).parent / "pairs" / "x").glob("*.json"))


def adapt(adapter: str, payload: Any) -> Adapted:
    """Calls an adapter by its name. A word after a colon is its second argument."""
    name, _, argument = adapter.partition(":")
    if name == "archive":
        return x.archive_object(payload, argument)
    if name == "compliance_result":
        return x.compliance_result(payload, "users" if argument == "users" else "tweets")
    return {"v2_page": x.v2_page, "v1_object": x.v1_object, "compliance_event": x.compliance_event}[name](payload)


def answer(adapter: str, payload: Any) -> dict[str, Any]:
    """Returns the answer as the files of pairs write it. Only what is set is written."""
    adapted = adapt(adapter, payload)
    fields = {
        "posts": [post.model_dump(mode="json", exclude_defaults=True) for post in adapted.posts],
        "lifecycle": [event.model_dump(mode="json", exclude_none=True) for event in adapted.lifecycle],
        "skipped": adapted.skipped,
    }
    return {name: value for name, value in fields.items() if value}


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_a_payload_becomes_what_its_pair_says(path: Path) -> None:
    case = json.loads(path.read_text())
    assert answer(case["adapter"], case["payload"]) == case["expected"]


def test_the_pairs_are_there() -> None:
    assert len(PAIRS) >= 100


def said(reactions: Iterable[Any]) -> set[tuple[str, str | None]]:
    """Returns kind and cause of the events that follow from these messages."""
    events = (event for react in reactions for event in react("77", DAY) if event is not None)
    return {(event.kind, event.cause) for event in events}


def without_reversal(reactions: Iterable[Any]) -> set[str | None]:
    found = said(reactions)
    return {cause for kind, cause in found if kind == "hide" and ("show", cause) not in found}


def test_the_page_names_each_hide_that_no_event_of_x_ends() -> None:
    posts = [*compliance.POST_EVENTS.values(), *compliance.POST_REASONS.values()]
    authors = [*compliance.AUTHOR_EVENTS.values(), *compliance.AUTHOR_REASONS.values()]
    page = (ROOT / "docs" / "lifecycle.md").read_text().partition("## Showing a post by hand")[2]
    rows = dict(re.findall(r"^\| X \| an? (post|author) \| (.*) \|$", page, re.MULTILINE))
    named = {subject: set(re.findall(r"`([a-z]+)`", cell)) for subject, cell in rows.items()}
    assert named == {"post": without_reversal(posts), "author": without_reversal(authors)}


@pytest.mark.parametrize("cause", get_args(Cause))
def test_the_record_of_the_page_shows_a_post_whatever_hid_it(cause: Cause) -> None:
    page = (ROOT / "docs" / "lifecycle.md").read_text().partition("## Showing a post by hand")[2]
    ((key, value),) = re.findall(r"^    (show any .*?)\|(\{.*\})$", page, re.MULTILINE)
    show = Lifecycle.model_validate_json(value)
    assert key.replace("Z", "+00:00") == show.key.decode()
    hide = Lifecycle(kind="hide", post=show.post, cause=cause, at=DAY, source="x")
    standing = Standing.of(hide)
    assert standing.is_hidden
    assert not standing.merged(Standing.of(show)).is_hidden


def test_an_account_that_is_back_ends_both_names_of_its_state() -> None:
    for hide in (compliance.AUTHOR_EVENTS["user_delete"], compliance.AUTHOR_REASONS["deactivated"]):
        standing = Standing()
        for react, at in ((hide, DAY), (compliance.AUTHOR_EVENTS["user_undelete"], DAY + timedelta(days=3))):
            for event in react("77", at):
                assert event is not None
                standing = standing.merged(Standing.of(event))
        assert not standing.is_hidden


# Payloads whose fields have the right names, and values of any form. Nothing may raise, and no side field may cost the
# post.

NAMES = [
    "data",
    "includes",
    "errors",
    "meta",
    "users",
    "media",
    "tweets",
    "id",
    "id_str",
    "text",
    "full_text",
    "note_tweet",
    "edit_history_tweet_ids",
    "lang",
    "created_at",
    "author_id",
    "attachments",
    "media_keys",
    "media_key",
    "url",
    "alt_text",
    "type",
    "referenced_tweets",
    "user",
    "extended_tweet",
    "extended_entities",
    "entities",
    "retweeted_status",
    "quoted_status",
    "edit_info",
    "initial",
    "edit",
    "delete",
    "status",
    "tweet",
    "event_at",
    "timestamp_ms",
    "scrub_geo",
    "user_delete",
    "withheld",
    "action",
    "reason",
    "redacted_at",
    "name",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(["1725000000000000001", 10**30, "retweeted", "photo", "3_1", "delete", "deleted", "\ud800"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
SIDE = ["note_tweet", "edit_history_tweet_ids", "lang", "created_at", "author_id", "attachments", "referenced_tweets"]
SIDE_V1 = [
    "lang",
    "created_at",
    "user",
    "entities",
    "extended_entities",
    "extended_tweet",
    "edit_info",
    "quoted_status",
]


@given(VALUES)
def test_no_payload_makes_an_adapter_raise(payload: Any) -> None:
    for adapter in ("v2_page", "v1_object", "compliance_event", "compliance_result:tweets", "compliance_result:users"):
        answer(adapter, payload)
    for section in ("tweets", "deleted_tweets"):
        answer(f"archive:{section}", payload)


@given(st.dictionaries(st.sampled_from(SIDE), VALUES), VALUES)
def test_no_side_field_costs_a_post_of_v2(side: dict[str, Any], includes: Any) -> None:
    adapted = adapt("v2_page", {"data": {**side, "id": "1725000000000000001", "text": "Ulm"}, "includes": includes})
    has_originals = isinstance(includes, dict) and "tweets" in includes  # which may be the unreadable ones
    assert len(adapted.posts) == 1 or adapted.skipped in ({"repost", "unreadable"} if has_originals else {"repost"})


@given(st.dictionaries(st.sampled_from(SIDE_V1), VALUES))
def test_no_side_field_costs_a_post_of_v1(side: dict[str, Any]) -> None:
    assert len(adapt("v1_object", {**side, "id_str": "1725000000000000001", "text": "Ulm"}).posts) == 1
