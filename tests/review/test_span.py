"""Moving the edges of a mention by words and characters."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from review.span import Edge, Span, first_free

TEXT = "#Paris isn't  far 🗼!"


def span(words: str, edge: Edge = "end") -> Span:
    start = TEXT.index(words)
    return Span(TEXT, start, start + len(words), edge)


@pytest.mark.parametrize(
    ("before", "moves", "after"),
    [
        pytest.param(span("Paris"), "r", "Paris isn't", id="the end to the next word's end"),
        pytest.param(span("Paris isn't"), "l", "Paris", id="and back"),
        pytest.param(span("Paris", "start"), "l", "#Paris", id="the start over a sign"),
        pytest.param(span("isn't", "start"), "l", "Paris isn't", id="the start to the word before"),
        pytest.param(span("isn't  far", "start"), "r", "far", id="the start to the word behind"),
        pytest.param(span("far"), "r", "far 🗼!", id="signs are a run"),
        pytest.param(span("far"), "r<", "far 🗼", id="by character"),
        pytest.param(span("Paris"), "t<", "#Paris", id="the other edge"),
        pytest.param(span("Paris", "both"), "r", "isn't", id="from word to word"),
        pytest.param(span("far", "both"), "r", "far", id="signs alone are no word"),
        pytest.param(span("far", "both"), "ll", "Paris", id="words back"),
        pytest.param(span("Paris"), "l", "Paris", id="no word before it: stays"),
        pytest.param(span("🗼"), "<", "🗼", id="never empty"),
        pytest.param(span("🗼!"), ">", "🗼!", id="never beyond the text"),
    ],
)
def test_edges_move(before: Span, moves: str, after: str) -> None:
    now = before
    for move in moves:
        now = {
            "r": lambda s: s.by_word(1),
            "l": lambda s: s.by_word(-1),
            ">": lambda s: s.by_character(1),
            "<": lambda s: s.by_character(-1),
            "t": lambda s: s.switch(),
        }[move](now)
    assert now.covered == after


@given(st.text(min_size=1, max_size=30), st.lists(st.sampled_from("rl><t"), max_size=20), st.data())
def test_no_sequence_of_keys_moves_a_span_out_of_its_text(text: str, moves: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    now = Span(text, start, data.draw(st.integers(start + 1, len(text))))
    for move in moves:
        step: Literal[-1, 1] = 1 if move in "r>" else -1
        now = now.switch() if move == "t" else now.by_word(step) if move in "rl" else now.by_character(step)
        assert 0 <= now.start < now.end <= len(text)


def test_a_new_mention_begins_at_the_first_free_word() -> None:
    assert first_free(TEXT, []).covered == "Paris"
    assert first_free(TEXT, [(0, 6)]).covered == "isn't"
    assert first_free(TEXT, [(0, len(TEXT))]).covered == "Paris"
    assert first_free("🗼 !", []).covered == "🗼 !"
