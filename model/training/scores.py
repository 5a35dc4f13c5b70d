"""How good, and how well it knows it: F1 as published figures count it, calibration, and error detection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities

from model.mentions import Prediction, Span, candidates_to_ask

BINS = 15
"""Of the calibration error and the reliability diagram."""


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
class Covered:
    """When only the likeliest predicted mentions are kept. `f1`: the others are dropped, the gold ones stay all.
    `f1_reviewed`: a person keeps the right ones of the others and drops the wrong ones."""

    f1: float
    f1_reviewed: float


@dataclass(frozen=True)
class Recovered:
    """`missed`: gold mentions that the best labelling has not; `share` of them that are asked about as candidates,
    None where nothing is missed; `asked`: questions about candidates, per predicted mention."""

    missed: int
    share: float | None
    asked: float


@dataclass(frozen=True)
class Scoreboard:
    """F1, precision, recall: micro, by seqeval's default. `ece`, `brier`: of the probabilities of predicted mentions.

    `auroc_error`: how well low probability tells wrong predicted mentions from right ones (and the same by each
    uncertainty), `aupr_error` the same as average precision, wrong ones being positive; None where all are right or all
    wrong. `aurc`: mean share of wrong mentions among the k most probable, over all k. `at_80`, `at_90`: with that share
    of the predicted mentions kept. `candidates`: what candidates bring back.
    """

    f1: float
    precision: float
    recall: float
    per_type: dict[str, TypeScore]
    support: int
    predicted: int
    ece: float
    brier: float
    auroc_error: float | None
    auroc_error_aleatoric: float | None
    auroc_error_epistemic: float | None
    aupr_error: float | None
    aurc: float
    at_80: Covered
    at_90: Covered
    candidates: Recovered


def as_tags(prediction: Prediction, words: int) -> list[str]:
    """BIO tags of a prediction over a corpus's words, whose spans count words."""
    tags = ["O"] * words
    for span in prediction.spans:
        tags[span.start : span.end] = [f"B-{span.type}", *[f"I-{span.type}"] * (span.end - span.start - 1)]
    return tags


