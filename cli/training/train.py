"""`mner train` makes a checkpoint folder from a configuration file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.output import make_console
from cli.training.permission import permitting
from cli.training.typed import typed
from core.errors import UserError, first_line

if TYPE_CHECKING:
    from model.checkpoint import Base, CheckpointInfo
    from model.design import Design
    from model.image_encoder import ImageEncoder
    from model.tagger import Tagger
    from model.tokens import TweetTokenizer
    from model.training.augment import Augmentation
    from model.training.config import TrainingConfig
    from model.training.material import Material
    from model.training.publish import Published
    from model.training.teacher import Beliefs
    from model.training.train import Trainer

console = make_console()


def command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Configuration; see examples/training/.")],
    out: Annotated[Path | None, typer.Option(help="Checkpoint folder to write. Default: runs/NAME.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key: --set design.chain=false. Repeatable."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Device: auto, cpu or cuda. Default: the configuration's.")] = None,
) -> None:
    """Train a checkpoint.

    The validation data chooses the best epoch, the temperatures and the review threshold. The test data is read once,
    at the end, for the model card. Training posts whose text also occurs in a validation or test split are left out.

    If the training is killed, run the same command again: it resumes after the last complete epoch.
    """
    from cli.training.configuration import read

    training, text = read(config, overrides or [], device)
    folder = out or training.out or Path("runs") / training.checkpoint_name
    _train(training, text, folder)


def _train(config: TrainingConfig, text: str, out: Path) -> None:
    """Trains and publishes the checkpoint. `text`: the configuration to copy into it."""
    import torch

    from cli.training import teachers
    from model.checkpoint import CARD, VISION
    from model.device import torch_device
    from model.image_encoder import ImageEncoder
    from model.training import material as materials
    from model.training.encoder import pretrained, resolve
    from model.training.publish import CONFIG_COPY, publish
    from model.training.train import STATE, Trainer, items

    if (out / CARD).is_file():
        raise UserError(f"{out} holds a finished checkpoint; choose another folder with --out, or remove it")
    device = torch_device(config.device)
    encoder_name, path = resolve(config.encoder)
    _check_writable(out)
    if config.threads:
        torch.set_num_threads(config.threads)
    data = config.data
    image_encoder = ImageEncoder(config.image_encoder, device) if config.image_encoder else None
    design = config.network_design(image_encoder.width if image_encoder else 0)
    with permitting(console) as permission:
        material = materials.read(
            data.folder,
            data.captions,
            data.unlabelled,
            data.auxiliary,
            permission,
            data.decisions,
            entire=data.entire,
            unannotated=data.unannotated,
            without=data.without,
            accounts=data.accounts,
        )
    _show_material(material)
    material.check(design, config.losses, auxiliary=[*data.auxiliary, *data.entire])
    if data.images and image_encoder:
        material = _with_images(material, data.images, image_encoder)
    network, tokenizer = pretrained(path, config.optimisation.seed, design, config.layers)
    if config.start:
        _start(network, config.start)
    try:
        beliefs = None
        if data.teachers:
            beliefs = teachers.beliefs(data.teachers, material, config.image_encoder, out, device, _bars)
        learned = items(material.training, tokenizer, beliefs)
        changes = _changes(config, material, beliefs, tokenizer)
        trainer = Trainer(network, learned, tokenizer, config.optimisation, device, config.losses, changes)
        _run(trainer, material, out)
        info = _info(config, trainer, material, encoder_name, _base(config.encoder, design))
        if image_encoder:
            image_encoder.save(out / VISION)
        (out / CONFIG_COPY).write_text(text, encoding="utf-8")
        published = publish(out, network, tokenizer, info, material, config.target_precision, device)
        for leftover in (out / STATE, *out.glob(teachers.STORED)):
            leftover.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{out}: {error.strerror or error}; run the same command again to resume") from None
    _show_result(out, published, config.target_precision)


def _changes(
    config: TrainingConfig, material: Material, beliefs: list[Beliefs] | None, tokenizer: TweetTokenizer
) -> Augmentation | None:
    from model.training.augment import Augmentation
    from model.training.names import Names

    augment = config.augment
    if not (augment.names or augment.casing):
        return None
    names = Names.load(config.data.names) if augment.names and config.data.names else None
    return Augmentation(augment, names, material.training, beliefs, tokenizer, config.optimisation.seed)


def _info(
    config: TrainingConfig, trainer: Trainer, material: Material, encoder_name: str, base: Base | None
) -> CheckpointInfo:
    """Returns the checkpoint's description before calibration."""
    from cli.training import teachers
    from model.checkpoint import VISION
    from model.training.config import AugmentConfig
    from model.training.publish import CONFIG_COPY

    layers = f", its {config.layers} lowest layers" if config.layers else ""
    provenance = material.provenance() | {"encoder": f"{encoder_name}{layers}"}
    if config.image_encoder:
        provenance["vision"] = teachers.image_encoder_name(config.image_encoder)
    for number, teacher in enumerate(config.data.teachers, start=1):
        provenance["teacher" if number == 1 else f"teacher {number}"] = teachers.summary(teacher)
    if config.start:
        provenance["start"] = teachers.summary(config.start)
    options: list[object] = [config.optimisation, config.losses]
    if config.augment != AugmentConfig():
        options.append(config.augment)
    provenance |= {
        "best epoch": trainer.best_epoch,
        "configuration": f"[{CONFIG_COPY}]({CONFIG_COPY})",
        "options": " ".join(map(str, options)),
        "command": typed("mner"),
    }
    update = {
        "name": config.checkpoint_name,
        "base": base,
        "vision": VISION if config.image_encoder else None,
        "provenance": provenance,
    }
    return trainer.predictor(best=True).info.model_copy(update=update)


