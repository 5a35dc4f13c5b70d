"""Compares thresholds on streams that drift from one corpus to the next: which keep the promised precision?

    python -m benchmarks.drift --data DIR --split valid

Use `--split test` only once, at the end. docs/research/thresholds.md explains the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.command import main
from benchmarks.drift_plot import draw
from benchmarks.drift_rules import Aci, Fixed, Follow, Rule, Run, run
from benchmarks.drift_streams import CORPORA, Floats, Ints, Stream, at_once, in_turn, marks
from cli.training.typed import typed
from model.extractor import Extractor
from streams.thresholds import Control

WINDOW, SKIPPED = 500, 300
"""Audited answers of a window, and those before the first window."""

SHARES = (0.80, 0.15, 0.05)
"""Of the corpora, when each is a source of one stream."""

LATE = (50, 200)
"""Longest delays of an answer, in drawn mentions."""


@dataclass(frozen=True)
class Windows:
    """The precision in every window of `WINDOW` consecutive audited answers, one value for each (M)."""

    audited: Floats
    """Of the audited mentions."""
    routed: Floats
    """Of all confident mentions from the first to the last audited one."""
    end: Ints
    """Place of the last mention."""


def windows(done: Run) -> Windows:
    """Returns the windows after the first `SKIPPED` answers. There must be enough answers for one."""
    places = np.flatnonzero(done.audited)[SKIPPED:]
    right = done.stream.right
    answers = np.concatenate(([0], np.cumsum(right[places])))
    confident = np.concatenate(([0], np.cumsum(done.confident)))
    good = np.concatenate(([0], np.cumsum(done.confident & right)))
    first, last = places[: len(places) - WINDOW + 1], places[WINDOW - 1 :]
    routed = (good[last + 1] - good[first]) / (confident[last + 1] - confident[first])
    return Windows((answers[WINDOW:] - answers[:-WINDOW]) / WINDOW, routed, last)


def ideal(count: int, promised: float, seed: int) -> float:
    """Returns the worst window of `count` independent answers that are right with the promised probability."""
    right = np.random.default_rng(seed).random(count) < promised
    sums = np.concatenate(([0], np.cumsum(right)))
    return float((sums[WINDOW:] - sums[:-WINDOW]).min() / WINDOW)


def _row(name: str, runs: Sequence[Run], least: float) -> list[str]:
    found = [windows(each) for each in runs]
    audited, routed = [each.audited.min() for each in found], [each.routed.min() for each in found]
    cells = [name, f"{min(audited):.3f}", f"{min(routed):.3f}"]
    for values in ([each.audited for each in found], [each.routed for each in found]):
        cells.append(f"{fmean(float((each < least - 1e-9).mean()) for each in values):.1%}")
    cells += [f"{fmean(_precision(each, part) for each in runs):.3f}" for part in range(len(CORPORA))]
    cells += [f"{fmean(_asked(each, part) for each in runs):.1%}" for part in range(len(CORPORA))]
    cells.append(f"{fmean(_asked(each, None) for each in runs):.1%}")
    return [*cells, f"{fmean(each.audited.sum() for each in runs):.0f}"]


def _precision(done: Run, part: int) -> float:
    return float(done.stream.right[done.confident & (done.stream.part == part)].mean())


def _asked(done: Run, part: int | None) -> float:
    """Returns the share of the mentions that go to people, without the spot checks."""
    return float(1 - done.confident[slice(None) if part is None else done.stream.part == part].mean())


def _show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    console.print(title, highlight=False)
    table = Table(box=box.MARKDOWN)
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _in_turn(
    streams: Sequence[Stream], rules: dict[str, Callable[[], Rule]], control: Control, console: Console
) -> dict[str, list[Run]]:
    runs = {name: [run(stream, make()) for stream in streams] for name, make in rules.items()}
    for late in LATE:
        found = [run(stream, rules["ours"](), late=late, seed=seed) for seed, stream in enumerate(streams)]
        runs[f"ours, answers up to {late} late"] = found
    columns = ["threshold", "worst audited", "worst routed", "audited < -0.02", "routed < -0.02"]
    columns += [f"precision {name}" for name in CORPORA] + [f"to people {name}" for name in CORPORA]
    rows = [_row(name, found, control.promised - 0.02) for name, found in runs.items()]
    _show("one corpus after the other", [*columns, "to people", "answers"], rows, console)
    count = int(fmean(each.audited.sum() for each in runs["ours"]))
    worst = [ideal(count, control.promised, seed) for seed in range(len(streams))]
    console.print(
        f"independent answers at {control.promised}: worst window {min(worst):.3f}, median {np.median(worst)}"
    )
    console.print(f"guaranteed in any window of prompt answers: {1 - control.most_wrong(WINDOW):.3f}\n")
    return runs


def _at_once(streams: Sequence[Stream], start: float, control: Control, console: Console) -> None:
    names, rows = list(CORPORA), []
    for label, sources in (("one threshold", []), ("one for each source", names)):
        rules = [Follow(start, control) for _ in streams]
        runs = [run(stream, rule, sources) for stream, rule in zip(streams, rules, strict=True)]
        for part, name in enumerate(names):
            answers = fmean((each.audited & (each.stream.part == part)).sum() for each in runs)
            width = fmean(rule.state.interval(name).width for rule in rules) if sources else None
            thresholds = fmean(float(each.threshold[each.stream.part == part].mean()) for each in runs)
            figures = fmean(_precision(each, part) for each in runs), fmean(_asked(each, part) for each in runs)
            row = [label, name, f"{answers:.0f}", f"{thresholds:.3f}", f"{figures[0]:.3f}", f"{figures[1]:.1%}"]
            rows.append([*row, "-" if width is None else f"{width:.3f}"])
    columns = ["rule", "source", "answers", "mean threshold", "precision", "to people", "width of interval"]
    _show("all corpora at once", columns, rows, console)


def command(
    data: Annotated[Path, typer.Option(help="Folder with the corpora.")],
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder.")] = Path("model/checkpoint"),
    split: Annotated[str, typer.Option(help="Split that the streams are made of: valid or test.")] = "valid",
    seeds: Annotated[int, typer.Option(min=1, help="Number of streams.")] = 20,
    mentions: Annotated[int, typer.Option(min=1, help="Mentions of each corpus in a stream.")] = 110_000,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of the mentions that is drawn.")] = 0.02,
    plot: Annotated[Path | None, typer.Option(help="Draw the precision over time into this PNG file.")] = None,
) -> None:
    """Compare thresholds on streams that drift."""
    extractor, console = Extractor.load(checkpoint, threads=1), Console(width=320)
    start, control = extractor.info.threshold, Control()
    posts, before = marks(data, split, extractor), marks(data, "valid", extractor)[next(iter(CORPORA))]
    rules: dict[str, Callable[[], Rule]] = {
        "fixed": partial(Fixed, start),
        "ACI, step 0.005": partial(Aci, before, 1 - control.promised, 0.005),
        "ACI, step 0.02": partial(Aci, before, 1 - control.promised, 0.02),
        "ours without margin": partial(Follow, start, Control(margin=0)),
        "ours": partial(Follow, start, control),
    }
    console.print(f"{typed('python -m benchmarks.drift')}\n{extractor.info.name}, {seeds} seeds\n", highlight=False)
    runs = _in_turn([in_turn(posts, mentions, share, seed) for seed in range(seeds)], rules, control, console)
    _at_once([at_once(posts, SHARES, mentions, share, seed) for seed in range(seeds)], start, control, console)
    if plot:
        lines = {name: [(found.end, found.routed) for found in map(windows, runs[name])] for name in ("fixed", "ours")}
        thresholds = {name: [each.threshold for each in runs[name]] for name in ("fixed", "ours")}
        draw(lines, thresholds, list(CORPORA), mentions, control.promised, plot)


if __name__ == "__main__":
    main(command)
