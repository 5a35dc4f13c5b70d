"""Routing: confident mentions to the index, the others to a person, with the reason."""

from __future__ import annotations

import pytest

from core.events import Account, Extraction, Mention, Opinion, Question, Tweet
from streams.routing import route

TEXT = "Ada met Bob in Rome"


def mention(word: str, probability: float, **more: object) -> Mention:
    start = TEXT.index(word)
    values = {"start": start, "end": start + len(word), "text": word, "type": "PER", "probability": probability}
    return Mention.model_validate({"aleatoric": 0.3, "epistemic": 0.1} | values | more)


def extraction(*mentions: Mention, candidates: tuple[Mention, ...] = ()) -> Extraction:
    tweet = Tweet(id="7", text=TEXT, edit=2)
    return Extraction(
        tweet=tweet,
        mentions=mentions,
        candidates=candidates,
        model="m",
        model_version=9,
        threshold=0.8,
        candidate_threshold=0.2 if candidates else 1.0,
    )


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


def test_a_task_knows_the_accounts_and_asks_about_none() -> None:
    accounts = (Account(start=0, end=3, name="da"),)
    task = route(extraction(mention("Bob", 0.6)).model_copy(update={"accounts": accounts})).task
    assert task is not None
    assert (task.accounts, [question.mention.text for question in task.questions]) == (accounts, ["Bob"])


def test_a_configured_threshold_wins_over_the_checkpoints() -> None:
    assert route(extraction(mention("Bob", 0.6)), threshold=0.5).task is None


def test_views_that_disagree_are_the_first_reason() -> None:
    views = {"text": opinion(0.9), "context": opinion(0.3)}
    (question,) = route(extraction(mention("Bob", 0.6, views=views))).task.questions  # type: ignore[union-attr]
    assert [reason.kind for reason in question.reasons] == ["views_disagree", "ambiguous", "low_probability"]
    assert "text says PER with 90%, context with 30%" in question.reasons[0].sentence


def test_more_epistemic_than_aleatoric_is_little_evidence() -> None:
    (question,) = route(extraction(mention("Bob", 0.6, epistemic=0.5))).task.questions  # type: ignore[union-attr]
    assert question.reasons[0].kind == "little_evidence"


def questions(*mentions: Mention, candidates: tuple[Mention, ...], least: float | None = None) -> list[Question]:
    routing = route(extraction(*mentions, candidates=candidates), candidate_threshold=least)
    return list(routing.task.questions) if routing.task else []


def test_a_candidate_is_asked_about_and_marked() -> None:
    routing = route(extraction(mention("Ada", 0.99), candidates=(mention("Rome", 0.31),)))
    assert [m.text for m in routing.confident] == ["Ada"]
    assert routing.task is not None
    (question,) = routing.task.questions
    assert (question.mention.text, question.is_candidate) == ("Rome", True)
    assert [reason.kind for reason in question.reasons] == ["maybe_missed", "ambiguous"]
    assert question.reasons[0].sentence == "the model did not choose this, but gives it a probability of 31%"


def test_a_tasks_uncertainty_is_how_probably_the_models_choice_is_wrong() -> None:
    def uncertainty(*mentions: Mention, candidates: tuple[Mention, ...] = ()) -> float:
        task = route(extraction(*mentions, candidates=candidates)).task
        assert task is not None
        return task.uncertainty

    assert uncertainty(candidates=(mention("Rome", 0.31),)) == 0.31
    assert uncertainty(mention("Bob", 0.6), candidates=(mention("Rome", 0.31),)) == 0.4
    assert uncertainty(mention("Bob", 0.79), candidates=(mention("Rome", 0.31),)) == 0.31


def test_a_candidate_says_what_the_model_chose_instead() -> None:
    bob, question = questions(mention("Bob", 0.6), candidates=(mention("met Bob", 0.3),))
    assert not bob.is_candidate
    assert question.is_candidate
    assert question.reasons[0].sentence.endswith("; it chose “Bob” PER (60%); the two overlap, so at most one is right")
    *_, question = questions(mention("met", 0.5), mention("Bob", 0.6), candidates=(mention("met Bob", 0.3),))
    assert question.reasons[0].sentence.endswith(
        "; it chose “met” PER (50%), “Bob” PER (60%); "
        "each overlaps this candidate, which is right only if all of them are wrong"
    )


@pytest.mark.parametrize(
    ("probability", "asked"),
    [
        pytest.param(0.6, ["ambiguous", "other_type", "low_probability"], id="a hint in the question that is asked"),
        pytest.param(0.85, None, id="left out where the mention is confident"),
    ],
)
def test_another_type_for_the_same_words_is_a_reason_and_no_question(
    probability: float, asked: list[str] | None
) -> None:
    found = questions(mention("Bob", probability), candidates=(mention("Bob", 0.3, type="ORG"),))
    assert [[reason.kind for reason in question.reasons] for question in found] == ([asked] if asked else [])
    assert [question.is_candidate for question in found] == ([False] if asked else [])


def test_the_likeliest_of_overlapping_candidates_is_asked_about() -> None:
    candidates = (
        mention("met Bob", 0.4),
        mention("met Bob", 0.3, type="ORG"),
        mention("Bob in Rome", 0.28),
        mention("in Rome", 0.25),
        mention("Ada met", 0.22),
    )
    found = questions(candidates=candidates)
    assert [question.mention.text for question in found] == ["met Bob", "in Rome"]
    assert found[0].reasons[-1].sentence == "it may also be ORG (30%)"


def test_a_configured_candidate_threshold_leaves_out_less_probable_candidates() -> None:
    candidates = (mention("Bob", 0.4), mention("Rome", 0.3))
    assert [question.mention.text for question in questions(candidates=candidates, least=0.35)] == ["Bob"]
    assert questions(candidates=candidates, least=1.0) == []
    certain = (mention("Bob", 1.0),)
    assert [question.mention.text for question in questions(candidates=certain)] == ["Bob"]
    assert questions(candidates=certain, least=1.0) == []


def test_a_task_holds_the_candidate_threshold_it_was_made_with() -> None:
    def threshold_of(*mentions: Mention, candidates: tuple[Mention, ...], least: float | None) -> float:
        task = route(extraction(*mentions, candidates=candidates), candidate_threshold=least).task
        assert task is not None
        return task.candidate_threshold

    assert threshold_of(candidates=(mention("Bob", 0.4),), least=None) == 0.2
    assert threshold_of(candidates=(mention("Bob", 0.4),), least=0.35) == 0.35
    assert threshold_of(candidates=(mention("Bob", 0.4),), least=0.1) == 0.2
    assert threshold_of(mention("Ada", 0.4), candidates=(), least=0.35) == 1.0


def test_a_long_rival_is_quoted_in_part() -> None:
    text = "w" * 20_000 + " Bob"
    whole, bob = (
        Mention(start=start, end=end, text=text[start:end], type="PER", probability=0.3, aleatoric=0.1, epistemic=0.1)
        for start, end in ((0, len(text)), (20_001, len(text)))
    )
    long = Extraction(
        tweet=Tweet(id="1", text=text),
        mentions=(whole,),
        candidates=(bob,),
        model="m",
        model_version=1,
        threshold=0.8,
        candidate_threshold=0.2,
    )
    task = route(long).task
    assert task is not None
    assert f"it chose “{'w' * 39}…” PER (30%)" in task.questions[1].reasons[0].sentence
