"""A model without a network that asks about the first word of every post, for tests of what people then do."""

from __future__ import annotations

from pathlib import Path

from model.mentions import Prediction, Span, ViewOpinion
from model.tokens import Encoded, TweetTokenizer
from tests.streams.stub_model import UNCERTAIN, StubModel


class UnsureModel(StubModel):
    def _predict(self, encoded: Encoded, company: int) -> Prediction:
        start, end = encoded.spans[0]
        opinion = ViewOpinion(probability=UNCERTAIN, aleatoric=0.1, epistemic=0.1, share=1.0)
        return Prediction((Span(start, end, "PER", UNCERTAIN, 0.1, 0.1, {"text": opinion}),), ())


def load(checkpoint: Path, *, device: str, threads: int) -> UnsureModel:
    return UnsureModel(TweetTokenizer.load(checkpoint))
