"""What the ablations say, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.seeds import Spread
from cli.output import output_file


@dataclass(frozen=True)
class Figures:
    """A row's scores on one split, a value a seed. `text`, `captions`: F1 by what is read, none where no view reads it;
    the others of text and captions where the row has a view for both, else of text."""

    row: str
    off: str
    command: str
    seeds: list[int]
    text: Spread
    captions: Spread
    ece: Spread
    aurc: Spread
    auroc_error: Spread


@dataclass(frozen=True)
class Scored:
    """All rows on one split of one data set."""

    data: str
    split: str
    figures: list[Figures]


def table(scored: Scored) -> Table:
    result = Table(box=box.MARKDOWN)
    for name in ("row", "off", "F1 text", "F1 captions", "ECE", "AURC", "error AUROC", "seeds", "command"):
        result.add_column(name, no_wrap=True)
    for one in scored.figures:
        told = map(str, (one.text, one.captions, one.ece, one.aurc, one.auroc_error))
        result.add_row(one.row, one.off, *told, ", ".join(map(str, one.seeds)), f"`{one.command}`")
    return result


def markdown(parts: Sequence[Scored]) -> str:
    console = Console(width=2000, color_system=None)
    with console.capture() as captured:
        for part in parts:
            console.print(f"{part.data}, {part.split}")
            console.print(table(part))
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def write(out: Path, parts: Sequence[Scored]) -> None:
    """`ablation.json` and `ablation.md`. Raises `UserError`."""
    for name, content in {
        "ablation.json": json.dumps([asdict(part) for part in parts], indent=1) + "\n",
        "ablation.md": markdown(parts),
    }.items():
        with output_file(out / name, "--out") as sink:
            sink.write(content.encode())
