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

from cli.output import output_file
from cli.training.seeing import check_read, named, seeing
from core.errors import UserError
from streams.settings import load

if TYPE_CHECKING:
    from model.extractor import Extractor
    from model.training.corpus import Example
    from model.training.evaluate import OodScore
    from model.training.scores import Judged, Recovered, Scoreboard

BUDGETS = (0.02, 0.05, 0.1)
"""Questions about candidates per predicted mention."""

console = Console()


def command(
    data: Annotated[Path, typer.Option(help="One data set: a folder with a file each of train, valid (or dev), test.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder; MNER_MODEL if not given.")] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    captions: Annotated[
        Path | None,
        typer.Option(help='JSON lines {"set", "img", "caption", "tags", "text"}, given to the model as context.'),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder with the images ID.jpg, for a checkpoint with a view `image`.")
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="Comma-separated: read these views of the checkpoint, and no others.")
    ] = None,
    ood: Annotated[
        Path | None,
        typer.Option(
            help="A data set of another kind: how well do the uncertainties tell its tweets, same split, apart?"
        ),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Write reliability.png and risk_coverage.png into this folder.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Review threshold to look at; the checkpoint's if not given.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the scores here as JSON.")] = None,
) -> None:
    """Score a checkpoint: F1 per type (seqeval's default), calibration, and how well it detects its own errors."""
    from model.extractor import Extractor
    from model.mentions import MIN_CANDIDATE_PROBABILITY, asking
    from model.training import corpus
    from model.training.evaluate import predict
    from model.training.scores import judge, recovered, routed, scoreboard

    settings = load()
    if split not in corpus.SPLITS:
        raise UserError(f"--split {split}: wanted one of {', '.join(corpus.SPLITS)}")
    texts = corpus.read_captions(captions, data.resolve().name) if captions else None
    examples = corpus.read(corpus.split_file(data, split), texts)
    if captions:
        corpus.check_captions(captions, examples)
    others = corpus.read(corpus.split_file(ood, split)) if ood else None
    if plots:
        _make(plots)
    folder = checkpoint or settings.model
    with output_file(json_out, "--json") if json_out else nullcontext() as sink:
        threads = settings.model_threads
        extractor = Extractor.load(
            folder, device=settings.device, threads=threads, views=None if views is None else named(views)
        )
        check_read(extractor, examples)
        with console.status(f"{len(examples)} tweets"):
            examples = seeing(extractor, examples, images)
            strange, density = _strange(extractor, examples, others) if others else ({}, None)
            info, least = extractor.info, min(MIN_CANDIDATE_PROBABILITY, extractor.info.candidate_threshold)
            found = predict(extractor.predictor, extractor.tokenizer, examples, captions is not None, least)
        gold = [one.tags for one in examples]
        predictions = [asking(one, info.candidate_threshold) for one in found]
        scores, judged = scoreboard(gold, predictions), judge(gold, predictions)
        at_threshold = routed(judged, info.threshold if threshold is None else threshold)
        budgets = {budget: recovered(gold, found, budget) for budget in BUDGETS}
        about = {
            "checkpoint": info.name,
            "views": info.design.views,
            "data": data.name,
            "split": split,
            "captions": captions is not None,
        }
        if sink is not None:
            told = {measure: asdict(one) for measure, one in strange.items()}
            apart = {"ood": ood.name, "ood_auroc": told, "ood_auroc_density": density} if ood and strange else {}
            back: dict[str, object] = {
                "candidates_at_budgets": {budget: asdict(one) for budget, one in budgets.items()}
            }
            back |= {"at_threshold": asdict(at_threshold)}
            sink.write(json.dumps(about | asdict(scores) | back | apart, indent=1).encode() + b"\n")
    title = f"{extractor.info.name}{f', {views} alone' if views else ''} on {data.name}/{split}"
    console.print(_table(f"{title}, {len(examples)} tweets", scores))
    _print(scores, budgets)
    console.print(
        f"review threshold    {at_threshold.threshold:.4f}: {at_threshold.reviewed:.1%} of the predicted mentions "
        f"go to people; precision of the others {_number(at_threshold.precision)}"
    )
    if ood and strange:
        console.print(_strange_table(ood.name, strange))
        console.print(f"and by the density of its words: {_number(density)}")
    if plots:
        _plot(plots, judged, at_threshold.threshold, title)


def _print(scores: Scoreboard, budgets: dict[float, Recovered]) -> None:
    candidates = scores.candidates
    console.print(
        f"calibration         ece {scores.ece:.4f}   brier {scores.brier:.4f}\n"
        f"errors detected     auroc {_number(scores.auroc_error)} by probability, "
        f"{_number(scores.auroc_error_aleatoric)} aleatoric, {_number(scores.auroc_error_epistemic)} epistemic; "
        f"aupr {_number(scores.aupr_error)}; aurc {scores.aurc:.4f}\n"
        f"F1 at coverage      80% {scores.at_80.f1:.4f}, 90% {scores.at_90.f1:.4f}; "
        f"with the others reviewed {scores.at_80.f1_reviewed:.4f}, {scores.at_90.f1_reviewed:.4f}\n"
        f"candidates          {_number(candidates.share)} of the {candidates.missed} missed come back, "
        f"for {100 * candidates.asked:.1f} questions per 100 predicted mentions; with other thresholds "
        + ", ".join(f"{_number(one.share)} for {100 * one.asked:.1f}" for one in budgets.values())
    )


def _strange(
    extractor: Extractor, examples: list[Example], others: list[Example]
) -> tuple[dict[str, OodScore], float | None]:
    from model.training.evaluate import out_of_distribution, told_by_density, tweet_uncertainties

    own, other = (tweet_uncertainties(extractor.predictor, extractor.tokenizer, some) for some in (examples, others))
    return out_of_distribution(own, other), told_by_density(own, other)


def _strange_table(name: str, strange: dict[str, OodScore]) -> Table:
    table = Table(title=f"told from {name} by a tweet's uncertainty, text alone: auroc", title_justify="left")
    for column in ("measure", "aleatoric", "epistemic"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for measure, one in strange.items():
        table.add_row(measure, _number(one.aleatoric), _number(one.epistemic))
    return table


def _make(folder: Path) -> None:
    """Before the work, not after it. Raises `UserError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror}") from None


def _plot(folder: Path, judged: list[Judged], threshold: float, title: str) -> None:
    """Raises `UserError`."""
    from model.training import plots

    try:
        plots.reliability(judged, title, folder / "reliability.png")
        plots.risk_coverage(judged, threshold, title, folder / "risk_coverage.png")
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror or error}") from None


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
