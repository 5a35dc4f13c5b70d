"""A document is a pure function of its event, and its version decides which of two writes wins."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import ImageResult, Tombstone
from core.reading import MAX_EDIT
from core.spelling import normalise
from sinks.document import ERASED, from_decision, from_extraction, from_tombstone, stamp_ms, version
from tests.sinks.values import MODEL_VERSION, MOMENT, decision, extraction, mention, task, tweet

Rank = Literal["model", "human"]
Write = tuple[int, Rank, int]

edits = st.integers(0, MAX_EDIT)
stamps = st.integers(0, 2**44 - 1)
ranks: st.SearchStrategy[Rank] = st.sampled_from(["model", "human"])


@given(st.tuples(edits, ranks, stamps), st.tuples(edits, ranks, stamps))
def test_versions_order_by_edit_then_person_over_model_then_stamp(a: Write, b: Write) -> None:
    def key(write: Write) -> tuple[int, bool, int]:
        return write[0], write[1] == "human", write[2]

    assert (version(*a) < version(*b)) == (key(a) < key(b))
    assert 0 <= version(*a) < ERASED < 2**63


def test_a_stamp_that_needs_too_many_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="44 bits"):
        version(0, "model", 2**44)


def test_the_same_event_makes_the_same_bytes_whatever_its_timings_and_order() -> None:
    paris, ana = mention("Paris"), mention("Ana", "PER")
    first = from_extraction(extraction(tweet(), paris, ana, timings_ms={"model": 3.0}), [paris, ana])
    second = from_extraction(extraction(tweet(), paris, ana, timings_ms={"model": 9.0}), [ana, paris])
    assert first.encoded == second.encoded
    assert first.version == second.version


def test_a_document_holds_the_fields_of_post_mentions_and_model() -> None:
    paris = mention("#Paris")
    image = ImageResult(status="failed", reason="not an image", url="http://x/y")
    made = tweet("7", author={"id": "a", "name": "Ana"}, media=[{"url": "http://x/y"}], lang="en", source="file")
    document = from_extraction(extraction(made, paris, image=image, context="a tower"), [paris])
    assert document.id == "7"
    assert json.loads(document.encoded) == {
        "id": "7",
        "text": made.text,
        "created_at": "2026-11-21T07:00:00+00:00",
        "author": {"id": "a", "name": "Ana"},
        "lang": "en",
        "feed": "file",
        "edit": 0,
        "media": ["http://x/y"],
        "image": {"status": "failed", "reason": "not an image"},
        "context": "a tower",
        "mentions": [
            {
                "start": paris.start,
                "end": paris.end,
                "text": "#Paris",
                "name": "paris",
                "type": "LOC",
                "probability": 0.9,
                "aleatoric": 0.1,
                "epistemic": 0.05,
                "source": "model",
            }
        ],
        "model": "tiny",
        "model_version": MODEL_VERSION,
        "source": "model",
    }


def test_a_decision_is_of_source_human_and_its_retraction_of_source_model_but_newer() -> None:
    human = mention("Paris", source="human")
    settled = from_decision(decision(task(), 1000, human))
    retracted = from_decision(decision(task(), 1001, mention("Ana", "PER"), kind="retract"))
    assert (settled.body["source"], settled.body["reviewer"]) == ("human", "ana")
    assert [m["source"] for m in settled.body["mentions"]] == ["human"]
    assert retracted.body["source"] == "model"
    assert "reviewer" not in retracted.body
    assert retracted.version > settled.version > from_extraction(extraction(tweet()), []).version


def test_a_tombstone_holds_nothing_of_the_post() -> None:
    document = from_tombstone(Tombstone(id="7", reason="the author, Ana, deleted it"))
    assert document.body == {"id": "7", "erased": True}
    assert document.version == ERASED


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("#NewYork", "newyork", id="hashtag"),
        pytest.param("@Ana", "ana", id="handle"),
        pytest.param("New \n York", "new york", id="spaces"),
        pytest.param("ＰＡＲＩＳ", "paris", id="full-width letters"),
        pytest.param("Straße", "strasse", id="casefolded"),
    ],
)
def test_names_are_normalised(text: str, name: str) -> None:
    assert normalise(text) == name


def test_stamps_are_exact_milliseconds() -> None:
    assert [stamp_ms(MOMENT.replace(microsecond=ms * 1000)) % 1000 for ms in range(1000)] == list(range(1000))
