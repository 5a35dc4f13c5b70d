"""Models that never answer, so that nothing is ever acknowledged, or answer late."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from model.mentions import Prediction
from model.tokens import Encoded, TweetTokenizer
from tests.streams.stub_model import StubModel


class Never:
    def __init__(self, tokenizer: TweetTokenizer) -> None:
        self.tokenizer = tokenizer

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        time.sleep(3600)
        return []


def load(checkpoint: Path, *, device: str, threads: int) -> Never:
    return Never(TweetTokenizer.load(checkpoint))


LATE_S = 5.0


class Late(StubModel):
    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        time.sleep(LATE_S)
        return super().predict(batch)


def load_late(checkpoint: Path, *, device: str, threads: int) -> Late:
    return Late(TweetTokenizer.load(checkpoint))
