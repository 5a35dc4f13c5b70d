"""The result of the comparison with other systems: scores and rates, as a table, Markdown or JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from seqeval.metrics import classification_report

from benchmarks.report import Machine
from model.mentions import Prediction
from model.training.scores import Judged, judge

TYPES = ("PER", "LOC", "ORG")


@dataclass(frozen=True)
class Scores:
    """Micro averages by seqeval's default, and F1 by type, all in [0, 1]. `support`: number of gold mentions."""

    f1: float
    precision: float
    recall: float
    per_type: dict[str, float]
    support: int


def three(tags: Sequence[str]) -> list[str]:
    """Returns the tags without mentions of types that are not in `TYPES`."""
    return [tag if tag[2:] in TYPES else "O" for tag in tags]


def scored(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> Scores:
    """Scores the tags of each post by exact span and type. Only `TYPES` count."""
    report = classification_report(
        [three(tags) for tags in gold], [three(tags) for tags in found], output_dict=True, zero_division=0
    )
    micro = report["micro avg"]
    per_type = {name: float(report[name]["f1-score"]) if name in report else 0.0 for name in TYPES}
    f1, precision, recall = (float(micro[key]) for key in ("f1-score", "precision", "recall"))
    return Scores(f1, precision, recall, per_type, int(micro["support"]))


def judged_three(gold: Sequence[Sequence[str]], predictions: Sequence[Prediction]) -> list[Judged]:
    """Returns the predicted mentions of `TYPES`, each judged by the gold tags of its post."""
    counted = [
        replace(each, spans=tuple(span for span in each.spans if span.type in TYPES), candidates=())
        for each in predictions
    ]
    return judge([three(tags) for tags in gold], counted)


@dataclass(frozen=True)
class Figures:
    """The figures of a system on a data set. `tweets_per_s`: one value per round. `ece`: None without probabilities."""

    data: str
    system: str
    threads: int
    tweets: int
    scores: Scores
    tweets_per_s: list[float]
    ece: float | None = None


@dataclass(frozen=True)
class Report:
    """Figures in the order of the systems. In each data set, our first checkpoint without captions comes first.

    `signs`: whether gold mentions without a letter or digit count.
    """

    started: str
    machine: Machine
    figures: list[Figures]
    split: str = "test"
    signs: bool = True

    def ahead(self, row: Figures) -> float:
        """Returns the F1 of our first checkpoint, without captions, minus this system's F1, in percentage points."""
        ours = next(figures for figures in self.figures if figures.data == row.data)
        return 100 * (ours.scores.f1 - row.scores.f1)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def show(self, console: Console, *, markdown: bool = False) -> None:
        machine = self.machine
        console.print(
            f"{self.started}: {machine.cores} cores of {machine.cpu}, {machine.memory_gib:.0f} GiB, "
            f"Python {machine.python}, torch {machine.torch}; load before: {machine.load_before:.1f}; "
            f"split: {self.split}{'' if self.signs else ', without mentions that have no letter or digit'}; "
            "user names: words, as the corpora label them\n",
            highlight=False,
            soft_wrap=True,
        )
        console.print(self._table(box.MARKDOWN if markdown else box.SIMPLE))

    def _table(self, style: box.Box) -> Table:
        table = Table(box=style)
        for name in ("data", "system"):
            table.add_column(name, no_wrap=True)
        for name in ("F1", *TYPES, "precision", "recall", "ECE", "ours ahead", "tweets/s", "lowest-highest", "threads"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.figures:
            scores = row.scores
            shares = (scores.f1, *(scores.per_type[name] for name in TYPES), scores.precision, scores.recall)
            ahead = "" if row.system.startswith("ours") else f"{self.ahead(row):+.1f}"
            rate, low, high = statistics.median(row.tweets_per_s), min(row.tweets_per_s), max(row.tweets_per_s)
            rates = (f"{rate:.0f}", f"{low:.0f}-{high:.0f}", str(row.threads))
            ece = "" if row.ece is None else f"{row.ece:.4f}"
            table.add_row(row.data, row.system, *(f"{100 * share:.1f}" for share in shares), ece, ahead, *rates)
        return table
