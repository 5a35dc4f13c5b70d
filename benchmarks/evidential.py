"""The evidential side of the comparison of uncertainties: its ways to be unsure of a mention and of a tweet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from statistics import fmean

from benchmarks import softmax
from benchmarks.reading import Data
from benchmarks.uncertainty_report import Choice, Row, row
from model.corpus import Example
from model.evaluate import MEASURES, Strangeness, doubts, out_of_distribution, predict
from model.extractor import Extractor
from model.mentions import Prediction, Span
from model.predictor import Predictor
from model.scores import scoreboard

HEADS_ALONE = "epistemic, heads alone"
"""Without the density of the words, by which evidence counts."""
EVIDENTIAL: dict[str, Callable[[Span], float]] = {
    "fused probability": lambda span: span.probability,
    "epistemic": lambda span: 1 / (1 + span.epistemic),
    HEADS_ALONE: lambda span: 1 / (1 + span.epistemic),
    "aleatoric": lambda span: 1 / (1 + span.aleatoric),
}
"""How sure the evidential model is of a mention. What ranks mentions is all that counts of the variances."""


def strangeness(extractor: Extractor, own: Sequence[Example], other: Sequence[Example]) -> dict[str, Strangeness]:
    return out_of_distribution(*(doubts(extractor.predictor, extractor.tokenizer, some) for some in (own, other)))


def by_variance(extractor: Extractor, own: Sequence[Example], other: Sequence[Example]) -> dict[str, dict[str, float]]:
    """How well each variance tells tweets apart, by the name of its way, then by measure."""
    found, alone = (strangeness(one, own, other) for one in (extractor, heads_alone(extractor)))
    return {
        "epistemic": {name: one.epistemic or 0.0 for name, one in found.items()},
        HEADS_ALONE: {name: one.epistemic or 0.0 for name, one in alone.items()},
        "aleatoric": {name: found[name].aleatoric or 0.0 for name in MEASURES},
    }


def measures(extractors: Sequence[Extractor], data: Data) -> dict[str, dict[str, float]]:
    """Of each way to read a variance and each measure of it the mean AUROC on validation data, over checkpoints; empty
    where there are no other tweets."""
    if not data.strange:
        return {}
    found = [by_variance(one, data.valid, data.strange_valid) for one in extractors]
    return {way: {name: fmean(one[way][name] for one in found) for name in names} for way, names in found[0].items()}


def evidential_rows(extractors: Sequence[Extractor], data: Data, choice: Choice) -> list[Row]:
    """With captions where there are any, and as text alone, which is what the baselines read."""
    captioned = any(one.caption for one in data.tweets)
    ood = [_ood(one, data, choice) for one in extractors]
    result = []
    for reads in ("text and caption", "text") if captioned else ("text",):
        whole, alone = (
            [predict(one.predictor, one.tokenizer, data.tweets, reads != "text") for one in some]
            for some in (extractors, [heads_alone(one) for one in extractors])
        )
        for way, sure in EVIDENTIAL.items():
            found = alone if way == HEADS_ALONE else whole
            scores = [
                scoreboard([tweet.tags for tweet in data.tweets], _rescored(predictions, sure)) for predictions in found
            ]
            apart = [None if reads != "text" else one[way] for one in ood]
            result.append(row("evidential", way, reads, scores, apart, is_probability=way == "fused probability"))
    return result


def _ood(extractor: Extractor, data: Data, choice: Choice) -> dict[str, float | None]:
    """By the name of the way: variances by the measure chosen for each, the probability as that of the baselines."""
    if choice.tweet_rule is None or not choice.measure:
        return dict.fromkeys(EVIDENTIAL)
    found = by_variance(extractor, data.tweets, data.strange)
    held, strange = (softmax.beliefs(extractor, tweets) for tweets in (data.tweets, data.strange))
    probability = softmax.told_apart(held, strange, softmax.probability, choice.tweet_rule, 1.0)
    return {"fused probability": probability} | {way: found[way][name] for way, name in choice.measure.items()}


def heads_alone(extractor: Extractor) -> Extractor:
    """The same, which knows nothing of how familiar words are."""
    predictor = extractor.predictor
    network = copy(predictor.network)
    network.familiarity = None
    return Extractor(extractor.tokenizer, Predictor(network, predictor.info, predictor.device))


def _rescored(predictions: Sequence[Prediction], sure: Callable[[Span], float]) -> list[Prediction]:
    return [
        Prediction(tuple(replace(span, probability=sure(span)) for span in one.spans), one.possible)
        for one in predictions
    ]
