"""A decision on a copy has the copy's own text, and a copy that it does not fit is asked about."""

from __future__ import annotations

import pytest

from core.errors import Reject
from core.events import Decision, Mention
from streams.agents.copies import for_copy
from tests.streams.agents.copying import (
    COPIES,
    POST,
    House,
    decision,
    mention,
    task,
)


async def test_a_decision_on_a_copy_has_its_own_offsets_and_figures() -> None:
    for name, text in COPIES.items():
        derived = for_copy(decision(task("a"), 5), task(name))
        assert derived is not None
        assert derived == for_copy(decision(task("a"), 5), task(name)), "a replay gives the same bytes"
        assert (derived.copy_of, derived.reviewer, derived.task) == ("a", "ana", task(name))
        assert [text[one.start : one.end].lower() for one in derived.mentions] == ["andromeda", "kourou"]
        (verdict,) = derived.verdicts
        assert verdict.before == task(name).questions[0].mention
        assert Decision.model_validate_json(derived.model_dump_json()) == derived


async def test_handles_around_the_text_stay_with_their_post() -> None:
    copy = task("b").model_copy(update={"confident": (mention("space", COPIES["b"], "ORG", 0.99),)})
    derived = for_copy(decision(task("a"), 5), copy)
    assert derived is not None
    assert [(one.text, one.source) for one in derived.mentions] == [
        ("space", "model"),
        ("Andromeda", "human"),
        ("Kourou", "model"),
    ]
    back = for_copy(decision(copy, 6), task("a"))
    assert back is not None
    assert [one.text for one in back.mentions] == ["Andromeda"]


async def test_a_copy_in_which_a_mark_cannot_be_found_is_asked_about_alone(house: House) -> None:
    await house.deliver(task("a"), task("c"))
    beyond = Mention(start=30, end=42, text=POST[30:42], type="LOC", probability=1, aleatoric=0, epistemic=0)
    torn = task("b", POST.replace("from Kourou", "from https://t.co/x Kourou"))
    await house.deliver(torn)
    assert await house.open() == ["a"]
    answer = decision(task("a"), 5)
    await house.decide(answer.model_copy(update={"mentions": (*answer.mentions[:1], beyond)}))
    assert await house.open() == ["b"]
    assert house.types().keys() == {"a", "c"}
    await house.deliver(torn)
    assert await house.open() == ["b"], "a replay changes nothing"


async def test_a_decision_that_the_topic_refuses_is_asked_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*_: object) -> None:
        raise Reject("too large")

    await house.deliver(task("a"), task("b"))
    monkeypatch.setattr(house, "send", refuses)
    await house.decide(decision(task("a"), 5))
    assert await house.open() == ["b"]