def _start(network: Tagger, checkpoint: Path) -> None:
    import torch

    from model import adapters
    from model.predictor import load

    trained = load(checkpoint, device="cpu", threads=torch.get_num_threads()).network.state_dict()
    try:
        network.load_state_dict(adapters.starting(network.state_dict(), trained))
    except (KeyError, RuntimeError) as error:
        raise UserError(f"start {checkpoint}: it has another encoder or design: {first_line(error)}") from None


def _base(encoder: str, design: Design) -> Base | None:
    """Returns the packaged encoder that the checkpoint need not contain; None if it must contain all weights."""
    from model import packaged
    from model.checkpoint import Base

    if design.adapt == "full" or encoder not in packaged.NAMES:
        return None
    return Base(name=encoder, sha256=packaged.digest(packaged.folder(encoder)))


def _check_writable(out: Path) -> None:
    """Raises before the training starts if the folder cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}; choose another folder with --out") from None


def _show_material(material: Material) -> None:
    decided = f", {len(material.decided)} that people decided" if material.decided else ""
    auxiliary = f", {len(material.auxiliary)} of other sets" if material.auxiliary else ""
    unlabelled = f", {len(material.unlabelled)} without labels" if material.unlabelled else ""
    console.print(
        f"[bold]{', '.join(material.data_sets)}[/]: {len(material.labelled)} posts to train on, {material.captioned} "
        f"with a caption{decided}{auxiliary}{unlabelled}; {material.left_out} left out, since their text also "
        "occurs in a validation or test split"
    )


def _bars() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _with_images(material: Material, folder: Path, image_encoder: ImageEncoder) -> Material:
    from model.training.image_features import read_features

    ids = material.image_ids
    with _bars() as bars:
        bar = bars.add_task("images", total=1.0)
        features = read_features(folder, ids, image_encoder, lambda done: bars.update(bar, completed=done))
    console.print(f"{len(features)} of {len(ids)} images read from {folder}")
    return material.with_images(features)


def _run(trainer: Trainer, material: Material, out: Path) -> None:
    """Trains until the last epoch, and saves the state after each."""
    if trainer.resume(out):
        console.print(f"resuming after epoch {trainer.epoch}; best validation F1 so far {trainer.best_score:.4f}")
    with _bars() as bars:
        while not trainer.finished:
            bar = bars.add_task(f"epoch {trainer.epoch + 1}/{trainer.optimisation.epochs}", total=1.0)
            trainer.run_epoch(_shown(bars, bar, trainer.epoch + 1))
            scores = _validation_f1(trainer, material)
            best = trainer.keep_if_best(sum(scores.values()) / len(scores))
            text = ", ".join(f"{name} {f1:.4f}" for name, f1 in scores.items())
            bars.console.print(f"epoch {trainer.epoch}: validation F1 {text}{' [green](best)[/]' if best else ''}")
            trainer.save(out)


def _shown(bars: Progress, bar: TaskID, epoch: int) -> Callable[[float, float], None]:
    return lambda done, loss: bars.update(bar, completed=done, description=f"epoch {epoch} loss {loss:.3f}")


def _validation_f1(trainer: Trainer, material: Material) -> dict[str, float]:
    """Returns the F1 on each validation set, without and with captions."""
    from model.training.evaluate import evaluate
    from model.training.reading import caption_modes

    predictor = trainer.predictor()
    return {
        f"{name} {'with captions' if captions else 'text'}": evaluate(
            predictor, trainer.tokenizer, examples, captions
        ).f1
        for (name, _), examples in material.validation.items()
        for captions in caption_modes(trainer.network.design, examples)
    }


def _show_result(out: Path, published: Published, target: float) -> None:
    info, promise = published.info, published.promise
    if promise.target < target:
        console.print(f"[yellow]a precision of {target:g} cannot be promised on this validation data[/]")
    promised = f"review threshold {info.threshold:.4f} promises a precision of {promise.target:g}"
    console.print(f"{promised}: {promise.summary() or 'all mentions go to review'}")
    console.print(f"[bold]{out}[/] is ready; its model card is {out / 'README.md'}")
