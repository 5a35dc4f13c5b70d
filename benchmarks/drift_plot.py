"""Draws the precision and the threshold over a stream that drifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.drift_streams import Floats, Ints
from model.training.plots import BLUE, GREY, ORANGE

COLOURS = {"fixed": ORANGE, "ours": BLUE}
LABELS = {"fixed": "fixed threshold", "ours": "follows the stream"}
POINTS = 600
"""Places along the stream at which the lines are drawn."""


def draw(
    precision: Mapping[str, Sequence[tuple[Ints, Floats]]],
    thresholds: Mapping[str, Sequence[Floats]],
    phases: Sequence[str],
    mentions: int,
    promised: float,
    path: Path,
) -> None:
    """Draws the median over the streams and the range from the lowest to the highest, for each rule.

    `precision`: for each stream, places of windows (M) and the precision in them (M). `thresholds`: (N) for each
    stream. `mentions`: of each phase. Raises `OSError` when the file cannot be written.
    """
    figure = Figure(figsize=(7.2, 5.2), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    grid = np.linspace(0, mentions * len(phases) - 1, POINTS)
    for name, streams in precision.items():
        begin = max(int(end[0]) for end, _ in streams)
        shown = grid[grid >= begin]
        _band(top, shown, np.array([np.interp(shown, end, values) for end, values in streams]), name)
    for name, each in thresholds.items():
        _band(below, grid, np.array([values[grid.astype(int)] for values in each]), name)
    top.axhline(promised, color=GREY, linewidth=1)
    top.axhline(promised - 0.02, color=GREY, linewidth=1, linestyle="--")
    right = mentions * len(phases)
    for value, text in ((promised, "promised"), (promised - 0.02, "promised - 0.02")):
        label = f"{text.replace('-', '−')}  "
        top.annotate(label, (0, value), (4, 3), textcoords="offset points", fontsize=8, color=GREY)
    for number, phase in enumerate(phases):
        for axes in (top, below):
            axes.axvline(number * mentions, color=GREY, linewidth=0.6, alpha=0.5)
        place = ((number + 0.5) * mentions, 1.02)
        top.annotate(phase, place, xycoords=("data", "axes fraction"), ha="center", fontsize=9, color=GREY)
    top.set(xlim=(0, right), ylabel="precision of confident mentions")
    below.set(xlabel="mentions of the stream, in thousands", ylabel="threshold", ylim=(0.45, 1.02))
    below.set_xticks(np.arange(0, right + 1, 50_000), [f"{place // 1000}" for place in range(0, right + 1, 50_000)])
    top.legend(loc="upper right", frameon=False, fontsize=9)
    for axes in (top, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png", dpi=130)


def _band(axes: Axes, places: Floats, values: Floats, name: str) -> None:
    """`values`: (streams, P)."""
    axes.fill_between(places, values.min(0), values.max(0), color=COLOURS[name], alpha=0.18, linewidth=0)
    axes.plot(places, np.median(values, 0), color=COLOURS[name], linewidth=1.5, label=LABELS[name])
