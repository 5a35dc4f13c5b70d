"""`mner calibrate` chooses temperatures and thresholds on validation data, and writes them into the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.output import make_console
from cli.training.cascade import SHARE, calibrated, check_output, folders_of, open_checkpoints, store
from cli.training.permission import permitting
from cli.training.views import Corpora, Images, PromisedCaptions, check_readable, with_images
from core.errors import UserError
from streams.settings import load

if TYPE_CHECKING:
    from model.density import DensityModel
    from model.extractor import Extractor
    from model.training.calibrate import Thresholds
    from model.training.corpus import Example
    from model.training.guarantee import Promise
    from model.training.material import Material

SHOWN_TARGETS = (0.90, 0.95, 0.98)
"""Target precisions in the table, beside the value of `--target-precision`."""

FEW_MENTIONS = 50
"""A part with fewer mentions is not shown: its shares would be chance."""

FORMER_KEYS = {"familiar words": "density"}
"""Keys of the provenance in checkpoints before version 0.2, and their names today."""

console = make_console()


def command(
    data: Corpora,
    target_precision: Annotated[
        float,
        typer.Option(help="Precision to promise for mentions at or above the review threshold; above 0, below 1."),
    ],
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint folder. Default: MNER_MODEL.")] = None,
    captions: PromisedCaptions = None,
    images: Images = None,
    background: Annotated[
        list[Path] | None,
        typer.Option(
            help="Data set with posts of all kinds. The density of typical posts is fitted anew, on its training split "
            "and that of --data. Repeatable."
        ),
    ] = None,
    delta: Annotated[
        float,
        typer.Option(help="Probability, over draws of the validation data, that the promise fails; above 0, below 1."),
    ] = 0.1,
    candidate_budget: Annotated[
        float | None,
        typer.Option(
            min=0, help="Maximum number of questions about candidates per predicted mention.", show_default="0.05"
        ),
    ] = None,
    cascade: Annotated[
        str | None,
        typer.Option(
            help="Calibrate a cascade of these two or three checkpoint folders, separated by commas, the fastest first."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write for --cascade. Its name without suffix names the cascade.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            help="For --cascade: largest share of the posts of a checkpoint that it sends on to the next one; above 0, "
            "below 1.",
            show_default=f"{SHARE}",
        ),
    ] = None,
) -> None:
    """Choose temperatures, review threshold and candidate threshold on the validation data.

    The review threshold comes with a finite-sample promise (Learn then Test; docs/calibration.md). If the target cannot
    be promised, nothing is written. The weights do not change. From then on, typicality is measured against these
    validation posts.

    With --cascade, the checkpoints stay as they are. The thresholds and the promise of the whole go into --output.
    """
    from model.checkpoint import write_config
    from model.extractor import Extractor
    from model.training.calibrate import CANDIDATE_BUDGET, calibrate, with_reference
    from model.training.material import display_name

    _check({"--target-precision": target_precision, "--delta": delta, "--share": share}, background or [])
    budget = CANDIDATE_BUDGET if candidate_budget is None else candidate_budget
    if cascade is not None:
        if checkpoint or images or background:
            raise UserError("--cascade does not go with --checkpoint, --images or --background")
        share = SHARE if share is None else share
        _calibrate_cascade(cascade, output, data, captions, share, budget, target_precision, delta)
        return
    if output or share is not None:
        raise UserError("--output and --share go with --cascade")
    settings = load()
    folder = checkpoint or settings.model
    examples = _validation(data, captions)
    extractor = Extractor.load(folder, device=settings.device, threads=settings.model_threads)
    predictor = extractor.predictor
    network, tokenizer = predictor.network, extractor.tokenizer
    material = _density_material(extractor, data, background or [])
    with console.status(f"{len(examples)} validation posts"):
        examples = with_images(extractor, examples, images)
        check_readable(extractor, examples)
        calibration = calibrate(network, tokenizer, examples, budget, predictor.device, extractor.info.temperature)
    promise = calibration.promise(target_precision, delta)
    console.print(_table(calibration, sorted({*SHOWN_TARGETS, target_precision}), delta))
    if promise is None:
        raise cannot_promise(calibration, target_precision, delta, folder)
    if (parts := _parts_table(calibration, promise)).row_count:
        console.print(parts)
    update: dict[str, object] = {
        "temperature": calibration.temperature,
        "threshold": promise.threshold,
        "target_precision": target_precision,
        "delta": delta,
        "candidate_threshold": calibration.candidate_threshold,
    }
    with console.status("density of typical posts"):
        density = network.density if material is None else _fitted(extractor, material)
        if density is None and background:
            raise UserError("--background: no density can be fitted; the words of --data are too few, or all alike")
        provenance = {FORMER_KEYS.get(key, key): value for key, value in extractor.info.provenance.items()}
        if background:
            names = ", ".join(map(display_name, background))
            provenance["density"] = f"by `mner calibrate`, beside {names}"
        update["provenance"] = provenance
        if density is not None:
            with_reference(density, network, tokenizer, examples, predictor.device).save(folder)
    write_config(folder, extractor.info.model_copy(update=update))
    console.print(
        f"{folder}: temperature {calibration.temperature}; review threshold {promise.threshold:.4f}: "
        f"{promise.summary()}; candidate threshold {calibration.candidate_threshold:.4f}: "
        f"{calibration.asked:.1%} more questions"
    )
    if extractor.info.int8 is not None:
        console.print("The int8 runtime keeps its own calibration. `mner quantise` makes it anew.")


def _check(probabilities: dict[str, float | None], background: list[Path]) -> None:
    """Checks values of options. None is an option that was left out."""
    for option, value in probabilities.items():
        if value is not None and not 0 < value < 1:
            raise UserError(f"{option} {value}: choose a number above 0 and below 1")
    for folder in background:
        if not folder.is_dir():
            raise UserError(f"--background {folder}: no such folder; give one with train.txt, valid.txt, test.txt")


def _calibrate_cascade(
    cascade: str,
    output: Path | None,
    data: Path,
    captions: Path | None,
    share: float,
    budget: float,
    target_precision: float,
    delta: float,
) -> None:
    folders, file = folders_of(cascade), check_output(output)
    examples = _validation(data, captions)
    checkpoints = open_checkpoints(folders, load())
    extractors = [each.extractor for each in checkpoints]
    check_readable(extractors[0], examples)
    found = calibrated(extractors, examples, share, budget, console)
    promise = found.thresholds.promise(target_precision, delta)
    console.print(_table(found.thresholds, sorted({*SHOWN_TARGETS, target_precision}), delta))
    if promise is None:
        raise cannot_promise(found.thresholds, target_precision, delta, file)
    if (parts := _parts_table(found.thresholds, promise)).row_count:
        console.print(parts)
    store(file, checkpoints, found, promise)
    console.print(
        f"{file}: review threshold {promise.threshold:.4f}: {promise.summary()}; candidate threshold "
        f"{found.thresholds.candidate_threshold:.4f}: {found.thresholds.asked:.1%} more questions"
    )


def cannot_promise(calibration: Thresholds, target: float, delta: float, folder: Path) -> UserError:
    best = calibration.highest(delta)
    reviewed = " and ".join(f"{share:.1%} ({mode})" for mode, share in best.reviewed.items())
    return UserError(
        f"--target-precision {target}: cannot be promised on this validation data with --delta {delta}; choose "
        f"{best.target:.2f} or less, which sends {reviewed} of the mentions to review; {folder} is unchanged"
    )


def _density_material(extractor: Extractor, data: Path, background: list[Path]) -> Material | None:
    """Returns the posts to fit the density on; None if the density stays as it is or cannot be fitted."""
    from model.design import TEXT
    from model.training import material

    info = extractor.info
    if TEXT not in info.design.views:
        if background:
            raise UserError(f"--background: the density needs the view {TEXT}, which {info.name} does not have")
        return None
    if not background and extractor.predictor.network.density is not None:
        return None
    with permitting(console) as permission:
        read = material.read(data, None, background, permission=permission)
    if background and not read.background:
        raise UserError("--background: all its training texts also occur in --data, or in a held-out split")
    return read


def _fitted(extractor: Extractor, material: Material) -> DensityModel | None:
    """Fits the density on the labelled posts, which the checkpoint was trained on, and on the background."""
    from model.training.calibrate import fit_density

    network, device = extractor.predictor.network, extractor.predictor.device
    return fit_density(network, extractor.tokenizer, material.labelled, device, material.background)


def _validation(data: Path, captions: Path | None) -> list[Example]:
    from model.training import corpus

    examples: list[Example] = []
    with permitting(console) as permission:
        for folder in corpus.folders(data):
            texts = corpus.read_captions(captions, folder.name) if captions else None
            examples += corpus.read(corpus.split_file(folder, "valid"), texts, permission)
    if captions:
        corpus.check_captions(captions, examples)
    return examples


def _table(calibration: Thresholds, targets: list[float], delta: float) -> Table:
    """Returns the threshold and the share to review for each target precision. Each row is a promise of its own.

    In brackets: the share that even a perfect order of the mentions would send.
    """
    table = Table(title=f"share of mentions to review, delta {delta}", title_justify="left")
    for column in ("target precision", "threshold", *(f"review, {mode}" for mode in calibration.readings)):
        table.add_column(column, justify="right")
    for target in targets:
        promise = calibration.promise(target, delta)
        if promise is None:
            table.add_row(f"{target:g}", "not reached", *("-" for _ in calibration.readings))
        else:
            shares = (f"{share:.1%} ({promise.least[mode]:.1%})" for mode, share in promise.reviewed.items())
            table.add_row(f"{target:g}", f"{promise.threshold:.4f}", *shares)
    table.caption = "in brackets: the least that has to go to review, if the probabilities were perfect"
    return table


def _parts_table(calibration: Thresholds, promise: Promise) -> Table:
    """Returns what the threshold does to each type, and to each data set, in the mode that sends most to review."""
    from model.training.guarantee import part

    mode = max(promise.reviewed, key=promise.reviewed.__getitem__)
    title = f"at target precision {promise.target:g} ({mode}); the promise holds for all parts together"
    table = Table(title=title, title_justify="left")
    for column in ("part", "mentions", "review", "at least", "precision above"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, marks in calibration.parts.items():
        if sum(map(len, marks[mode])) >= FEW_MENTIONS:
            of_part = part(marks[mode], promise.threshold, promise.target)
            precision = "-" if of_part.precision is None else f"{of_part.precision:.1%}"
            table.add_row(name, str(of_part.mentions), f"{of_part.reviewed:.1%}", f"{of_part.least:.1%}", precision)
    return table
