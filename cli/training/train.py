"""`mner train`: from a published corpus to a checkpoint folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.training import teachers
from cli.training.options import (
    check_matching,
    check_material,
    check_rates,
    checkpoint_name,
    design_of,
    device_of,
    temperatures_of,
    vision_name,
)
from cli.training.seeing import named
from cli.training.typed import typed
from core.errors import UserError, first_line

if TYPE_CHECKING:
    from model.checkpoint import Base
    from model.design import Design
    from model.image_encoder import ImageEncoder
    from model.tagger import Tagger
    from model.training.material import Material
    from model.training.publish import Published
    from model.training.train import Trainer

PARTS, LOSSES = "Parts of the network, each of which can be off", "Losses"

console = Console()


def command(
    data: Annotated[
        Path, typer.Option(help="Folder with train.txt, valid.txt, test.txt, or a folder of such folders.")
    ],
    captions: Annotated[
        Path | None,
        typer.Option(help='JSON lines {"set", "img", "caption", "tags", "text"}, for the view text+context.'),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder with the images ID.jpg, for the view `image`; some may be missing.")
    ] = None,
    vision: Annotated[
        str | None, typer.Option(help="Any AutoModel of images, hub name or path (CLIP, SigLIP, ViT), for --images.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="Any AutoModel encoder, hub name or path; minilm and mpnet: from installed packages.")
    ] = "minilm",
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write; a killed training resumes from it.")] = Path(
        "runs/train"
    ),
    start: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint on the same encoder, to go on from what it has learned; adapters take up most of it."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The checkpoint's name. Default: ENCODER-evidential.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training data.")] = 6,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    batch_tokens: Annotated[int, typer.Option(min=128, help="Padded tokens in a batch at most.")] = 1024,
    encoder_rate: Annotated[float, typer.Option(help="Learning rate of the encoder, at its highest.")] = 2e-4,
    head_rate: Annotated[float, typer.Option(help="Learning rate of the heads, at its highest.")] = 1e-3,
    layer_decay: Annotated[
        float, typer.Option(min=0.1, max=1, help="Each layer's rate, as a share of that of the layer behind it.")
    ] = 1.0,
    drop_context: Annotated[float, typer.Option(min=0, max=1, help="Share of captions left out, each epoch.")] = 0.5,
    views: Annotated[
        str, typer.Option(help="Comma-separated, of text, text+context, image.", rich_help_panel=PARTS)
    ] = "text,text+context",
    adapt: Annotated[
        str,
        typer.Option(help="How the encoder is trained: full, lora (adapters) or frozen.", rich_help_panel=PARTS),
    ] = "full",
    rank: Annotated[int, typer.Option(min=1, help="Of the adapters.", rich_help_panel=PARTS)] = 16,
    emission: Annotated[
        str, typer.Option(help="What of a belief the chain reads: student or location.", rich_help_panel=PARTS)
    ] = "student",
    evidence: Annotated[bool, typer.Option(help="Off: plain scores, averaged.", rich_help_panel=PARTS)] = True,
    chain: Annotated[bool, typer.Option(help="Off: words are independent but for BIO.", rich_help_panel=PARTS)] = True,
    casing: Annotated[bool, typer.Option(help="An embedding of each word's casing.", rich_help_panel=PARTS)] = True,
    density: Annotated[
        float, typer.Option(min=0, help="Weight of the NIG's negative log-likelihood.", rich_help_panel=LOSSES)
    ] = 0.03,
    regulariser: Annotated[
        float, typer.Option(min=0, help="Weight of the cost of evidence.", rich_help_panel=LOSSES)
    ] = 0.003,
    alignment: Annotated[
        float,
        typer.Option(min=0, help="Weight of the text view's divergence from text+context.", rich_help_panel=LOSSES),
    ] = 0.0,
    alignment_temperature: Annotated[
        list[str] | None,
        typer.Option(
            help="Of --alignment: a number (2), or of one data set, repeatable: twitter2015=4.", rich_help_panel=LOSSES
        ),
    ] = None,
    matching: Annotated[
        float,
        typer.Option(
            min=0,
            help="Weight of telling a tweet's own caption from others; above 0, a caption's evidence counts by that.",
            rich_help_panel=LOSSES,
        ),
    ] = 0.0,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            help="Checkpoint whose beliefs are learned as well; repeatable: the mean of all.", rich_help_panel=LOSSES
        ),
    ] = None,
    teacher_weight: Annotated[float, typer.Option(min=0, rich_help_panel=LOSSES)] = 1.0,
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(help="Data whose texts are learned from the teacher alone; repeatable.", rich_help_panel=LOSSES),
    ] = None,
    auxiliary: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labelled data of another kind, to train on alone; of types that it never marks it says nothing. "
            "Repeatable."
        ),
    ] = None,
    target_precision: Annotated[
        float, typer.Option(min=0, max=1, help="Precision that mentions above the review threshold must have.")
    ] = 0.95,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's choice.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a checkpoint.

    The best epoch, the temperatures and the review threshold are chosen on the validation data; the test data is
    read once, at the end, for the model card. Training tweets whose text also stands in a validation or test set
    are left out. Killed? Run the same command again.
    """
    import torch

    from model.checkpoint import CARD, VISION
    from model.design import IMAGE
    from model.image_encoder import ImageEncoder
    from model.training import material
    from model.training.encoder import pretrained, resolve
    from model.training.publish import publish
    from model.training.train import STATE, TrainConfig, Trainer, items

    if (out / CARD).is_file():
        raise UserError(f"--out {out}: a finished checkpoint is there; choose another folder or remove it")
    device = device_of(device)
    wanted = named(views)
    if not bool(images) == bool(vision) == (IMAGE in wanted):
        raise UserError("--views image, --images and --vision: wanted all three or none, the view, pictures, a model")
    if unlabelled and not teacher:
        raise UserError("--unlabelled: texts without labels can only be learned from a --teacher")
    check_rates({"--encoder-rate": encoder_rate, "--head-rate": head_rate})
    called, path = resolve(encoder)
    name = checkpoint_name(name, called)
    check_matching(matching, wanted, evidence, drop_context)
    temperature, temperatures = temperatures_of(alignment_temperature or [])
    _prepare(out)
    if threads:
        torch.set_num_threads(threads)
    looking = ImageEncoder(vision, device) if vision else None
    design = design_of(
        image_width=looking.width if looking else 0,
        views=wanted,
        adapt=adapt,
        rank=rank,
        emission=emission,
        evidence=evidence,
        chain=chain,
        casing=casing,
        discount=matching > 0,
    )
    read = material.read(data, captions, unlabelled or [], auxiliary or [])
    _tell(read)
    check_material(read, design, temperatures, bool(auxiliary))
    if images and looking:
        read = _look(read, images, looking)
    network, tokenizer = pretrained(path, seed, design)
    if start:
        _start(network, start)
    config = TrainConfig(
        epochs=epochs,
        seed=seed,
        encoder_rate=encoder_rate,
        head_rate=head_rate,
        layer_decay=layer_decay,
        batch_tokens=batch_tokens,
        drop_context=drop_context,
        density=density,
        regulariser=regulariser,
        alignment=alignment,
        alignment_temperature=temperature,
        alignment_temperatures=tuple(sorted(temperatures.items())),
        teacher=teacher_weight if teacher else 0.0,
        matching=matching,
    )
    try:
        beliefs = teachers.beliefs(teacher, read, vision, out, device, _bars) if teacher else None
        learned = items(read.training, tokenizer, beliefs)
        trainer = Trainer(network, learned, tokenizer, config, device)
        _train(trainer, read, out)
        info = trainer.predictor(best=True).info.model_copy(
            update={
                "name": name,
                "base": _base(encoder, design),
                "vision": VISION if looking else None,
                "provenance": read.provenance()
                | {"encoder": called}
                | ({"vision": vision_name(vision)} if vision else {})
                | {
                    "teacher" if number == 1 else f"teacher {number}": teachers.told_of(one)
                    for number, one in enumerate(teacher or [], start=1)
                }
                | ({"start": teachers.told_of(start)} if start else {})
                | {"best epoch": trainer.best_epoch, "options": str(config), "command": typed("mner")},
            }
        )
        if looking:
            looking.save(out / VISION)
        published = publish(out, network, tokenizer, info, read, target_precision, device)
        for left in (out / STATE, *out.glob(teachers.KEPT)):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}; the same command goes on where it stood") from None
    _told(out, published, target_precision)


