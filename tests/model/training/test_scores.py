"""The figures that are reported, on cases small enough to do by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.mentions import Prediction, Span
from model.training.scores import (
    Covered,
    Judged,
    Recovered,
    Routed,
    auroc,
    average_precision,
    brier,
    calibration_error,
    covered,
    judge,
    recovered,
    risk_coverage_area,
    routed,
    scoreboard,
)


def span(start: int, end: int, probability: float = 0.9) -> Span:
    return Span(start, end, "PER", probability, 0.1, 0.2, {})


GOLD = [["B-PER", "I-PER", "O", "B-LOC"], ["I-PER", "O"]]
PREDICTED = [Prediction((span(0, 2), span(3, 4, 0.4))), Prediction((span(0, 1, 0.8),))]


def test_a_mention_is_right_only_with_span_and_type_and_gold_is_read_as_seqeval_does() -> None:
    assert [each.correct for each in judge(GOLD, PREDICTED)] == [True, False, True]


def test_the_scoreboard_counts_mentions() -> None:
    scores = scoreboard(GOLD, PREDICTED)
    assert (scores.support, scores.predicted) == (3, 3)
    assert scores.precision == scores.recall == scores.f1 == pytest.approx(2 / 3, abs=1e-6)
    assert (scores.per_type["PER"].recall, scores.per_type["LOC"].recall) == (1.0, 0.0)
    assert scores.auroc_error == 1.0


def test_nothing_predicted_is_a_score_of_zero_not_an_error() -> None:
    scores = scoreboard(GOLD, [Prediction(), Prediction()])
    assert (scores.f1, scores.ece, scores.brier, scores.aurc) == (0.0, 0.0, 0.0, 0.0)
    assert (scores.auroc_error, scores.aupr_error) == (None, None)
    assert (scores.at_90, scores.candidates) == (Covered(0.0, 0.0), Recovered(3, 0.0, 0.0))


def test_calibration_error_is_the_gap_between_promise_and_truth() -> None:
    probability, correct = np.array([0.9, 0.9, 0.9, 0.9]), np.array([True, True, False, False])
    assert calibration_error(probability, correct) == pytest.approx(0.4)


def test_auroc_counts_pairs_ties_half() -> None:
    assert auroc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])) == pytest.approx(3.5 / 4)
    assert auroc(np.array([0.9]), np.array([True])) is None


def test_risk_coverage_area_is_the_mean_risk_over_coverages() -> None:
    area = risk_coverage_area(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
    assert area == pytest.approx((0 + 1 / 2 + 1 / 3) / 3, abs=1e-6)


def test_brier_is_the_mean_squared_error() -> None:
    assert brier(np.array([0.9, 0.4]), np.array([True, False])) == pytest.approx((0.01 + 0.16) / 2)


def test_average_precision_is_the_mean_precision_at_each_positive_ties_together() -> None:
    scores, positive = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    assert average_precision(scores, positive) == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert average_precision(np.full(4, 0.5), positive) == 0.5
    assert average_precision(scores, np.zeros(4, dtype=bool)) is None


def test_f1_at_coverage_drops_the_least_probable_or_has_them_reviewed() -> None:
    """Of five gold mentions, three are predicted, and two that are none; one right and one wrong one are not kept."""
    probability, correct = np.array([0.9, 0.5, 0.8, 0.4, 0.7]), np.array([True, True, True, False, False])
    assert covered(probability, correct, 5, 0.6) == Covered(f1=0.5, f1_reviewed=round(6 / 9, 6))
    assert covered(probability, correct, 5, 1.0) == Covered(0.6, 0.6)


def test_a_threshold_sends_the_less_probable_to_people_and_has_a_precision_of_the_others() -> None:
    some = [Judged(probability, 0.0, 0.0, correct) for probability, correct in ((0.9, True), (0.8, False), (0.5, True))]
    at_80 = routed(some, 0.8)
    assert at_80.reviewed == pytest.approx(1 / 3)
    assert (at_80.threshold, at_80.precision) == (0.8, 0.5)
    assert routed(some, 0.95) == Routed(0.95, 1.0, None)
    assert routed([], 0.5) == Routed(0.5, 0.0, None)


def test_a_missed_mention_is_recovered_where_a_question_names_its_span_and_type() -> None:
    gold = [["B-PER", "I-PER", "O", "B-PER", "B-LOC"]]
    candidates = (span(3, 4, 0.4), span(2, 4, 0.3), span(0, 2, 0.2), span(4, 5, 0.1))
    assert recovered(gold, [Prediction((span(0, 2),), candidates)]) == Recovered(missed=2, share=0.5, asked=2.0)
    assert recovered([["O"]], [Prediction()]) == Recovered(0, None, 0.0)


def test_a_budget_goes_to_the_likeliest_questions_of_all_tweets() -> None:
    gold = [["B-PER", "O", "B-LOC"], ["B-PER", "O", "B-PER"]]
    predictions = [Prediction((span(0, 1),), (span(2, 3, 0.2),)), Prediction((span(0, 1),), (span(2, 3, 0.4),))]
    assert recovered(gold, predictions, 0.5) == Recovered(missed=2, share=0.5, asked=0.5)
    assert recovered(gold, predictions, 0.4) == Recovered(missed=2, share=0.0, asked=0.0)
    assert recovered(gold, predictions, 9.0) == recovered(gold, predictions) == Recovered(2, 0.5, 1.0)
