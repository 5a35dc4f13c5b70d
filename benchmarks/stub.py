"""Models without a network, to measure the cost of everything around the model.

The model's process loads them as `benchmarks.stub:load`. They find one mention in every post: its first word.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from model.mentions import Prediction, Span, ViewOpinion
from model.tokens import Encoded

PAUSE_S = 0.02
"""Seconds that the pausing model takes for a batch: about an accelerator's time for 64 posts, without using a core."""


class StubModel:
    """Sleeps `pause_s` seconds, then answers a batch."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        if self._pause_s:
            time.sleep(self._pause_s)
        return [_first_word(encoded) for encoded in batch]


def _first_word(encoded: Encoded) -> Prediction:
    if not encoded.spans:
        return Prediction()
    start, end = encoded.spans[0]
    opinion = ViewOpinion(probability=0.9, aleatoric=0.1, epistemic=0.1, share=1.0)
    return Prediction((Span(start, end, "PER", 0.9, 0.1, 0.1, {"text": opinion}),))


def load(checkpoint: Path, *, device: str, threads: int) -> StubModel:
    """Returns a model that costs nothing."""
    return StubModel(pause_s=0.0)


def load_pausing(checkpoint: Path, *, device: str, threads: int) -> StubModel:
    """Returns a model that takes `PAUSE_S` per batch and no CPU."""
    return StubModel(PAUSE_S)
