"""The standing of a subject is a function of the set of its events, and decides the fate of posts."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.events import Author, Extraction, Tweet
from core.lifecycle import Cause, Kind, Lifecycle
from core.standing import Published, Standing, subject_of
from sinks.index.document import from_extraction

DAY = datetime(2026, 11, 20, tzinfo=UTC)


def at(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


def event(kind: Kind, hours: float = 0, cause: Cause | None = None, *, author: bool = False) -> Lifecycle:
    subject = {"author": "ana"} if author else {"post": "1"}
    return Lifecycle(kind=kind, cause=cause, at=at(hours), **subject)


def merged(events: list[Lifecycle]) -> dict[str, Standing]:
    standings: dict[str, Standing] = {}
    for one in events:
        name = subject_of(one)
        standings[name] = standings.get(name, Standing()).merged(Standing.of(one))
    return standings


def fate(*events: Lifecycle, created: datetime | None = DAY) -> str:
    return Published("1", "ana", created).fate(merged(list(events)))


EVENTS = st.builds(
    lambda kind, hours, cause, author: event(
        kind, hours, "deleted" if kind == "hide" and cause is None else cause, author=author
    ),
    st.sampled_from(get_args(Kind)),
    st.integers(0, 3),
    st.sampled_from([None, *get_args(Cause)]),
    st.booleans(),
)


@given(st.lists(EVENTS, max_size=6), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_count(events: list[Lifecycle], chance: random.Random) -> None:
    shuffled = events * 2
    chance.shuffle(shuffled)
    assert merged(shuffled) == merged(events)


@given(st.lists(st.lists(EVENTS.filter(lambda e: e.post is not None), max_size=3), min_size=3, max_size=3))
def test_merging_is_commutative_associative_and_idempotent(groups: list[list[Lifecycle]]) -> None:
    a, b, c = (reduce(Standing.merged, map(Standing.of, group), Standing()) for group in groups)
    assert a.merged(b) == b.merged(a)
    assert a.merged(b.merged(c)) == a.merged(b).merged(c)
    assert a.merged(a) == a == Standing.from_json(a.to_json())


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        ([], "visible"),
        ([event("hide", 1, "protected")], "hidden"),
        ([event("hide", 1, "protected"), event("show", 2, "protected")], "visible"),
        ([event("hide", 2, "protected"), event("show", 1, "protected")], "hidden"),
        ([event("hide", 1, "protected"), event("show", 1, "protected")], "hidden"),
        ([event("hide", 1, "protected"), event("show", 2, "suspended")], "hidden"),
        ([event("hide", 1, "protected"), event("hide", 1, "suspended"), event("show", 2, "suspended")], "hidden"),
        ([event("hide", 1, "protected"), event("hide", 1, "suspended"), event("show", 2)], "visible"),
        ([event("hide", 3, "protected"), event("show", 2)], "hidden"),
        ([event("show", 2), event("hide", 1, "protected"), event("hide", 3, "protected")], "hidden"),
        ([event("hide", 1, "protected", author=True)], "hidden"),
        ([event("hide", 1, "protected", author=True), event("show", 2, "protected")], "hidden"),
        ([event("hide", 1, "protected", author=True), event("show", 2, "protected", author=True)], "visible"),
        ([event("erase", 1), event("show", 2)], "erased"),
        ([event("hide", 3, "protected"), event("erase", 1)], "erased"),
        ([event("scrub_geo", 1)], "visible"),
    ],
)
def test_the_fate_of_a_post(events: list[Lifecycle], wanted: str) -> None:
    assert fate(*events) == fate(*reversed(events)) == wanted


def test_erasing_an_author_reaches_what_was_published_until_then() -> None:
    gone = event("erase", 5, author=True)
    assert fate(gone, created=at(5)) == fate(gone, created=None) == "erased"
    assert fate(gone, created=at(5) + timedelta(microseconds=1)) == "visible"
    assert fate(gone, event("erase", 7, author=True), created=at(6)) == "erased"
    assert Published("1", "bob", DAY).fate(merged([gone])) == "visible"
    assert Published("1", None, DAY).fate(merged([gone])) == "visible"


def test_a_date_in_the_future_saves_no_post_of_an_erased_author() -> None:
    gone = merged([event("erase", 5, author=True)])
    post = Tweet(id="1", text="a", author=Author(id="ana"), created_at=at(7))
    for received, wanted in ((at(4), "erased"), (at(6), "visible"), (None, "visible")):
        read = post.model_copy(update={"received_at": received})
        assert Published.of(read).fate(gone) == wanted
        document = from_extraction(Extraction(tweet=read, mentions=(), model="m", model_version=1, threshold=0.5), ())
        assert document.published == Published.of(read)


@pytest.mark.parametrize(
    ("subject", "odd"),
    [
        ({"id": "1"}, {"cause": "user_deleted"}),
        ({"id": "1"}, {"cause": ["deleted"], "source": 7}),
        ({"id": "1"}, {"source": "s" * 65}),
        ({"id": "1"}, {"at": "2026-11-20T08:00:00"}),
        ({"post": "1", "kind": "erase"}, {"at": "yesterday"}),
        ({"id": "1"}, {"at": [1]}),
        ({"author": "ana", "kind": "erase", "at": "2026-11-20T08:00:00Z"}, {"cause": "gone", "source": "s" * 65}),
    ],
)
def test_no_odd_side_field_keeps_a_post_alive(subject: dict[str, Any], odd: dict[str, Any]) -> None:
    read = Lifecycle.model_validate_json(json.dumps(subject | odd))
    assert fate(read) == "erased"
    assert (read.cause, len(read.source) <= 64) == (None, True)
    assert Lifecycle.model_validate_json(read.encoded()) == read


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "erase", "author": "ana", "at": "yesterday"},
        {"kind": "erase", "author": "ana", "at": "2026-11-20T08:00:00"},
        {"kind": "hide", "post": "1", "cause": "odd", "at": "2026-11-20T08:00:00Z"},
        {"kind": "show", "post": "1", "at": "yesterday"},
    ],
)
def test_what_decides_must_be_readable(event: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Lifecycle.model_validate_json(json.dumps(event))


def test_an_old_record_without_a_time_erases() -> None:
    old = Lifecycle.model_validate_json('{"id": "1", "reason": "deleted by its author"}')
    assert fate(old) == "erased"


def test_a_post_without_an_author_has_one_subject() -> None:
    assert Published.of(Tweet(id="1", text="a", author=Author(id=""))).subjects == ["post:1"]
    assert Published.of(Tweet(id="1", text="a", author=Author(id="ana"))).subjects == ["post:1", "author:ana"]
