"""A person moves by whole words and whole characters, in any script (Unicode Standard Annex 29)."""

from __future__ import annotations

from typing import Literal

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from review.segments import character_edges
from review.span import Edge, Span, first_free
from review.work import InvalidAction, begin
from tests.families.screen.texts import CASES, Case
from tests.review.tasks import mention, task

ALL = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])


def moved(span: Span, by: Literal["word", "character"], step: Literal[-1, 1]) -> list[Span]:
    """Returns where a span stops on its way to an end of the text."""
    stops = []
    while (after := span.by_word(step) if by == "word" else span.by_character(step)) != span:
        span = after
        stops.append(span)
    return stops


@ALL
def test_a_new_mention_is_a_whole_word_and_the_arrows_go_from_word_to_word(case: Case) -> None:
    first = first_free(case.text, [])
    assert (first.covered, *(span.covered for span in moved(first, "word", 1))) == case.words
    last = moved(first, "word", 1)[-1] if len(case.words) > 1 else first
    assert (last.covered, *(span.covered for span in moved(last, "word", -1))) == case.words[::-1]


@ALL
def test_the_right_edge_moves_by_whole_characters(case: Case) -> None:
    word = first_free(case.text, [])
    start = word.start
    narrow = [word, *moved(Span(case.text, start, word.end), "character", -1)]
    assert [span.covered for span in narrow[::-1]] == [
        "".join(case.characters[:length]) for length in range(1, len(case.characters) + 1)
    ]


@ALL
@pytest.mark.parametrize("edge", ["start", "end", "both"])
@pytest.mark.parametrize("by", ["word", "character"])
def test_no_edge_ever_stops_inside_a_character(case: Case, edge: Edge, by: Literal["word", "character"]) -> None:
    inside = {place for match in regex.finditer(r"\X", case.text) for place in range(match.start() + 1, match.end())}
    for start in range(len(case.text)):  # also from a place inside a character, where an old model stopped
        for step in (1, -1):
            for stop in moved(Span(case.text, start, start + 1, edge), by, step):
                moving = {"start": {stop.start}, "end": {stop.end}, "both": {stop.start, stop.end}}[edge]
                assert not moving & inside


@ALL
def test_the_words_are_what_the_post_says_at_their_offsets(case: Case) -> None:
    work = begin(task(text=case.text, questions=(mention(case.words[0], "PER", text=case.text),), confident=()))
    for word in (first_free(case.text, []), *moved(first_free(case.text, []), "word", 1)):
        (answered,) = work.respan(word.start, word.end).mentions
        assert case.text[answered.start : answered.end] == answered.text == word.covered


@given(st.text(min_size=1, max_size=40), st.sampled_from(["start", "end", "both"]), st.data())
def test_any_text_can_be_walked_from_end_to_end(text: str, edge: Edge, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    span = Span(text, start, data.draw(st.integers(start + 1, len(text))), edge)
    for step in (1, -1):
        for stop in (*moved(span, "word", step), *moved(span, "character", step)):
            assert 0 <= stop.start < stop.end <= len(text)
    assert first_free(text, []).covered


@pytest.mark.parametrize("invisible", ["\u200b", "\ufeff", "\u2060\u00ad", " \u200f\u200d", "\u3000"])
def test_a_mention_without_a_visible_character_is_refused(invisible: str) -> None:
    text = f"Ana {invisible} Bo"
    work = begin(task(text=text, questions=(mention("Ana", "PER", text=text),), confident=()))
    with pytest.raises(InvalidAction, match="visible"):
        work.add(4, 4 + len(invisible), "PER")


def test_a_long_post_is_split_at_once() -> None:
    text = "नरेन्द्र मोदी " * 1786
    assert first_free(text, [(0, 9)]).by_word(1).covered == "नरेन्द्र"


FLAGS = st.lists(
    st.sampled_from([*"\U0001f1e9\U0001f1ea\u0301\u200d\ufe0f\u0600\U0001f468a1 .'", "e\u0301"]), max_size=12
)


@given(FLAGS.map("".join))
def test_flags_are_split_as_by_the_slow_expression(text: str) -> None:
    places = [match.end() for match in regex.finditer(r"\X", text)]
    assert list(character_edges(text)[1:]) == places
