"""Spellings that a person holds for the same are one name."""

from __future__ import annotations

import pytest

from core.spelling import normalise
from tests.families.names.spellings import DIFFERENT, SAME

PAIRS = [(kind, spellings[0], other) for kind, spellings in SAME.items() for other in spellings[1:]]


@pytest.mark.parametrize(
    ("first", "other"), [pytest.param(first, other, id=f"{kind}: {other!a}") for kind, first, other in PAIRS]
)
def test_two_spellings_are_one_name(first: str, other: str) -> None:
    assert normalise(other) == normalise(first)


@pytest.mark.parametrize(("first", "other"), DIFFERENT, ids=ascii)
def test_names_that_only_look_alike_stay_apart(first: str, other: str) -> None:
    assert normalise(first) != normalise(other)


@pytest.mark.parametrize(
    "text",
    [
        "\f\uff9e",  # a blank with a mark: nothing is left of it
        " \u0344",
        "\u202f\u1073\U000e006a",
        "\n\U00013432\ua671",
        "\u2028\U000e0073\u0ac9",
        "\u2029\u08cc\U000e0059",
        "\u2028\ua672\u206f",
        " \u0301\u0301",
        "&amp;Tp;",
        "&amp;amp;Tp;",
        "&#38;amp;bogus;.",
        "#&amp;lt;;",
        "(＆amp;x;)",
        "…&amp;hellip;;",
        "\x00\u2028\x00",  # nothing that is seen, and a line end
    ],
    ids=ascii,
)
def test_the_name_of_a_name_is_itself(text: str) -> None:
    name = normalise(text)
    assert name
    assert len(name.splitlines()) == 1
    assert normalise(name) == name


@pytest.mark.parametrize("text", ["#", "@", "…", "'", "!!!", "\u200b", "\u00ad", "()"], ids=ascii)
def test_text_that_is_no_word_has_a_name_too(text: str) -> None:
    assert normalise(text)
