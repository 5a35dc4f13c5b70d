"""A model that never answers, so that nothing is ever acknowledged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from model.mentions import Prediction
from model.tokens import Encoded, TweetTokenizer


class Never:
    def __init__(self, tokenizer: TweetTokenizer) -> None:
        self.tokenizer = tokenizer

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        time.sleep(3600)
        return []


def load(checkpoint: Path, *, device: str, threads: int) -> Never:
    return Never(TweetTokenizer.load(checkpoint))
