"""Evaluates a predictor on a corpus: its mentions, and how well its uncertainties detect unusual posts."""

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
    """Returns a prediction for each example, in order; spans count the corpus's words.

    `candidate_threshold`: replaces the checkpoint's.
    """
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
    """Returns the scores on one split."""
    return scoreboard([example.tags for example in examples], predict(predictor, tokenizer, examples, captions))


@dataclass(frozen=True)
class TweetUncertainty:
    """The fused uncertainties of one post."""

    aleatoric: Floats
    """(W, L)"""
    epistemic: Floats
    """(W, L)"""
    best: Floats
    """(W) the label with the highest score."""
    log_density: float | None = None
    """Mean log-density of its words; None if the checkpoint has no density."""


def _of_best(tweet: TweetUncertainty, variance: Floats) -> Floats:
    chosen: Floats = variance[np.arange(len(tweet.best)), tweet.best]
    return chosen


Measure = Callable[[TweetUncertainty, Floats], float]
"""Maps a post and one of its variances (W, L) to a number: the higher, the more unusual the post."""

MEASURES: dict[str, Measure] = {
    "mean": lambda tweet, variance: float(variance.mean()),
    "max_word": lambda tweet, variance: float(variance.mean(1).max()),
    "mean_of_best": lambda tweet, variance: float(_of_best(tweet, variance).mean()),
    "max_of_best": lambda tweet, variance: float(_of_best(tweet, variance).max()),
}
"""Measures: the variance's mean over words and labels, the highest of the words' means over labels, and the mean and
maximum for each word's best label."""

EPISTEMIC_MEASURES: dict[str, Measure] = MEASURES | {
    "beyond_noise": lambda tweet, variance: float(np.log(variance / tweet.aleatoric).mean())
}
"""`MEASURES`, and the mean of log(epistemic / aleatoric) = -log nu: a lack of evidence, whatever the noise."""


@dataclass(frozen=True)
class OodScore:
    """AUROC of telling out-of-distribution posts (positive) from reference posts.

    None if one of the two sets is empty, or the measure does not apply.
    """

    aleatoric: float | None
    epistemic: float | None


def tweet_uncertainties(
    predictor: Predictor, tokenizer: TweetTokenizer, examples: Sequence[Example]
) -> list[TweetUncertainty]:
    """Returns the uncertainties of the posts that have words, in no particular order.

    Only the text is read: if only one of two corpora had captions, these would tell the corpora apart.
    Raises `UserError` if the checkpoint lacks the view `text`.
    """
    if TEXT not in predictor.info.design.views:
        raise UserError(f"out-of-distribution scores need the view {TEXT}, which {predictor.info.name} does not have")
    blind = [replace(example, image=None) for example in examples]
    read = outputs(predictor.network, tokenizer, blind, False, predictor.device)
    return uncertainties_of(predictor.network, (output for _, output in read))


def uncertainties_of(network: Tagger, read: Iterable[Output]) -> list[TweetUncertainty]:
    """Returns the uncertainties of the posts that have words, from the network's outputs."""
    result = []
    for output in read:
        best = network.emissions(output.together).argmax(-1)
        belief = output.counted(output.together)
        aleatoric, epistemic, labels = (part.cpu().numpy() for part in (belief.aleatoric, belief.epistemic, best))
        log_densities = [None] * len(labels) if output.log_density is None else output.log_density.tolist()
        for row, words in enumerate(output.batch.words.sum(1).tolist()):
            if words:
                here = slice(words)
                result.append(
                    TweetUncertainty(aleatoric[row, here], epistemic[row, here], labels[row, here], log_densities[row])
                )
    return result


def out_of_distribution(reference: Sequence[TweetUncertainty], ood: Sequence[TweetUncertainty]) -> dict[str, OodScore]:
    """Returns, by measure, how well each uncertainty separates the `ood` posts from the reference posts."""
    is_ood = np.arange(len(reference) + len(ood)) >= len(reference)
    tweets = [*reference, *ood]
    return {
        name: OodScore(
            auroc(np.array([measure(each, each.aleatoric) for each in tweets]), is_ood) if name in MEASURES else None,
            auroc(np.array([measure(each, each.epistemic) for each in tweets]), is_ood),
        )
        for name, measure in EPISTEMIC_MEASURES.items()
    }


def ood_by_density(reference: Sequence[TweetUncertainty], ood: Sequence[TweetUncertainty]) -> float | None:
    """Returns the AUROC of telling `ood` posts by their words' density; None without a density or if a set is empty."""
    densities = [each.log_density for each in (*reference, *ood) if each.log_density is not None]
    if len(densities) < len(reference) + len(ood):
        return None
    return auroc(-np.array(densities), np.arange(len(densities)) >= len(reference))
