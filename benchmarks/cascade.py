"""Compares a cascade with each of its checkpoints alone: F1, CPU time, and the share of mentions that people get.

python -m benchmarks.cascade --cascade FILE --data DATA [--captions FILE] [--split test]

All of them read the same posts on one thread, in one run, once untimed and then timed.
Each has the threshold of its own promise.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.command import main
from core.errors import UserError
from model.cascade import Reader, read_through
from model.cascade_file import Cascade, CascadeInfo, read_cascade
from model.checkpoint import CheckpointInfo
from model.extractor import Extractor
from model.mentions import Prediction
from model.training import corpus
from model.training.cascade import readers_of, shares_read
from model.training.corpus import Example
from model.training.scores import judge, routed, scoreboard

COLUMNS = ("data set", "captions", "", "F1", "gain kept", "read by the last", "CPU time", "to review", "precision")

console = Console()


class Contender(NamedTuple):
    """A checkpoint or the cascade, and what it said of the posts."""

    name: str
    threshold: float
    #: Share of the posts that the last checkpoint read.
    share: float
    found: list[Prediction]
    seconds: float


def command(
    cascade: Annotated[Path, typer.Option(help="File of the cascade.")],
    data: Annotated[Path, typer.Option(help="Data set, or a folder of data sets.")],
    captions: Annotated[Path | None, typer.Option(help="Captions, as for `mner evaluate`.")] = None,
    split: Annotated[str, typer.Option(help="Split to read: valid or test.")] = "valid",
) -> None:
    """Compare a cascade with its checkpoints."""
    if split not in ("valid", "test"):
        raise UserError(f"--split {split}: choose valid or test")
    opened = read_cascade(cascade, "cpu")
    extractors = [
        Extractor.load(folder, device="cpu", threads=1, runtime=info.runtime)
        for folder, info in zip(opened.folders, opened.checkpoints, strict=True)
    ]
    targets = {each.info.name: each.info.target_precision for each in extractors} | {
        opened.info.name: opened.info.target_precision
    }
    console.print("promised precision: " + ", ".join(f"{name} {target:g}" for name, target in targets.items()))
    table = Table(title=f"{split} posts", title_justify="left")
    for place, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if place < 3 else "right")
    for with_captions in (False, True) if captions else (False,):
        everything: list[Example] = []
        all_found: list[list[Contender]] = []
        for folder in corpus.folders(data):
            texts = corpus.read_captions(captions, folder.name) if captions else None
            examples = corpus.read(corpus.split_file(folder, split), texts)
            all_found.append(_contenders(opened, extractors, examples, with_captions))
            _add(table, folder.name, with_captions, examples, all_found[-1])
            everything += examples
        if len(all_found) > 1:
            joined = [_joined(parts) for parts in zip(*all_found, strict=True)]
            _add(table, "together", with_captions, everything, joined)
    console.print(table)
    console.print("CPU time: as a share of the last checkpoint's. To review: mentions below the threshold.")


def _contenders(
    cascade: Cascade, extractors: Sequence[Extractor], examples: Sequence[Example], captions: bool
) -> list[Contender]:
    """Lets each checkpoint read the posts, then the cascade."""
    readers = readers_of(extractors, captions)
    result = [_timed(each.info, examples, reader) for each, reader in zip(extractors, readers, strict=True)]
    result[-1] = result[-1]._replace(share=1.0)
    whole = _timed(cascade.info, examples, partial(read_through, readers=readers, limits=cascade.limits))
    return [*result, whole._replace(share=shares_read(whole.found, len(readers))[-1])]


def _timed(info: CheckpointInfo | CascadeInfo, examples: Sequence[Example], read: Reader[Example]) -> Contender:
    read(examples)  # untimed: what happens only once, such as the first allocations, is no contender's cost
    started = time.process_time()
    found = read(examples)
    return Contender(info.name, info.threshold, 0.0, found, time.process_time() - started)


def _joined(parts: Sequence[Contender]) -> Contender:
    """Returns what a contender said of several data sets."""
    found = [prediction for part in parts for prediction in part.found]
    share = sum(part.share * len(part.found) for part in parts) / len(found)
    return Contender(parts[0].name, parts[0].threshold, share, found, sum(part.seconds for part in parts))


def _add(table: Table, name: str, captions: bool, examples: Sequence[Example], contenders: Sequence[Contender]) -> None:
    """Adds a row for each contender. The last of them is the cascade."""
    gold = [example.tags for example in examples]
    f1 = [scoreboard(gold, each.found).f1 for each in contenders]
    first, last, whole = f1[0], f1[-2], f1[-1]
    for each, score in zip(contenders, f1, strict=True):
        at_threshold = routed(judge(gold, each.found), each.threshold)
        is_whole = each is contenders[-1]
        table.add_row(
            name,
            "yes" if captions else "no",
            each.name,
            f"{100 * score:.2f}",
            f"{(whole - first) / (last - first):.0%}" if is_whole and last > first else "",
            f"{each.share:.1%}",
            f"{each.seconds / contenders[-2].seconds:.0%}",
            f"{at_threshold.reviewed:.1%}",
            "-" if at_threshold.precision is None else f"{at_threshold.precision:.1%}",
        )
    table.add_section()


if __name__ == "__main__":
    main(command)
