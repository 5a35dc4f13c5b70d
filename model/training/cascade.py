"""Calibrates a cascade on validation data: when a post goes on, and the thresholds and the promise of the whole.

The checkpoints keep their temperatures. The fifth of the posts for tuning (`calibrate.is_tuning`) chooses the limits.
It does so by the share of posts that go on, so no label is looked at. The other posts test the thresholds, as for one
checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from core.errors import UserError
from model.cascade import Post, Reader, doubt, read_through, send_on
from model.extractor import Extractor
from model.mentions import MIN_CANDIDATE_PROBABILITY, Prediction
from model.training.calibrate import Predicted, Thresholds, is_tuning, thresholds
from model.training.corpus import Example
from model.training.evaluate import predict
from model.training.reading import caption_modes

LIMITS = tuple(round(number / 100, 2) for number in range(round(100 * MIN_CANDIDATE_PROBABILITY), 100))
"""Limits to choose from. Below the first one, candidates would be missing from the doubt."""
NONE_GOES_ON = 1.0
"""Limit when all of `LIMITS` send on too many posts."""


@dataclass(frozen=True)
class CascadeCalibration:
    """What was chosen for a cascade."""

    limits: list[float]
    shares: dict[str, list[float]]
    """Share of the testing posts that each later checkpoint reads, by reading mode."""
    thresholds: Thresholds


def calibrate_cascade(
    extractors: Sequence[Extractor], examples: Sequence[Example], share: float, budget: float
) -> CascadeCalibration:
    """Calibrates on validation examples. The checkpoints read the same views.

    `share`: largest share of the posts of a checkpoint that it sends on. `budget` limits the questions about candidates
    per predicted mention. Raises `UserError` when nothing is predicted in one of the modes.
    """
    modes = {"captions" if mode else "text": mode for mode in caption_modes(extractors[0].info.design, examples)}
    readers = {mode: readers_of(extractors, captions) for mode, captions in modes.items()}
    tuning = [example for example in examples if is_tuning(example)]
    testing = [example for example in examples if not is_tuning(example)]
    if not tuning or not testing:
        raise UserError("too few validation posts to calibrate a cascade on")
    limits, tuned = choose_limits(tuning, readers, share)
    tested = {mode: read_through(testing, own, limits) for mode, own in readers.items()}
    return CascadeCalibration(
        limits,
        {mode: shares_read(found, len(extractors)) for mode, found in tested.items()},
        thresholds(_predicted(tuning, tuned), _predicted(testing, tested), budget),
    )


def readers_of(extractors: Sequence[Extractor], captions: bool) -> list[Reader[Example]]:
    """Returns a reader of examples for each checkpoint. They find the candidates that calibration considers."""
    return [partial(_read, extractor, captions) for extractor in extractors]


def _read(extractor: Extractor, captions: bool, examples: Sequence[Example]) -> list[Prediction]:
    return predict(extractor.predictor, extractor.tokenizer, examples, captions, MIN_CANDIDATE_PROBABILITY)


def choose_limits(
    posts: Sequence[Post], readers: Mapping[str, Sequence[Reader[Post]]], share: float
) -> tuple[list[float], dict[str, list[Prediction]]]:
    """Returns the limit of each stage but the last, and the answers by mode.

    A limit is the lowest at which the stage sends on at most `share` of the posts that it reads, in each mode.
    """
    found = {mode: own[0](posts) for mode, own in readers.items()}
    limits: list[float] = []
    for stage in range(1, max(map(len, readers.values()), default=0)):
        doubts = [[doubt(each) for each in own if each.stage == stage - 1] for own in found.values()]
        limits.append(next((limit for limit in LIMITS if _most(doubts, limit) <= share), NONE_GOES_ON))
        found = {mode: send_on(posts, own, stage, readers[mode][stage], limits[-1]) for mode, own in found.items()}
    return limits, found


def _most(doubts: Sequence[Sequence[float]], limit: float) -> float:
    """Returns the largest share, over the modes, of doubts at or above the limit. It is 1 for a mode without posts."""
    return max(sum(each >= limit for each in own) / len(own) if own else 1.0 for own in doubts)


def shares_read(found: Sequence[Prediction], stages: int) -> list[float]:
    """Returns the share of the posts that each checkpoint but the first read."""
    return [sum(each.stage >= stage for each in found) / len(found) for stage in range(1, stages)]


def _predicted(examples: Sequence[Example], found: Mapping[str, Sequence[Prediction]]) -> dict[str, Predicted]:
    return {mode: Predicted(examples, own) for mode, own in found.items()}
