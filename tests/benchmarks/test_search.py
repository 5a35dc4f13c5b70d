"""The searches that the benchmark asks."""

from __future__ import annotations

from benchmarks.search import SHARES, searches


def test_searches_are_of_all_kinds_and_none_comes_twice() -> None:
    mixed = searches(200)
    assert {kind for kind, _ in mixed} == set(SHARES)
    assert len({state for _, state in mixed}) == len(mixed) == 200
