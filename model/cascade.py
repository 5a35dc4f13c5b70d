"""Reads posts with a cascade of checkpoints: the first reads every post, each later one what the one before doubts.

A post's answer comes whole from the checkpoint that read it last. Whether it goes on depends on its own doubt alone. In
torch, the batch moves a doubt in its last digits. So a post whose doubt is within about 1e-6 of a limit may be answered
by another checkpoint in another batch. The cascade's file names the checkpoints (`model.cascade_file`). Imports no
torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, Self, TypeVar

from core.events import HasSpan
from model.cascade_file import Cascade, read_cascade
from model.mentions import Prediction, asking
from model.tokens import Encoded, TweetTokenizer
from model.worker_main import call_factory

Post = TypeVar("Post")
Reader = Callable[[Sequence[Post]], list[Prediction]]
"""Reads posts with one checkpoint: one prediction for each, in order."""


def doubt(prediction: Prediction) -> float:
    """Returns how likely the checkpoint is wrong where it is least sure of the post.

    This is 1 - probability for a chosen mention, and the probability for a candidate. A post without any view that the
    checkpoint reads has no doubt: the later checkpoints read the same views.
    """
    doubts = [1 - span.probability for span in prediction.spans]
    return max([0.0, *doubts, *(span.probability for span in prediction.candidates)])


def read_through(posts: Sequence[Post], readers: Sequence[Reader[Post]], limits: Sequence[float]) -> list[Prediction]:
    """Returns one prediction per post, in order. `limits`: one for each reader but the last."""
    found = readers[0](posts)
    for stage, (reader, limit) in enumerate(zip(readers[1:], limits, strict=True), start=1):
        found = send_on(posts, found, stage, reader, limit)
    return found


def send_on(
    posts: Sequence[Post], found: Sequence[Prediction], stage: int, reader: Reader[Post], limit: float
) -> list[Prediction]:
    """Lets the reader of a stage read what the stage before read with a doubt of `limit` or more."""
    result = list(found)
    places = [place for place, each in enumerate(found) if each.stage == stage - 1 and doubt(each) >= limit]
    if places:
        for place, prediction in zip(places, reader([posts[place] for place in places]), strict=True):
            result[place] = replace(prediction, stage=stage)
    return result


class CascadeTokenizer:
    """Encodes posts for all checkpoints of a cascade."""

    def __init__(self, tokenizers: Sequence[TweetTokenizer]) -> None:
        self._first, *self._later = tokenizers

    @classmethod
    def load(cls, cascade: Cascade) -> Self:
        """Raises `UserError`."""
        return cls([TweetTokenizer.load(folder) for folder in cascade.folders])

    def encode(self, text: str, context: str | None, accounts: Sequence[HasSpan] = ()) -> Encoded:
        """Does what `TweetTokenizer.encode` does, with the encodings of the later checkpoints in `later`."""
        later = tuple(tokenizer.encode(text, context, accounts) for tokenizer in self._later)
        return replace(self._first.encode(text, context, accounts), later=later)


class Predicts(Protocol):
    """A loaded checkpoint, such as `model.predictor.Predictor`."""

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]: ...


class CascadePredictor:
    """All checkpoints of a cascade, loaded."""

    def __init__(self, predictors: Sequence[Predicts], limits: Sequence[float], candidate_threshold: float) -> None:
        self._readers = [partial(_predict, predictor, stage) for stage, predictor in enumerate(predictors)]
        self._limits = limits
        self._candidate_threshold = candidate_threshold

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        """Returns one prediction per post, in order. A failure of any checkpoint is a failure of the batch."""
        found = read_through(batch, self._readers, self._limits)
        return [asking(prediction, self._candidate_threshold) for prediction in found]


def _predict(predictor: Predicts, stage: int, batch: Sequence[Encoded]) -> list[Prediction]:
    return predictor.predict([post.stages[stage] for post in batch])


def load(
    file: Path, *, device: str, threads: int, factory: str, candidate_threshold: float | None = None
) -> CascadePredictor:
    """Loads all checkpoints of a cascade, each with `factory`. The other arguments are those of `model.predictor.load`.

    A checkpoint predicts candidates down to its limit, since they count as doubt. Raises `UserError`.
    """
    cascade = read_cascade(file, device)
    wanted = cascade.info.candidate_threshold if candidate_threshold is None else candidate_threshold
    predictors = []
    for folder, info, stage in zip(cascade.folders, cascade.checkpoints, cascade.info.stages, strict=True):
        options: dict[str, object] = {"candidate_threshold": min(wanted, 1.0 if stage.limit is None else stage.limit)}
        if info.runtime != "torch":
            options["runtime"] = info.runtime
        predictors.append(call_factory(factory, folder, device=device, threads=threads, **options))
    return CascadePredictor(predictors, cascade.limits, wanted)