def judge(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> list[Judged]:
    """Every predicted mention against the gold tags."""
    return [one for tweet in judge_each(gold, predictions) for one in tweet]


def judge_each(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> list[list[Judged]]:
    """As `judge`, by tweet."""
    judged = []
    for tags, prediction in zip(gold, predictions, strict=True):
        true = _true(tags)
        judged.append([Judged(s.probability, s.aleatoric, s.epistemic, _named(s) in true) for s in prediction.spans])
    return judged


def columns(judged: Sequence[Judged]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probability of each, and whether it is right."""
    return np.array([one.probability for one in judged]), np.array([one.correct for one in judged], dtype=bool)


@dataclass(frozen=True)
class Routed:
    """What a review threshold does: the share of the predicted mentions that lie below it, 0 without any, and the
    precision of the others, None where there are none."""

    threshold: float
    reviewed: float
    precision: float | None


def routed(judged: Sequence[Judged], threshold: float) -> Routed:
    kept = [one.correct for one in judged if one.probability >= threshold]
    reviewed = 1 - len(kept) / len(judged) if judged else 0.0
    return Routed(threshold, reviewed, sum(kept) / len(kept) if kept else None)


Named = tuple[str, int, int]


def _true(tags: Sequence[str]) -> set[Named]:
    """Gold mentions as seqeval's default reads them: type, start, end."""
    return {(kind, first, last + 1) for kind, first, last in get_entities(list(tags))}


def _named(span: Span) -> Named:
    return span.type, span.start, span.end


def scoreboard(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> Scoreboard:
    """Scores of one data set; `gold` are the published tags of each tweet."""
    predicted = [as_tags(prediction, len(tags)) for tags, prediction in zip(gold, predictions, strict=True)]
    report = classification_report([list(tags) for tags in gold], predicted, output_dict=True, zero_division=0)
    judged = judge(gold, predictions)
    probability, correct = columns(judged)
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
        brier=brier(probability, correct),
        auroc_error=auroc(1 - probability, ~correct),
        auroc_error_aleatoric=auroc(np.array([one.aleatoric for one in judged]), ~correct),
        auroc_error_epistemic=auroc(np.array([one.epistemic for one in judged]), ~correct),
        aupr_error=average_precision(1 - probability, ~correct),
        aurc=risk_coverage_area(probability, correct),
        at_80=covered(probability, correct, micro.support, 0.8),
        at_90=covered(probability, correct, micro.support, 0.9),
        candidates=recovered(gold, predictions),
    )


def _type_score(row: dict[str, float]) -> TypeScore:
    f1, precision, recall = (round(float(row[key]), 6) for key in ("f1-score", "precision", "recall"))
    return TypeScore(f1, precision, recall, int(row["support"]))


def bins_of(probability: NDArray[np.float64], bins: int = BINS) -> NDArray[np.intp]:
    """Which of `bins` bins of equal width each probability is in."""
    return np.minimum((probability * bins).astype(np.intp), bins - 1)


def calibration_error(probability: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error over bins of equal width (Guo et al., ICML 2017, eq. 3). 0 when there is nothing."""
    if not len(probability):
        return 0.0
    place = bins_of(probability, bins)
    gaps = [
        (place == number).mean() * abs(correct[place == number].mean() - probability[place == number].mean())
        for number in np.unique(place)
    ]
    return round(float(sum(gaps)), 6)


def brier(probability: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Mean squared error of the probabilities (Brier, 1950). 0 when there is nothing."""
    return round(float(((probability - correct) ** 2).mean()), 6) if len(probability) else 0.0


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """The chance that a positive scores above a negative, ties counting half. None without both kinds."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return round(float(above / (positives * negatives)), 6)


def average_precision(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Area under the precision-recall curve in steps, positives scoring high, ties taken together. None without both
    kinds."""
    if positive.all() or not positive.any():
        return None
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    found = np.cumsum(positive[order])[last]
    precision = found / (np.flatnonzero(last) + 1)
    return round(float((np.diff(found, prepend=0) * precision).sum() / positive.sum()), 6)


def risks(probability: NDArray[np.float64], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of wrong mentions among the k most probable, for k = 1 ... all."""
    wrong = ~correct[np.argsort(-probability, kind="stable")]
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def risk_coverage_area(probability: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve (Geifman et al., ICLR 2019): lower is better. 0 when there is nothing."""
    return round(float(risks(probability, correct).mean()), 6) if len(probability) else 0.0


def covered(probability: NDArray[np.float64], correct: NDArray[np.bool_], support: int, share: float) -> Covered:
    """F1 with the `share` of mentions kept that are the most probable. Zeros when there is nothing."""
    kept = np.argsort(-probability, kind="stable")[: round(share * len(probability))]
    right, every = int(correct[kept].sum()), int(correct.sum())
    predicted = len(kept) + every - right  # after a person kept the right ones of the others
    if not support + len(kept):
        return Covered(0.0, 0.0)
    return Covered(round(2 * right / (len(kept) + support), 6), round(2 * every / (predicted + support), 6))


def recovered(
    gold: Sequence[Sequence[str]], predictions: Sequence[Prediction], budget: float | None = None
) -> Recovered:
    """What the candidates of the predictions bring back: the likeliest of all, `budget` questions per predicted
    mention at most, or all."""
    absent = predicted = 0
    questions: list[tuple[float, bool]] = []
    for tags, prediction in zip(gold, predictions, strict=True):
        gone = _true(tags) - {_named(span) for span in prediction.spans}
        asked = candidates_to_ask(prediction.spans, prediction.candidates)
        questions += [(span.probability, _named(span) in gone) for span in asked]
        absent, predicted = absent + len(gone), predicted + len(prediction.spans)
    most = None if budget is None else int(budget * predicted + 1e-9)
    questions = sorted(questions, key=lambda question: -question[0])[:most]
    back = sum(right for _, right in questions)
    share = round(back / absent, 6) if absent else None
    return Recovered(absent, share, round(len(questions) / max(1, predicted), 6))
