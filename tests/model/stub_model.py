"""Stands in for `model.predictor:load`. It dies, hangs and fails on demand, in the model's process."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.child_socket import frame
from core.errors import UserError
from model.mentions import Prediction, Span
from model.tokens import Encoded

HANG, DIE, RAISE, FORGET, LIE, PICKLE = 1, 2, 3, 4, 5, 6
"""Orders to the stub, given as the first subword id of a post."""


HANGS = "hangs"


def hang(checkpoint: Path) -> None:
    if checkpoint.is_dir():
        (checkpoint / HANGS).touch()
    time.sleep(600)


class Exploit:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (13,)


class Stub:
    """Leaves the file `HANGS` in the checkpoint's folder before it hangs, if there is such a folder."""

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        orders = {encoded.text[0] for encoded in batch if encoded.text}
        if HANG in orders:
            hang(self._checkpoint)
        if DIE in orders:
            os._exit(7)
        if RAISE in orders:
            raise ValueError("a tweet that cannot be predicted \ud800")
        if FORGET in orders:
            return []
        if LIE in orders:
            lie: Any = [{"spans": "none of your business"}] * len(batch)
            return list(lie)
        if PICKLE in orders:
            socket.socket(fileno=int(sys.argv[1])).sendall(frame(pickle.dumps(Exploit())))
            time.sleep(600)
        return [Prediction()] * len(batch)


class EchoesThreshold:
    """Predicts one candidate whose probability is the threshold that the stub was loaded with."""

    def __init__(self, candidate_threshold: float) -> None:
        self._prediction = Prediction(candidates=(Span(0, 1, "PER", candidate_threshold, 0.1, 0.1, {}),))

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        return [self._prediction] * len(batch)


class Frozen(Stub):
    """Raises an error with the number of its own lists that a collection of garbage walks."""

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(checkpoint)
        self._loaded = [[number] for number in range(1000)]

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        walked = {id(each) for each in gc.get_objects()}
        raise ValueError(f"{sum(id(each) in walked for each in self._loaded)} walked")


class Unsure(Stub):
    """Predicts one likely candidate, so that its posts go on to the next checkpoint of a cascade."""

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        super().predict(batch)
        return [Prediction(candidates=(Span(0, 1, "PER", 0.9, 0.1, 0.1, {}),))] * len(batch)


class Beyond(Stub):
    """Says that a third checkpoint answered."""

    def predict(self, batch: Sequence[Encoded]) -> list[Prediction]:
        return [Prediction(stage=2)] * len(batch)


def load(checkpoint: Path, *, device: str, threads: int) -> Stub:
    assert "faust" not in sys.modules
    assert not any(name.startswith("pytest") for name in sys.modules)
    return Stub(checkpoint)


def load_frozen(checkpoint: Path, *, device: str, threads: int) -> Frozen:
    return Frozen(checkpoint)


def load_without_checkpoint(checkpoint: Path, *, device: str, threads: int) -> Stub:
    raise UserError(f"no checkpoint in {checkpoint}")


def load_killed(checkpoint: Path, *, device: str, threads: int) -> Stub:
    """Dies as if by the out-of-memory killer, unless the file `checkpoint` exists: it stands for free memory."""
    if not checkpoint.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return Stub(checkpoint)


def load_echoing_threshold(
    checkpoint: Path, *, device: str, threads: int, candidate_threshold: float = 0.0
) -> EchoesThreshold:
    return EchoesThreshold(candidate_threshold)


def load_unsure(checkpoint: Path, *, device: str, threads: int, candidate_threshold: float) -> Unsure:
    return Unsure(checkpoint)


def load_beyond(checkpoint: Path, *, device: str, threads: int, candidate_threshold: float = 0.0) -> Beyond:
    return Beyond(checkpoint)


def load_hanging(checkpoint: Path, *, device: str, threads: int) -> Stub:
    hang(checkpoint)
    return Stub(checkpoint)


def load_broken(checkpoint: Path, *, device: str, threads: int) -> Stub:
    raise RuntimeError("libcuda is of another version")
