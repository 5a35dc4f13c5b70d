"""What the comparison of uncertainties says, as a table and as JSON."""

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
    """Figures of one way to be unsure, as in `model.training.scores.Scoreboard`, a value a checkpoint; `ece` and
    `brier` of probabilities alone. `ood`: AUROC of telling tweets of another kind, read as text alone."""

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
    """What validation chose, and by what. For all baselines together, the mean over them and their checkpoints of AURC
    (lower is better) and of the AUROC of other tweets (higher is better), by rule; for each way to read an evidential
    variance the mean AUROC by measure (`EPISTEMIC_MEASURES` of `evaluate`). None, or empty, without other tweets."""

    rule: str | None
    aurc: dict[str, float]
    tweet_rule: str | None
    ood: dict[str, float]
    measure: dict[str, str]
    measures: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Result:
    data: str
    tweets: int
    rows: list[Row]
    choice: Choice
    views: list[Views]


@dataclass(frozen=True)
class Report:
    """`evidential`, `softmax`: folder and seed of each checkpoint."""

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
        f1=spread(one.f1 for one in scores),
        aurc=spread(one.aurc for one in scores),
        auroc_error=spread(one.auroc_error for one in scores),
        aupr_error=spread(one.aupr_error for one in scores),
        ece=spread(one.ece if is_probability else None for one in scores),
        brier=spread(one.brier if is_probability else None for one in scores),
        ood=spread(ood),
    )


def show(result: Result, split: str, console: Console) -> None:
    choice = result.choice
    console.print(f"{result.data}, {split}, {result.tweets} tweets", highlight=False)
    table = Table(box=box.MARKDOWN)
    for name in ("model", "unsure by", "reads", "F1", "AURC", "error AUROC", "AUPR", "ECE", "Brier", "OOD AUROC"):
        table.add_column(name, no_wrap=True)
    for one in result.rows:
        figures = (one.f1, one.aurc, one.auroc_error, one.aupr_error, one.ece, one.brier, one.ood)
        table.add_row(one.model, one.way, one.reads, *map(str, figures))
    console.print(table)
    console.print(
        f"a baseline's mention by: {choice.rule}; a tweet by: {choice.tweet_rule or '-'}, of the evidential variances "
        f"{'; '.join(f'{way}: {measure}' for way, measure in choice.measure.items()) or '-'}\n",
        highlight=False,
    )
    if result.views:
        console.print(view_table(result.views))


def view_table(seen: Sequence[Views]) -> Table:
    table = Table("read", "F1", box=box.MARKDOWN)
    for name in seen[0].f1:
        table.add_row(name, str(spread(one.f1[name] for one in seen)))
    evidence = [one.evidence for one in seen]
    table.add_row("nu of the context, own caption", str(spread(one.own for one in evidence)))
    table.add_row("nu of the context, shuffled caption", str(spread(one.shuffled for one in evidence)))
    table.add_row("effect size, Cohen's d", str(spread(one.effect for one in evidence)))
    return table
