"""The promise of the review threshold: exact p-values, and how often the promise fails over many draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model.training.guarantee import GRID, AtThreshold, Marks, highest, least_reviewed, part, promise


def tweets(random: np.random.Generator, number: int, mentions: int, together: bool) -> list[Marks]:
    """Draws mentions with calibrated, uniform probabilities: above a threshold t the true precision is (1 + t) / 2.

    `together`: the mentions of a post are all right or all wrong.
    """
    probability = random.random((number, 1 if together else mentions))
    right = random.random(probability.shape) < probability
    rows = zip(*(np.broadcast_to(part, (number, mentions)).tolist() for part in (probability, right)), strict=True)
    return [list(zip(*row, strict=True)) for row in rows]


@pytest.mark.parametrize(("right", "mentions", "target"), [(3, 5, 0.3), (5, 5, 0.9), (40, 50, 0.75), (0, 5, 0.3)])
def test_the_p_value_is_the_tail_of_the_binomial(right: int, mentions: int, target: float) -> None:
    tail = sum(math.comb(mentions, k) * target**k * (1 - target) ** (mentions - k) for k in range(right, mentions + 1))
    kept = AtThreshold(mentions, right, effect=1.0)
    assert kept.p_value(target) == pytest.approx(tail, rel=1e-9)
    if right:
        assert kept.p_value(kept.lower_bound(0.1)) == pytest.approx(0.1)


def test_with_too_few_mentions_nothing_can_be_promised() -> None:
    def certain(number: int) -> dict[str, list[Marks]]:
        return {"text": [[(0.9, True)]] * number}

    assert promise(certain(44), 0.9, 0.95, 0.1) is None
    found = promise(certain(45), 0.9, 0.95, 0.1)
    assert found is not None
    assert (found.threshold, found.precision, found.reviewed) == (GRID[-1], {"text": 1.0}, {"text": 0.0})
    assert highest(certain(44), 0.9, 0.1).target == 0.94
    assert highest({"text": [[]]}, 0.9, 0.1).target == 0


@pytest.mark.parametrize(
    ("number", "mentions", "together"),
    [
        pytest.param(1500, 1, False, id="independent mentions"),
        pytest.param(400, 4, False, id="independent mentions, four a tweet"),
        pytest.param(400, 4, True, id="all mentions of a tweet right or wrong together"),
    ],
)
def test_the_promise_fails_no_more_often_than_delta(number: int, mentions: int, together: bool) -> None:
    random, broken, given = np.random.default_rng(7), 0, 0
    for _ in range(400):
        found = promise({"text": tweets(random, number, mentions, together)}, start=0.9, target=0.85, delta=0.1)
        if found is not None:
            given += 1
            broken += (1 + found.threshold) / 2 < 0.85
    assert given > 250
    assert broken / 400 <= 0.1


@pytest.mark.parametrize("number", [100, 200])
def test_the_promise_holds_for_few_posts_whose_mentions_are_right_or_wrong_together(number: int) -> None:
    """Each has three mentions, 95% right at any probability; some thirty tweets are above the first threshold."""
    random, broken = np.random.default_rng(11), {"promise": 0, "highest": 0}
    for _ in range(200):
        probability = random.uniform(0.9, 1.0, number)
        right = random.random(number) < 0.95
        data = {"text": [[(each, good)] * 3 for each, good in zip(probability.tolist(), right.tolist(), strict=True)]}
        broken["highest"] += highest(data, 1 - 3 / number, 0.1).target > 0.95
        broken["promise"] += promise(data, 1 - 3 / number, 0.951, 0.1) is not None
    assert max(broken.values()) / 200 <= 0.1, broken


def test_a_post_counts_as_at_most_one_mention_when_few_posts_have_errors() -> None:
    def at_most(sizes: list[int], wrong: int) -> float:
        """Mentions of one tweet each, of which the first tweets have one wrong."""
        tweets = [[(0.9, place >= wrong or mention > 0) for mention in range(n)] for place, n in enumerate(sizes)]
        return highest({"text": tweets}, 0.9, 0.1).target

    assert at_most([3] * 40, 0) == at_most([1] * 40, 0) == 0.94
    assert at_most([1, 1, 1, 1, 16], 0) < at_most([4] * 5, 0)
    assert at_most([3] * 40, 4) < at_most([3] * 40, 5), "from five tweets on the effect is estimated"


def test_no_precision_above_the_highest_is_promised_more_often_than_delta() -> None:
    random = np.random.default_rng(3)
    found = [highest({"text": tweets(random, 400, 2, True)}, start=0.8, delta=0.1) for _ in range(300)]
    assert sum((1 + each.threshold) / 2 < each.target for each in found) / 300 <= 0.1
    assert np.mean([each.target for each in found]) > 0.8


def test_the_threshold_keeps_the_target_in_every_reading() -> None:
    random = np.random.default_rng(1)
    good, bad = (
        tweets(random, 4000, 1, False),
        [[(p, right and p > 0.8)] for [(p, right)] in tweets(random, 4000, 1, False)],
    )
    alone = promise({"a": good}, 0.95, 0.8, 0.1)
    both = promise({"a": good, "b": bad}, 0.95, 0.8, 0.1)
    assert alone is not None
    assert both is not None
    assert alone.threshold < 0.7 < both.threshold
    assert min(both.precision.values()) >= 0.8
    assert both.reviewed["a"] == pytest.approx(both.threshold, abs=0.03)


def test_tests_stop_at_the_first_threshold_that_fails() -> None:
    """Less cautious thresholds would pass if they were tested alone."""
    dip = [[(0.9, True)]] * 100 + [[(0.7, False)]] * 40 + [[(0.5, True)]] * 1000
    found = promise({"text": dip}, 0.9, 0.9, 0.1)
    assert found is not None
    assert 0.7 < found.threshold <= 0.9


@pytest.mark.parametrize(
    ("right", "wrong", "target"), [(7, 3, 0.9), (60, 40, 0.9), (9, 1, 0.9), (10, 0, 0.9), (0, 4, 0.9)]
)
def test_no_order_of_the_mentions_sends_fewer_to_review_than_the_least_share(
    right: int, wrong: int, target: float
) -> None:
    """Against a count: the best order sends the wrong mentions first."""
    least = least_reviewed(right / (right + wrong), target)
    sent = next(count for count in range(wrong + 1) if right >= target * (right + wrong - count) - 1e-9)
    assert sent - 1 < least * (right + wrong) <= sent + 1e-9


def test_the_promise_says_how_near_it_comes_to_the_least_share() -> None:
    data = [[(0.95, True)] * 3 + [(0.3, False)]] * 200
    found = promise({"text": data}, 0.9, 0.9, 0.1)
    assert found is not None
    assert found.least["text"] == pytest.approx((0.25 - 0.1) / 0.9)
    assert found.least["text"] < found.reviewed["text"] == 0.25
    assert found.summary() == "25.0% of mentions go to review (text), and at least 16.7% must"


def test_a_part_of_the_mentions_is_counted_at_the_threshold() -> None:
    found = part([[(0.9, True), (0.4, False)], [(0.8, True), (0.7, False)]], 0.7, 0.9)
    assert (found.mentions, found.reviewed) == (4, 0.25)
    assert found.precision == pytest.approx(2 / 3)
    assert found.least == pytest.approx(4 / 9)
    assert part([[(0.5, True)]], 0.7, 0.9).precision is None
    with pytest.raises(ValueError, match="no mentions"):
        part([[]], 0.7, 0.9)
