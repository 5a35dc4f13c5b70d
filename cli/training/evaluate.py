"""`mner evaluate` scores a checkpoint on a published corpus."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.output import make_console, output_file
from cli.training.permission import permitting
from cli.training.views import Images, check_readable, parse_views, with_images
from core.errors import UserError
from model.accounts import Convention
from streams.settings import Settings, load

if TYPE_CHECKING:
    from model.extractor import Extractor
    from model.training.corpus import Example
    from model.training.evaluate import OodScore
    from model.training.scores import Judged, Recovered, Scoreboard

BUDGETS = (0.02, 0.05, 0.1)
"""Candidate budgets of the report: questions about candidates per predicted mention."""

console = make_console()


def command(
    data: Annotated[
        Path, typer.Option(help="One data set: a folder with one file each for train, valid (or dev) and test.")
    ],
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder. Default: MNER_MODEL.")] = None,
    split: Annotated[str, typer.Option(help="Split to score: train, valid or test.")] = "test",
    captions: Annotated[
        Path | None,
        typer.Option(help='JSON lines {"set", "img", "caption", "tags", "text"}, given to the model as context.'),
    ] = None,
    images: Images = None,
    views: Annotated[
        str | None, typer.Option(help="Views to use, separated by commas. Default: all views of the checkpoint.")
    ] = None,
    ood: Annotated[
        Path | None,
        typer.Option(help="Out-of-distribution data set. Also score how well the uncertainties separate its posts."),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Write reliability.png and risk_coverage.png into this folder.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Review threshold. Default: the checkpoint's.")
    ] = None,
    accounts: Annotated[
        Convention,
        typer.Option(
            help="What user names are. mention: words, as the corpus labels them and as published figures count. "
            "account: accounts, as in the stream. Then gold mentions of accounts do not count."
        ),
    ] = "mention",
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the scores to this file as JSON.")] = None,
) -> None:
    """Score a checkpoint: F1 per type (seqeval's default), calibration, and how well it detects its own errors."""
    from model.mentions import MIN_CANDIDATE_PROBABILITY, asking
    from model.training import corpus
    from model.training.accounts import as_accounts
    from model.training.evaluate import predict
    from model.training.scores import judge, recovered, routed, scoreboard

    settings = load()
    if split not in corpus.SPLITS:
        raise UserError(f"--split {split}: choose one of {', '.join(corpus.SPLITS)}")
    texts = corpus.read_captions(captions, data.resolve().name) if captions else None
    with permitting(console) as permission:
        examples = corpus.read(corpus.split_file(data, split), texts, permission)
        if captions:
            corpus.check_captions(captions, examples)
        ood_examples = corpus.read(corpus.split_file(ood, split), None, permission) if ood else None
    examples = as_accounts(examples) if accounts == "account" else examples
    if plots:
        _make(plots)
    with output_file(json_out, "--json") if json_out else nullcontext() as sink:
        extractor = _load(checkpoint or settings.model, settings, views)
        check_readable(extractor, examples)
        info = extractor.info
        with console.status(f"{len(examples)} posts"):
            examples = with_images(extractor, examples, images)
            by_measure, by_density = _ood_scores(extractor, examples, ood_examples) if ood_examples else ({}, None)
            lowest = min(MIN_CANDIDATE_PROBABILITY, info.candidate_threshold)
            found = predict(extractor.predictor, extractor.tokenizer, examples, captions is not None, lowest)
        gold = [example.tags for example in examples]
        predictions = [asking(prediction, info.candidate_threshold) for prediction in found]
        scores, judged = scoreboard(gold, predictions), judge(gold, predictions)
        at_threshold = routed(judged, info.threshold if threshold is None else threshold)
        budgets = {budget: recovered(gold, found, budget) for budget in BUDGETS}
        if sink is not None:
            report: dict[str, object] = {
                "checkpoint": info.name,
                "runtime": info.runtime,
                "views": info.design.views,
                "data": data.name,
                "split": split,
                "captions": captions is not None,
                "accounts": accounts,
                **asdict(scores),
                "candidates_at_budgets": {budget: asdict(each) for budget, each in budgets.items()},
                "at_threshold": asdict(at_threshold),
            }
            if ood and by_measure:
                aurocs = {measure: asdict(score) for measure, score in by_measure.items()}
                report |= {"ood": ood.name, "ood_auroc": aurocs, "ood_auroc_density": by_density}
            sink.write(json.dumps(report, indent=1).encode() + b"\n")
    title = f"{info.name}, runtime {info.runtime}{f', views {views}' if views else ''} on {data.name}/{split}"
    console.print(_table(f"{title}, {len(examples)} posts", scores))
    named = None if accounts == "mention" else sum(bool(example.accounts) for example in examples)
    _print(scores, budgets, named)
    console.print(
        f"review threshold    {at_threshold.threshold:.4f}: {at_threshold.reviewed:.1%} of the predicted mentions "
        f"go to people; precision of the others {_number(at_threshold.precision)}"
    )
    if ood and by_measure:
        console.print(_ood_table(ood.name, by_measure))
        console.print(f"by the density of the words: {_number(by_density)}")
    if plots:
        _plot(plots, judged, at_threshold.threshold, title)


def _load(folder: Path, settings: Settings, views: str | None) -> Extractor:
    from model.checkpoint import describe
    from model.extractor import Extractor
    from streams.checkpoint import runtime_here

    return Extractor.load(
        folder,
        device=settings.device,
        threads=settings.model_threads,
        views=None if views is None else parse_views(views),
        runtime=runtime_here(settings, describe(folder)),
    )


def _print(scores: Scoreboard, budgets: dict[float, Recovered], with_accounts: int | None) -> None:
    """`with_accounts`: number of posts with accounts, or None if user names are words."""
    names = "words, as the corpus labels them" if with_accounts is None else f"accounts, in {with_accounts} posts"
    candidates = scores.candidates
    console.print(
        f"user names          {names}\n"
        f"calibration         ece {scores.ece:.4f}   brier {scores.brier:.4f}\n"
        f"errors detected     auroc {_number(scores.auroc_error)} by probability, "
        f"{_number(scores.auroc_error_aleatoric)} aleatoric, {_number(scores.auroc_error_epistemic)} epistemic; "
        f"aupr {_number(scores.aupr_error)}; aurc {scores.aurc:.4f}\n"
        f"F1 at coverage      80% {scores.at_80.f1:.4f}, 90% {scores.at_90.f1:.4f}; "
        f"with the others reviewed {scores.at_80.f1_reviewed:.4f}, {scores.at_90.f1_reviewed:.4f}\n"
        f"candidates          {_number(candidates.share)} of the {candidates.missed} missed mentions are asked about, "
        f"at {100 * candidates.asked:.1f} questions per 100 predicted mentions; with other thresholds "
        + ", ".join(f"{_number(each.share)} at {100 * each.asked:.1f}" for each in budgets.values())
    )


def _ood_scores(
    extractor: Extractor, reference: list[Example], ood: list[Example]
) -> tuple[dict[str, OodScore], float | None]:
    from model.training.evaluate import ood_by_density, out_of_distribution, tweet_uncertainties

    pair = [tweet_uncertainties(extractor.predictor, extractor.tokenizer, examples) for examples in (reference, ood)]
    return out_of_distribution(*pair), ood_by_density(*pair)


def _ood_table(name: str, by_measure: dict[str, OodScore]) -> Table:
    table = Table(title=f"{name} separated by a post's uncertainty (AUROC, without captions)", title_justify="left")
    for column in ("measure", "aleatoric", "epistemic"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    for measure, score in by_measure.items():
        table.add_row(measure, _number(score.aleatoric), _number(score.epistemic))
    return table


def _make(folder: Path) -> None:
    """Raises before the work starts if the folder cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--plots {folder}: {error.strerror}") from None


def _plot(folder: Path, judged: list[Judged], threshold: float, title: str) -> None:
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
