"""Scores of predictions: F1 as published figures count it, calibration, and detection of errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities

from model.mentions import Prediction, Span, candidates_to_ask

BINS = 15
"""Number of bins of the calibration error and the reliability diagram."""


@dataclass(frozen=True)
class Judged:
    """A predicted mention beside the gold tags."""

    probability: float
    aleatoric: float
    epistemic: float
    correct: bool
    """Whether a gold mention has exactly its span and type."""


@dataclass(frozen=True)
class TypeScore:
    """The scores of one entity type. `support` is its number of gold mentions."""

    f1: float
    precision: float
    recall: float
    support: int


@dataclass(frozen=True)
class Covered:
    """F1 when only the most probable predicted mentions are kept."""

    f1: float
    """F1 when the other mentions are dropped."""
    f1_reviewed: float
    """F1 when a person keeps the right ones of the other mentions and drops the wrong ones."""


@dataclass(frozen=True)
class Recovered:
    """The missed mentions that candidates recover, and the questions that this costs."""

    missed: int
    """Gold mentions that the best labelling misses."""
    share: float | None
    """Share of the missed ones that are asked about as candidates; None if nothing is missed."""
    asked: float
    """Questions about candidates, per predicted mention."""


@dataclass(frozen=True)
class Scoreboard:
    """The scores of one data set. F1, precision and recall are micro averages by seqeval's default."""

    f1: float
    precision: float
    recall: float
    per_type: dict[str, TypeScore]
    support: int
    """Number of gold mentions."""
    predicted: int
    """Number of predicted mentions; all scores below are over these."""
    ece: float
    """Expected calibration error of the probabilities."""
    brier: float
    auroc_error: float | None
    """AUROC of telling wrong mentions from right ones by 1 - probability; None if all are right or all wrong."""
    auroc_error_aleatoric: float | None
    """AUROC of telling wrong mentions from right ones by their aleatoric uncertainty."""
    auroc_error_epistemic: float | None
    """AUROC of telling wrong mentions from right ones by their epistemic uncertainty."""
    aupr_error: float | None
    """Average precision of finding wrong mentions by 1 - probability; None if all are right or all wrong."""
    aurc: float
    """Mean share of wrong mentions among the k most probable, over all k."""
    at_80: Covered
    """F1 when the most probable 80% of the mentions are kept."""
    at_90: Covered
    """F1 when the most probable 90% of the mentions are kept."""
    candidates: Recovered


def as_tags(prediction: Prediction, words: int) -> list[str]:
    """Returns the BIO tags of a prediction whose spans count words."""
    tags = ["O"] * words
    for span in prediction.spans:
        tags[span.start : span.end] = [f"B-{span.type}", *[f"I-{span.type}"] * (span.end - span.start - 1)]
    return tags


