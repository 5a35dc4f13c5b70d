"""The report of a measurement: figures, the machine, and both as text."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from core.cores import usable_cores

BAR = 40
"""Length of the longest bar, in characters."""


@dataclass(frozen=True)
class Figures:
    """The figures of a contender with a model."""

    model: str
    contender: str
    tweets: int
    """Number of posts in a round."""
    tweets_per_s: list[float]
    """One value per round."""
    total_s: list[float]
    """One value per round."""
    steady_rate: float | None
    """Posts a second at which the latencies were measured; None if they were not."""
    p50_ms: float | None
    """Median over all rounds."""
    p99_ms: float | None

    @property
    def median(self) -> float:
        return statistics.median(self.tweets_per_s)


@dataclass(frozen=True)
class Machine:
    """The machine that was measured, and its software."""

    cores: int
    cpu: str
    memory_gib: float
    python: str
    torch: str
    faust: str
    aiokafka: str
    load_before: float
    """Load average over one minute before the first run: other work on the machine."""


@dataclass(frozen=True)
class Report:
    started: str
    machine: Machine
    figures: list[Figures]

    def ratios(self, model: str) -> list[float]:
        """Returns our rate divided by the hand-written program's, for each round."""
        ours, theirs = (row.tweets_per_s for row in self.figures if row.model == model)
        return [a / b for a, b in zip(ours, theirs, strict=True)]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        machine = self.machine
        console.print(
            f"{self.started}: {machine.cores} cores of {machine.cpu}, {machine.memory_gib:.0f} GiB, "
            f"Python {machine.python}, torch {machine.torch}, faust-streaming {machine.faust}, "
            f"aiokafka {machine.aiokafka}; load before: {machine.load_before:.1f}",
            highlight=False,
            soft_wrap=True,
        )
        console.print(self._table())
        for model in dict.fromkeys(row.model for row in self.figures):
            self._chart(console, model)

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE)
        for name in ("model", "contender"):
            table.add_column(name, no_wrap=True)
        for name in ("tweets", "tweets/s", "lowest-highest", "total s", "fed/s", "p50 ms", "p99 ms"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.figures:
            latency = [f"{value:.0f}" if value else "" for value in (row.steady_rate, row.p50_ms, row.p99_ms)]
            span = f"{min(row.tweets_per_s):.0f}-{max(row.tweets_per_s):.0f}"
            total = f"{statistics.median(row.total_s):.1f}"
            table.add_row(row.model, row.contender, str(row.tweets), f"{row.median:.0f}", span, total, *latency)
        return table

    def _chart(self, console: Console, model: str) -> None:
        rows = [row for row in self.figures if row.model == model]
        longest = max(row.median for row in rows)
        for row in rows:
            bar = "█" * max(1, round(BAR * row.median / longest))
            console.print(f"{model:>6} {row.contender:>13} {bar} {row.median:.0f}", highlight=False, soft_wrap=True)
        ratios = self.ratios(model)
        console.print(
            f"       ours / hand-written: {rows[0].median / rows[1].median:.2f} "
            f"(rounds {min(ratios):.2f} to {max(ratios):.2f})",
            highlight=False,
        )


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the nearest-rank percentile: the smallest value that `share` of all values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -int(-share * len(ranked) // 1) - 1)]


def machine() -> Machine:
    """Describes this machine."""
    return Machine(
        cores=usable_cores(),
        cpu=_cpu(),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        python=platform.python_version(),
        torch=importlib.metadata.version("torch"),
        faust=importlib.metadata.version("faust-streaming"),
        aiokafka=importlib.metadata.version("aiokafka"),
        load_before=os.getloadavg()[0],
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
