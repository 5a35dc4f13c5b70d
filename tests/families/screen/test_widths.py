"""No line of another post stays on the screen, and none is lost, whatever widths the terminal counts."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator

import pyte
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rich.console import Console

from core.text import printable
from review.drawing import draw
from review.screen import Screen
from review.view import View
from review.work import begin
from tests.families.screen.emulators import CUTTING, EMULATORS, rows_of
from tests.families.screen.texts import CASES, Case
from tests.review.tasks import mention, task

WALL = "previous " * 300
"""A post that fills the screen, so that whatever stays of it is seen."""
KEYS_ROW = " n new mention   tab next   s skip   u undo   ? help   q quit"


def view(text: str, asked: str) -> View:
    question = mention(asked, "PER", text=text)
    return View("ana", "task", begin(task(text=text, questions=(question,), confident=())), message="settled: none")


def shown(emulator: pyte.Screen, views: Iterable[View]) -> Iterator[list[str]]:
    """Draws one view after the other. Yields the rows on the screen after each."""
    output, stream = io.StringIO(), pyte.Stream(emulator)
    console = Console(file=output, force_terminal=True, width=80, height=24, color_system="standard")
    with Screen(console) as screen:
        for each in views:
            screen.show(draw(each, 80, 24), (80, 24))
            stream.feed(output.getvalue())
            output.seek(0)
            output.truncate()
            yield rows_of(emulator)


def check(rows: list[str], text: str, *, is_whole: bool) -> None:
    assert len(rows) == 24
    assert "previous" not in "".join(rows)
    assert rows[0].startswith(" mner review  ana")
    assert rows[-1] == KEYS_ROW
    if is_whole:
        signs = "".join(printable(text).split())
        drawn = "".join("".join(rows).split())
        marks = ("[", "PER?]", "↓", "↑")
        for mark in marks:
            signs, drawn = signs.replace(mark, ""), drawn.replace(mark, "")
        assert signs in drawn


@pytest.mark.parametrize("name", EMULATORS)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_post_is_drawn_alone_and_whole(case: Case, name: str) -> None:
    long = f"{case.text} " * 60
    views = [view(WALL, "previous"), view(case.text, case.words[0]), view(WALL, "previous"), view(long, case.words[0])]
    _, short_rows, _, long_rows, rows = shown(EMULATORS[name](), [*views, view("Paris is far", "Paris")])
    check(short_rows, case.text, is_whole=name not in CUTTING and "\n" not in case.text)
    check(long_rows, long, is_whole=False)
    assert [row for row in rows[2:] if row][1] == "  [Paris PER?] is far"


@given(st.text(min_size=1, max_size=200).filter(str.strip), st.sampled_from(sorted(EMULATORS)))
@hypothesis_settings(max_examples=200, deadline=None)
def test_any_post_is_drawn_alone(text: str, name: str) -> None:
    _, rows = shown(EMULATORS[name](), [view(WALL, "previous"), view(text, text)])
    assert "previous" not in "".join(rows)
    assert rows[0].startswith(" mner review  ana")
    assert rows[-1] == KEYS_ROW


def test_the_terminal_is_given_back_after_an_error() -> None:
    output = io.StringIO()

    def fail(draws: Callable[[], None]) -> None:
        draws()
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError), Screen(Console(file=output, force_terminal=True)) as screen:
        fail(lambda: screen.show(draw(view(WALL, "previous"), 80, 24), (80, 24)))
    assert output.getvalue().endswith("\x1b[?2026l\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l")
    assert output.getvalue().rfind("\x1b[?2026h") < output.getvalue().rfind("\x1b[?2026l")


def test_an_output_without_a_letter_shows_a_sign_for_it() -> None:
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="latin-1"), force_terminal=True, width=80, height=24)
    emulator = pyte.Screen(80, 24)
    with Screen(console) as screen:
        screen.show(draw(view("नरेन्द्र in Köln", "Köln"), 80, 24), (80, 24))
        pyte.Stream(emulator).feed(raw.getvalue().decode("latin-1"))
    assert "  ???????? in [Köln PER?]" in rows_of(emulator)
