"""`python -m benchmarks.left_out`: how good a recipe is on a corpus that its training did not see.

For each corpus and recipe, a checkpoint is trained without the corpus, and without any post that has the text of one of
its posts. It is then measured on the corpus. The epoch, the temperatures and the thresholds are chosen on validation
splits: those of the other data sets in the recipe's `data.folder`.

A killed run goes on where it was when it is started again. What is finished is not trained or measured again.
"""

from __future__ import annotations

import json
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.command import main
from benchmarks.left_out_report import Report, Row
from benchmarks.others_report import Scores, judged_three, scored, three
from benchmarks.report import machine
from cli.training import configuration, train
from core.errors import UserError
from model.checkpoint import CARD, CheckpointInfo
from model.extractor import Extractor
from model.training import corpus
from model.training.accounts import as_accounts
from model.training.corpus import Example
from model.training.evaluate import predict
from model.training.publish import CONFIG_COPY
from model.training.scores import Judged, as_tags, columns, risks, routed
from model.training.train import STATE
from streams.settings import load

CORPORA = {
    "wnut17": "ner/wnut17",
    "btc": "ner/btc/train_dev_test_conll",
    "twitter2015": "twitter2015",
    "twitter2017": "twitter2017",
}
"""Name and folder below the data folder."""
RECIPES = (Path("examples/training/small.toml"), Path("examples/training/general.toml"))
PROMISED = 0.9
"""Precision to promise above the threshold, whatever the recipe says."""
TIME = "seconds.json"
"""Beside the weights: how long the training took."""
CHECKPOINTS = "checkpoints.json"
"""Beside the weights: the whole paths of the teachers and of `start`. `CONFIG_COPY` has only the last part of some."""
NO_CHECKPOINTS: dict[str, object] = {"start": None, "teachers": []}


def overridden(recipe: Path, data: Path, name: str, seed: int, teachers: str, more: Sequence[str]) -> list[str]:
    """Returns the recipe's keys that leave the corpus out, as `key=value`. `teachers` as in `command`."""
    changes: dict[str, object] = {
        "data.without": [str(data / CORPORA[name])],
        "optimisation.seed": seed,
        "target_precision": PROMISED,
    }
    if teachers == "none":
        changes |= {"data.teachers": [], "data.unlabelled": []}
    elif teachers != "recipe":
        folder = teachers.replace("{corpus}", name).replace("{seed}", str(seed))
        changes["data.teachers"] = [str(Path(folder).resolve())]
    return [*(f"{key}={json.dumps(value)}" for key, value in changes.items()), *more]


def check_start(recipe: Path, overrides: Sequence[str]) -> None:
    """Raises `UserError` if the training would start from a checkpoint, which may have seen the corpus."""
    if start := configuration.read(recipe, overrides)[0].start:
        raise UserError(
            f"{recipe}: start {start} may have seen the corpus that is left out; remove it, or choose --teachers "
            "recipe, which names it in the table"
        )


def trained(recipe: Path, folder: Path, overrides: Sequence[str]) -> None:
    """Trains the checkpoint, unless it is finished. Raises `UserError` if it is that of another configuration."""
    training, text = configuration.read(recipe, overrides)
    learned_from = {
        "start": str(training.start) if training.start else None,
        "teachers": [str(teacher) for teacher in training.data.teachers],
    }
    stored = folder / CHECKPOINTS
    if (folder / CARD).is_file():
        copy = (folder / CONFIG_COPY).read_text(encoding="utf-8")
        former = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else NO_CHECKPOINTS
        if (tomllib.loads(copy), former) != (tomllib.loads(text), learned_from):
            raise UserError(f"{folder} was trained with another configuration; choose another --out, or remove it")
        return
    folder.mkdir(parents=True, exist_ok=True)
    stored.write_text(json.dumps(learned_from), encoding="utf-8")
    is_whole, began = not (folder / STATE).is_file(), time.perf_counter()
    train.command(recipe, out=folder, overrides=list(overrides))
    (folder / TIME).write_text(json.dumps(time.perf_counter() - began if is_whole else None), encoding="utf-8")


def posts(data: Path, name: str, split: str) -> list[Example]:
    """Returns the posts of a split. No user name and no sign alone is a mention."""
    examples = corpus.read(corpus.split_file(data / CORPORA[name], split))
    return as_accounts(corpus.as_auxiliary(examples))


