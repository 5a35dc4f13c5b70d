"""What a browser sends becomes the same decision that the terminal makes."""

from __future__ import annotations

import pytest

from core.events import EntityType
from desk.review.answers import answered
from desk.review.values import Answer, NewSpan
from review.work import InvalidAction, begin
from tests.review.tasks import GEORGE, SHOT, TEXT, ZIMMERMAN, task

JAY, GEORGE_ZIMMERMAN, NEW_YORK = 0, 1, 2
"""Places of the items of `task()` in reading order."""


def place(words: str, entity_type: EntityType = "PER") -> NewSpan:
    start = TEXT.index(words)
    return NewSpan(start=start, end=start + len(words), type=entity_type)


def test_answers_give_the_final_list_and_the_verdicts() -> None:
    work = answered(
        task(),
        [Answer(item=NEW_YORK, after=None), Answer(item=GEORGE_ZIMMERMAN, after=place("George Zimmerman"))],
        [place("🗽", "LOC")],
    )
    assert [mention.text for mention in work.mentions] == ["jay", "George Zimmerman", "🗽"]
    assert [verdict.action for verdict in work.verdicts] == ["accept", "reject", "add"]
    assert work.verdicts[0].before == ZIMMERMAN


def test_a_mention_may_move_to_where_another_one_was() -> None:
    asked = task(questions=(ZIMMERMAN, SHOT))
    work = answered(asked, [Answer(item=1, after=place("shot", "PER")), Answer(item=2, after=place("George"))], [])
    assert [mention.text for mention in work.mentions] == ["jay", "George", "shot"]


def test_a_question_that_an_accepted_mention_overlaps_needs_no_answer() -> None:
    asked = task(questions=(ZIMMERMAN,), candidates=(GEORGE,))
    at = [item.before for item in begin(asked).items].index(ZIMMERMAN)
    assert len(answered(asked, [Answer(item=at, after=place("George Zimmerman"))], []).verdicts) == 1


@pytest.mark.parametrize(
    ("answers", "added", "message"),
    [
        pytest.param([(NEW_YORK, None)], [], "no answer yet", id="a question without an answer"),
        pytest.param([(9, None)], [], "does not have", id="an item that is not there"),
        pytest.param([(1, None), (1, None)], [], "twice", id="an item twice"),
        pytest.param([(1, "George"), (2, "George Zimmerman")], [], "overlaps", id="mentions that overlap"),
        pytest.param([(1, None), (2, None)], ["jay"], "overlaps", id="an added one over a sure one"),
    ],
)
def test_answers_that_make_no_sense_are_refused(
    answers: list[tuple[int, str | None]], added: list[str], message: str
) -> None:
    sent = [Answer(item=item, after=place(words) if words else None) for item, words in answers]
    with pytest.raises(InvalidAction, match=message):
        answered(task(), sent, [place(words) for words in added])


def test_a_span_beyond_the_text_is_refused() -> None:
    beyond = NewSpan(start=0, end=len(TEXT) + 1, type="PER")
    with pytest.raises(InvalidAction, match="visible"):
        answered(task(), [Answer(item=1, after=beyond), Answer(item=2, after=None)], [])
