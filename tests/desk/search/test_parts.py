"""A text is cut into mentions and matched words without losing a character."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from desk.search.parts import Part, Piece, cut


@dataclass(frozen=True)
class Span:
    start: int
    end: int


def joined(parts: tuple[Part[Span], ...]) -> str:
    return "".join(piece.text for part in parts for piece in part.pieces)


spans = st.tuples(st.integers(0, 40), st.integers(1, 10)).map(lambda pair: (pair[0], sum(pair)))


@given(st.text(max_size=40), st.lists(spans, max_size=5), st.lists(spans, max_size=5))
def test_the_parts_together_are_the_text(
    text: str, mentions: list[tuple[int, int]], matches: list[tuple[int, int]]
) -> None:
    parts = cut(text, [Span(*each) for each in mentions], matches)
    assert joined(parts) == text
    for part in parts:
        if part.mention:
            assert joined((part,)) == text[part.mention.start : part.mention.end]
    marked = [char for part in parts for piece in part.pieces for char in [piece.matched] * len(piece.text)]
    assert marked == [any(start <= place < end for start, end in matches) for place in range(len(text))]


def test_offsets_are_code_points() -> None:
    text = "🇩🇪 👩‍👩‍👧 e\u0301 in Paris"
    start = text.index("Paris")
    parts = cut(text, [Span(start, start + 5)], [(start - 3, start + 2)])
    assert [(part.pieces, part.mention) for part in parts] == [
        ((Piece(text[: start - 3], matched=False), Piece("in ", matched=True)), None),
        ((Piece("Pa", matched=True), Piece("ris", matched=False)), Span(start, start + 5)),
    ]


def test_of_two_mentions_that_overlap_the_longer_one_is_drawn() -> None:
    parts = cut("New York City", [Span(0, 8), Span(0, 13), Span(4, 8)])
    assert [part.mention for part in parts] == [Span(0, 13)]