def measured(extractor: Extractor, tweets: Sequence[Example]) -> tuple[Scores, list[Judged]]:
    """Returns the scores, and the judged mentions. Only `TYPES` count."""
    predictions = predict(extractor.predictor, extractor.tokenizer, tweets, captions=False)
    gold = [three(tweet.tags) for tweet in tweets]
    judged = judged_three(gold, predictions)
    found = [as_tags(prediction, len(tags)) for prediction, tags in zip(predictions, gold, strict=True)]
    return scored(gold, found), judged


def needed(judged: Sequence[Judged], target: float) -> float:
    """Share of mentions, least probable first, that people must check so that the rest reach `target`."""
    good = risks(*columns(judged)) <= 1 - target + 1e-9
    kept = max((number for number, fine in enumerate(good, start=1) if fine), default=0)
    return 1 - kept / len(judged) if judged else 0.0


def row(data: Path, name: str, split: str, recipe: Path, seed: int, folder: Path) -> Row:
    """Measures a checkpoint that was trained without the corpus, once for each split."""
    stored = folder / f"left-out-{split}.json"
    if stored.is_file():
        values = json.loads(stored.read_text(encoding="utf-8"))
        return Row(**values | {"scores": Scores(**values["scores"])})
    extractor = Extractor.load(folder, device="cpu", threads=load().model_threads)
    info = extractor.info
    scores, judged = measured(extractor, posts(data, name, split))
    at_threshold = routed(judged, info.threshold)
    timed = folder / TIME
    result = Row(
        left_out=name,
        split=split,
        recipe=recipe.stem,
        seed=seed,
        scores=scores,
        validation={
            other: measured(extractor, posts(data, other, "valid"))[0].f1 for other in CORPORA if other != name
        },
        promised=info.target_precision,
        threshold=info.threshold,
        reviewed=at_threshold.reviewed,
        precision=at_threshold.precision,
        needed=needed(judged, PROMISED),
        learned_from=_learned_from(info),
        seconds=json.loads(timed.read_text(encoding="utf-8")) if timed.is_file() else None,
    )
    stored.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return result


def _learned_from(info: CheckpointInfo) -> dict[str, str]:
    return {key: str(text) for key, text in info.provenance.items() if key.startswith(("teacher", "start"))}


def command(
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints: RECIPE/CORPUS/seed-N.")] = Path("runs/left-out"),
    recipes: Annotated[
        list[Path] | None,
        typer.Option(
            "--recipe",
            help=f"Configuration of `mner train`. Repeatable. Default: {' and '.join(map(str, RECIPES))}.",
        ),
    ] = None,
    corpora: Annotated[
        list[str] | None, typer.Option("--corpus", help=f"Corpus to leave out: {', '.join(CORPORA)}. Repeatable.")
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed", help="Seed. Repeatable. Default: 0.", min=0)] = None,
    split: Annotated[str, typer.Option(help="Split of the corpus to measure on: valid or test.")] = "valid",
    teachers: Annotated[
        str,
        typer.Option(
            help="Who teaches. none: nobody, since the shipped checkpoints have seen the corpora. recipe: the recipe's "
            "teachers; the table names them. Or a folder, in which {corpus} and {seed} are replaced: a checkpoint "
            "that was trained without the corpus."
        ),
    ] = "none",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of all recipes. Repeatable.")
    ] = None,
    json_to: Annotated[Path | None, typer.Option("--json", help="Write all rows to this file.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
) -> None:
    """Train each recipe without each corpus, and measure it on this corpus. MNER_DATA is the folder of the corpora."""
    names, data = corpora or list(CORPORA), load().data
    if unknown := set(names) - set(CORPORA):
        raise UserError(f"--corpus {min(unknown)}: choose from {', '.join(CORPORA)}")
    if split not in ("valid", "test"):
        raise UserError(f"--split {split}: choose valid or test")
    if data is None:
        raise UserError("MNER_DATA is not set; set it to the folder with the data sets")
    if teachers == "none":
        for recipe in recipes or RECIPES:
            check_start(recipe, overridden(recipe, data, names[0], 0, teachers, overrides or []))
    started, this, rows = datetime.now(UTC).isoformat(timespec="seconds"), machine(), []
    for name in names:
        for recipe in recipes or RECIPES:
            for seed in seeds or [0]:
                folder = out / recipe.stem / name / f"seed-{seed}"
                trained(recipe, folder, overridden(recipe, data, name, seed, teachers, overrides or []))
                rows.append(row(data, name, split, recipe, seed, folder))
    report = Report(started, this, rows)
    report.show(Console(width=None if sys.stdout.isatty() else 240), markdown=markdown)
    if json_to is not None:
        report.write(json_to)


if __name__ == "__main__":
    main(command)
