"""The result of the comparison of uncertainties, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.seeds import Spread, spread
from benchmarks.views import Views
from model.training.scores import Scoreboard


@dataclass(frozen=True)
class Row:
    """The figures of one uncertainty over the checkpoints. `model.training.scores.Scoreboard` explains them.

    `ece` and `brier` exist for probabilities only. `ood`: AUROC of detecting OOD posts, read without captions.
    """

    model: str
    way: str
    reads: str
    f1: Spread
    aurc: Spread
    auroc_error: Spread
    aupr_error: Spread
    ece: Spread
    brier: Spread
    ood: Spread


@dataclass(frozen=True)
class Choice:
    """What validation data chose. Without OOD posts, the last four are None or empty."""

    rule: str | None
    """The baselines' rule for a mention: the one with the least AURC."""
    aurc: dict[str, float]
    """Mean AURC over the baselines and their checkpoints, by rule."""
    tweet_rule: str | None
    """The baselines' rule for a post: the one with the highest OOD AUROC."""
    ood: dict[str, float]
    """Mean OOD AUROC over the baselines and their checkpoints, by rule."""
    measure: dict[str, str]
    """The measure of a post for each evidential variance."""
    measures: dict[str, dict[str, float]]
    """Mean OOD AUROC of each evidential variance, by measure (`EPISTEMIC_MEASURES` of `evaluate`)."""


@dataclass(frozen=True)
class Result:
    data: str
    tweets: int
    rows: list[Row]
    choice: Choice
    views: list[Views]


@dataclass(frozen=True)
class Report:
    """All results. `evidential`, `softmax`: the folder and the seed of each checkpoint."""

    command: str
    split: str
    evidential: dict[str, int | None]
    softmax: dict[str, int | None]
    results: list[Result]


def row(
    model: str,
    way: str,
    reads: str,
    scores: Sequence[Scoreboard],
    ood: Sequence[float | None],
    *,
    is_probability: bool,
) -> Row:
    return Row(
        model,
        way,
        reads,
        f1=spread(board.f1 for board in scores),
        aurc=spread(board.aurc for board in scores),
        auroc_error=spread(board.auroc_error for board in scores),
        aupr_error=spread(board.aupr_error for board in scores),
        ece=spread(board.ece if is_probability else None for board in scores),
        brier=spread(board.brier if is_probability else None for board in scores),
        ood=spread(ood),
    )


def show(result: Result, split: str, console: Console) -> None:
    choice = result.choice
    console.print(f"{result.data}, {split}, {result.tweets} posts", highlight=False)
    table = Table(box=box.MARKDOWN)
    for name in ("model", "unsure by", "reads", "F1", "AURC", "error AUROC", "AUPR", "ECE", "Brier", "OOD AUROC"):
        table.add_column(name, no_wrap=True)
    for row in result.rows:
        figures = (row.f1, row.aurc, row.auroc_error, row.aupr_error, row.ece, row.brier, row.ood)
        table.add_row(row.model, row.way, row.reads, *map(str, figures))
    console.print(table)
    console.print(
        f"baselines score a mention by: {choice.rule}; a post by: {choice.tweet_rule or '-'}; evidential variances by "
        f"{'; '.join(f'{way}: {measure}' for way, measure in choice.measure.items()) or '-'}\n",
        highlight=False,
    )
    if result.views:
        console.print(view_table(result.views))


def view_table(by_view: Sequence[Views]) -> Table:
    table = Table("read", "F1", box=box.MARKDOWN)
    for name in by_view[0].f1:
        table.add_row(name, str(spread(views.f1[name] for views in by_view)))
    evidences = [views.evidence for views in by_view]
    table.add_row("nu of the context, own caption", str(spread(evidence.own for evidence in evidences)))
    table.add_row("nu of the context, shuffled caption", str(spread(evidence.shuffled for evidence in evidences)))
    table.add_row("effect size, Cohen's d", str(spread(evidence.effect for evidence in evidences)))
    return table
