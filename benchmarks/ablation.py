"""What each part of the model is worth: trainings with one part off, each with several seeds, scored alike.

    python -m benchmarks.ablation --data DIR --captions FILE --out DIR --seeds 0,1,2

Each training is `mner train` itself. Killed? Run the same command again: what is finished is kept, the rest goes on.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.ablation_report import Figures, Scored, markdown, write
from benchmarks.command import main
from benchmarks.reading import check_blind
from benchmarks.run import Wrong
from benchmarks.seeds import as_typed, spread
from cli.training import train
from core.errors import UserError
from model.checkpoint import CARD
from model.extractor import Extractor
from model.training import corpus
from model.training.corpus import Example
from model.training.evaluate import evaluate
from model.training.reading import ways
from model.training.scores import Scoreboard

BESIDE = frozenset({"out", "name", "encoder_rate"})
"""Options of `mner train` that are no part of the whole; a rate goes with the way in which the encoder is trained."""
TYPED = "command"
"""File in a training's folder: what was typed, so that no checkpoint is taken for another's."""


@dataclass(frozen=True)
class Row:
    """`options` of `mner train` that turn the part off, behind those of the whole; `taught`: with the teacher."""

    name: str
    off: str
    options: tuple[str, ...] = ()
    taught: bool = True


PLAIN = ("--views", "text", "--no-evidence", "--no-chain", "--alignment", "0", "--matching", "0")
ROWS = (
    Row("whole", "nothing"),
    Row("no-evidence", "evidence: plain scores, averaged over the views", ("--no-evidence", "--matching", "0")),
    Row("no-chain", "the chain over labels", ("--no-chain",)),
    Row("no-context", "the view of text and context", ("--views", "text", "--matching", "0")),
    Row("no-alignment", "alignment of the views", ("--alignment", "0")),
    Row("no-matching", "matching of captions, and the discount by it", ("--matching", "0")),
    Row("no-teacher", "the teacher", taught=False),
    Row("no-density", "the NIG's likelihood", ("--density", "0")),
    Row("no-regulariser", "the cost of evidence", ("--regulariser", "0")),
    Row("no-casing", "the casing of words", ("--no-casing",)),
    Row("location", "student emissions: the location alone", ("--emission", "location")),
    Row("full", "adapters: all of the encoder is trained", ("--adapt", "full", "--encoder-rate", "2e-4")),
    Row(
        "lora",
        "full training of the encoder: adapters, at a rate of 1e-3",
        ("--adapt", "lora", "--encoder-rate", "1e-3"),
    ),
    Row("frozen", "training of the encoder", ("--adapt", "frozen")),
    Row("softmax", "all but casing: plain softmax, text alone, no teacher", PLAIN, taught=False),
    Row("softmax-taught", "all but casing and the teacher: plain softmax, text alone", PLAIN),
)


@dataclass(frozen=True)
class Plan:
    """`common`: the options of `mner train` for every row, behind which come the row's own; `teacher`: those of the
    rows that are taught."""

    out: Path
    common: tuple[str, ...]
    teacher: tuple[str, ...]

    def folder(self, row: Row, seed: int) -> Path:
        return self.out / row.name / f"seed-{seed}"

    def arguments(self, row: Row, seed: int) -> list[str]:
        taught = self.teacher if row.taught else ()
        own = ("--seed", str(seed), "--name", f"{row.name}-{seed}", "--out", str(self.folder(row, seed)))
        return [*self.common, *taught, *row.options, *own]

    def twin(self, row: Row, rows: Sequence[Row]) -> Row | None:
        """The first of these rows that stands before it and trains as it does. Raises `UserError` where `mner train`
        has not its options."""
        own, place = self._trains(row), ROWS.index(row)
        return next((one for one in rows if ROWS.index(one) < place and self._trains(one) == own), None)

    def _trains(self, row: Row) -> dict[str, Any]:
        told = _understood(self.arguments(row, 0))
        return {key: value for key, value in told.items() if key not in BESIDE}


def _understood(arguments: Sequence[str]) -> dict[str, Any]:
    """The options as `mner train` reads them."""
    app = typer.Typer()
    app.command("train")(train.command)
    try:
        with typer.main.get_command(app).make_context("train", list(arguments)) as context:
            return context.params
    except typer.TyperException as error:
        raise UserError(f"mner train {shlex.join(arguments)}: {error}") from None


def _alike(typed: str, arguments: Sequence[str]) -> bool:
    """Whether what was typed for a training means what would be typed for it now."""
    try:
        return _understood(shlex.split(typed)[2:]) == _understood(arguments)
    except (UserError, ValueError):
        return False


def chosen(plan: Plan, names: str | None) -> list[Row]:
    """The rows of these names, in their own order; without names, all that differ from those before them."""
    if names is None:
        return [row for row in ROWS if plan.twin(row, ROWS) is None]
    wanted = names.split(",")
    if unknown := set(wanted) - {row.name for row in ROWS}:
        raise UserError(f"--rows {', '.join(sorted(unknown))}: wanted some of {', '.join(row.name for row in ROWS)}")
    rows = [row for row in ROWS if row.name in wanted]
    for row in rows:
        if (twin := plan.twin(row, [ROWS[0], *rows])) is not None:
            raise UserError(f"--rows {row.name}: trains as the row {twin.name} does, so that it would show nothing")
    return rows


def trained(plan: Plan, row: Row, seed: int) -> Iterator[str]:
    """Trains one checkpoint unless it is finished; what `mner train` prints, by line. Raises `UserError`, `Wrong`."""
    folder, arguments = plan.folder(row, seed), plan.arguments(row, seed)
    typed = shlex.join(["mner", "train", *arguments])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        note = folder / TYPED
        if note.is_file() and not _alike(note.read_text(encoding="utf-8"), arguments):
            raise UserError(f"{folder} is of another command: remove it, or choose another --out")
        note.write_text(typed, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {folder}: {error.strerror}") from None
    if (folder / CARD).is_file():
        return
    run = [sys.executable, "-m", "cli.main", "train", *arguments]
    last, plainly = "", os.environ | {"COLUMNS": "160", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with subprocess.Popen(
        run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1, env=plainly
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last = line.strip() or last
                yield line.rstrip()
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise Wrong(f"{row.name}, seed {seed}: mner train ended with {process.returncode}: {last}")


def scores(folder: Path, examples: Sequence[Example]) -> dict[bool, Scoreboard]:
    """Of a checkpoint, as text alone (False) and, if a view reads them and there are any, with the captions (True)."""
    extractor = Extractor.load(folder)
    check_blind(extractor)
    return {
        on: evaluate(extractor.predictor, extractor.tokenizer, examples, on)
        for on in ways(extractor.info.design, examples)
    }


def figures(plan: Plan, row: Row, seeds: list[int], typed: str, examples: Sequence[Example]) -> Figures:
    found = [scores(plan.folder(row, seed), examples) for seed in seeds]
    text, captions = (spread(one[on].f1 if on in one else None for one in found) for on in (False, True))
    most = [one[max(one)] for one in found]
    return Figures(
        row.name,
        row.off,
        f"{typed} --rows {row.name}",
        seeds,
        text,
        captions,
        ece=spread(one.ece for one in most),
        aurc=spread(one.aurc for one in most),
        auroc_error=spread(one.auroc_error for one in most),
    )


def command(
    data: Annotated[Path, typer.Option(help="a data set, or a folder of such, that all rows are trained on")],
    out: Annotated[Path, typer.Option(help="folder of all checkpoints, and of ablation.md and ablation.json")],
    captions: Annotated[Path | None, typer.Option(help='JSON lines {"set", "img", "caption"}')] = None,
    seeds: Annotated[str, typer.Option(help="comma-separated")] = "0,1,2",
    rows: Annotated[
        str | None, typer.Option(help="comma-separated; default: all that train otherwise than those before")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="passes over the training data")] = None,
    encoder: Annotated[str | None, typer.Option(help="as of `mner train`")] = None,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="checkpoint, repeatable; the row no-teacher goes without")
    ] = None,
    unlabelled: Annotated[list[Path] | None, typer.Option(help="as of `mner train`; goes with the teacher")] = None,
    options: Annotated[str, typer.Option(help="more options of `mner train` for every row, in one string")] = "",
    test: Annotated[bool, typer.Option("--test", help="also score on the test split, once, at the end")] = False,
) -> None:
    """Train and score the whole, and the whole with one part off at a time."""
    given = {"--data": data, "--captions": captions, "--epochs": epochs, "--encoder": encoder}
    common = [part for name, value in given.items() if value is not None for part in (name, str(value))]
    taught = [("--teacher", str(one)) for one in teacher or []]
    taught += [("--unlabelled", str(folder)) for folder in unlabelled or []]
    plan = Plan(out, (*common, *shlex.split(options)), tuple(part for pair in taught for part in pair))
    some, numbers = chosen(plan, rows), _numbers(seeds)
    failed = _train_all(plan, some, numbers)
    done = [row for row in some if all((plan.folder(row, seed) / CARD).is_file() for seed in numbers)]
    splits = ("valid", "test") if test and not failed else ("valid",)
    with _bars() as bars:
        sets = corpus.folders(data.resolve())
        bar = bars.add_task("scoring", total=len(sets) * len(splits) * len(done))
        parts, typed = [], as_typed("benchmarks.ablation", without="--rows")
        for folder, split in ((folder, split) for split in splits for folder in sets):
            told = corpus.read_captions(captions, folder.name) if captions else {}
            examples = corpus.read(corpus.split_file(folder, split), told)
            found = []
            for row in done:
                found.append(figures(plan, row, numbers, typed, examples))
                bars.advance(bar)
            parts.append(Scored(folder.name, split, found))
    write(out, parts)
    print(markdown(parts))
    if failed:
        raise Wrong("; ".join(failed))


def _numbers(seeds: str) -> list[int]:
    try:
        return [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise UserError(f"--seeds {seeds}: wanted whole numbers with commas between") from None


def _train_all(plan: Plan, rows: Sequence[Row], seeds: Sequence[int]) -> list[str]:
    """One seed after the other, so that an end before the end leaves all rows with as many. What failed, in words."""
    failed = []
    with _bars() as bars:
        bar = bars.add_task("training", total=len(rows) * len(seeds))
        for row, seed in ((row, seed) for seed in seeds for row in rows):
            bars.update(bar, description=f"{row.name}, seed {seed}")
            try:
                for line in trained(plan, row, seed):
                    bars.console.print(f"{row.name}, seed {seed}: {line}", highlight=False, markup=False)
            except Wrong as error:
                failed.append(str(error))
            bars.advance(bar)
    return failed


@contextmanager
def _bars() -> Iterator[Progress]:
    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*parts, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        yield bars


if __name__ == "__main__":
    main(command)
