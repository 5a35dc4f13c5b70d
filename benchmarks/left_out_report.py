"""The table of `benchmarks.left_out`."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.others_report import TYPES, Scores
from benchmarks.report import Machine


@dataclass(frozen=True)
class Row:
    """What a recipe reached on the corpus that its training did not see. Only `TYPES` count."""

    left_out: str
    split: str
    recipe: str
    seed: int
    scores: Scores
    validation: dict[str, float]
    """F1 on the validation splits of the other corpora. The recipe may train on their training splits."""
    promised: float
    """Precision that is promised above the threshold, on the validation data of the training."""
    threshold: float
    reviewed: float
    """Share of the mentions below the threshold, which people are asked about."""
    precision: float | None
    """Precision of the mentions at or above the threshold; None if there are none."""
    needed: float
    """Smallest share of the mentions, the least probable ones, without which the others reach `promised`."""
    learned_from: dict[str, str]
    """The checkpoints that taught it or that it started from, and what these were trained on. They may have seen the
    corpus."""
    seconds: float | None
    """Time of the training; None if it was killed and resumed."""

    @property
    def sources(self) -> str:
        """The names of `learned_from`."""
        return ", ".join(f"{key} {text.partition(';')[0]}" for key, text in self.learned_from.items()) or "-"


@dataclass(frozen=True)
class Report:
    """Rows in the order in which they were measured."""

    started: str
    machine: Machine
    rows: Sequence[Row]

    def means(self) -> dict[str, float]:
        """Returns the mean F1 of each recipe over its rows."""
        recipes = dict.fromkeys(row.recipe for row in self.rows)
        return {name: statistics.fmean(row.scores.f1 for row in self.rows if row.recipe == name) for name in recipes}

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self) | {"means": self.means()}, indent=1) + "\n", encoding="utf-8")

    def show(self, console: Console, *, markdown: bool = False) -> None:
        machine = self.machine
        console.print(
            f"{self.started}: {machine.cores} cores of {machine.cpu}, torch {machine.torch}; text alone, user names "
            f"are accounts, F1 of {', '.join(TYPES)}\n",
            highlight=False,
            soft_wrap=True,
        )
        console.print(self._table(box.MARKDOWN if markdown else box.SIMPLE))
        for name, mean in self.means().items():
            rows = [row for row in self.rows if row.recipe == name]
            console.print(f"{name}: mean F1 {100 * mean:.1f} over {len(rows)} rows", highlight=False)
        for text in dict.fromkeys(f"{key} {text}" for row in self.rows for key, text in row.learned_from.items()):
            console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _table(self, style: box.Box) -> Table:
        table = Table(box=style)
        for name in ("left out", "split", "recipe"):
            table.add_column(name, no_wrap=True)
        numbers = ("seed", "F1", *TYPES, "promised", "to people", "precision of the others", "needed", "minutes")
        for name in numbers:
            table.add_column(name, justify="right")
        table.add_column("F1 on the other validation splits")
        table.add_column("learned from")
        for row in self.rows:
            scores = row.scores
            shares = (scores.f1, *(scores.per_type[name] for name in TYPES), row.promised, row.reviewed)
            table.add_row(
                *(row.left_out, row.split, row.recipe, str(row.seed)),
                *(f"{100 * share:.1f}" for share in shares),
                "-" if row.precision is None else f"{100 * row.precision:.1f}",
                f"{100 * row.needed:.1f}",
                "-" if row.seconds is None else f"{row.seconds / 60:.0f}",
                ", ".join(f"{name} {100 * f1:.1f}" for name, f1 in row.validation.items()),
                row.sources,
            )
        return table
