"""Routing: confident mentions to the index, the others to a person, with the reason."""

from __future__ import annotations

from streams.events import Extraction, Mention, Opinion, Tweet
from streams.routing import route

TEXT = "Ada met Bob in Rome"


def mention(word: str, probability: float, **more: object) -> Mention:
    start = TEXT.index(word)
    values = {"start": start, "end": start + len(word), "text": word, "type": "PER", "probability": probability}
    return Mention.model_validate({"aleatoric": 0.3, "epistemic": 0.1} | values | more)


def extraction(*mentions: Mention) -> Extraction:
    return Extraction(tweet=Tweet(id="7", text=TEXT, edit=2), mentions=mentions, model="m", release=9, threshold=0.8)


def opinion(probability: float) -> Opinion:
    return Opinion(probability=probability, aleatoric=0.1, epistemic=0.1, share=0.5)


def test_all_confident_makes_no_task() -> None:
    routing = route(extraction(mention("Ada", 0.99), mention("Rome", 0.8)))
    assert len(routing.confident) == 2
    assert routing.task is None


def test_the_uncertain_ones_become_one_task_ordered_by_its_least_probable_mention() -> None:
    routing = route(extraction(mention("Ada", 0.99), mention("Bob", 0.6), mention("Rome", 0.4)))
    assert [m.text for m in routing.confident] == ["Ada"]
    assert routing.task is not None
    assert [question.mention.text for question in routing.task.questions] == ["Bob", "Rome"]
    assert routing.task.uncertainty == 0.6
    assert routing.task.id == "7:2:m:9"


def test_a_threshold_of_ones_own_beats_the_checkpoints() -> None:
    assert route(extraction(mention("Bob", 0.6)), threshold=0.5).task is None


def test_views_that_disagree_are_the_first_reason() -> None:
    views = {"text": opinion(0.9), "context": opinion(0.3)}
    (question,) = route(extraction(mention("Bob", 0.6, views=views))).task.questions  # type: ignore[union-attr]
    assert [doubt.kind for doubt in question.doubts] == ["views_disagree", "ambiguous", "low_probability"]
    assert "text says PER with 90%, context with 30%" in question.doubts[0].sentence


def test_more_epistemic_than_aleatoric_is_told_as_little_evidence() -> None:
    (question,) = route(extraction(mention("Bob", 0.6, epistemic=0.5))).task.questions  # type: ignore[union-attr]
    assert question.doubts[0].kind == "little_evidence"
