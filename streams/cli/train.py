"""`mner train`: from a published corpus to a checkpoint folder."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from streams.errors import UserError

if TYPE_CHECKING:
    from model.corpus import Example
    from model.train import Trainer

DEVICES = ("auto", "cpu", "cuda")

console = Console()


def command(
    data: Annotated[
        Path, typer.Option(help="Folder with train.txt, valid.txt, test.txt, or a folder of such folders.")
    ],
    captions: Annotated[
        Path | None, typer.Option(help='JSON lines {"set", "img", "caption"}; without it both views read text alone.')
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Any AutoModel encoder, hub name or path. Default: the installed MiniLM package.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write; a killed training resumes from it.")] = Path(
        "runs/train"
    ),
    name: Annotated[str | None, typer.Option(help="The checkpoint's name. Default: ENCODER-evidential.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training data.")] = 6,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    batch_tokens: Annotated[int, typer.Option(min=128, help="Padded tokens in a batch at most.")] = 1024,
    encoder_rate: Annotated[float, typer.Option(help="Learning rate of the encoder, at its highest.")] = 2e-4,
    head_rate: Annotated[float, typer.Option(help="Learning rate of the heads, at its highest.")] = 1e-3,
    drop_context: Annotated[float, typer.Option(min=0, max=1, help="Share of captions left out, each epoch.")] = 0.5,
    target_precision: Annotated[
        float, typer.Option(min=0, max=1, help="Precision that mentions above the review threshold must have.")
    ] = 0.9,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's choice.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a checkpoint.

    The best epoch, the temperature and the review threshold are chosen on the validation data; the test data is
    read once, at the end, for the model card. Training tweets whose text also stands in a validation or test set
    are left out. Killed? Run the same command again.
    """
    import torch

    from model.checkpoint import CONFIG
    from model.encoder import pretrained, resolve
    from model.train import TrainConfig, Trainer, items

    if (out / CONFIG).is_file():
        raise UserError(f"--out {out}: a finished checkpoint is there; choose another folder or remove it")
    if device not in DEVICES:
        raise UserError(f"--device {device}: wanted one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda, but torch sees no GPU: choose auto or cpu")
    _prepare(out)
    if threads:
        torch.set_num_threads(threads)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    training, held_out, provenance = _data(data, captions)
    called, path = resolve(encoder)
    network, tokenizer = pretrained(path, seed)
    config = TrainConfig(
        epochs=epochs,
        seed=seed,
        encoder_rate=encoder_rate,
        head_rate=head_rate,
        batch_tokens=batch_tokens,
        drop_context=drop_context,
    )
    trainer = Trainer(network, items(training, tokenizer), tokenizer, config, device)
    try:
        _train(trainer, {key: value for key, value in held_out.items() if key[1] == "valid"}, out)
        provenance |= {"encoder": called, "best epoch": trainer.best_epoch, "options": str(config)}
        _publish(trainer, held_out, out, name or f"{called}-evidential", target_precision, provenance)
    except OSError as error:
        raise UserError(
            f"--out {out}: {error.strerror or error}; the same command goes on from the last epoch"
        ) from None


def _prepare(out: Path) -> None:
    """Finds out now, not an epoch later, whether the folder can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from None


Splits = dict[tuple[str, str], list["Example"]]


def _data(data: Path, captions: Path | None) -> tuple[list[Example], Splits, dict[str, object]]:
    """Training tweets without leaks, the held-out splits by (data set, split), and where it all comes from."""
    from model import corpus

    training: list[Example] = []
    held_out: Splits = {}
    for folder in corpus.folders(data):
        texts = corpus.read_captions(captions, folder.name) if captions else {}
        splits = {split: corpus.read(folder / f"{split}.txt", texts) for split in corpus.SPLITS}
        training += splits["train"]
        held_out |= {(folder.name, split): splits[split] for split in ("valid", "test")}
    kept = corpus.without_leaks(training, [example for split in held_out.values() for example in split])
    sets = ", ".join(sorted({name for name, _ in held_out}))
    captioned = sum(example.caption is not None for example in kept)
    console.print(
        f"[bold]{sets}[/]: {len(kept)} tweets to train on, {captioned} with a caption; "
        f"{len(training) - len(kept)} left out, since their text also stands in a validation or test set"
    )
    provenance: dict[str, object] = {
        "trained on": f"the training splits of {sets}: {len(kept)} tweets, {captioned} with a caption",
        "left out": f"{len(training) - len(kept)} training tweets that also stand in a validation or test set",
    }
    return kept, held_out, provenance


def _train(trainer: Trainer, validation: Splits, out: Path) -> None:
    from model.evaluate import evaluate

    if trainer.resume(out):
        console.print(f"taking up after epoch {trainer.epoch}, best validation F1 so far {trainer.best_score:.4f}")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        while not trainer.finished:
            bar = bars.add_task(f"epoch {trainer.epoch + 1}/{trainer.config.epochs}", total=1.0)

            def show(done: float, loss: float, bar: object = bar) -> None:
                bars.update(bar, completed=done, description=f"epoch {trainer.epoch + 1} loss {loss:.3f}")  # type: ignore[arg-type]

            trainer.run_epoch(show)
            predictor = trainer.predictor()
            found = {
                (name, captions): evaluate(predictor, trainer.tokenizer, examples, captions).f1
                for (name, _), examples in validation.items()
                for captions in (False, True)
            }
            best = trainer.keep_if_best(sum(found.values()) / len(found))
            scores = ", ".join(
                f"{name} {'with captions' if on else 'text'} {f1:.4f}" for (name, on), f1 in found.items()
            )
            bars.console.print(f"epoch {trainer.epoch}: validation F1 {scores}{' [green](best)[/]' if best else ''}")
            trainer.save(out)


def _publish(
    trainer: Trainer, held_out: Splits, out: Path, name: str, target_precision: float, provenance: dict[str, object]
) -> None:
    """Calibrates on validation, writes the folder, then scores it once on everything held out."""
    from model.evaluate import evaluate
    from model.extractor import Extractor
    from model.publish import Row, calibrate, write, write_card
    from model.train import STATE

    predictor = trainer.predictor(best=True)
    validation = [example for (_, split), examples in held_out.items() if split == "valid" for example in examples]
    calibration = calibrate(predictor.network, trainer.tokenizer, validation, target_precision, predictor.device)
    info = predictor.info.model_copy(
        update={
            "name": name,
            "release": int(time.time()),
            "threshold": calibration.threshold,
            "target_precision": target_precision,
            "temperature": calibration.temperature,
            "provenance": provenance,
        }
    )
    write(out, predictor.network, trainer.tokenizer, info)
    console.print(
        f"review threshold {calibration.threshold:.3f} (temperature {calibration.temperature}): mentions above it are "
        f"right to {calibration.precision:.1%} on validation, {calibration.reviewed:.1%} of mentions go to review"
    )
    written = Extractor.load(out)  # what is measured is what was written, fp16 and all
    rows = [
        Row(
            data,
            split,
            "captions" if captions else "none",
            evaluate(written.predictor, written.tokenizer, examples, captions),
        )
        for (data, split), examples in held_out.items()
        for captions in (False, True)
    ]
    note = (
        "One model, trained on all the training splits named above: not comparable with models that saw one set's\n"
        "own split alone. Epoch, temperature and threshold were chosen on the validation splits; the test splits were\n"
        "read once, at the end. One seed.\n"
    )
    write_card(out, info, calibration, rows, note)
    (out / STATE).unlink(missing_ok=True)
    console.print(f"[bold]{out}[/] is ready; its model card is {out / 'README.md'}")