def judge(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> list[Judged]:
    """Judges every predicted mention by the gold tags of its post."""
    return [mention for mentions in judge_each(gold, predictions) for mention in mentions]


def judge_each(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> list[list[Judged]]:
    """Judges the mentions of each post; returns one list per post."""
    judged = []
    for tags, prediction in zip(gold, predictions, strict=True):
        true = _gold_mentions(tags)
        judged.append([Judged(s.probability, s.aleatoric, s.epistemic, _mention(s) in true) for s in prediction.spans])
    return judged


def columns(judged: Sequence[Judged]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns the probability of each mention, and whether it is right."""
    correct = np.array([mention.correct for mention in judged], dtype=bool)
    return np.array([mention.probability for mention in judged]), correct


@dataclass(frozen=True)
class Routed:
    """What a review threshold does to the predicted mentions."""

    threshold: float
    reviewed: float
    """Share of the mentions below the threshold; 0 without mentions."""
    precision: float | None
    """Precision of the mentions at or above it; None if there are none."""


def routed(judged: Sequence[Judged], threshold: float) -> Routed:
    """Splits the mentions at the threshold."""
    kept = [mention.correct for mention in judged if mention.probability >= threshold]
    reviewed = 1 - len(kept) / len(judged) if judged else 0.0
    return Routed(threshold, reviewed, sum(kept) / len(kept) if kept else None)


TypedSpan = tuple[str, int, int]
"""Type, start, end."""


def _gold_mentions(tags: Sequence[str]) -> set[TypedSpan]:
    """Returns the mentions as seqeval's default reads the tags."""
    return {(kind, first, last + 1) for kind, first, last in get_entities(list(tags))}


def _mention(span: Span) -> TypedSpan:
    return span.type, span.start, span.end


def scoreboard(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> Scoreboard:
    """Returns the scores of one data set. `gold`: the published tags of each post."""
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
        auroc_error_aleatoric=auroc(np.array([mention.aleatoric for mention in judged]), ~correct),
        auroc_error_epistemic=auroc(np.array([mention.epistemic for mention in judged]), ~correct),
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
    """Returns the bin of each probability, of `bins` bins of equal width."""
    return np.minimum((probability * bins).astype(np.intp), bins - 1)


def calibration_error(probability: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Returns the expected calibration error (Guo et al., ICML 2017, eq. 3); 0 without mentions."""
    if not len(probability):
        return 0.0
    place = bins_of(probability, bins)
    gaps = [
        (place == number).mean() * abs(correct[place == number].mean() - probability[place == number].mean())
        for number in np.unique(place)
    ]
    return round(float(sum(gaps)), 6)


def brier(probability: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Returns the mean squared error of the probabilities (Brier, 1950); 0 without mentions."""
    return round(float(((probability - correct) ** 2).mean()), 6) if len(probability) else 0.0


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Returns the chance that a positive scores above a negative; ties count half. None without both kinds."""
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return round(float(above / (positives * negatives)), 6)


def average_precision(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Returns the area under the precision-recall curve, in steps, ties taken together; None without both kinds."""
    if positive.all() or not positive.any():
        return None
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    hits = np.cumsum(positive[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return round(float((np.diff(hits, prepend=0) * precision).sum() / positive.sum()), 6)


def risks(probability: NDArray[np.float64], correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the share of wrong mentions among the k most probable, for each k from 1."""
    wrong = ~correct[np.argsort(-probability, kind="stable")]
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def risk_coverage_area(probability: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Returns the area under the risk-coverage curve (Geifman et al., ICLR 2019); 0 without mentions."""
    return round(float(risks(probability, correct).mean()), 6) if len(probability) else 0.0


def covered(probability: NDArray[np.float64], correct: NDArray[np.bool_], support: int, share: float) -> Covered:
    """Returns F1 when the most probable `share` of the mentions is kept; zeros without mentions."""
    kept = np.argsort(-probability, kind="stable")[: round(share * len(probability))]
    right, all_right = int(correct[kept].sum()), int(correct.sum())
    predicted = len(kept) + all_right - right  # after a person has kept the right ones of the rest
    if not support + len(kept):
        return Covered(0.0, 0.0)
    return Covered(round(2 * right / (len(kept) + support), 6), round(2 * all_right / (predicted + support), 6))


def recovered(
    gold: Sequence[Sequence[str]], predictions: Sequence[Prediction], budget: float | None = None
) -> Recovered:
    """Returns how many missed mentions the candidates recover: all candidates, or the most probable within the budget.

    `budget` limits the questions per predicted mention.
    """
    missed = predicted = 0
    questions: list[tuple[float, bool]] = []
    for tags, prediction in zip(gold, predictions, strict=True):
        absent = _gold_mentions(tags) - {_mention(span) for span in prediction.spans}
        asked = candidates_to_ask(prediction.spans, prediction.candidates)
        questions += [(span.probability, _mention(span) in absent) for span in asked]
        missed, predicted = missed + len(absent), predicted + len(prediction.spans)
    limit = None if budget is None else int(budget * predicted + 1e-9)
    questions = sorted(questions, key=lambda question: -question[0])[:limit]
    recovered_count = sum(right for _, right in questions)
    share = round(recovered_count / missed, 6) if missed else None
    return Recovered(missed, share, round(len(questions) / max(1, predicted), 6))
