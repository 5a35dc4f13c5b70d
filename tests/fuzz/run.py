"""Runs a target with random inputs, and keeps the smallest input of each failure."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import HypothesisWarning

from tests.fuzz.targets import Target

ROOT = Path(__file__).resolve().parents[2]
BATCH = 300
"""Inputs between two looks at the clock. Each batch draws other inputs."""


@dataclass(frozen=True)
class Failure:
    """An input that a target fails for."""

    error: str
    place: str  # file and line
    value: str  # the smallest input that was found


@dataclass
class Outcome:
    """What a target did with its inputs. A failure is kept once for each place."""

    cases: int = 0
    seconds: float = 0.0
    failures: dict[str, Failure] = field(default_factory=dict)


def run(target: Target, seconds: float, on_batch: Callable[[Outcome], None] = lambda _: None) -> Outcome:
    """Draws inputs until the time is over. `on_batch` is called after each batch."""
    outcome, started = Outcome(), time.monotonic()
    while not outcome.cases or time.monotonic() - started < seconds:
        batch(target, outcome, BATCH)
        outcome.seconds = time.monotonic() - started
        on_batch(outcome)
    return outcome


def batch(target: Target, outcome: Outcome, count: int) -> None:
    """Draws `count` inputs. After a failure, fewer: the failure is shrunk instead."""
    last: list[Any] = [None]

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(target.inputs)
    def check(value: Any) -> None:
        last[0] = value
        outcome.cases += 1
        target.check(value)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisWarning)  # about long descriptions of strategies
            check()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT) and ".venv" not in frame.filename]
        place = f"{Path(own[-1].filename).relative_to(ROOT)}:{own[-1].lineno}" if own else "?"
        first_line = (str(error).splitlines() or [""])[0][:300]
        value = last[0]
        shown = f"{type(value).__name__}{value.args!a}" if isinstance(value, BaseException) else ascii(value)
        failure = Failure(f"{type(error).__name__}: {first_line}", place, shown)
        outcome.failures.setdefault(f"{type(error).__name__} {place}", failure)
