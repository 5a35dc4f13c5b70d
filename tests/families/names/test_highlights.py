"""What a search shows as matched is a part of the raw text, and never empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.spelling import fold
from sinks.index.search import results
from sinks.searching.access import EVERYTHING
from sinks.searching.hits import CLOSE, OPEN
from tests.families.names.test_fuzz import TEXTS

CASES = [
    pytest.param("½ cup", "{1}⁄2 cup", ["½"], id="the first part of a fraction"),
    pytest.param("½ cup", "1⁄{2} cup", ["½"], id="the last part of a fraction"),
    pytest.param("½ cup", "{1}⁄{2} {cup}", ["½", "cup"], id="all parts of a fraction"),
    pytest.param("⅓⅔", "{1}⁄31⁄3", None, id="a mark on another text"),
    pytest.param("ﬁ", "{f}i", ["ﬁ"], id="half of a ligature"),
    pytest.param("Ⅷ", "viii", [], id="nothing"),
    pytest.param("5㎏", "5{k}g", ["㎏"], id="half of a unit"),
    pytest.param("a㍿b", "a株{式}会社b", ["㍿"], id="a sign in the middle of a word"),
    pytest.param("ﷺ!", "صلى {الله} عليه {وسلم}!", ["ﷺ"], id="words in one code point"),
    pytest.param("AT&amp;T", "{at}&{t}", ["AT", "T"], id="an entity between"),
    pytest.param("AT&amp;T", "at{&}t", ["&amp;"], id="an entity"),
    pytest.param("Ham\u00adburg\u200b!", "{hamburg}!", ["Ham\u00adburg"], id="invisible signs"),
    pytest.param("Beyonce\u0301 x", "{beyonce} x", ["Beyonce\u0301"], id="a mark"),
    pytest.param("x", "{}x", [], id="marks around nothing"),
    pytest.param("x", "x{}", [], id="marks around the end"),
]


def matches(text: str, folded: str) -> list[str]:
    """Returns what a hit shows as matched. Braces in `folded` stand for Elasticsearch's marks."""
    marked = folded.replace("{", OPEN).replace("}", CLOSE)
    hit = {"_source": {"id": "1", "text": text, "mentions": [], "source": "model"}, "_score": 1.0}
    answer = {"hits": {"total": {"value": 1}, "hits": [hit | {"highlight": {"folded": [marked]}}]}}
    (found,) = results(answer, EVERYTHING).hits
    assert all(0 <= start < end <= len(text) for start, end in found.matches)
    assert all(a[1] <= b[0] for a, b in zip(found.matches, found.matches[1:], strict=False))
    return [text[start:end] for start, end in found.matches]


@pytest.mark.parametrize(("text", "folded", "expected"), CASES)
def test_what_matched_is_a_part_of_the_raw_text(text: str, folded: str, expected: list[str] | None) -> None:
    plain = folded.replace("{", "").replace("}", "")
    assert (plain == fold(text)[0]) == (expected is not None)
    assert matches(text, folded) == (expected or [])


@given(TEXTS.map(lambda text: text.replace("{", "").replace("}", "")), st.integers(0, 200), st.integers(1, 5))
def test_any_part_of_a_folded_text_is_shown(text: str, start: int, length: int) -> None:
    folded, _ = fold(text)
    if OPEN in text or CLOSE in text or start >= len(folded):
        return
    part = folded[start : start + length]
    shown = matches(text, folded[:start] + "{" + part + "}" + folded[start + length :])
    assert len(shown) == 1
