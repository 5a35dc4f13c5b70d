"""Runs a predictor over tweets of a corpus: its mentions, and its uncertainties of whole tweets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.errors import UserError
from model.decode import Floats
from model.design import TEXT
from model.mentions import Prediction
from model.predictor import Output, Predictor, decode
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.corpus import Example
from model.training.reading import outputs
from model.training.scores import Scoreboard, auroc, scoreboard


def predict(
    predictor: Predictor,
    tokenizer: TweetTokenizer,
    examples: Sequence[Example],
    captions: bool,
    candidate_threshold: float | None = None,
) -> list[Prediction]:
    """One prediction per tweet, in order; spans count the corpus's words. `candidate_threshold`: in place of the checkpoint's."""
    network, info = predictor.network, predictor.info
    threshold = info.candidate_threshold if candidate_threshold is None else candidate_threshold
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
class TweetUncertainty:
    """The fused uncertainties of one tweet's words, (W, L) each, and each word's label of the highest score, (W);
    `log_density`: the log-density of its words, None where the checkpoint cannot say."""

    aleatoric: Floats
    epistemic: Floats
    best: Floats
    log_density: float | None = None


def _of_best(tweet: TweetUncertainty, variance: Floats) -> Floats:
    chosen: Floats = variance[np.arange(len(tweet.best)), tweet.best]
    return chosen


Measure = Callable[[TweetUncertainty, Floats], float]
"""A tweet and one of its variances (W, L), to one number: higher is stranger."""

MEASURES: dict[str, Measure] = {
    "mean": lambda tweet, variance: float(variance.mean()),
    "max_word": lambda tweet, variance: float(variance.mean(1).max()),
    "mean_of_best": lambda tweet, variance: float(_of_best(tweet, variance).mean()),
    "max_of_best": lambda tweet, variance: float(_of_best(tweet, variance).max()),
}
"""Over all words and labels; the strangest word by its mean over labels; of each word's best label, mean and most."""

EPISTEMIC_MEASURES: dict[str, Measure] = MEASURES | {
    "beyond_noise": lambda tweet, variance: float(np.log(variance / tweet.aleatoric).mean())
}
"""And the mean of log(epistemic / aleatoric), which is -log nu: how little evidence there is, whatever the noise."""


@dataclass(frozen=True)
class OodScore:
    """How well an uncertainty tells tweets of another kind (positive) from its own kind: AUROC, None without both, or
    where it has not the measure."""

    aleatoric: float | None
    epistemic: float | None


def tweet_uncertainties(
    predictor: Predictor, tokenizer: TweetTokenizer, examples: Sequence[Example]
) -> list[TweetUncertainty]:
    """Of the tweets that have words, in no order, read as text alone: else a caption, which only one of two corpora
    has, would tell them apart. Raises `UserError` where no view reads text alone."""
    if TEXT not in predictor.info.design.views:
        raise UserError(f"tweets are told apart as text alone: the checkpoint {predictor.info.name} has no view {TEXT}")
    bare = [replace(one, image=None) for one in examples]
    read = outputs(predictor.network, tokenizer, bare, False, predictor.device)
    return doubts_of(predictor.network, (output for _, output in read))


def doubts_of(network: Tagger, read: Iterable[Output]) -> list[TweetUncertainty]:
    """Of the tweets that have words, of what a network made of them."""
    found = []
    for output in read:
        best = network.emissions(output.together).argmax(-1)
        belief = output.counted(output.together)
        aleatoric, epistemic, labels = (one.cpu().numpy() for one in (belief.aleatoric, belief.epistemic, best))
        log_densities = [None] * len(labels) if output.log_density is None else output.log_density.tolist()
        for row, words in enumerate(output.batch.words.sum(1).tolist()):
            if words:
                here = slice(words)
                found.append(
                    TweetUncertainty(aleatoric[row, here], epistemic[row, here], labels[row, here], log_densities[row])
                )
    return found


def out_of_distribution(own: Sequence[TweetUncertainty], other: Sequence[TweetUncertainty]) -> dict[str, OodScore]:
    """By the name of the measure. Tweets need no mention for it, only a word."""
    is_ood = np.arange(len(own) + len(other)) >= len(own)
    every = [*own, *other]
    return {
        name: OodScore(
            auroc(np.array([measure(one, one.aleatoric) for one in every]), is_ood) if name in MEASURES else None,
            auroc(np.array([measure(one, one.epistemic) for one in every]), is_ood),
        )
        for name, measure in EPISTEMIC_MEASURES.items()
    }


def told_by_density(own: Sequence[TweetUncertainty], other: Sequence[TweetUncertainty]) -> float | None:
    """As `out_of_distribution`, by the density of the tweets' words, which is no evidence of the heads; None where the
    checkpoint cannot say."""
    densities = [one.log_density for one in (*own, *other) if one.log_density is not None]
    if len(densities) < len(own) + len(other):
        return None
    return auroc(-np.array(densities), np.arange(len(densities)) >= len(own))
