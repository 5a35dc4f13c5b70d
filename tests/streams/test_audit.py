"""Spot checks: a random share of the confident mentions goes to a person, and stays in the index."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from core.events import Extraction, Mention, ReviewTask, Tweet
from review import decisions
from review.work import begin
from sinks.index.document import from_decision, from_extraction
from streams.agents.copies import for_copy, group_of
from streams.agents.deliver import _count
from streams.routing import AUDIT_WEIGHT, is_drawn, route
from streams.settings import Settings

TEXT = "Ada met Bob in Rome, and nobody else saw them there"


def mention(word: str, probability: float = 0.97, kind: str = "PER", text: str = TEXT) -> Mention:
    start = text.index(word)
    values = {"start": start, "end": start + len(word), "text": word, "type": kind, "probability": probability}
    return Mention.model_validate({"aleatoric": 0.3, "epistemic": 0.1} | values)


ADA, BOB, ROME = mention("Ada", 0.99), mention("Bob", 0.91), mention("Rome", 0.3, "LOC")


def extraction(
    tweet_id: str = "1", *mentions: Mention, candidates: tuple[Mention, ...] = (), edit: int = 0, text: str = TEXT
) -> Extraction:
    return Extraction(
        tweet=Tweet(id=tweet_id, text=text, edit=edit),
        mentions=mentions,
        candidates=candidates,
        model="m",
        model_version=1,
        threshold=0.8,
        candidate_threshold=0.2 if candidates else 1.0,
    )


def asked(of: Extraction, share: float = 1.0) -> ReviewTask:
    task = route(of, spot_check_share=share).task
    assert task is not None
    return task


def test_about_the_share_of_all_mentions_is_drawn_whatever_their_probability() -> None:
    drawn = {0.81: 0, 0.999: 0}
    both, number = 0, 50_000
    for place in range(number):
        probability = (0.81, 0.999)[place % 2]
        hit = is_drawn(Tweet(id=f"at:did:{place}", text=TEXT), mention("Ada", probability), 0.02)
        drawn[probability] += hit
        both += hit and is_drawn(Tweet(id=f"at:did:{place}", text=TEXT), BOB, 0.02)
    assert sum(drawn.values()) / number == pytest.approx(0.02, abs=0.0025)  # four standard deviations
    for count in drawn.values():
        assert count / (number / 2) == pytest.approx(0.02, abs=0.0036)
    assert both < 50  # 20 are expected: mentions of one post are drawn on their own


def test_the_same_mention_is_drawn_in_every_reading_whatever_its_probability_and_model() -> None:
    for place in range(300):
        first = extraction(str(place), ADA)
        newer = extraction(str(place), mention("Ada", 0.85)).model_copy(update={"model_version": 7, "model": "other"})
        assert (route(first, spot_check_share=0.1).task is None) == (route(newer, spot_check_share=0.1).task is None)


@pytest.mark.parametrize("by", ["post", "edit", "span", "type"])
def test_the_draw_depends_on_post_edit_span_and_type(by: str) -> None:
    draws = set()
    for place in range(200):
        of = Tweet(id=str(place) if by == "post" else "1", text=TEXT, edit=place if by == "edit" else 0)
        start = place if by == "span" else 0
        span = ADA.model_copy(update={"start": start, "end": start + 1, "type": "PER" if by != "type" else str(place)})
        draws.add(is_drawn(of, span, 0.5))
    assert draws == {True, False}


def test_no_share_asks_nobody_and_the_whole_share_asks_about_all() -> None:
    of = extraction("1", ADA, BOB)
    assert route(of).task is None
    assert route(of, spot_check_share=0).task is None
    task = asked(of)
    assert [question.is_audit for question in task.questions] == [True, True]
    assert Settings(_env_file=None).spot_check_share == 0.02


def test_a_spot_check_says_what_it_is_and_is_asked_like_any_other() -> None:
    task = asked(extraction("1", ADA))
    (question,) = task.questions
    (reason,) = question.reasons
    assert reason.kind == "audit"
    assert reason.sentence.startswith("a spot check: the model is 99% sure that this is PER")
    assert task.uncertainty == AUDIT_WEIGHT
    assert asked(extraction("1", mention("Ada", 0.81))).uncertainty == AUDIT_WEIGHT
    assert asked(extraction("1", ADA, ROME)).uncertainty == 0.7


def test_the_mention_stays_in_the_index_while_it_is_asked_about_and_after_a_retraction() -> None:
    of = extraction("1", ADA, BOB, ROME)
    routing = route(of, spot_check_share=1)
    assert routing.confident == (ADA, BOB)
    plain = route(of)
    assert from_extraction(of, routing.confident).encoded == from_extraction(of, plain.confident).encoded
    task = asked(of)
    assert task.confident == ()
    assert task.indexed == (ADA, BOB)
    work = begin(task)
    assert [(item.mention, item.open, item.is_audit) for item in work.items] == [
        (ADA, True, True),
        (BOB, True, True),
        (ROME, True, False),
    ]
    settled = decisions.settle(work.accept().reject().reject(), "ana", 1000)
    assert [(v.action, v.is_audit) for v in settled.verdicts] == [("accept", True), ("reject", True), ("reject", False)]
    retracted = decisions.retract(settled, "ana", 2000)
    assert retracted.mentions == (ADA, BOB)
    assert [each["text"] for each in from_decision(retracted).body["mentions"]] == ["Ada", "Bob"]


def test_a_spot_check_that_an_accepted_candidate_replaces_was_wrong() -> None:
    wide = mention("Ada met Bob", 0.4)
    task = asked(extraction("1", ADA, candidates=(wide,)))
    work = begin(task)
    place = next(at for at, item in enumerate(work.items) if item.is_candidate)
    done = replace(work, cursor=place).accept()
    assert done.done
    verdicts = decisions.settle(done, "ana", 1).verdicts
    found = [(verdict.action, verdict.before and verdict.before.text, verdict.is_audit) for verdict in verdicts]
    assert sorted(found) == [("accept", "Ada met Bob", False), ("reject", "Ada", True)]


def test_a_field_is_written_only_in_a_spot_check() -> None:
    assert "is_audit" not in asked(extraction("1", ROME)).model_dump_json()
    task = asked(extraction("1", ADA))
    assert ReviewTask.model_validate_json(task.model_dump_json()) == task


def test_spot_checks_are_counted_on_their_own() -> None:
    def counts() -> dict[str, float]:
        return {
            name: REGISTRY.get_sample_value("mner_mentions_total", {"route": name}) or 0.0
            for name in ("index", "review", "candidate", "audit")
        }

    before = counts()
    _count(route(extraction("1", ADA, BOB, ROME), spot_check_share=1))
    assert {name: count - before[name] for name, count in counts().items()} == {
        "index": 2,
        "review": 1,
        "candidate": 0,
        "audit": 2,
    }


def test_of_copies_that_are_drawn_one_is_asked_and_the_others_keep_their_own_draw() -> None:
    copy_text = f"RT @jo: {TEXT}"
    there = [mention(word, 0.95, text=copy_text) for word in ("Ada", "Bob")]
    drawn = asked(extraction("1", ADA, BOB))
    copies = {
        share: route(
            extraction("2", *there, mention("Rome", 0.3, "LOC", copy_text), text=copy_text), spot_check_share=share
        ).task
        for share in (0.0, 1.0)
    }
    settled = decisions.settle(begin(drawn).accept().reject(), "ana", 1000)
    for share, copy in copies.items():
        assert copy is not None
        assert group_of(copy) == group_of(drawn)
        derived = for_copy(settled, copy)
        assert derived is not None
        assert [verdict.is_audit for verdict in derived.verdicts] == [share == 1.0] * 2
        assert derived.copy_of == "1"
    retraction = for_copy(decisions.retract(settled, "ana", 2000), copies[1.0])  # type: ignore[arg-type]
    assert retraction is not None
    assert [each.text for each in retraction.mentions] == ["Ada", "Bob"]
