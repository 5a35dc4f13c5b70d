"""Figures over several trainings that differ in their seed alone, and the command that makes them again."""

from __future__ import annotations

import os
import re
import shlex
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

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
    """This process's command line, but for the option `without` and its value; a path below the folder `MNER_DATA` is
    told by that name, of any other absolute path the last part alone."""
    words = [word for word in sys.argv[1:] if not without or not word.startswith(f"{without}=")]
    if without in words:
        place = words.index(without)
        del words[place : place + 2]
    return " ".join(["python -m", module, *map(_typed, words)])


def _typed(word: str) -> str:
    """One word as a shell reads it: a value, `--option=value`, or options with blanks between, to be handed on."""
    if re.match(r"--[^\s/]+\s", word):
        return f'"{" ".join(map(_typed, shlex.split(word)))}"'
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + ",".join(map(_masked, value.split(",")))


def _masked(path: str) -> str:
    data = os.environ.get("MNER_DATA", "").rstrip("/")
    if data and (path == data or path.startswith(f"{data}/")):
        below = path.removeprefix(data)
        return "$MNER_DATA" + (shlex.quote(below) if below else "")
    return shlex.quote(PurePath(path).name if path.startswith("/") else path) if path else ""
