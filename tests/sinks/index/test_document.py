"""A document is a pure function of its event, and its version decides which of two writes wins."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import Account, ImageResult, Tweet, Verdict
from core.reading import MAX_EDIT
from core.spelling import normalise
from sinks.index.document import ERASED, Document, from_decision, from_extraction, is_same, marker, stamp_ms, version
from tests.sinks.values import MODEL_VERSION, MOMENT, decision, extraction, mention, missed, task, tweet

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
        "mention_count": 1,
        "mention_names": ["paris"],
        "mention_types": ["LOC"],
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


def test_accounts_are_stored_apart_from_names_and_a_person_may_mark_one() -> None:
    text = "@NASA in Paris"
    accounts = (Account(start=0, end=5, name="nasa"),)
    paris, nasa = mention("Paris", within=text), mention("NASA", "ORG", within=text, source="human")
    made = from_extraction(extraction(tweet("1", text), paris, accounts=accounts), [paris])
    assert made.body["accounts"] == [{"start": 0, "end": 5, "name": "nasa"}]
    assert json.loads(made.encoded)["mention_names"] == ["paris"]
    about = task("1", text=text).model_copy(update={"accounts": accounts})
    decided = from_decision(decision(about, 1000, nasa, paris)).body
    assert decided["accounts"] == made.body["accounts"]
    assert [each["name"] for each in decided["mentions"]] == ["nasa", "paris"]
    earlier = from_extraction(extraction(tweet("1", text), paris), [paris])
    assert "accounts" not in earlier.body
    assert is_same(made, earlier), "an export of an earlier version has none"


def settled(*verdicts: Verdict, **changes: Any) -> Document:
    kept = [verdict.after for verdict in verdicts if verdict.after is not None]
    made = decision(missed("1", 0.4), 1000, *kept)  # asks about Ana
    return from_decision(made.model_copy(update={"verdicts": verdicts} | changes))


ANA, PARIS = mention("Ana", "PER", probability=0.4), mention("#Paris")
RETYPED = Verdict(action="retype", before=ANA, after=ANA.model_copy(update={"type": "ORG"}), is_candidate=True)


def test_a_document_says_what_a_person_answered_without_any_text() -> None:
    added = Verdict(action="add", after=mention("Hilton", "PER"))
    body = settled(RETYPED, Verdict(action="reject", before=PARIS), added).body
    assert body["verdicts"] == [
        {
            "action": "retype",
            "type_before": "PER",
            "type_after": "ORG",
            "probability": 0.4,
            "is_asked": True,
            "is_candidate": True,
            "is_audit": False,
        },
        {
            "action": "reject",
            "type_before": "LOC",
            "probability": 0.9,
            "is_asked": False,
            "is_candidate": False,
            "is_audit": False,
        },
        {"action": "add", "type_after": "PER", "is_asked": False, "is_candidate": False, "is_audit": False},
    ]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"copy_of": "2"}, id="a copy of the post that the person looked at"),
        pytest.param({"kind": "retract"}, id="taken back"),
        pytest.param({"verdicts": ()}, id="imported"),
    ],
)
def test_a_document_has_verdicts_only_of_the_post_that_a_person_looked_at(changes: dict[str, Any]) -> None:
    assert "verdicts" not in settled(RETYPED, **changes).body


def test_typicality_is_stored_of_posts_and_of_decided_posts_but_makes_no_other_document() -> None:
    unusual, old = (from_extraction(extraction(tweet(), typicality=each), []) for each in (0.0, None))
    assert unusual.body["typicality"] == 0
    assert "typicality" not in old.body
    assert is_same(unusual, old)
    assert not is_same(unusual, from_extraction(extraction(tweet(), context="seen"), []))
    decided = from_decision(decision(task().model_copy(update={"typicality": 0.25}), 1000))
    assert decided.body["typicality"] == 0.25


def test_a_marker_holds_nothing_of_the_post() -> None:
    document = marker("7")
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


def test_nothing_that_is_stored_holds_a_place() -> None:
    raw = {
        "id": "1",
        "text": "Paris",
        "coordinates": {"type": "Point", "coordinates": [2.2945, 48.8584]},
        "geo": {"coordinates": [48.8584, 2.2945]},
        "place": {"full_name": "Paris, France"},
        "author": {"id": "ana", "location": "Paris, France"},
    }
    read = extraction(Tweet.model_validate_json(json.dumps(raw)))
    about = task("1").model_copy(update={"tweet": read.tweet})
    stored = [
        read.model_dump_json(),
        about.model_dump_json(),
        from_extraction(read, []).encoded.decode(),
        from_decision(decision(about, 1)).encoded.decode(),
    ]
    for value in stored:
        assert "48.8584" not in value
        assert "France" not in value
