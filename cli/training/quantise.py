"""`mner quantise` adds an int8 runtime to a checkpoint: scales for its layers, with a calibration of their own."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from cli.output import make_console
from cli.training.calibrate import cannot_promise
from cli.training.permission import permitting
from cli.training.views import Corpora, Images, PromisedCaptions, check_readable, with_images
from core.atomic import atomic_write
from core.errors import UserError
from streams.settings import load

if TYPE_CHECKING:
    from model.checkpoint import CheckpointInfo, Int8
    from model.density import DensityModel
    from model.extractor import Extractor
    from model.training.corpus import Example
    from model.training.guarantee import Promise

console = make_console()


def command(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint folder.")],
    data: Corpora,
    output: Annotated[
        Path | None,
        typer.Option(help="New folder for the checkpoint with both runtimes. Default: --checkpoint itself."),
    ] = None,
    captions: PromisedCaptions = None,
    images: Images = None,
    target_precision: Annotated[
        float | None, typer.Option(help="Precision to promise for int8; above 0, below 1. Default: the checkpoint's.")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="Probability, over draws of the validation data, that the promise fails; above 0, below 1. Default: "
            "the checkpoint's, or 0.1 if it has none."
        ),
    ] = None,
) -> None:
    """Add an int8 runtime for CPUs to a checkpoint.

    The scales come from training posts. Temperatures, thresholds and typicality are fitted anew on the validation
    posts, read in int8. So is the promise. The weights, the thresholds and the promise for torch stay as they are.
    MNER_RUNTIME chooses between the two.
    """
    from model.extractor import Extractor
    from model.training import material

    if output is not None and output.exists():
        raise UserError(f"--output {output}: exists already; choose a new folder")
    with permitting(console) as permission:
        posts = material.read(data, captions, permission=permission)
    extractor = Extractor.load(checkpoint, device="cpu", threads=load().model_threads)
    target, delta = _aims(extractor.info, target_precision, delta)
    validation = with_images(extractor, [each for part in posts.validation.values() for each in part], images)
    check_readable(extractor, validation)
    scales = _quantised(extractor, posts.labelled, validation)
    fitted, promise, density = _calibrated(extractor, validation, scales, target, delta, checkpoint)
    with nullcontext(checkpoint) if output is None else _new_folder(output, checkpoint) as folder:
        _store(folder, fitted, scales, density, promise)
    console.print(
        f"{output or checkpoint}: int8 scales of {len(scales) / 1e3:.0f} kB; temperature {fitted.temperature}; review "
        f"threshold {fitted.threshold:.4f}: {promise.summary()}; candidate threshold {fitted.candidate_threshold:.4f}"
    )


def _aims(info: CheckpointInfo, target: float | None, delta: float | None) -> tuple[float, float]:
    """Returns the precision to promise and the probability that the promise fails. Raises `UserError`."""
    from model.training.guarantee import DELTA

    for option, value in (("--target-precision", target), ("--delta", delta)):
        if value is not None and not 0 < value < 1:
            raise UserError(f"{option} {value}: choose a number above 0 and below 1")
    if target is None and not info.target_precision:
        raise UserError(f"{info.name} promises no precision that int8 could promise too; give --target-precision")
    known = DELTA if info.delta is None else info.delta
    return info.target_precision if target is None else target, known if delta is None else delta


def _quantised(extractor: Extractor, training: list[Example], validation: list[Example]) -> bytes:
    """Returns the file of the scales. From then on, the extractor reads with the layers that a load makes from it."""
    import torch

    from model.int8_scales import build
    from model.training.quantise import POSTS, check_alone, quantise

    network, tokenizer = extractor.predictor.network, extractor.tokenizer
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("scales from training posts", total=min(POSTS, len(training)))
        scales = quantise(network, tokenizer, training, lambda: progress.advance(task))
    network.int8_layers = build(network, scales, torch.get_num_threads())
    with console.status("posts alone and in a batch"):
        check_alone(network, tokenizer, validation)
    return scales


def _calibrated(
    extractor: Extractor, validation: list[Example], scales: bytes, target: float, delta: float, checkpoint: Path
) -> tuple[Int8, Promise, DensityModel | None]:
    """Calibrates what reads in int8. Raises `UserError` when the target cannot be promised."""
    from model.checkpoint import Int8
    from model.training.calibrate import CANDIDATE_BUDGET, calibrate, with_reference

    info, network, tokenizer = extractor.info, extractor.predictor.network, extractor.tokenizer
    with console.status(f"{len(validation)} validation posts"):
        calibration = calibrate(network, tokenizer, validation, CANDIDATE_BUDGET, "cpu", info.temperature)
        promise = calibration.promise(target, delta)
        if promise is None:
            raise cannot_promise(calibration, target, delta, checkpoint)
        density = network.density and with_reference(network.density, network, tokenizer, validation, "cpu")
    fitted = Int8(
        sha256=hashlib.sha256(scales).hexdigest(),
        threshold=promise.threshold,
        target_precision=target,
        temperature=calibration.temperature,
        candidate_threshold=calibration.candidate_threshold,
        delta=delta,
    )
    return fitted, promise, density


@contextmanager
def _new_folder(folder: Path, checkpoint: Path) -> Iterator[Path]:
    """Yields a copy of a checkpoint, which becomes `folder` when the block ends. So `folder` is never half written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(".partial", f"{folder.name}.", folder.parent))
    try:
        shutil.copytree(checkpoint, part, dirs_exist_ok=True)
        yield part
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _store(folder: Path, fitted: Int8, scales: bytes, density: DensityModel | None, promise: Promise) -> None:
    """Writes the int8 runtime into a checkpoint, and then into its model card if it has one.

    While files change, the configuration names no int8 runtime. So after a crash the checkpoint still runs in torch.
    """
    from model.checkpoint import CARD, INT8_SCALES, describe, write_config
    from model.density import INT8_DENSITY
    from model.training.publish import with_int8

    info = describe(folder)
    if info.int8 is not None:
        write_config(folder, info.model_copy(update={"int8": None}))
    with atomic_write(folder / INT8_SCALES) as file:
        file.write(scales)
    if density is None:
        (folder / INT8_DENSITY).unlink(missing_ok=True)
    else:
        density.save(folder, INT8_DENSITY)
        digest = hashlib.sha256((folder / INT8_DENSITY).read_bytes()).hexdigest()
        fitted = fitted.model_copy(update={"density_sha256": digest})
    write_config(folder, info.model_copy(update={"int8": fitted}))
    if (folder / CARD).is_file():
        card = with_int8((folder / CARD).read_text(encoding="utf-8"), fitted, promise)
        with atomic_write(folder / CARD) as file:
            file.write(card.encode())
