"""Trends are found where they were planted, and nowhere else beyond the stated rate."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from sinks.names.trends import FALSE, Counts, compare

NAMES = 400


def stream(chance: random.Random, posts: int) -> list[int]:
    """Returns the name that each post mentions; the n-th name is as frequent as 1/n."""
    return chance.choices(range(NAMES), [1 / (n + 1) for n in range(NAMES)], k=posts)


def counts(now: list[int], before: list[int]) -> dict[str, Counts]:
    then, today = Counter(before), Counter(now)
    return {str(name): Counts(today[name], then[name]) for name in {*then, *today}}


@pytest.mark.parametrize("share", [0.5, 0.1, 0.8], ids=["equal volumes", "fewer posts now", "more posts now"])
def test_a_shuffled_stream_has_a_trend_no_more_often_than_stated(share: float) -> None:
    chance, rounds, wrong = random.Random(3), 300, 0
    for _ in range(rounds):
        posts = stream(chance, 3000)
        cut = int(share * len(posts))
        wrong += bool(compare(counts(posts[:cut], posts[cut:]), cut, len(posts) - cut).trends)
    assert wrong <= FALSE * rounds + 3 * (FALSE * (1 - FALSE) * rounds) ** 0.5


def test_planted_trends_are_found_among_many_names_and_the_surest_comes_first() -> None:
    chance = random.Random(5)
    before, now = stream(chance, 6000), stream(chance, 3000)
    planted = Counts(60, 40), Counts(14, 0)
    found = counts(now, before) | {"risen": planted[0], "new": planted[1]}
    outcome = compare(found, 3000, 6000)
    assert [trend.name for trend in outcome.trends][:2] == ["risen", "new"]
    risen, new = outcome.trends[:2]
    assert (new.is_new, new.ratio, new.high) == (True, None, None)
    assert (risen.is_new, risen.ratio) == (False, 3.0)
    assert risen.high is not None
    assert 1.5 < risen.low < 3.0 < risen.high < 6.0
    assert new.low > 3
    assert risen.false_rate < 0.001
    assert outcome.compared < len(found), "names that are too rare are not compared"


def test_more_posts_make_no_trend() -> None:
    found = {str(name): Counts(300, 100) for name in range(50)}
    assert compare(found, 30_000, 10_000).trends == ()
    assert len(compare(found, 10_000, 10_000, limit=7).trends) == 7


def test_a_single_mention_is_never_a_trend_and_an_empty_period_has_none() -> None:
    assert compare({"a": Counts(1, 0)}, 1000, 1000).trends == ()
    assert compare({"a": Counts(50, 0)}, 1000, 0).trends == ()
    assert compare({}, 0, 0).compared == 0
