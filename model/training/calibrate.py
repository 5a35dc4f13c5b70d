"""Calibration on validation data: temperatures, the review threshold with its promise, that of candidates;
and what tweets the model knows.

A part of the tweets (`tunes`) chooses the temperatures and where the tests begin; the rest, which nothing else has
seen, tests. Each tweet is read in the ways that the design reads (`reading.ways`), and the promise is for each.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from model.batch import collate
from model.checkpoint import Temperatures
from model.density import DensityModel, mean_log_density
from model.design import TEXT
from model.extractor import BATCH_TOKENS, batches
from model.mentions import MIN_CANDIDATE_PROBABILITY, Prediction, asking, candidates_to_ask
from model.predictor import inference
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.corpus import Example
from model.training.guarantee import DELTA, Marks, Promise, highest, promise
from model.training.reading import Reading, read, ways
from model.training.scores import judge_each

TEMPERATURES = tuple(round(float(value), 2) for value in np.arange(0.4, 4.01, 0.1))
LEAST_KEPT = 0.1
"""Share of the mentions that the most cautious threshold keeps: with fewer, chance would end the tests at once."""
FEWEST = 20
"""Mentions that a temperature is chosen by."""
MOST_TWEETS = 4000
"""That a density of words is fitted on: tens of thousands of words, many more than it has dimensions."""


@dataclass(frozen=True)
class Calibration:
    """`candidate_threshold`: the threshold of candidates; `asked`: how many of them per predicted mention; `start`: where
    the tests begin; `readings`: the marks of the testing tweets, by the way they are read."""

    temperature: Temperatures
    candidate_threshold: float
    asked: float
    start: float
    readings: dict[str, list[Marks]]

    def promise(self, target: float, delta: float = DELTA) -> Promise | None:
        """None where `target` cannot be promised."""
        return promise(self.readings, self.start, target, delta)

    def highest(self, delta: float = DELTA) -> Promise:
        """The highest target that can be promised, and what it costs."""
        return highest(self.readings, self.start, delta)


UNCALIBRATED = Calibration(
    temperature=Temperatures.same(1.0), candidate_threshold=1.0, asked=0.0, start=1.0, readings={}
)
"""Where nothing can be calibrated: every mention goes to review, and nothing is promised but a precision of 0."""


def tunes(example: Example) -> bool:
    """Whether a tweet is of the fifth that chooses; by its text, so that copies stay together."""
    return hashlib.sha256(example.key.encode()).digest()[0] % 5 == 0


def calibrate(
    network: Tagger,
    tokenizer: TweetTokenizer,
    examples: Sequence[Example],
    budget: float,
    device: str,
    before: Temperatures | None = None,
) -> Calibration:
    """On validation `examples`. `budget`: candidates that people are asked about per predicted mention, at most;
    `before`: the temperatures until now, of which one stays where the examples cannot tell a better one.

    The temperatures have the least log-loss of mention probabilities (temperature scaling: Guo et al., ICML 2017), that
    of one view over the tweets with one, that of joined views over the others.
    Raises `UserError` when nothing is predicted in one of the ways to read.
    """
    named = {"captions" if on else "text": on for on in ways(network.design, examples)}
    seen = any(one.image is not None for one in examples)

    def readings(some: list[Example]) -> dict[str, Reading]:
        found = {way: read(network, tokenizer, some, on, device) for way, on in named.items()}
        if seen:  # on the stream many have no photo
            blind = [replace(one, image=None) for one in some]
            ways_left = {way: on for way, on in named.items() if on or TEXT in network.design.views}
            found |= {f"{way}, no image": read(network, tokenizer, blind, on, device) for way, on in ways_left.items()}
        return found

    choosing = readings([one for one in examples if tunes(one)])
    testing = readings([one for one in examples if not tunes(one)])
    temperatures = best_temperatures(list(choosing.values()), before)
    likely = [_flat(marks_of(one.gold, one.predictions(temperatures))) for one in choosing.values()]
    predictions = {way: one.predictions(temperatures, MIN_CANDIDATE_PROBABILITY) for way, one in testing.items()}
    marks = {way: marks_of(one.gold, predictions[way]) for way, one in testing.items()}
    if not named or not all(likely) or not all(any(tweets) for tweets in marks.values()):
        raise UserError("too few mentions are predicted in the validation data: there is nothing to calibrate on")
    threshold = max(candidate_threshold_of(some, budget) for some in predictions.values())
    asked = max(asked_about(some, threshold) for some in predictions.values())
    start = min(float(np.quantile([mark[0] for mark in one], 1 - LEAST_KEPT)) for one in likely)
    return Calibration(temperatures, threshold, asked, start, marks)


def fit_density(
    network: Tagger,
    tokenizer: TweetTokenizer,
    training: Sequence[Example],
    device: str,
    background: Sequence[Example] = (),
) -> DensityModel | None:
    """Fitted on the words of `training` tweets, and on those of a `background` of tweets of all kinds, of `MOST_TWEETS`
    each at most. None where no view reads the text without its context, or the words are too few."""
    words, others = (_words(network, tokenizer, tweets, device) for tweets in (training, background))
    try:
        return None if words is None else DensityModel.fit(words, others).to(device)
    except ValueError:
        return None


def _words(network: Tagger, tokenizer: TweetTokenizer, tweets: Sequence[Example], device: str) -> Tensor | None:
    """The inner states (N, H) of their words."""
    some = tweets[:: max(1, math.ceil(len(tweets) / MOST_TWEETS))]
    words = [states[real] for states, real in _inner(network, tokenizer, some, device)]
    return torch.cat(words).cpu() if words else None


def compared(
    fitted: DensityModel, network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], device: str
) -> DensityModel:
    """With these validation tweets as what is known."""
    known = (
        mean_log_density(fitted.log_densities(states), real).tolist()
        for states, real in _inner(network, tokenizer, examples, device)
    )
    return fitted.with_reference([one for batch in known for one in batch])


def _inner(
    network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of the tweets that have words, as text alone: the inner states (B, W, H), which words are real (B, W)."""
    encoded = [one for one in (tokenizer.encode_words(each.words, None) for each in examples) if one.heads]
    for rows in batches(encoded, BATCH_TOKENS):
        batch = collate([encoded[row] for row in rows], tokenizer.config, network.design).to(device)
        with inference(device):
            inner = network(batch).inner
        if inner is not None:
            yield inner, batch.words


