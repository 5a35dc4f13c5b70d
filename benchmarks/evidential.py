"""Scores mentions and posts by their evidential uncertainty, for `benchmarks.uncertainty`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

from benchmarks import softmax
from benchmarks.reading import Read
from benchmarks.uncertainty_report import Choice, Row, row
from model.mentions import Prediction, Span
from model.training.evaluate import MEASURES, out_of_distribution, uncertainties_of
from model.training.reading import Reading
from model.training.scores import scoreboard

HEADS_ALONE = "epistemic, heads alone"
"""The epistemic variance without the density of the words, which otherwise weighs the evidence."""
EVIDENTIAL: dict[str, Callable[[Span], float]] = {
    "fused probability": lambda span: span.probability,
    "epistemic": lambda span: 1 / (1 + span.epistemic),
    HEADS_ALONE: lambda span: 1 / (1 + span.epistemic),
    "aleatoric": lambda span: 1 / (1 + span.aleatoric),
}
"""Certainty of a mention. For the variances, only the order of the values matters."""


def heads_alone(reading: Reading) -> Reading:
    """Returns the same reading as if the checkpoint had no density."""
    outputs = [replace(output, weights=None, log_density=None) for output in reading.outputs]
    return replace(reading, outputs=outputs)


def by_variance(read: Read, reference: str, ood: str) -> dict[str, dict[str, float]]:
    """Returns the OOD AUROC of each variance and measure. `reference`, `ood`: names in `Data.parts`."""
    network = read.extractor.predictor.network
    readings = [read.text[part] for part in (reference, ood)]
    found, alone = (
        out_of_distribution(*(uncertainties_of(network, reading.outputs) for reading in pair))
        for pair in (readings, [heads_alone(reading) for reading in readings])
    )
    return {
        "epistemic": {name: score.epistemic or 0.0 for name, score in found.items()},
        HEADS_ALONE: {name: score.epistemic or 0.0 for name, score in alone.items()},
        "aleatoric": {name: found[name].aleatoric or 0.0 for name in MEASURES},
    }


def measures(evidential: Sequence[Read]) -> dict[str, dict[str, float]]:
    """Returns the mean OOD AUROC on validation data of each variance and measure; empty without OOD posts."""
    if not all("ood_valid" in read.text for read in evidential):
        return {}
    found = [by_variance(read, "valid", "ood_valid") for read in evidential]
    return {way: {name: fmean(each[way][name] for each in found) for name in names} for way, names in found[0].items()}


def evidential_rows(evidential: Sequence[Read], choice: Choice) -> list[Row]:
    """Returns the rows for the posts read with their captions, if there are any, and read without captions, as the
    baselines read them."""
    ood = [_ood(read, choice) for read in evidential]
    temperatures = [read.extractor.info.temperature for read in evidential]
    result = []
    for reads in evidential[0].ways():
        readings = [read.ways()[reads] for read in evidential]
        with_density, without = (
            [reading.predictions(temperature) for reading, temperature in zip(group, temperatures, strict=True)]
            for group in (readings, [heads_alone(reading) for reading in readings])
        )
        for way, certainty in EVIDENTIAL.items():
            predictions = without if way == HEADS_ALONE else with_density
            pairs = zip(readings, predictions, strict=True)
            scores = [scoreboard(reading.gold, _rescored(each, certainty)) for reading, each in pairs]
            aurocs = [None if reads != "text" else by_way[way] for by_way in ood]
            result.append(row("evidential", way, reads, scores, aurocs, is_probability=way == "fused probability"))
    return result


def _ood(read: Read, choice: Choice) -> dict[str, float | None]:
    """Returns the OOD AUROC of each variance by its chosen measure, and of the probability by the baselines' rule."""
    if not choice.measure:
        return dict.fromkeys(EVIDENTIAL)
    found = by_variance(read, "tweets", "ood")
    probability = None
    if choice.tweet_rule is not None:
        own, ood = (softmax.beliefs_of(read.extractor, read.text[part]) for part in ("tweets", "ood"))
        probability = softmax.ood_auroc(own, ood, softmax.probability, choice.tweet_rule, 1.0)
    return {"fused probability": probability} | {way: found[way][name] for way, name in choice.measure.items()}


def _rescored(predictions: Sequence[Prediction], certainty: Callable[[Span], float]) -> list[Prediction]:
    return [
        Prediction(tuple(replace(span, probability=certainty(span)) for span in each.spans), each.candidates)
        for each in predictions
    ]
