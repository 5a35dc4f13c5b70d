"""The evidential side of the comparison of uncertainties: its ways to be unsure of a mention and of a tweet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

from benchmarks import softmax
from benchmarks.reading import Read
from benchmarks.uncertainty_report import Choice, Row, row
from model.mentions import Prediction, Span
from model.training.evaluate import MEASURES, doubts_of, out_of_distribution
from model.training.reading import Reading
from model.training.scores import scoreboard

HEADS_ALONE = "epistemic, heads alone"
"""Without the density of the words, by which evidence counts."""
EVIDENTIAL: dict[str, Callable[[Span], float]] = {
    "fused probability": lambda span: span.probability,
    "epistemic": lambda span: 1 / (1 + span.epistemic),
    HEADS_ALONE: lambda span: 1 / (1 + span.epistemic),
    "aleatoric": lambda span: 1 / (1 + span.aleatoric),
}
"""How sure the evidential model is of a mention. What ranks mentions is all that counts of the variances."""


def heads_alone(reading: Reading) -> Reading:
    """The same, as if nothing were known of how familiar words are."""
    return replace(reading, outputs=[replace(one, weights=None, log_density=None) for one in reading.outputs])


def by_variance(held: Read, own: str, other: str) -> dict[str, dict[str, float]]:
    """How well each variance tells tweets apart, by the name of its way, then by measure. `own`, `other`: the parts."""
    network = held.extractor.predictor.network
    pair = [held.text[part] for part in (own, other)]
    found, alone = (
        out_of_distribution(*(doubts_of(network, one.outputs) for one in some))
        for some in (pair, [heads_alone(one) for one in pair])
    )
    return {
        "epistemic": {name: one.epistemic or 0.0 for name, one in found.items()},
        HEADS_ALONE: {name: one.epistemic or 0.0 for name, one in alone.items()},
        "aleatoric": {name: found[name].aleatoric or 0.0 for name in MEASURES},
    }


def measures(evidential: Sequence[Read]) -> dict[str, dict[str, float]]:
    """Of each way to read a variance and each measure of it the mean AUROC on validation data, over checkpoints; empty
    where there are no other tweets."""
    if not all("strange_valid" in one.text for one in evidential):
        return {}
    found = [by_variance(one, "valid", "strange_valid") for one in evidential]
    return {way: {name: fmean(one[way][name] for one in found) for name in names} for way, names in found[0].items()}


def evidential_rows(evidential: Sequence[Read], choice: Choice) -> list[Row]:
    """With captions where there are any, and as text alone, which is what the baselines read."""
    ood = [_ood(one, choice) for one in evidential]
    result = []
    for reads in evidential[0].ways():
        readings = [one.ways()[reads] for one in evidential]
        whole, alone = (
            [each.predictions(one.extractor.info.temperature) for one, each in zip(evidential, some, strict=True)]
            for some in (readings, [heads_alone(one) for one in readings])
        )
        for way, sure in EVIDENTIAL.items():
            found = alone if way == HEADS_ALONE else whole
            scores = [scoreboard(one.gold, _rescored(held, sure)) for one, held in zip(readings, found, strict=True)]
            apart = [None if reads != "text" else one[way] for one in ood]
            result.append(row("evidential", way, reads, scores, apart, is_probability=way == "fused probability"))
    return result


def _ood(held: Read, choice: Choice) -> dict[str, float | None]:
    """By the name of the way: variances by the measure chosen for each, the probability as that of the baselines."""
    if not choice.measure:
        return dict.fromkeys(EVIDENTIAL)
    found = by_variance(held, "tweets", "strange")
    probability = None
    if choice.tweet_rule is not None:
        own, strange = (softmax.beliefs_of(held.extractor, held.text[part]) for part in ("tweets", "strange"))
        probability = softmax.told_apart(own, strange, softmax.probability, choice.tweet_rule, 1.0)
    return {"fused probability": probability} | {way: found[way][name] for way, name in choice.measure.items()}


def _rescored(predictions: Sequence[Prediction], sure: Callable[[Span], float]) -> list[Prediction]:
    return [
        Prediction(tuple(replace(span, probability=sure(span)) for span in one.spans), one.candidates)
        for one in predictions
    ]