def _start(network: Tagger, checkpoint: Path) -> None:
    """Raises `UserError`."""
    import torch

    from model import adapters
    from model.predictor import load

    trained = load(checkpoint, device="cpu", threads=torch.get_num_threads()).network.state_dict()
    try:
        network.load_state_dict(adapters.starting(network.state_dict(), trained))
    except (KeyError, RuntimeError) as error:
        raise UserError(f"--start {checkpoint}: is of another encoder or design: {first_line(error)}") from None


def _base(encoder: str, design: Design) -> Base | None:
    """Where the encoder's own weights stay, if they are another's to keep: packaged, and not trained."""
    from model import packaged
    from model.checkpoint import Base

    if design.adapt == "full" or encoder not in packaged.NAMES:
        return None
    return Base(name=encoder, sha256=packaged.digest(packaged.folder(encoder)))


def _prepare(out: Path) -> None:
    """Finds out now, not an epoch later, whether the folder can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from None


def _tell(read: Material) -> None:
    sets = ", ".join(sorted({name for name, _ in read.held_out}))
    captioned = sum(example.caption is not None for example in read.labelled)
    more = f", {len(read.auxiliary)} of other sets" if read.auxiliary else ""
    bare = f", {len(read.unlabelled)} without labels" if read.unlabelled else ""
    console.print(
        f"[bold]{sets}[/]: {len(read.labelled)} tweets to train on, {captioned} with a caption{more}{bare}; "
        f"{read.left_out} left out, since their text also stands in a validation or test set"
    )


def _bars() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _look(read: Material, folder: Path, vision: ImageEncoder) -> Material:
    """With the features of the images that are there."""
    from model.training.image_features import read_features

    names = read.names
    with _bars() as bars:
        bar = bars.add_task("images", total=1.0)
        found = read_features(folder, names, vision, lambda done: bars.update(bar, completed=done))
    console.print(f"{len(found)} of {len(names)} images could be read in {folder}")
    return read.with_images(found)


def _train(trainer: Trainer, read: Material, out: Path) -> None:
    from model.training.evaluate import evaluate
    from model.training.reading import ways

    if trainer.resume(out):
        console.print(f"taking up after epoch {trainer.epoch}, best validation F1 so far {trainer.best_score:.4f}")
    with _bars() as bars:
        while not trainer.finished:
            bar = bars.add_task(f"epoch {trainer.epoch + 1}/{trainer.config.epochs}", total=1.0)

            def show(done: float, loss: float, bar: TaskID = bar) -> None:
                bars.update(bar, completed=done, description=f"epoch {trainer.epoch + 1} loss {loss:.3f}")

            trainer.run_epoch(show)
            predictor = trainer.predictor()
            found = {
                (name, captions): evaluate(predictor, trainer.tokenizer, examples, captions).f1
                for (name, _), examples in read.validation.items()
                for captions in ways(trainer.network.design, examples)
            }
            best = trainer.keep_if_best(sum(found.values()) / len(found))
            scores = ", ".join(
                f"{name} {'with captions' if on else 'text'} {f1:.4f}" for (name, on), f1 in found.items()
            )
            bars.console.print(f"epoch {trainer.epoch}: validation F1 {scores}{' [green](best)[/]' if best else ''}")
            trainer.save(out)


def _told(out: Path, published: Published, wanted: float) -> None:
    info, promise = published.info, published.promise
    if promise.target < wanted:
        console.print(f"[yellow]a precision of {wanted:g} cannot be promised on this validation data[/]")
    promised = f"review threshold {info.threshold:.4f} promises a precision of {promise.target:g}"
    console.print(f"{promised}: {promise.told() or 'all mentions go to review'}")
    console.print(f"[bold]{out}[/] is ready; its model card is {out / 'README.md'}")
