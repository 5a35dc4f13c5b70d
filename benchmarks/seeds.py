"""Figures over several trainings that differ in their seed alone, and the command that makes them again."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from cli.training.typed import typed
from model.checkpoint import CheckpointInfo


@dataclass(frozen=True)
class Spread:
    """One figure a seed. `mean`: None where one of them is none; `deviation`: of the sample, None of a single one."""

    values: list[float | None]
    mean: float | None
    deviation: float | None

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        return f"{self.mean:.4f}" if self.deviation is None else f"{self.mean:.4f} ± {self.deviation:.4f}"


def spread(values: Iterable[float | None]) -> Spread:
    given = list(values)
    known = [value for value in given if value is not None]
    if not known or len(known) < len(given):
        return Spread(given, None, None)
    return Spread(given, statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


def seed_of(info: CheckpointInfo) -> int | None:
    """The seed of the training, as the checkpoint tells its options."""
    found = re.search(r"\bseed=(\d+)", str(info.provenance.get("options", "")))
    return int(found[1]) if found else None


def as_typed(module: str, without: str = "") -> str:
    """This process's command line, but for the option `without` and its value."""
    return typed(f"python -m {module}", without)
