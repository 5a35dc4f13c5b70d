"""Calibrates a checkpoint on validation data: temperatures, the two thresholds, and the density of typical posts.

A fifth of the posts (`is_tuning`) chooses the temperatures and the first threshold to test. The other posts test the
thresholds and choose the candidate threshold. Each post is read in all modes of the design (`reading.caption_modes`);
the promise holds in each.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from core.events import ENTITY_TYPES
from model.batch import batches, collate
from model.checkpoint import Temperatures
from model.density import DensityModel, mean_log_density
from model.design import BATCH_TOKENS, TEXT
from model.mentions import MIN_CANDIDATE_PROBABILITY, Prediction, asking, candidates_to_ask
from model.predictor import inference
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training.corpus import Example
from model.training.guarantee import DELTA, Marks, Promise, highest, promise
from model.training.reading import Reading, caption_modes, read
from model.training.scores import judge_each

TEMPERATURES = tuple(round(float(value), 2) for value in np.arange(0.4, 4.01, 0.1))
"""Temperatures to choose from."""
CANDIDATE_BUDGET = 0.05
"""Default limit of questions about candidates per predicted mention."""
LEAST_KEPT = 0.1
"""Share of the mentions above the most cautious threshold. A smaller share would let chance end the tests at once."""
FEWEST = 20
"""Fewest mentions from which a temperature is chosen."""
MOST_TWEETS = 4000
"""Largest number of posts that a density is fitted on. Their words far outnumber its dimensions."""


@dataclass(frozen=True)
class Predicted:
    """Examples, and a prediction for each."""

    examples: Sequence[Example]
    predictions: Sequence[Prediction]

    @property
    def gold(self) -> list[tuple[str, ...]]:
        return [example.tags for example in self.examples]

    @property
    def marks(self) -> list[Marks]:
        return marks_of(self.gold, self.predictions)


@dataclass(frozen=True)
class Thresholds:
    """The chosen thresholds, and the data behind them."""

    candidate_threshold: float
    asked: float
    """Questions about candidates per predicted mention, at that threshold."""
    start: float
    """The most cautious threshold to test."""
    readings: dict[str, list[Marks]]
    """The mentions of the testing posts, by reading mode."""
    parts: dict[str, dict[str, list[Marks]]]
    """The same, by part and reading mode: of each entity type, and of each data set if there are several."""

    def promise(self, target: float, delta: float = DELTA) -> Promise | None:
        """Returns the promise of this precision; None if it cannot be promised."""
        return promise(self.readings, self.start, target, delta)

    def highest(self, delta: float = DELTA) -> Promise:
        """Returns the promise of the highest precision that can be promised."""
        return highest(self.readings, self.start, delta)


@dataclass(frozen=True)
class Calibration(Thresholds):
    """The chosen thresholds and temperatures, and the data behind them."""

    temperature: Temperatures


UNCALIBRATED = Calibration(
    temperature=Temperatures.same(1.0), candidate_threshold=1.0, asked=0.0, start=1.0, readings={}, parts={}
)
"""Stands for a calibration that failed: every mention goes to review, and the promised precision is 0."""


def is_tuning(example: Example) -> bool:
    """Whether a post belongs to the fifth for tuning. Depends on its text, so that copies stay together."""
    return hashlib.sha256(example.key.encode()).digest()[0] % 5 == 0


def calibrate(
    network: Tagger,
    tokenizer: TweetTokenizer,
    examples: Sequence[Example],
    budget: float,
    device: str,
    before: Temperatures | None = None,
) -> Calibration:
    """Calibrates on validation examples.

    `budget` limits the questions about candidates per predicted mention. `before` holds the present temperatures. A
    temperature stays as it is when the examples have too few mentions to choose a better one.

    The temperatures minimise the log-loss of mention probabilities (temperature scaling: Guo et al., ICML 2017): one
    over the posts with a single view, the other over the posts with joined views.

    Raises `UserError` when nothing is predicted in one of the modes.
    """
    modes = {"captions" if captions else "text": captions for captions in caption_modes(network.design, examples)}
    has_images = any(example.image is not None for example in examples)

    def readings(part: list[Example]) -> dict[str, Reading]:
        result = {mode: read(network, tokenizer, part, captions, device) for mode, captions in modes.items()}
        if has_images:  # on the stream many posts have no photo
            blind = [replace(example, image=None) for example in part]
            for mode, captions in modes.items():
                if captions or TEXT in network.design.views:
                    result[f"{mode}, no image"] = read(network, tokenizer, blind, captions, device)
        return result

    tuning = readings([example for example in examples if is_tuning(example)])
    testing = readings([example for example in examples if not is_tuning(example)])
    temperatures = best_temperatures(list(tuning.values()), before)
    tuned, tested = (
        {
            mode: Predicted(each.examples, each.predictions(temperatures, MIN_CANDIDATE_PROBABILITY))
            for mode, each in part.items()
        }
        for part in (tuning, testing)
    )
    return Calibration(**vars(thresholds(tuned, tested, budget)), temperature=temperatures)


def thresholds(tuning: Mapping[str, Predicted], testing: Mapping[str, Predicted], budget: float) -> Thresholds:
    """Chooses the thresholds, given the final predictions for the two parts of the validation posts, by mode.

    The predictions have candidates of `MIN_CANDIDATE_PROBABILITY` or more. `budget`, and `UserError`: as in
    `calibrate`.
    """
    tuning_marks = [_flat(each.marks) for each in tuning.values()]
    marks = {mode: each.marks for mode, each in testing.items()}
    if not marks or not all(tuning_marks) or not all(any(tweets) for tweets in marks.values()):
        raise UserError("too few mentions are predicted in the validation data to calibrate on")
    threshold = max(candidate_threshold_of(each.predictions, budget) for each in testing.values())
    asked = max(asked_about(each.predictions, threshold) for each in testing.values())
    start = min(float(np.quantile([mark[0] for mark in each], 1 - LEAST_KEPT)) for each in tuning_marks)
    return Thresholds(threshold, asked, start, marks, _parts(testing))


def _parts(testing: Mapping[str, Predicted]) -> dict[str, dict[str, list[Marks]]]:
    parts: dict[str, dict[str, list[Marks]]] = {}
    for mode, each in testing.items():
        for kind in ENTITY_TYPES:
            of_kind = [
                replace(prediction, spans=tuple(span for span in prediction.spans if span.type == kind))
                for prediction in each.predictions
            ]
            parts.setdefault(kind, {})[mode] = marks_of(each.gold, of_kind)
        sets = dict.fromkeys(example.data for example in each.examples)
        marks = list(zip(each.examples, each.marks, strict=True))
        for name in sets if len(sets) > 1 else ():
            parts.setdefault(name, {})[mode] = [mark for example, mark in marks if example.data == name]
    return parts


def fit_density(
    network: Tagger,
    tokenizer: TweetTokenizer,
    training: Sequence[Example],
    device: str,
    background: Sequence[Example] = (),
) -> DensityModel | None:
    """Fits the density of words on training posts, relative to a background of posts of all kinds.

    Returns None if no view reads the text without its context, or there are too few words.
    """
    words, background_words = (_words(network, tokenizer, tweets, device) for tweets in (training, background))
    try:
        return None if words is None else DensityModel.fit(words, background_words).to(device)
    except ValueError:
        return None


def _words(network: Tagger, tokenizer: TweetTokenizer, tweets: Sequence[Example], device: str) -> Tensor | None:
    """Returns the inner states (N, H) of the words of at most `MOST_TWEETS` posts."""
    sample = tweets[:: max(1, math.ceil(len(tweets) / MOST_TWEETS))]
    words = [states[real] for states, real in _inner_states(network, tokenizer, sample, device)]
    return torch.cat(words).cpu() if words else None


def with_reference(
    density: DensityModel, network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], device: str
) -> DensityModel:
    """Returns the density with these validation posts as the reference for typicality."""
    log_densities = (
        mean_log_density(density.log_densities(states), real).tolist()
        for states, real in _inner_states(network, tokenizer, examples, device)
    )
    return density.with_reference([value for batch in log_densities for value in batch])


def _inner_states(
    network: Tagger, tokenizer: TweetTokenizer, examples: Sequence[Example], device: str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields inner states (B, W, H) and which words are real (B, W), for posts that have words. Reads only text."""
    encoded = [tokenizer.encode_words(example.words, None) for example in examples]
    encoded = [each for each in encoded if each.heads]
    for rows in batches([each.cost for each in encoded], BATCH_TOKENS):
        batch = collate([encoded[row] for row in rows], tokenizer.config, network.design).to(device)
        with inference(device):
            inner = network(batch).inner
        if inner is not None:
            yield inner, batch.words


