"""`python -m benchmarks.since COMMIT`: how much faster the extraction is than at an earlier commit, and what changed.

Both versions read the same validation posts with the same checkpoint, in torch, in processes of their own, in turns.
User names are read as words, as the earlier version does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple, TypeAlias

import typer
from rich.console import Console
from rich.progress import track

from benchmarks.command import main
from benchmarks.line_process import LineProcess
from benchmarks.report import machine
from core.errors import UserError
from model.training import corpus
from streams.settings import CHECKPOINT

ROOT = Path(__file__).resolve().parent.parent
CHILD = Path(__file__).with_name("since_child.py")

Span: TypeAlias = tuple[int, int, str, float]
Answer: TypeAlias = tuple[list[Span], list[Span]]
"""The mentions and the candidates of a post."""

console = Console()


class Difference(NamedTuple):
    """How the answers of two versions differ."""

    #: Posts whose mentions or candidates have other places or types.
    posts: int
    #: Largest difference between the probabilities of a mention or candidate that both have.
    probability: float


def compared(before: Sequence[Answer], after: Sequence[Answer]) -> Difference:
    """Compares the answers about the same posts. The order of candidates with equal probability does not count."""
    posts, farthest = 0, 0.0
    for pair in zip(before, after, strict=True):
        own, other = ([{tuple(each[:3]): each[3] for each in part} for part in answer] for answer in pair)
        posts += [part.keys() for part in own] != [part.keys() for part in other]
        for one, two in zip(own, other, strict=True):
            farthest = max([farthest, *(abs(one[span] - two[span]) for span in one.keys() & two.keys())])
    return Difference(posts, farthest)


def unpack(commit: str, folder: Path) -> None:
    """Writes the files of a commit into the folder. Raises `UserError` if there is no such commit."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        raise UserError(f"{commit}: no commit of this repository: {archive.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


def command(
    commit: Annotated[str, typer.Argument(help="The earlier commit.")],
    data: Annotated[Path, typer.Option(help="Data set, or a folder of data sets. Their validation splits are read.")],
    captions: Annotated[Path | None, typer.Option(help="Captions. The posts are read with them, where given.")] = None,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint, which both versions can read.")] = CHECKPOINT,
    posts: Annotated[int, typer.Option(min=0, help="Number of posts. 0 reads all.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds.")] = 9,
    threads: Annotated[int, typer.Option(min=1, help="Number of threads.")] = 1,
) -> None:
    """Compare the extraction with that of an earlier commit."""
    examples = [
        example
        for folder in corpus.folders(data)
        for example in corpus.read(
            corpus.split_file(folder, "valid"), corpus.read_captions(captions, folder.name) if captions else None
        )
    ]
    chosen = examples[:: max(1, len(examples) // posts)][:posts] if posts else examples
    question = json.dumps([str(checkpoint.resolve()), threads, [[" ".join(e.words), e.caption] for e in chosen]])
    before = machine()
    with tempfile.TemporaryDirectory() as folder:
        unpack(commit, Path(folder))
        with _process(Path(folder), threads) as earlier, _process(ROOT, threads) as today:
            both = (earlier, today)
            with console.status("both versions read the posts for the first time"):
                difference = compared(*(json.loads(next(each.ask([question]))) for each in both))
            seconds = [
                [json.loads(next(each.ask([""]))) for each in both]
                for _ in track(range(rounds), "rounds", console=console)
            ]
    console.print(f"{before.cpu}, {threads} thread(s), load {before.load_before} before")
    for place, kind in enumerate(("CPU time", "time on the clock")):
        earlier_s, today_s = ([each[which][place] for each in seconds] for which in (0, 1))
        ratios = sorted(old / new for old, new in zip(earlier_s, today_s, strict=True))
        rates = [f"{len(chosen) / median(each):.0f}" for each in (earlier_s, today_s)]
        console.print(
            f"{kind}: {rates[0]} posts/s at {commit[:10]}, {rates[1]} today; {median(ratios):.2f} times as fast "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} rounds)",
            soft_wrap=True,
        )
    console.print(
        f"{difference.posts} of {len(chosen)} posts have other mentions or candidates; probabilities differ by up to "
        f"{difference.probability:.2g}",
        soft_wrap=True,
    )


def _process(tree: Path, threads: int) -> LineProcess:
    return LineProcess(
        [sys.executable, str(CHILD)], {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": str(threads)}
    )


if __name__ == "__main__":
    main(command)
