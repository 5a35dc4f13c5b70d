"""Which name a mention counts under, after people have corrected names."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.corrections import CORRECTION, SameName, SplitName
from core.spelling import normalise
from sinks.names.names import NO_CORRECTIONS, Names, Part

DAY = datetime(2026, 11, 30, tzinfo=UTC)
LONG = "National Aeronautics and Space Administration"


def same(name: str, of: str, minute: int = 0, *, withdrawn: bool = False) -> SameName:
    return SameName(name=name, of=of, by="ana", at=DAY + timedelta(minutes=minute), withdrawn=withdrawn)


def split(surface: str, name: str, minute: int = 0, *, withdrawn: bool = False) -> SplitName:
    return SplitName(surface=surface, name=name, by="ana", at=DAY + timedelta(minutes=minute), withdrawn=withdrawn)


def test_without_corrections_a_name_stands_for_itself() -> None:
    assert NO_CORRECTIONS.canonical("#NASA") == "nasa"
    assert NO_CORRECTIONS.parts("#NASA") == (Part("nasa"),)
    assert Names.of([]) == NO_CORRECTIONS


def test_two_names_are_one_and_listed_under_the_second() -> None:
    names = Names.of([same("NASA", LONG)])
    assert names.canonical("#nasa") == names.canonical(LONG) == LONG.lower()
    assert names.members("NASA") == (LONG.lower(), "nasa")
    assert set(names.parts("nasa")) == {Part("nasa"), Part(LONG.lower())}
    assert names.canonical("esa") == "esa"


@pytest.mark.parametrize(
    ("corrections", "canonical"),
    [
        pytest.param([same("a", "b"), same("b", "c", 1)], "c", id="chain"),
        pytest.param([same("b", "c"), same("a", "b", 1)], "c", id="chain, told in the other order"),
        pytest.param([same("a", "b"), same("b", "c", 1), same("c", "a", 2)], "a", id="cycle: the last one named"),
        pytest.param([same("a", "b", 2), same("b", "c"), same("c", "a", 1)], "b", id="cycle, other times"),
        pytest.param([same("a", "b"), same("a", "c", 1)], "c", id="two that stand for one"),
        pytest.param([same("a", "b", 1), same("a", "c")], "b", id="two that stand for one, other times"),
    ],
)
def test_chains_and_cycles_have_one_canonical_name(corrections: list[SameName], canonical: str) -> None:
    for order in itertools.permutations(corrections):
        names = Names.of([*order, *corrections])
        assert {names.canonical(name) for name in "abc" if names.canonical(name) != name} | {canonical} == {canonical}
        assert names.canonical("a") == canonical


def test_the_later_correction_wins_and_one_can_be_taken_back() -> None:
    there, back, again = same("a", "b"), same("a", "b", 1, withdrawn=True), same("B", "#A", 2)
    for order in itertools.permutations([there, back]):
        assert Names.of(order).canonical("a") == "a"
    for order3 in itertools.permutations([there, back, again]):
        assert Names.of(order3).canonical("b") == "a", "the same two names, in the other direction"


def test_a_spelling_gets_a_name_of_its_own() -> None:
    names = Names.of([split("US", "US (country)")])
    assert names.canonical_of("US") == "us (country)"
    assert names.canonical_of("us") == names.canonical_of("Us") == "us"
    assert names.parts("us") == (Part("us", without=("US",)),)
    assert names.parts("US (country)") == (Part("us (country)"), Part("us", only=("US",)))


def test_a_split_name_may_be_one_with_another() -> None:
    names = Names.of([split("US", "US (country)"), split("U.S.", "US (country)"), same("US (country)", "USA")])
    assert names.canonical_of("US") == names.canonical_of("U.S.") == names.canonical("usa") == "usa"
    assert names.parts("usa") == (Part("us (country)"), Part("usa"), Part("us", only=("U.S.", "US")))
    assert names.parts("us") == (Part("us", without=("U.S.", "US")),)
    assert names.members("usa") == ("usa", "us (country)")


def test_joining_a_split_name_with_its_origin_ends_the_split() -> None:
    names = Names.of([split("US", "US (country)"), same("US (country)", "us", 1)])
    assert names.canonical_of("US") == "us"
    assert set(names.parts("us")) == {Part("us"), Part("us (country)")}


def test_a_name_tells_the_corrections_that_concern_it() -> None:
    first, second, other = same("a", "b"), split("B", "b (letter)", 1), same("x", "y", 2)
    names = Names.of([other, second, first])
    assert names.corrections[names.canonical("a")] == (first, second)
    assert names.corrections["b (letter)"] == (second,)
    assert "z" not in names.corrections


LETTERS = st.sampled_from(["a", "b", "c", "d", "A", "#b", "e"])
MINUTES = st.integers(0, 5)


@st.composite
def corrections(draw: st.DrawFn) -> SameName | SplitName:
    name, of, minute, withdrawn = draw(LETTERS), draw(LETTERS), draw(MINUTES), draw(st.booleans())
    if normalise(name) == normalise(of):
        of = "f"
    make = same if draw(st.booleans()) else split
    made: SameName | SplitName = make(name, of, minute, withdrawn=withdrawn)
    return made


@given(st.lists(corrections(), max_size=8), st.randoms(use_true_random=False))
def test_order_and_repetition_do_no_harm_and_each_mention_counts_under_one_name(
    given: list[SameName | SplitName], random: object
) -> None:
    names = Names.of(given)
    shuffled = given + given[: len(given) // 2]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Names.of(shuffled) == names
    for surface in ["a", "A", "b", "#b", "B", "c", "d", "e", "f"]:
        under = [
            canonical
            for canonical, parts in names.groups.items()
            if any(
                part.name == normalise(surface)
                and surface not in part.without
                and (not part.only or surface in part.only)
                for part in parts
            )
        ]
        assert (under or [normalise(surface)]) == [names.canonical_of(surface)]
        assert names.canonical(names.canonical(surface)) == names.canonical(surface)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "same", "name": "#nasa", "of": "NASA"}, "'#nasa' and 'NASA' are one name already"),
        ({"kind": "same", "name": "\u200b", "of": "NASA"}, "must be text that can be seen"),
        ({"kind": "same", "name": "a\0", "of": "NASA"}, "must be text that can be seen"),
        ({"kind": "same", "name": "x" * 257, "of": "NASA"}, "at most 256 characters"),
        ({"kind": "split", "surface": "US", "name": "us"}, "give the spelling a name of its own"),
        ({"kind": "rename", "name": "US", "of": "b"}, "does not match any of the expected tags"),
    ],
)
def test_a_correction_that_says_nothing_is_refused(fields: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        CORRECTION.validate_python(fields | {"by": "ana", "at": "2026-11-30T00:00:00Z"})


def test_a_correction_has_one_key_for_all_spellings_and_is_read_as_it_was_written() -> None:
    assert same("NASA", LONG).key == same(LONG.upper(), "#nasa").key
    assert split("US", "x").key != split("us", "x").key
    for one in (same("NASA", LONG), split("US", "x", withdrawn=True)):
        assert CORRECTION.validate_json(CORRECTION.dump_json(one)) == one
    assert b"withdrawn" not in CORRECTION.dump_json(same("a", "b"))