def candidate_threshold_of(predictions: Sequence[Prediction], budget: float) -> float:
    """The lowest probability of candidates that stays within `budget` per predicted mention; 1 if none does."""
    found = sorted({span.probability for one in predictions for span in one.candidates})
    return next((threshold for threshold in found if asked_about(predictions, threshold) <= budget), 1.0)


def asked_about(predictions: Sequence[Prediction], threshold: float) -> float:
    """Possible mentions from `threshold` on that are worth a question of their own, per predicted mention."""
    asked = sum(len(candidates_to_ask(one.spans, asking(one, threshold).candidates)) for one in predictions)
    return asked / sum(len(one.spans) for one in predictions)


def best_temperatures(readings: Sequence[Reading], before: Temperatures | None = None) -> Temperatures:
    """Where fewer than `FEWEST` mentions are of a single view, or of joined ones, that temperature stays as `before`;
    without any, it is the other's."""

    def marks(joined: bool, value: float) -> Iterator[Marks]:
        for each in readings:
            if joined in each.joined:
                judged = marks_of(each.gold, each.predictions(Temperatures.same(value)))
                yield from (mark for mark, several in zip(judged, each.joined, strict=True) if several == joined)

    found = {
        joined: best_temperature(partial(marks, joined))
        for joined in (False, True)
        if sum(map(len, marks(joined, 1.0))) >= FEWEST
    }
    old = before or Temperatures.same(next(iter(found.values()), 1.0))
    return Temperatures(single=found.get(False, old.single), joined=found.get(True, old.joined))


def best_temperature(marks: Callable[[float], Iterable[Marks]]) -> float:
    """Of `TEMPERATURES` the one whose `marks` have the least log-loss; every third first, then those beside the best:
    the loss has one valley."""

    def loss(temperature: float) -> float:
        held = [mark if right else 1 - mark for mark, right in _flat(marks(temperature))]
        return float(-np.log(np.clip(held, 1e-6, 1)).mean()) if held else 0.0

    rough = min(range(0, len(TEMPERATURES), 3), key=lambda place: loss(TEMPERATURES[place]))
    return min(TEMPERATURES[max(0, rough - 2) : rough + 3], key=loss)


def marks_of(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> list[Marks]:
    """By tweet."""
    return [[(one.probability, one.correct) for one in tweet] for tweet in judge_each(gold, predictions)]


def _flat(tweets: Iterable[Marks]) -> list[tuple[float, bool]]:
    return [mark for tweet in tweets for mark in tweet]
