"""`python -m benchmarks.images`: images a second, fetched from a hundred slow hosts and decoded, beside img2dataset.

All contenders in one run, by turns, each as a fresh process on URLs that were never asked for before, against the same
server on the same cores. docs/benchmarks.md says what each does and does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.command import main
from benchmarks.image_report import Figures, Report, Tried
from benchmarks.image_run import Child, Contender, Run, measure
from benchmarks.image_server import ImageServer
from benchmarks.img2dataset import PROCESSES, THREADS, Img2dataset, Unavailable, installed
from benchmarks.photographs import Kind
from benchmarks.report import machine
from streams.images.decode import MAX_SIDE

TUNING_IMAGES = 1000
"""In each run that finds out how many downloads at once suit img2dataset best."""

OURS = (
    Child(
        "ours",
        "ours",
        "ImageLoader with the defaults, but MNER_IMAGE_ALLOW names the hosts; decodes for the hash, keeps the file",
    ),
    Child("ours, 640", "ours_pixels", "the same, and the copy shrunk to 640 is asked for"),
    Child("ours, 640, no cache", "ours_pixels", "the same with MNER_IMAGE_CACHE_MB=0", cache_mb=0),
)
BY_HAND = Child("by hand", "by_hand", "aiohttp, 64 at once, Pillow in two threads, shrinks to 640; nothing is checked")


class Choice(StrEnum):
    BASELINE = "baseline"
    PROGRESSIVE = "progressive"
    BOTH = "both"

    @property
    def kinds(self) -> list[Kind]:
        return [kind for kind in KINDS if self in (kind, Choice.BOTH)]


KINDS: tuple[Kind, ...] = ("baseline", "progressive")


class Bench:
    """Runs contenders by turns against one server, with progress."""

    def __init__(self, server: ImageServer, progress: Progress) -> None:
        self._server = server
        self._progress = progress

    def measure(self, contenders: list[Contender], kind: Kind, images: int, rounds: int) -> list[Figures]:
        """Raises `Wrong` when one of them did not do the work."""
        runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
        for number in range(rounds):
            for contender in contenders:
                label = f"{kind} {number + 1}/{rounds}: {contender.name}"
                runs[contender.name].append(self._run(contender, kind, images, label))
        return [Figures(kind, one.name, one.settings, images, runs[one.name]) for one in contenders]

    def tune(self, program: Path, kind: Kind) -> list[Tried]:
        """img2dataset with each number of downloads, once."""
        return [
            Tried(
                kind,
                threads,
                self._run(
                    _fetching(program, threads), kind, TUNING_IMAGES, f"{kind} tuning: img2dataset, {threads} threads"
                ).images_per_s,
            )
            for threads in THREADS
        ]

    def _run(self, contender: Contender, kind: Kind, images: int, label: str) -> Run:
        task = self._progress.add_task(label, total=images)
        tell: Callable[[int], None] = lambda done: self._progress.update(task, completed=done)  # noqa: E731
        run = measure(contender, self._server, images, kind, tell)
        tell(images)
        return run


def _fetching(program: Path, threads: int) -> Img2dataset:
    settings = f"{PROCESSES} processes of {threads} downloads; decodes and keeps the file as it is; no hash, no output"
    return Img2dataset("img2dataset", settings, program, threads)


def _shrinking(program: Path, threads: int) -> Img2dataset:
    settings = f"the same, but shrinks to {MAX_SIDE}, where it cannot but encode again; no output"
    return Img2dataset("img2dataset, 640", settings, program, threads, MAX_SIDE)


def measure_all(kinds: list[Kind], images: int, rounds: int, console: Console) -> Report:
    """The whole measurement. Raises `Wrong` or `UserError`."""
    started, this = datetime.now(UTC).isoformat(timespec="seconds"), machine()
    report = Report(started, this, [])
    program: Path | None = None
    try:
        program = installed()
    except Unavailable as error:
        report.absent.append(f"img2dataset: {error}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console.print("Starting the server: it makes its pictures first.")
    with ImageServer(kinds) as server, Progress(*columns, console=console) as progress:
        bench = Bench(server, progress)
        for kind in kinds:
            contenders: list[Contender] = [*OURS, BY_HAND]
            if program is not None:
                tried = bench.tune(program, kind)
                report.tried.extend(tried)
                threads = max(tried, key=lambda one: one.images_per_s).threads
                contenders[1:1] = [_fetching(program, threads), _shrinking(program, threads)]
            report.figures.extend(bench.measure(contenders, kind, images, rounds))
    return report


def command(
    images: Annotated[int, typer.Option(help="images in a run", min=100)] = 2000,
    rounds: Annotated[int, typer.Option(help="runs of each contender, by turns", min=1)] = 3,
    kind: Annotated[Choice, typer.Option(help="how the JPEGs are encoded")] = Choice.BOTH,
    json_to: Annotated[Path | None, typer.Option("--json", help="write every figure to this file")] = None,
) -> None:
    """Measure images a second from a local server: ours, img2dataset (installed once, 650 MB), and by hand."""
    report = measure_all(kind.kinds, images, rounds, Console(stderr=True))
    report.show(Console(width=None if sys.stdout.isatty() else 120))
    if json_to is not None:
        report.write(json_to)


if __name__ == "__main__":
    main(command)
