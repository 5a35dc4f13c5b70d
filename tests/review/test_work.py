"""A person's answers about a task's mentions, and the verdicts that follow."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import ENTITY_TYPES, Account
from review.decisions import retract, settle
from review.work import InvalidAction, Work, begin
from tests.review.tasks import GEORGE, JAY, NEW_YORK, SHOT, TEXT, ZIMMERMAN, task


def named(work: Work) -> list[tuple[str, str]]:
    return [(mention.text, mention.type) for mention in work.mentions]


def test_the_first_question_is_current_and_confident_mentions_need_no_answer() -> None:
    work = begin(task())
    assert work.current.mention == ZIMMERMAN
    assert [item.asked for item in work.items] == [False, True, True]  # in reading order
    assert named(work) == [("jay", "PER")]
    assert not work.done


@pytest.mark.parametrize(
    ("act", "action", "result"),
    [
        pytest.param(lambda work: work.accept(), "accept", ("George Zimmerman", "PER"), id="accept"),
        pytest.param(lambda work: work.reject(), "reject", None, id="reject"),
        pytest.param(lambda work: work.retype("ORG"), "retype", ("George Zimmerman", "ORG"), id="retype"),
        pytest.param(lambda work: work.retype("PER"), "accept", ("George Zimmerman", "PER"), id="retype to the same"),
        pytest.param(lambda work: work.respan(34, 43), "respan", ("Zimmerman", "PER"), id="respan"),
        pytest.param(lambda work: work.respan(34, 43, "LOC"), "respan", ("Zimmerman", "LOC"), id="respan and retype"),
    ],
)
def test_each_action_makes_its_verdict_and_its_mention(
    act: Callable[[Work], Work], action: str, result: tuple[str, str] | None
) -> None:
    work = act(begin(task(confident=())))
    (verdict,) = work.verdicts
    assert verdict.action == action
    assert verdict.before == ZIMMERMAN  # with the model's own figures
    assert named(work) == ([result] if result else [])
    assert work.current.mention == NEW_YORK  # the next question is current


def test_every_mention_of_a_settled_task_is_human_and_certain() -> None:
    work = begin(task()).accept().retype("ORG")
    assert work.done
    assert named(work) == [("jay", "PER"), ("George Zimmerman", "PER"), ("NewYork", "ORG")]
    assert {(m.source, m.probability, m.aleatoric, m.epistemic) for m in work.mentions} == {("human", 1.0, 0.0, 0.0)}


def test_a_person_may_mark_an_account_as_a_mention() -> None:
    accounts = (Account(start=10, end=17, name="made-up"),)
    work = begin(task().model_copy(update={"accounts": accounts})).add(10, 17, "ORG")
    assert (TEXT[10:17], "ORG") in named(work)
    assert settle(work, "ana", 1000).task.accounts == accounts


def test_a_confident_mention_can_be_corrected() -> None:
    work = begin(task()).move(-1)
    assert work.current.mention == JAY
    work = work.reject().accept().accept()
    assert work.done
    assert named(work) == [("George Zimmerman", "PER"), ("NewYork", "LOC")]
    assert [verdict.action for verdict in work.verdicts] == ["reject", "accept", "accept"]


def test_a_missed_mention_can_be_added_and_removed_again() -> None:
    start = TEXT.index("🗽")
    added = begin(task()).add(start, start + 1, "MISC")
    assert added.current.mention == ZIMMERMAN
    assert added.verdicts[0].action == "add"
    assert named(added) == [("jay", "PER"), ("🗽", "MISC")]
    gone = added.move(2).reject()
    assert named(gone) == [("jay", "PER")]
    assert gone.verdicts == ()


def test_moving_wraps_around() -> None:
    work = begin(task())
    assert [work.move(step).current.mention.text for step in (1, 2, 3, -1)] == [
        "NewYork",
        "jay",
        "George Zimmerman",
        "jay",
    ]


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda work: work.respan(5, 5), id="nothing"),
        pytest.param(lambda work: work.respan(7, 8), id="a space"),
        pytest.param(lambda work: work.respan(-1, 3), id="before the text"),
        pytest.param(lambda work: work.respan(5, 999), id="behind the text"),
        pytest.param(lambda work: work.respan(0, 8), id="over a mention that stands"),
        pytest.param(lambda work: work.add(4, 6, "ORG"), id="a new one over one that stands"),
        pytest.param(lambda work: work.undo(), id="undo of nothing"),
    ],
)
def test_an_invalid_action_is_refused_and_changes_nothing(act: Callable[[Work], Work]) -> None:
    work = begin(task())
    with pytest.raises(InvalidAction):
        act(work)
    assert work == begin(task())


def test_a_question_that_an_accepted_mention_overlaps_is_no_longer_asked() -> None:
    text = "in New York"
    halves = tuple(ZIMMERMAN.model_copy(update={"start": s, "end": e, "text": text[s:e]}) for s, e in ((3, 6), (7, 11)))
    work = begin(task(text=text, questions=halves, confident=())).respan(3, 11, "LOC")
    assert work.done
    assert named(work) == [("New York", "LOC")]
    assert [verdict.action for verdict in work.verdicts] == ["respan"]  # there is no verdict on the other
    with pytest.raises(InvalidAction, match="overlaps 'New York'"):
        work.move(1).accept()


@pytest.mark.parametrize(
    ("act", "action", "result"),
    [
        pytest.param(lambda work: work.accept(), "accept", [("shot", "MISC")], id="accept"),
        pytest.param(lambda work: work.reject(), "reject", [], id="reject"),
        pytest.param(lambda work: work.retype("ORG"), "retype", [("shot", "ORG")], id="retype"),
        pytest.param(lambda work: work.respan(44, 52), "respan", [("got shot", "MISC")], id="respan"),
    ],
)
def test_a_candidate_is_in_the_final_list_only_if_a_person_accepts_it(
    act: Callable[[Work], Work], action: str, result: list[tuple[str, str]]
) -> None:
    work = begin(task(questions=(), confident=(), candidates=(SHOT,)))
    assert work.current.is_candidate
    assert named(work) == []
    answered = act(work)
    assert answered.done
    assert named(answered) == result
    (verdict,) = answered.verdicts
    assert (verdict.action, verdict.before, verdict.is_candidate) == (action, SHOT, True)
    assert answered.undo() == work


@pytest.mark.parametrize(
    ("act", "result", "verdicts"),
    [
        pytest.param(lambda work: work.accept(), "George", [("accept", True)], id="the candidate is right"),
        pytest.param(
            lambda work: work.move(1).accept(),
            "George Zimmerman",
            [("accept", False)],
            id="the chosen one is right",
        ),
        pytest.param(
            lambda work: work.add(27, 36, "ORG"),
            "George Zi",
            [("add", False)],
            id="neither is",
        ),
    ],
)
def test_one_answer_settles_an_uncertain_mention_and_a_candidate_that_overlap(
    act: Callable[[Work], Work], result: str, verdicts: list[tuple[str, bool]]
) -> None:
    work = begin(task(questions=(ZIMMERMAN,), confident=(), candidates=(GEORGE,)))
    answered = act(work)
    assert answered.done
    assert [mention.text for mention in answered.mentions] == [result]
    assert [(verdict.action, verdict.is_candidate) for verdict in answered.verdicts] == verdicts
    assert answered.undo().items == work.items


def hand(work: Work, words: str) -> Work:
    while work.current.mention.text != words:
        work = work.move(1)
    return work


@pytest.mark.parametrize(
    ("act", "asked"),
    [
        pytest.param(
            lambda work: hand(work.add(27, 36, "ORG"), "George Zi").reject(),
            ["George", "George Zimmerman", "NewYork"],
            id="an added mention is taken away",
        ),
        pytest.param(
            lambda work: hand(hand(work, "George Zimmerman").accept(), "George Zimmerman").reject(),
            ["George", "NewYork"],
            id="an accepted one is rejected",
        ),
        pytest.param(
            lambda work: hand(hand(work, "George Zimmerman").accept(), "George Zimmerman").respan(34, 43),
            ["George", "NewYork"],
            id="an accepted one is moved away",
        ),
        pytest.param(
            lambda work: hand(hand(work, "George").reject(), "George Zimmerman").accept(),
            ["NewYork"],
            id="what a person rejected stays so",
        ),
    ],
)
def test_a_question_is_asked_again_when_the_mention_that_overlapped_it_is_gone(
    act: Callable[[Work], Work], asked: list[str]
) -> None:
    work = act(begin(task(questions=(ZIMMERMAN, NEW_YORK), confident=(), candidates=(GEORGE,))))
    assert [item.mention.text for item in work.items if item.open] == asked
    assert work.current.open
    assert not work.done


def test_adding_a_mention_keeps_the_current_question_unless_it_overlaps() -> None:
    work = begin(task(confident=()))
    assert work.add(44, 47, "ORG").current.mention == ZIMMERMAN
    assert work.add(27, 36, "ORG").current.mention == NEW_YORK


@given(st.lists(st.sampled_from(["accept", "reject", "retype", "respan", "add", "move"]), max_size=12))
def test_undo_returns_through_every_answer_to_the_start(actions: list[str]) -> None:
    acts: dict[str, Callable[[Work], Work]] = {
        "accept": lambda work: work.accept(),
        "reject": lambda work: work.reject(),
        "retype": lambda work: work.retype(ENTITY_TYPES[len(work.verdicts) % 4]),
        "respan": lambda work: work.respan(work.current.mention.start, work.current.mention.start + 2),
        "add": lambda work: work.add(10, 17, "ORG"),
        "move": lambda work: work.move(1),
    }
    work, answers = begin(task()), 0
    for action in actions:
        try:
            work = acts[action](work)
        except InvalidAction:
            continue
        answers += action != "move"
        spans = sorted((m.start, m.end) for m in work.mentions)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
        assert all(TEXT[m.start : m.end] == m.text for m in work.mentions)
    for _ in range(answers):
        work = work.undo()
    assert work.previous is None
    assert work.items == begin(task()).items


def test_a_decision_carries_its_task_and_its_exact_stamp() -> None:
    work = begin(task()).accept().reject()
    decision = settle(work, "ana", 1_763_712_345_678)
    assert (decision.kind, decision.task, decision.reviewer) == ("settle", task(), "ana")
    assert decision.mentions == work.mentions
    assert decision.decided_at.isoformat() == "2025-11-21T08:05:45.678000+00:00"
    taken_back = retract(decision, "bob", 1_763_712_345_679)
    assert (taken_back.kind, taken_back.mentions, taken_back.reviewer) == ("retract", (JAY,), "bob")
    assert taken_back.id != decision.id
