"""The screen shows everything that a reviewer needs, in any terminal, with or without colour."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from core.events import Extraction, Mention, Tweet
from review.drawing import draw
from review.marks import draw_work
from review.span import Span
from review.view import View
from review.work import begin
from sinks.queue.values import Counts
from streams.routing import route
from tests.review.tasks import FAILED, GEORGE, SHOT, TEXT, ZIMMERMAN, mention, task

LONG = "All of London and the rest of the world. " * 40 + "Then Ana spoke."
VIEWS = {
    "task": View("ana", "task", begin(task(context="a street at night")), counts=Counts(2, 1, 57)),
    "long tweet": View(
        "ana", "task", begin(task(text=LONG, questions=(mention("Ana", "PER", text=LONG),), confident=()))
    ),
    "failed image": View("ana", "task", begin(task(image=FAILED))),
    "editing": View("ana", "span", begin(task()), span=Span(TEXT, 34, 43)),
    "message": View("ana", "task", begin(task()), message="Redis at 127.0.0.1:6379 is away: " + "because " * 12),
    "candidate": View("ana", "task", begin(task(questions=(ZIMMERMAN,), candidates=(GEORGE, SHOT))).move(1).move(1)),
    "help": View("ana", "help", begin(task())),
    "empty": View("ana", "empty", skipped=2),
    "waiting": View("ana", "waiting", counts=Counts(0, 3, 9)),
}


def screen(view: View, width: int = 80, height: int = 24) -> str:
    return "\n".join(line.plain.rstrip() for line in draw(view, width, height))


@pytest.mark.parametrize(("name", "size"), list(product(VIEWS, [(80, 24), (200, 60), (40, 12), (10, 3)])))
def test_every_screen_fits_every_terminal(name: str, size: tuple[int, int]) -> None:
    lines = draw(VIEWS[name], *size)
    assert len(lines) == size[1]
    assert max(cell_len(line.plain) for line in lines) <= size[0]


@given(st.text(min_size=1).filter(str.strip), st.integers(20, 100), st.integers(8, 40))
def test_any_post_fits(text: str, width: int, height: int) -> None:
    whole = ZIMMERMAN.model_copy(update={"start": 0, "end": len(text), "text": text})
    lines = draw(View("ana", "task", begin(task(text=text, questions=(whole,), confident=()))), width, height)
    assert len(lines) == height
    assert max(cell_len(line.plain) for line in lines) <= width
    assert all("\n" not in line.plain and "\x1b" not in line.plain for line in lines)


@pytest.mark.parametrize("name", ["task", "candidate", "help"])
def test_nothing_is_cut_off_in_80_by_24(name: str) -> None:
    assert "…" not in screen(VIEWS[name])


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("where [George Zimmerman PER?] got", id="the current question"),
        pytest.param("#[NewYork LOC?]", id="the other question"),
        pytest.param("@[jay PER]", id="what the model is sure of"),
        pytest.param("question 1 of 2", id="how far we are"),
        pytest.param("the views disagree: text says PER with 72%, text+image with 31%", id="why it is asked"),
        pytest.param("together    ━━━━━┈┈┈ 58%    ━━━━━━━┈ 0.3    ━━━━┈┈┈┈ 0.12", id="the figures as bars"),
        pytest.param("text+image  ━━┈┈┈┈┈┈ 31%    ━━━━━━┈┈ 0.2    ━━━━━━━━ 0.4    38%", id="each view's opinion"),
        pytest.param("context  a street at night", id="what the image says"),
        pytest.param("2 waiting · 1 in review · 57 settled", id="how much there is"),
        pytest.param("a accept   r reject   1 PER  2 LOC  3 ORG  4 MISC   e edit span", id="the keys"),
    ],
)
def test_a_task_shows(shown: str) -> None:
    assert shown in screen(VIEWS["task"], 100)


def test_a_failed_image_shows_its_reason() -> None:
    assert "image    failed · HTTP 404 · https://images.example.org/1.jpg" in screen(VIEWS["failed image"])


def test_a_candidate_is_marked_apart_and_hidden_where_it_overlaps_a_chosen_mention() -> None:
    shown = screen(VIEWS["candidate"])
    assert "where [George Zimmerman PER?] got (shot MISC?) ." in shown
    assert "question 3 of 3 · candidate: not chosen by the model" in shown
    assert "the model did not choose this, but gives it a probability of 31%" in shown
    work = VIEWS["candidate"].work
    assert work is not None
    assert "[shot MISC✓]" in draw_work(work.accept()).plain


def test_a_reason_takes_at_most_three_lines_and_leaves_room_for_the_post() -> None:
    words = [f"#{letter * 60}" for letter in "ABCDEFGH"]
    text = " ".join([*words, "says Ana"])
    chosen = [mention(word, "MISC", text=text) for word in words]
    asked = Mention(
        start=0, end=8 * 62 - 1, text=text[: 8 * 62 - 1], type="ORG", probability=0.3, aleatoric=0.1, epistemic=0.3
    )
    extraction = Extraction(
        tweet=Tweet(id="1", text=text),
        mentions=chosen,
        candidates=(asked,),
        model="m",
        model_version=1,
        threshold=0.4,
        candidate_threshold=0.2,
    )
    routed = route(extraction).task
    assert routed is not None
    shown = screen(View("ana", "task", begin(routed)))
    reason = shown[shown.index(" • the model did not choose") :].split(" • ")[1].splitlines()
    assert len(reason) == 3
    assert reason[-1].endswith("…")
    assert "AAAA" in shown[: shown.index("question")]


def test_a_long_post_shows_the_lines_around_the_current_mention() -> None:
    shown = screen(VIEWS["long tweet"])
    assert "[Ana PER?]" in shown
    assert "\n↑ " in shown


@pytest.mark.parametrize(
    ("act", "shown"),
    [
        pytest.param(lambda work: work.accept(), "[George Zimmerman PER✓]", id="accepted"),
        pytest.param(lambda work: work.reject(), "[George Zimmerman ✗]", id="rejected"),
        pytest.param(lambda work: work.retype("ORG"), "[George Zimmerman ORG✓]", id="retyped"),
        pytest.param(lambda work: work.respan(34, 43), "where George [Zimmerman PER✓]", id="respanned"),
    ],
)
def test_an_answer_shows_in_the_text_without_colour(act: object, shown: str) -> None:
    assert callable(act)
    assert shown in draw_work(act(begin(task()))).plain


def test_an_edited_span_shows_with_an_arrow_at_the_moving_edge() -> None:
    work, span = begin(task()), Span(TEXT, 31, 47)
    edited = span.switch().by_word(1)
    assert "[George Zimmerman▶" in draw_work(work, Span(TEXT, 27, 43)).plain
    assert f"◀{edited.covered}]" in draw_work(work, edited).plain
    assert "[George Zimmerman PER?]" in draw_work(work, Span(TEXT, 0, 2), adding=True).plain
    assert "press 1-4" in screen(View("ana", "span", work, span=span, adding=True))


def test_escape_sequences_in_a_post_are_shown_as_text() -> None:
    text = "\x1b[2J George Zimmerman"
    view = View(
        "\x1b[1m", "task", begin(task(text=text, questions=(mention("George", "PER", text=text),), confident=()))
    )
    assert "\x1b" not in screen(view)
    assert "␛[2J [George PER?] Zimmerman" in screen(view)


@pytest.mark.parametrize(("copies", "said"), [(0, ""), (1, "and 1 copy"), (12, "and 12 copies")])
def test_the_screen_says_for_how_many_copies_a_task_stands(copies: int, said: str) -> None:
    lines = draw(View("ana", "task", replace(begin(task()), copies=copies)), 80, 24)
    about = next(line.plain for line in lines if "post 1" in line.plain)
    assert about.rstrip().endswith(said or "post 1")
    assert ("cop" in about) is bool(copies)
