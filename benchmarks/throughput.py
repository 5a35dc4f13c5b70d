"""`python -m benchmarks.throughput`: posts a second through extract, beside a hand-written program.

Both contenders take turns on topics that were filled beforehand, and their extractions are compared. Then latency is
measured: posts are fed to both at the same even rate, which is half of the slower one's throughput.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.agree import agree
from benchmarks.command import main
from benchmarks.report import Figures, Report, machine, percentile
from benchmarks.run import CONTENDERS, Contender, Filled, Steady, filled, steady
from local.stack import Stack
from streams import settings as configuration
from streams.settings import Settings

UNUSED = {"elasticsearch": "http://127.0.0.1:9", "redis": "redis://127.0.0.1:9"}
"""Extract connects to neither, but a worker needs their addresses."""

STEADY_SHARE = 0.5
"""Latency is measured at this share of the slower contender's throughput."""


@dataclass(frozen=True)
class Model:
    """A model to measure with."""

    name: str
    factory: str
    tweets: int
    """Default number of posts in a run: some seconds of work on two cores."""


MODELS = {
    model.name: model
    for model in (
        Model("stub", "benchmarks.stub:load", 20_000),
        Model("pause", "benchmarks.stub:load_pausing", 20_000),
        Model("real", "model.predictor:load", 4_000),
    )
}


class Choice(StrEnum):
    STUB = "stub"
    PAUSE = "pause"
    REAL = "real"
    BOTH = "both"
    ALL = "all"

    @property
    def models(self) -> list[Model]:
        chosen = {"both": ["stub", "real"], "all": list(MODELS)}.get(self.value, [self.value])
        return [MODELS[name] for name in chosen]


class Bench:
    """Runs the contenders in turn on one broker, and shows progress."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._runs = 0

    def measure(self, model: Model, tweets: int, rounds: int, steady_s: float) -> list[Figures]:
        """Returns our figures, then the hand-written program's. Raises `Wrong` if their work differs."""
        fast = self._fill(model, tweets, rounds)
        rate = STEADY_SHARE * min(median(run.tweets_per_s for run in runs) for runs in fast.values())
        slow = self._steady(model, rate, rounds, steady_s) if steady_s else {}
        figures = []
        for contender, runs in fast.items():
            latencies = [ms for run in slow.get(contender, []) for ms in run.latencies_ms]
            figures.append(
                Figures(
                    model=model.name,
                    contender=contender.name,
                    tweets=tweets,
                    tweets_per_s=[run.tweets_per_s for run in runs],
                    total_s=[run.total_s for run in runs],
                    steady_rate=rate if latencies else None,
                    p50_ms=percentile(latencies, 0.5) if latencies else None,
                    p99_ms=percentile(latencies, 0.99) if latencies else None,
                )
            )
        return figures

    def _fill(self, model: Model, tweets: int, rounds: int) -> dict[Contender, list[Filled]]:
        runs: dict[Contender, list[Filled]] = {contender: [] for contender in CONTENDERS}
        for number in range(rounds):
            for contender in CONTENDERS:
                task = self._task(f"{model.name} {number + 1}/{rounds}: {contender.name}", tweets)
                runs[contender].append(filled(contender, self._fresh(model), tweets, self._on_progress(task)))
            agree(*(runs[contender][-1].extractions for contender in CONTENDERS))
        return runs

    def _steady(self, model: Model, rate: float, rounds: int, seconds: float) -> dict[Contender, list[Steady]]:
        runs: dict[Contender, list[Steady]] = {contender: [] for contender in CONTENDERS}
        for number in range(rounds):
            for contender in CONTENDERS:
                task = self._task(f"{model.name} {number + 1}/{rounds} at {rate:.0f}/s: {contender.name}", None)
                runs[contender].append(steady(contender, self._fresh(model), rate, seconds, self._on_progress(task)))
            agree(*(runs[contender][-1].extractions for contender in CONTENDERS))
        return runs

    def _fresh(self, model: Model) -> Settings:
        """Returns settings whose topics and consumer group no other run has."""
        self._runs += 1
        prefix = f"{self._settings.prefix}b{self._runs}."
        return self._settings.model_copy(update={"prefix": prefix, "model_factory": model.factory})

    def _task(self, description: str, total: int | None) -> TaskID:
        return self._progress.add_task(description, total=total)

    def _on_progress(self, task: TaskID) -> Callable[[int], None]:
        return lambda done: self._progress.update(task, completed=done)


def measure(models: list[Model], tweets: int | None, rounds: int, steady_s: float, console: Console) -> Report:
    """Measures on the broker of MNER_KAFKA. If that is unset, starts one. Raises `Wrong` or `UserError`."""
    started, this = datetime.now(UTC).isoformat(timespec="seconds"), machine()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _settings() as settings, Progress(*columns, console=console) as progress:
        bench = Bench(settings, progress)
        figures = [row for model in models for row in bench.measure(model, tweets or model.tweets, rounds, steady_s)]
    return Report(started, this, figures)


@contextmanager
def _settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="mner-benchmark-") as folder:
        settings = configuration.load(**UNUSED, home=Path(folder))
        if settings.kafka is not None:
            yield settings.model_copy(update={"prefix": f"{settings.prefix}b{datetime.now(UTC):%H%M%S}."})
            return
        with Stack(settings.home, names=("kafka",)) as servers:
            yield settings.model_copy(update={"kafka": servers.kafka.address})


def command(
    model: Annotated[
        Choice, typer.Option(help="stub costs nothing; pause takes 20 ms a batch, but no CPU; real is the checkpoint.")
    ] = Choice.BOTH,
    tweets: Annotated[int | None, typer.Option(help="Posts in a run. Default: depends on the model.", min=100)] = None,
    rounds: Annotated[int, typer.Option(help="Runs of each contender. They take turns.", min=1)] = 3,
    steady_s: Annotated[
        float, typer.Option(help="Seconds per run in which latency is measured; 0 measures none.", min=0)
    ] = 15,
    json_to: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
) -> None:
    """Measure the throughput and latency of extract and of a hand-written program, from Kafka to Kafka."""
    report = measure(model.models, tweets, rounds, steady_s, Console(stderr=True))
    report.show(Console(width=None if sys.stdout.isatty() else 110))
    if json_to is not None:
        report.write(json_to)


if __name__ == "__main__":
    main(command)
