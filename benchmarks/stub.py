"""Models without a network, so that a measurement shows what everything around the model costs.

Loaded inside the model's process as `benchmarks.stub:load`. Every tweet has one mention: its first word.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from model.mentions import Prediction, Span, ViewOpinion
from model.tokens import Encoded

PAUSE_S = 0.02
"""What the pausing model takes for a batch: about an accelerator's time for 64 tweets, off this machine's cores."""


class StubModel:
    """Answers after `pause_s` seconds a batch, asleep."""

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
    """Costs nothing."""
    return StubModel(pause_s=0.0)


def load_pausing(checkpoint: Path, *, device: str, threads: int) -> StubModel:
    """Costs `PAUSE_S` a batch and no CPU."""
    return StubModel(PAUSE_S)