def candidate_threshold_of(predictions: Sequence[Prediction], budget: float) -> float:
    """Returns the lowest candidate threshold whose questions stay within `budget` per predicted mention, or else 1."""
    thresholds = sorted({span.probability for prediction in predictions for span in prediction.candidates})
    return next((threshold for threshold in thresholds if asked_about(predictions, threshold) <= budget), 1.0)


def asked_about(predictions: Sequence[Prediction], threshold: float) -> float:
    """Returns the questions about candidates at or above the threshold, per predicted mention."""
    asked = sum(len(candidates_to_ask(each.spans, asking(each, threshold).candidates)) for each in predictions)
    return asked / sum(len(each.spans) for each in predictions)


def best_temperatures(readings: Sequence[Reading], before: Temperatures | None = None) -> Temperatures:
    """Returns the best temperature for posts with one view, and for posts with several.

    A temperature with fewer than `FEWEST` mentions keeps its value in `before`. Without `before`, it takes that of the
    other, or 1.
    """

    def marks(joined: bool, temperature: float) -> Iterator[Marks]:
        for reading in readings:
            if joined in reading.joined:
                judged = marks_of(reading.gold, reading.predictions(Temperatures.same(temperature)))
                yield from (mark for mark, several in zip(judged, reading.joined, strict=True) if several == joined)

    best = {
        joined: best_temperature(partial(marks, joined))
        for joined in (False, True)
        if sum(map(len, marks(joined, 1.0))) >= FEWEST
    }
    default = before or Temperatures.same(next(iter(best.values()), 1.0))
    return Temperatures(single=best.get(False, default.single), joined=best.get(True, default.joined))


def best_temperature(marks: Callable[[float], Iterable[Marks]]) -> float:
    """Returns the temperature of `TEMPERATURES` whose `marks` have the lowest log-loss.

    The loss has a single minimum, so every third temperature is tried first, then those beside the best.
    """

    def loss(temperature: float) -> float:
        likelihoods = [mark if right else 1 - mark for mark, right in _flat(marks(temperature))]
        return float(-np.log(np.clip(likelihoods, 1e-6, 1)).mean()) if likelihoods else 0.0

    rough = min(range(0, len(TEMPERATURES), 3), key=lambda place: loss(TEMPERATURES[place]))
    return min(TEMPERATURES[max(0, rough - 2) : rough + 3], key=loss)


def marks_of(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> list[Marks]:
    """Returns the predicted mentions of each post: probability, and whether it is right."""
    return [[(each.probability, each.correct) for each in mentions] for mentions in judge_each(gold, predictions)]


def _flat(tweets: Iterable[Marks]) -> list[tuple[float, bool]]:
    return [mark for tweet in tweets for mark in tweet]
