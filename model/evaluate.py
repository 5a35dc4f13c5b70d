"""Runs a predictor over tweets of a corpus: its mentions, and its uncertainties of whole tweets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.corpus import Example
from model.decode import Floats
from model.design import TEXT
from model.mentions import Prediction
from model.predictor import Predictor, decode
from model.reading import outputs
from model.scores import Scoreboard, auroc, scoreboard
from model.tokens import TweetTokenizer
from streams.errors import UserError


def predict(
    predictor: Predictor,
    tokenizer: TweetTokenizer,
    examples: Sequence[Example],
    captions: bool,
    possible: float | None = None,
) -> list[Prediction]:
    """One prediction per tweet, in order; spans count the corpus's words. `possible`: in place of the checkpoint's."""
    network, info = predictor.network, predictor.info
    threshold = info.possible if possible is None else possible
    predictions = [Prediction()] * len(examples)
    for rows, output in outputs(network, tokenizer, examples, captions, predictor.device):
        for row, prediction in zip(rows, decode(network, output, info.temperature, threshold), strict=True):
            predictions[row] = prediction
    return predictions


def evaluate(
    predictor: Predictor, tokenizer: TweetTokenizer, examples: Sequence[Example], captions: bool
) -> Scoreboard:
    """The scores on one split."""
    return scoreboard([one.tags for one in examples], predict(predictor, tokenizer, examples, captions))


@dataclass(frozen=True)
class Doubts:
    """The fused uncertainties of one tweet's words, (W, L) each, and each word's label of the highest score, (W);
    `familiarity`: the log-density of its words, None where the checkpoint cannot say."""

    aleatoric: Floats
    epistemic: Floats
    best: Floats
    familiarity: float | None = None


def _of_best(variance: Floats, best: Floats) -> Floats:
    chosen: Floats = variance[np.arange(len(best)), best]
    return chosen


Measure = Callable[[Floats, Floats], float]
"""(W, L) variances and (W) best labels of one tweet, to one number: higher is stranger."""

MEASURES: dict[str, Measure] = {
    "mean": lambda variance, best: float(variance.mean()),
    "max_word": lambda variance, best: float(variance.mean(1).max()),
    "mean_of_best": lambda variance, best: float(_of_best(variance, best).mean()),
    "max_of_best": lambda variance, best: float(_of_best(variance, best).max()),
}
"""Over all words and labels; the strangest word by its mean over labels; of each word's best label, mean and most."""


@dataclass(frozen=True)
class Strangeness:
    """How well an uncertainty tells tweets of another kind (positive) from its own kind: AUROC, None without both."""

    aleatoric: float | None
    epistemic: float | None


def doubts(predictor: Predictor, tokenizer: TweetTokenizer, examples: Sequence[Example]) -> list[Doubts]:
    """Of the tweets that have words, in no order, read as text alone: else a caption, which only one of two corpora
    has, would tell them apart. Raises `UserError` where no view reads text alone."""
    if TEXT not in predictor.info.design.views:
        raise UserError(f"tweets are told apart as text alone: the checkpoint {predictor.info.name} has no view {TEXT}")
    bare = [replace(one, image=None) for one in examples]
    found = []
    for _, output in outputs(predictor.network, tokenizer, bare, False, predictor.device):
        best = predictor.network.emissions(output.together).argmax(-1)
        belief = (output.together.aleatoric, output.together.epistemic, best)
        aleatoric, epistemic, labels = (tensor.cpu().numpy() for tensor in belief)
        familiarity = [None] * len(labels) if output.familiarity is None else output.familiarity.tolist()
        for row, words in enumerate(output.batch.words.sum(1).tolist()):
            if words:
                here = slice(words)
                found.append(Doubts(aleatoric[row, here], epistemic[row, here], labels[row, here], familiarity[row]))
    return found


def out_of_distribution(own: Sequence[Doubts], other: Sequence[Doubts]) -> dict[str, Strangeness]:
    """By the name of the measure. Tweets need no mention for it, only a word."""
    strange = np.arange(len(own) + len(other)) >= len(own)
    every = [*own, *other]
    return {
        name: Strangeness(
            auroc(np.array([measure(one.aleatoric, one.best) for one in every]), strange),
            auroc(np.array([measure(one.epistemic, one.best) for one in every]), strange),
        )
        for name, measure in MEASURES.items()
    }


def told_by_density(own: Sequence[Doubts], other: Sequence[Doubts]) -> float | None:
    """As `out_of_distribution`, by the density of the tweets' words, which is no evidence of the heads; None where the
    checkpoint cannot say."""
    densities = [one.familiarity for one in (*own, *other) if one.familiarity is not None]
    if len(densities) < len(own) + len(other):
        return None
    return auroc(-np.array(densities), np.arange(len(densities)) >= len(own))
