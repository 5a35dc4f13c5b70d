"""Models that take for ever, to load or to predict. They say in the file SLOW_FILE that they have begun."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Never


def _for_ever() -> Never:
    Path(os.environ["SLOW_FILE"]).touch()
    while True:
        time.sleep(3600)


class SlowModel:
    def predict(self, batch: Sequence[object]) -> Never:
        _for_ever()


def load(checkpoint: Path, *, device: str, threads: int) -> SlowModel:
    return SlowModel()


def load_slowly(checkpoint: Path, *, device: str, threads: int) -> SlowModel:
    _for_ever()
