"""What a measurement of images says, as a table and as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import features
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.image_run import Run
from benchmarks.photographs import Kind
from benchmarks.report import Machine

BAR = 300
"""Images a second that ours is to reach on two cores."""


@dataclass(frozen=True)
class Figures:
    """One contender on one kind of file, a run a round, its own settings in words."""

    kind: Kind
    contender: str
    settings: str
    images: int
    runs: list[Run]

    @property
    def rates(self) -> list[float]:
        return [run.images_per_s for run in self.runs]

    @property
    def cpu_ms(self) -> float:
        return statistics.median(run.cpu_ms for run in self.runs)

    @property
    def server_ms(self) -> float:
        return statistics.median(run.server_ms for run in self.runs)

    def ceiling(self, cores: int) -> float:
        """Images a second if all cores worked on nothing but this and the server."""
        return 1000 * cores / (self.cpu_ms + self.server_ms)


@dataclass(frozen=True)
class Tried:
    """img2dataset before the rounds, with so many downloads at once in each process."""

    kind: Kind
    threads: int
    images_per_s: float


@dataclass(frozen=True)
class Report:
    """Figures in the order of the contenders, ours first in each kind. `absent`: who could not take part, and why."""

    started: str
    machine: Machine
    figures: list[Figures]
    tried: list[Tried] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    pillow: str = importlib.metadata.version("pillow")
    libjpeg_turbo: str | None = features.version_feature("libjpeg_turbo")
    aiohttp: str = importlib.metadata.version("aiohttp")

    def ratios(self, kind: Kind, contender: str) -> list[float]:
        """Ours over it, round by round."""
        ours, *others = (one for one in self.figures if one.kind == kind)
        (theirs,) = (one for one in others if one.contender == contender)
        return [a / b for a, b in zip(ours.rates, theirs.rates, strict=True)]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        machine = self.machine
        console.print(
            f"{self.started}: {machine.cores} cores of {machine.cpu}, {machine.memory_gib:.0f} GiB, "
            f"Python {machine.python}, Pillow {self.pillow} with libjpeg-turbo {self.libjpeg_turbo}, "
            f"aiohttp {self.aiohttp}; load before: {machine.load_before:.1f}",
            highlight=False,
            soft_wrap=True,
        )
        console.print(self._table())
        for one in self.figures:
            if one.contender.startswith("ours"):
                rate = statistics.median(one.rates)
                verdict = "reached" if rate >= BAR else "not reached"
                console.print(
                    f"{one.kind}, {one.contender}: {rate:.0f} images/s; wanted {BAR}: {verdict}", highlight=False
                )
        for one in self.figures:
            console.print(f"{one.contender}: {one.settings}", highlight=False, soft_wrap=True)
        for tried in self.tried:
            line = f"img2dataset, {tried.kind}, {tried.threads} downloads a process: {tried.images_per_s:.0f} images/s"
            console.print(line, highlight=False, soft_wrap=True)
        for reason in self.absent:
            console.print(f"left out: {reason}", highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE)
        for name in ("file", "contender"):
            table.add_column(name, no_wrap=True)
        for name in ("images", "images/s", "of rounds", "CPU ms", "server's", "ceiling", "ours/it", "of rounds"):
            table.add_column(name, justify="right", no_wrap=True)
        for one in self.figures:
            table.add_row(
                one.kind,
                one.contender,
                str(one.images),
                f"{statistics.median(one.rates):.0f}",
                _span(one.rates, "{:.0f}"),
                f"{one.cpu_ms:.1f}",
                f"{one.server_ms:.1f}",
                f"{one.ceiling(self.machine.cores):.0f}",
                *self._against(one),
            )
        return table

    def _against(self, one: Figures) -> tuple[str, str]:
        if one is next(figures for figures in self.figures if figures.kind == one.kind):
            return ("", "")
        ratios = self.ratios(one.kind, one.contender)
        return (f"{statistics.median(ratios):.2f}", _span(ratios, "{:.2f}"))


def _span(values: Sequence[float], form: str) -> str:
    return f"{form.format(min(values))}-{form.format(max(values))}"
