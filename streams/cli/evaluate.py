"""`mner evaluate`: the scores of a checkpoint on a published corpus."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from streams.cli.whole_file import whole_file
from streams.errors import UserError
from streams.settings import load

if TYPE_CHECKING:
    from model.scores import Scoreboard

console = Console()


def command(
    data: Annotated[Path, typer.Option(help="One data set: a folder with train.txt, valid.txt, test.txt.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder; MNER_MODEL if not given.")] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    captions: Annotated[
        Path | None, typer.Option(help='JSON lines {"set", "img", "caption"}, given to the model as context.')
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the scores here as JSON.")] = None,
) -> None:
    """Score a checkpoint: F1 per type (seqeval's default), calibration, and how well it detects its own errors."""
    from model import corpus
    from model.evaluate import evaluate
    from model.extractor import Extractor

    settings = load()
    if split not in corpus.SPLITS:
        raise UserError(f"--split {split}: wanted one of {', '.join(corpus.SPLITS)}")
    texts = corpus.read_captions(captions, data.resolve().name) if captions else None
    examples = corpus.read(data / f"{split}.txt", texts)
    with whole_file(json_out, "--json") if json_out else nullcontext() as sink:
        extractor = Extractor.load(checkpoint or settings.model, device=settings.device, threads=settings.model_threads)
        with console.status(f"{len(examples)} tweets"):
            scores = evaluate(extractor.predictor, extractor.tokenizer, examples, captions is not None)
        about = {"checkpoint": extractor.info.name, "data": data.name, "split": split, "captions": captions is not None}
        if sink is not None:
            sink.write(json.dumps(about | asdict(scores), indent=1).encode() + b"\n")
    console.print(_table(f"{extractor.info.name} on {data.name}/{split}, {len(examples)} tweets", scores))
    console.print(
        f"ece {scores.ece:.4f}   aurc {scores.aurc:.4f}   auroc of error: probability {_number(scores.auroc_error)}, "
        f"aleatoric {_number(scores.auroc_error_aleatoric)}, epistemic {_number(scores.auroc_error_epistemic)}"
    )


def _table(title: str, scores: Scoreboard) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("type", "F1", "precision", "recall", "support"):
        table.add_column(column, justify="left" if column == "type" else "right")
    for name, row in scores.per_type.items():
        table.add_row(name, f"{row.f1:.4f}", f"{row.precision:.4f}", f"{row.recall:.4f}", str(row.support))
    table.add_section()
    table.add_row("all", f"{scores.f1:.4f}", f"{scores.precision:.4f}", f"{scores.recall:.4f}", str(scores.support))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
