"""Draws the reliability diagram and the risk-coverage curve as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from model.training.scores import BINS, Judged, bins_of, calibration_error, columns, risk_coverage_area, risks

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
"""Colours of Okabe & Ito, which colour-blind people can tell apart."""


def reliability(judged: Sequence[Judged], title: str, path: Path) -> None:
    """Draws the share of right mentions in each bin of probability, and the number of mentions below it.

    Raises `OSError` when the file cannot be written.
    """
    probability, correct = columns(judged)
    place = bins_of(probability)
    counts = np.bincount(place, minlength=BINS)
    filled = np.flatnonzero(counts)
    claimed = np.bincount(place, probability, BINS)[filled] / counts[filled]
    right = np.bincount(place, correct, BINS)[filled] / counts[filled]
    middle = (np.arange(BINS) + 0.5) / BINS

    figure = Figure(figsize=(6, 6.6), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot((0, 1), (0, 1), linestyle="--", color=GREY, label="perfectly calibrated")
    sizes = 20 + 380 * counts[filled] / max(1, counts.max())
    top.scatter(
        claimed, right, sizes, color=BLUE, alpha=0.8, clip_on=False, label="a bin of mentions, area by number", zorder=2
    )
    top.set(ylim=(-0.03, 1.25), yticks=np.linspace(0, 1, 6), ylabel="share that is right")
    error = calibration_error(probability, correct)
    top.set_title(f"Reliability: {title}\nECE {error:.3f}, {len(judged)} mentions")
    top.legend(loc="upper left", markerscale=0.5)
    below.bar(middle, counts, 0.9 / BINS, color=ORANGE)
    for x, count in zip(middle[filled], counts[filled], strict=True):
        below.annotate(str(count), (x, count), (0, 1), textcoords="offset points", ha="center", va="bottom", fontsize=8)
    below.set(xlim=(0, 1), ylim=(0, 1.2 * max(1, counts.max())), xlabel="probability of the mention", ylabel="mentions")
    figure.savefig(path, format="png", dpi=150)


def risk_coverage(judged: Sequence[Judged], threshold: float, title: str, path: Path) -> None:
    """Draws the share of wrong mentions among the most probable ones, by the share that is kept.

    The review `threshold` is marked. Raises `OSError` when the file cannot be written.
    """
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    axes = figure.subplots()
    probability, correct = columns(judged)
    risk = risks(probability, correct)
    coverage = np.arange(1, len(risk) + 1) / max(1, len(risk))
    axes.plot(coverage, risk, color=BLUE, label="by probability")
    if len(risk):
        axes.axhline(risk[-1], linestyle="--", color=GREY, label=f"no review: {risk[-1]:.1%} wrong")
    if kept := int((probability >= threshold).sum()):
        label = f"threshold {threshold:.3f}: {kept / len(risk):.1%} kept, {risk[kept - 1]:.1%} of them wrong"
        axes.plot(kept / len(risk), risk[kept - 1], "D", color=ORANGE, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.45 * max(risk, default=1.0) or 1.0))
    axes.set(xlabel="coverage: share kept, the most probable first", ylabel="risk: share of them that is wrong")
    area = risk_coverage_area(probability, correct)
    axes.set_title(f"Risk and coverage: {title}\nAURC {area:.4f}, {len(judged)} mentions")
    axes.legend(loc="upper left")
    figure.savefig(path, format="png", dpi=150)
