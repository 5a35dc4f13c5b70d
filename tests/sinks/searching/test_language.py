"""What a person types is read as words, phrases, exclusions and prefixes. Every text can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from sinks.searching.language import MAX_WORDS, Term, parse
from tests.families.names.test_fuzz import TEXTS

CASES = [
    pytest.param("", [], id="nothing"),
    pytest.param(" \t\u00a0\u200b", [], id="blanks"),
    pytest.param("Paris Hilton", ["paris", "hilton"], id="words"),
    pytest.param('"Paris Hilton" Ana', ["paris hilton", "ana"], id="a phrase"),
    pytest.param("“Paris Hilton”", ["paris hilton"], id="a phrase in English quotation marks"),
    pytest.param("„Paris Hilton“", ["paris hilton"], id="a phrase in German quotation marks"),
    pytest.param("«Paris Hilton»", ["paris hilton"], id="a phrase in guillemets"),
    pytest.param("＂Paris Hilton＂", ["paris hilton"], id="a phrase in full-width quotation marks"),
    pytest.param("&quot;Paris Hilton&quot;", ["paris hilton"], id="a phrase in HTML entities"),
    pytest.param("「東京」", ["「東京」"], id="corner brackets are text"),
    pytest.param('"a""b"', ["a", "b"], id="two phrases without a blank"),
    pytest.param('("a b")', ["a b"], id="a phrase in brackets"),
    pytest.param('+"a b"', ["a b"], id="a phrase that must match"),
    pytest.param('"Paris Hilton', ['"paris', "hilton"], id="a quotation mark without a partner"),
    pytest.param('12" vinyl 7"', ['12"', "vinyl", '7"'], id="inches"),
    pytest.param('צה"ל', ['צה"ל'], id="a quotation mark within a Hebrew word"),
    pytest.param('"צה"ל in gaza"', ['צה"ל in gaza'], id="a phrase with a Hebrew word"),
    pytest.param("-Berlin", ["-berlin"], id="without a word"),
    pytest.param("Paris -Berlin", ["paris", "-berlin"], id="one word without another"),
    pytest.param('-"New York" Paris', ["-new york", "paris"], id="without a phrase"),
    pytest.param("-“New York”", ["-new york"], id="without a phrase in typographic quotation marks"),
    pytest.param("－Berlin", ["-berlin"], id="a full-width minus"),
    pytest.param("−Berlin", ["-berlin"], id="a mathematical minus"),
    pytest.param("Paris –Berlin", ["paris", "-berlin as text"], id="an en dash excludes nothing"),
    pytest.param("Paris —Berlin", ["paris", "-berlin as text"], id="an em dash excludes nothing"),
    pytest.param("Paris - Berlin", ["paris", "berlin"], id="a lone dash"),
    pytest.param("Paris – Berlin", ["paris", "berlin"], id="a lone en dash"),
    pytest.param("--Berlin", ["--berlin as text"], id="two dashes"),
    pytest.param("Paris -", ["paris"], id="a dash at the end"),
    pytest.param("Jean-Claude AT-T", ["jean-claude", "at-t"], id="dashes in names"),
    pytest.param("-Jean-Claude", ["-jean-claude"], id="without a name with a dash"),
    pytest.param("#Paris ＃tag", ["#paris", "#tag"], id="hashtags"),
    pytest.param("-#Paris", ["-#paris"], id="without a hashtag"),
    pytest.param("O'Brien O’Brien", ["o'brien", "o'brien"], id="apostrophes"),
    pytest.param("AT&amp;T Ｐａｒｉｓ Zoe\u0308", ["at&t", "paris", "zoe"], id="other spellings"),
    pytest.param("par* -ber*", ["par*", "-ber*"], id="beginnings of words"),
    pytest.param("par＊ Jean-Cl**", ["par*", "jean-cl*"], id="a full-width star, and two"),
    pytest.param('"par*"', ["par* as text"], id="a star in a phrase is text"),
    pytest.param("H*b * **", ["h*b"], id="stars elsewhere are text"),
    pytest.param("a AND b OR (c)", ["a", "and", "b", "or", "(c)"], id="no other operators"),
    pytest.param("title:Paris /x/", ["title:paris", "/x/"], id="no fields and no regular expressions"),
    pytest.param("🗼 Paris !!", ["🗼", "paris"], id="an emoji says something, signs do not"),
]


def said(term: Term) -> str:
    as_text = " as text" if not term.excluded and term.folded.startswith("-") else ""
    as_text = as_text or (" as text" if not term.is_prefix and term.folded.endswith("*") else "")
    return "-" * term.excluded + term.folded + "*" * term.is_prefix + as_text


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_what_people_type_is_read_as_they_mean_it(text: str, expected: list[str]) -> None:
    query = parse(text)
    read = [said(term) for term in (*query.wanted, *query.unwanted)]
    assert sorted(read) == sorted(expected)
    assert query.is_blank is (not expected)


@pytest.mark.parametrize("text", ["!!!", "- –", '"', "&&", "*", "(((", "+ - | ~ * ( )", '""'])
def test_signs_alone_are_one_text_that_is_not_blank(text: str) -> None:
    query = parse(text)
    assert (query.signs, query.is_blank, query.wanted) == (text.strip(), False, ())


def test_a_term_keeps_what_was_typed_for_texts_that_were_never_folded() -> None:
    query = parse("“AT&amp;T” Beyoncé* -O’Brien")
    assert [term.raw for term in query.wanted] == ["AT&amp;T", "Beyoncé"]
    assert [term.raw for term in query.unwanted] == ["O’Brien"]


def test_a_query_that_is_too_long_is_told_with_the_limit() -> None:
    with pytest.raises(UserError, match=f"up to {MAX_WORDS} words"):
        parse("w " * (MAX_WORDS + 1))


SIGNS = st.text(st.sampled_from("ab -–—\"“”'#*&;()+|~:＂－＃＊\u200b\u0301🗼"), max_size=30)


@given(st.one_of(TEXTS, SIGNS, st.text(max_size=50)))
def test_every_text_can_be_read_and_its_terms_are_parts_of_it(text: str) -> None:
    query = parse(text)
    assert all(term.raw in query.text for term in (*query.wanted, *query.unwanted))
    assert all(term.folded.strip() for term in (*query.wanted, *query.unwanted))
