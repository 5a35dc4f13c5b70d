"""The second line of defence: an event that was read and never arrived is noticed."""

from __future__ import annotations

import pytest

from streams.pipeline.intake import Chain

PLACE = ("tweets", 0)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([(1, None, 0), (1, 0, 1), (1, 1, 9)], "next next next", id="in order, with a hole"),
        pytest.param([(1, None, 5), (2, None, 5), (2, 5, 6)], "next next next", id="positioned again"),
        pytest.param([(1, 4, 5)], "missed", id="the first of a positioning is missing"),
        pytest.param([(1, None, 4), (1, 5, 6)], "next missed", id="one between is missing"),
        pytest.param([(1, None, 4), (1, 5, 6), (1, 6, 7)], "next missed stale", id="told once"),
        pytest.param([(1, None, 4), (1, 5, 6), (2, None, 5)], "next missed next", id="read again"),
        pytest.param([(2, None, 4), (1, 9, 10), (2, 4, 5)], "next stale next", id="a late event of an older one"),
        pytest.param([(2, 8, 9), (1, None, 0), (3, None, 8)], "missed stale next", id="late after a missed one"),
        pytest.param([(1, None, 4), (2, 4, 5)], "next missed", id="the first of the second positioning is missing"),
    ],
)
def test_the_chain(events: list[tuple[int, int | None, int]], expected: str) -> None:
    chain = Chain()
    assert " ".join(chain.add(PLACE, *event) for event in events) == expected


def test_partitions_have_chains_of_their_own() -> None:
    chain = Chain()
    assert chain.add(("tweets", 0), 1, None, 4) == "next"
    assert chain.add(("tweets", 1), 2, None, 7) == "next"
    assert chain.add(("tweets", 0), 1, 4, 5) == "next"
