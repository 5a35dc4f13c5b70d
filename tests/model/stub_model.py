"""A stand-in for `model.predictor:load` that dies, hangs and fails on demand. Runs in the model's process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from model.mentions import Prediction
from model.tokens import Encoded
from streams.errors import UserError

HANG, DIE, RAISE = 1, 2, 3
"""First subword id of a tweet that makes the stub do so."""


class Stub:
    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        orders = {encoded.text[0] for encoded in batch if encoded.text}
        if HANG in orders:
            time.sleep(600)
        if DIE in orders:
            os._exit(7)
        if RAISE in orders:
            raise ValueError("a tweet that cannot be predicted")
        return [Prediction()] * len(batch)


def load(checkpoint: Path, *, device: str, threads: int) -> Stub:
    assert "faust" not in sys.modules
    assert not any(name.startswith("pytest") for name in sys.modules)
    return Stub()


def load_without_checkpoint(checkpoint: Path, *, device: str, threads: int) -> Stub:
    raise UserError(f"no checkpoint in {checkpoint}")


def load_killed(checkpoint: Path, *, device: str, threads: int) -> Stub:
    """As the out-of-memory killer would: unless the file `checkpoint` is there, like memory that came free."""
    if not checkpoint.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return Stub()


def load_hanging(checkpoint: Path, *, device: str, threads: int) -> Stub:
    time.sleep(600)
    return Stub()


def load_broken(checkpoint: Path, *, device: str, threads: int) -> Stub:
    raise RuntimeError("libcuda is of another version")
