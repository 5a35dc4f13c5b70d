"""The name in its context."""

from __future__ import annotations

import pytest

from desk.review.word_lines import AFTER, BEFORE, cut, reads_from_the_right, seen, tell_line
from review.bulk import Answer, answered
from sinks.queue.values import Entry
from tests.desk.review.made import named, task_of

FLAG, FAMILY = "🇿🇦", "👩‍👩‍👧"


def parts(text: str, words: str) -> tuple[str, str, str]:
    start = text.index(words)
    return cut(text, start, start + len(words))


def test_a_short_post_is_shown_whole() -> None:
    assert parts("so NASA it is\nnow", "NASA") == ("so ", "NASA", " it is now")


def test_a_long_post_is_cut_on_both_sides() -> None:
    before, mention, after = parts("b" * 500 + " NASA " + "a" * 500, "NASA")
    assert (before, mention, after) == ("…" + "b" * (BEFORE - 1) + " ", "NASA", " " + "a" * (AFTER - 1) + "…")


@pytest.mark.parametrize("sign", [FLAG, FAMILY, "é", "न्द्र"])
def test_no_cut_lies_inside_a_character(sign: str) -> None:
    before, mention, after = parts(sign * 200 + "NASA" + sign * 200, "NASA")
    assert mention == "NASA"
    assert before.strip("…").replace(sign, "") == after.strip("…").replace(sign, "") == ""
    assert len(before) > BEFORE - 10
    assert len(after) > AFTER - 10


def test_control_characters_are_made_visible() -> None:
    assert parts("\u202eevil\x1b NASA", "NASA") == ("\ufffdevil␛ ", "NASA", "")


@pytest.mark.parametrize(("text", "expected"), [("123 قالت NASA", True), ("NASA قالت", False), ("🚀 123", False)])
def test_the_first_letter_gives_the_direction(text: str, expected: bool) -> None:
    assert reads_from_the_right(text) is expected


def test_a_line_tells_what_else_hangs_on_the_task() -> None:
    text = "NASA, nasa and ESA"
    task = task_of("1", text, named(text, "nasa", "ORG"), named(text, "NASA", "ORG", 0.3), named(text, "ESA", "ORG"))
    line = tell_line(Entry(task, copies=4), "nasa", "ORG")
    assert line is not None
    assert (line.mention, line.after, line.probability) == ("NASA", ", nasa and ESA", 0.3)
    assert (line.places, line.others, line.copies, line.holder) == (2, 1, 4, None)
    assert tell_line(Entry(task), "nasa", "PER") is None


def test_a_partial_answer_is_another_sight_of_the_task() -> None:
    text = "NASA and ESA"
    task = task_of("1", text, named(text, "NASA", "ORG"), named(text, "ESA", "ORG"))
    verdicts = answered(task, "esa", "ORG", Answer("accept")).verdicts
    assert seen(task) == seen(task.model_copy()) != seen(task.model_copy(update={"answers": verdicts}))
