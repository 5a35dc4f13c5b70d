"""How good, and how well it knows it: F1 as published figures count it, calibration, and error detection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities

from model.mentions import Prediction


@dataclass(frozen=True)
class Judged:
    """A predicted mention, and whether a gold mention has exactly its span and type."""

    probability: float
    aleatoric: float
    epistemic: float
    correct: bool


@dataclass(frozen=True)
class TypeScore:
    f1: float
    precision: float
    recall: float
    support: int


@dataclass(frozen=True)
class Scoreboard:
    """F1, precision, recall: micro, by seqeval's default. `ece`: expected calibration error of mention probabilities.

    `auroc_error`: how well low probability tells wrong predicted mentions from right ones (and the same by each
    uncertainty); None where all are right or all wrong. `aurc`: mean share of wrong mentions among the k most probable,
    over all k.
    """

    f1: float
    precision: float
    recall: float
    per_type: dict[str, TypeScore]
    support: int
    predicted: int
    ece: float
    auroc_error: float | None
    auroc_error_aleatoric: float | None
    auroc_error_epistemic: float | None
    aurc: float


def as_tags(prediction: Prediction, words: int) -> list[str]:
    """BIO tags of a prediction over a corpus's words, whose spans count words."""
    tags = ["O"] * words
    for span in prediction.spans:
        tags[span.start : span.end] = [f"B-{span.type}", *[f"I-{span.type}"] * (span.end - span.start - 1)]
    return tags


def judge(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> list[Judged]:
    """Every predicted mention against the gold tags, read as seqeval's default reads them."""
    judged = []
    for tags, prediction in zip(gold, predictions, strict=True):
        true = {(kind, first, last + 1) for kind, first, last in get_entities(list(tags))}
        judged += [
            Judged(span.probability, span.aleatoric, span.epistemic, (span.type, span.start, span.end) in true)
            for span in prediction.spans
        ]
    return judged


def scoreboard(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> Scoreboard:
    """Scores of one data set; `gold` are the published tags of each tweet."""
    predicted = [as_tags(prediction, len(tags)) for tags, prediction in zip(gold, predictions, strict=True)]
    report = classification_report([list(tags) for tags in gold], predicted, output_dict=True, zero_division=0)
    judged = judge(gold, predictions)
    correct = np.array([one.correct for one in judged], dtype=bool)
    probability = np.array([one.probability for one in judged])
    rows = {name: _type_score(row) for name, row in report.items()}
    micro = rows["micro avg"]
    return Scoreboard(
        f1=micro.f1,
        precision=micro.precision,
        recall=micro.recall,
        per_type={name: row for name, row in rows.items() if not name.endswith(" avg")},
        support=micro.support,
        predicted=len(judged),
        ece=calibration_error(probability, correct),
        auroc_error=auroc(1 - probability, ~correct),
        auroc_error_aleatoric=auroc(np.array([one.aleatoric for one in judged]), ~correct),
        auroc_error_epistemic=auroc(np.array([one.epistemic for one in judged]), ~correct),
        aurc=risk_coverage_area(probability, correct),
    )


def _type_score(row: dict[str, float]) -> TypeScore:
    f1, precision, recall = (round(float(row[key]), 6) for key in ("f1-score", "precision", "recall"))
    return TypeScore(f1, precision, recall, int(row["support"]))


def calibration_error(probability: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error over bins of equal width (Guo et al., ICML 2017, eq. 3). 0 when there is nothing."""
    if not len(probability):
        return 0.0
    place = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [
        (place == number).mean() * abs(correct[place == number].mean() - probability[place == number].mean())
        for number in np.unique(place)
    ]
    return round(float(sum(gaps)), 6)


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """The chance that a positive scores above a negative, ties counting half. None without both kinds."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return round(float(above / (positives * negatives)), 6)


def risk_coverage_area(probability: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve (Geifman et al., ICLR 2019): lower is better. 0 when there is nothing."""
    if not len(probability):
        return 0.0
    wrong = ~correct[np.argsort(-probability, kind="stable")]
    return round(float((np.cumsum(wrong) / np.arange(1, len(wrong) + 1)).mean()), 6)


def review_threshold(judged: Sequence[Judged], target_precision: float) -> float | None:
    """The smallest probability such that the mentions at or above it are right to `target_precision`; None if none."""
    ordered = sorted(judged, key=lambda one: -one.probability)
    best, right = None, 0
    for index, one in enumerate(ordered, start=1):
        right += one.correct
        ends_a_tie = index == len(ordered) or ordered[index].probability < one.probability
        if ends_a_tie and right / index >= target_precision:
            best = one.probability
    return best
