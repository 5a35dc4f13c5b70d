"""`mner calibrate`: what goes to people, chosen on validation data, into the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.training.seeing import check_read, seeing
from core.errors import UserError
from streams.settings import load

if TYPE_CHECKING:
    from model.density import DensityModel
    from model.extractor import Extractor
    from model.training.calibrate import Calibration
    from model.training.corpus import Example
    from model.training.material import Material

TABLE = (0.90, 0.95, 0.98)
"""Target precisions that are shown beside the one that was asked for."""

console = Console()


def command(
    data: Annotated[
        Path, typer.Option(help="Folder with train.txt, valid.txt, test.txt, or a folder of such folders.")
    ],
    target_precision: Annotated[
        float,
        typer.Option(help="Precision to promise of the mentions at or above the review threshold; above 0, below 1."),
    ],
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder; MNER_MODEL if not given.")] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            help='JSON lines {"set", "img", "caption", "tags", "text"}: the promise is then for each way to read.'
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder with the images ID.jpg, for a checkpoint with a view `image`.")
    ] = None,
    background: Annotated[
        list[Path] | None,
        typer.Option(
            help="A data set with texts of all kinds: what tweets are familiar is then learned anew, from its training "
            "split and that of --data. Repeatable."
        ),
    ] = None,
    delta: Annotated[
        float, typer.Option(help="Chance, over draws of the validation data, that the promise fails; above 0, below 1.")
    ] = 0.1,
    candidate_budget: Annotated[
        float, typer.Option(min=0, help="Possible mentions that people are asked about per predicted mention, at most.")
    ] = 0.05,
) -> None:
    """Choose temperatures, review threshold and candidate threshold on the validation data.

    The review threshold comes with a finite-sample promise (Learn then Test; docs/calibration.md). Where the target
    cannot be promised, nothing is written. The weights stay. Tweets will be called strange by comparison with these.
    """
    from model.checkpoint import write_config
    from model.extractor import Extractor
    from model.training.calibrate import calibrate, compared
    from model.training.material import called

    for option, value in (("--target-precision", target_precision), ("--delta", delta)):
        if not 0 < value < 1:
            raise UserError(f"{option} {value}: wanted a number above 0 and below 1")
    for one in background or []:
        if not one.is_dir():
            raise UserError(f"--background {one}: no such folder; wanted one with train.txt, valid.txt, test.txt")
    settings = load()
    folder = checkpoint or settings.model
    examples = _read(data, captions, "valid")
    extractor = Extractor.load(folder, device=settings.device, threads=settings.model_threads)
    predictor = extractor.predictor
    read = _material(extractor, data, background or [])
    with console.status(f"{len(examples)} validation tweets"):
        examples = seeing(extractor, examples, images)
        check_read(extractor, examples)
        network, tokenizer, before = predictor.network, extractor.tokenizer, extractor.info.temperature
        found = calibrate(network, tokenizer, examples, candidate_budget, predictor.device, before)
    chosen = found.promise(target_precision, delta)
    console.print(_table(found, sorted({*TABLE, target_precision}), delta))
    if chosen is None:
        best = found.highest(delta)
        reviewed = " and ".join(f"{share:.1%} ({way})" for way, share in best.reviewed.items())
        raise UserError(
            f"--target-precision {target_precision}: cannot be promised on this validation data with --delta {delta}; "
            f"at most {best.target:.2f} can, with {reviewed} of the mentions reviewed; {folder} is left as it was"
        )
    update: dict[str, object] = {
        "temperature": found.temperature,
        "threshold": chosen.threshold,
        "target_precision": target_precision,
        "delta": delta,
        "candidate_threshold": found.candidate_threshold,
    }
    with console.status("what these tweets are like"):
        fitted = network.density if read is None else _fitted(extractor, read)
        if fitted is None and background:
            raise UserError("--background: no density can be fitted: the words of --data are too few, or all alike")
        if background:
            told = f"by `mner calibrate`, beside {', '.join(map(called, background))}"
            update["provenance"] = extractor.info.provenance | {"familiar words": told}
        if fitted is not None:
            compared(fitted, network, tokenizer, examples, predictor.device).save(folder)
    write_config(folder, extractor.info.model_copy(update=update))
    console.print(
        f"{folder}: temperature {found.temperature}; review threshold {chosen.threshold:.4f}: {chosen.told()}; "
        f"candidates from {found.candidate_threshold:.4f} on: {found.asked:.1%} more questions"
    )


def _material(extractor: Extractor, data: Path, background: list[Path]) -> Material | None:
    """What to learn familiar words from; None where they stay as they are, or nothing can be learned. Raises
    `UserError`."""
    from model.design import TEXT
    from model.training import material

    info = extractor.info
    if background and TEXT not in info.design.views:
        raise UserError(f"--background: words are known as text alone: the checkpoint {info.name} has no view {TEXT}")
    if TEXT not in info.design.views or not (background or extractor.predictor.network.density is None):
        return None
    read = material.read(data, None, background)
    if background and not read.others:
        raise UserError("--background: all its training texts also stand in --data, or in a validation or test split")
    return read


def _fitted(extractor: Extractor, read: Material) -> DensityModel | None:
    """On the training data, which the checkpoint should have been trained on, and the background."""
    from model.training.calibrate import fit_density

    network, device = extractor.predictor.network, extractor.predictor.device
    return fit_density(network, extractor.tokenizer, read.labelled, device, read.others)


def _read(data: Path, captions: Path | None, split: str) -> list[Example]:
    from model.training import corpus

    examples: list[Example] = []
    for folder in corpus.folders(data):
        texts = corpus.read_captions(captions, folder.name) if captions else None
        examples += corpus.read(corpus.split_file(folder, split), texts)
    if captions:
        corpus.check_captions(captions, examples)
    return examples


def _table(found: Calibration, targets: list[float], delta: float) -> Table:
    """What each target would cost; each row is a promise of its own."""
    table = Table(title=f"share of mentions to review, delta {delta}", title_justify="left")
    for column in ("target precision", "threshold", *(f"review, {way}" for way in found.readings)):
        table.add_column(column, justify="right")
    for target in targets:
        promise = found.promise(target, delta)
        if promise is None:
            table.add_row(f"{target:g}", "not reached", *("-" for _ in found.readings))
        else:
            table.add_row(f"{target:g}", f"{promise.threshold:.4f}", *(f"{s:.1%}" for s in promise.reviewed.values()))
    return table
