"""`python -m benchmarks.others`: F1 and speed of our checkpoints beside Stanford CoreNLP and spaCy.

Only persons, locations and organisations count, since all systems know them. Each system gets the same words of the
same splits. docs/research/other-recognisers.md explains the rules.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol, get_args

import typer
from rich.console import Console
from rich.status import Status

from benchmarks.command import main
from benchmarks.corenlp import CoreNLP, fetch
from benchmarks.others_report import Figures, Report, judged_three, scored
from benchmarks.report import machine
from benchmarks.run import Wrong
from benchmarks.spacy_ner import FOLDERS, SpaCy, installed
from core.errors import UserError
from core.events import Runtime
from model.checkpoint import describe
from model.extractor import Extractor
from model.mentions import Prediction
from model.training import corpus
from model.training.corpus import Example
from model.training.evaluate import predict
from model.training.scores import as_tags, calibration_error, columns
from streams.settings import CHECKPOINT

SPLITS = {"test": ("*test*",), "valid": ("valid.txt", "*dev*")}
"""File names of each split."""
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
WARM_TWEETS = 500
"""Posts that are tagged before the clock starts, so that loading a model and compiling Java do not count."""


class System(Protocol):
    """A named entity recogniser."""

    name: str
    threads: int

    def tag(self, tweets: Sequence[Example]) -> list[list[str]]:
        """Returns a BIO tag for each word, with PER, LOC and ORG. An I- may begin a mention, as in seqeval's default.

        Raises `Wrong` when the system fails.
        """
        ...

    def calibration_error(self, tweets: Sequence[Example]) -> float | None:
        """Returns the ECE of what was tagged last, which must be these posts. None without probabilities."""
        ...


class Ours:
    """A checkpoint of ours on the CPU, in one runtime, with or without the captions."""

    def __init__(self, extractor: Extractor, threads: int, *, captions: bool = False) -> None:
        info = extractor.info
        of = [f"ours ({info.name})", *(["int8"] if info.runtime == "int8" else []), *(["captions"] if captions else [])]
        self.name = ", ".join(of)
        self.threads = threads
        self._extractor = extractor
        self._captions = captions
        self._found: list[Prediction] = []

    def tag(self, tweets: Sequence[Example]) -> list[list[str]]:
        self._found = predict(self._extractor.predictor, self._extractor.tokenizer, tweets, self._captions)
        return [as_tags(found, len(tweet.words)) for found, tweet in zip(self._found, tweets, strict=True)]

    def calibration_error(self, tweets: Sequence[Example]) -> float:
        return calibration_error(*columns(judged_three([tweet.tags for tweet in tweets], self._found)))


def data_sets(
    data: Path, captions: Path | None, split: str = "test", *, signs: bool = True
) -> dict[str, list[Example]]:
    """Returns the posts of the split, for `data` and every folder below it that has the split.

    Blanks inside a word become underscores: CoreNLP would split the word. Without `signs`, gold mentions that have no
    letter or digit do not count. Leaves out a data set below `data` that cannot be measured, and says so. Raises
    `UserError` if there is no such split.
    """
    if split not in SPLITS:
        raise UserError(f"--split {split}: choose {' or '.join(SPLITS)}")
    named = SPLITS[split]
    folders = sorted({file.parent for name in named for file in data.rglob(name) if file.is_file()})
    if not folders:
        raise UserError(f"--data {data}: no file there or below is named {' or '.join(named)}")
    splits = {}
    for folder in folders:
        name = folder.resolve().name if folder == data else folder.relative_to(data).as_posix()
        texts = corpus.read_captions(captions, folder.resolve().name) if captions else None
        try:
            examples = corpus.read(corpus.split_file(folder, split), texts)
        except UserError as error:
            if folder == data:
                raise
            print(f"left out: {error}", file=sys.stderr)  # such as a corpus whose types are not ours
            continue
        examples = examples if signs else corpus.as_auxiliary(examples)
        splits[name] = [
            replace(example, words=tuple("_".join(word.split()) for word in example.words)) for example in examples
        ]
    return splits


def compared(systems: Sequence[System], name: str, tweets: Sequence[Example], rounds: int) -> Iterator[Figures]:
    """Measures every system on a data set, in turn. Raises `Wrong` if a system's tags differ between rounds."""
    rates: dict[str, list[float]] = {system.name: [] for system in systems}
    found: dict[str, list[list[str]]] = {}
    for system in systems:
        system.tag(tweets[:WARM_TWEETS])
    for _ in range(rounds):
        for system in systems:
            began = time.perf_counter()
            tags = system.tag(tweets)
            rates[system.name].append(len(tweets) / (time.perf_counter() - began))
            if found.setdefault(system.name, tags) != tags:
                raise Wrong(f"{system.name} tagged {name} differently from the round before")
    gold = [tweet.tags for tweet in tweets]
    for system in systems:
        scores, ece = scored(gold, found[system.name]), system.calibration_error(tweets)
        yield Figures(name, system.name, system.threads, len(tweets), scores, rates[system.name], ece)


def _other_systems(status: Status) -> list[CoreNLP | SpaCy]:
    status.update("CoreNLP: fetching 483 MB if necessary")
    corenlp = CoreNLP(fetch())
    status.stop()  # uv shows its own progress
    home = installed()
    status.start()
    return [corenlp, *(SpaCy(name, home) for name in FOLDERS)]


def command(
    data: Annotated[
        Path, typer.Option(envvar="MNER_DATA", help="A data set, or a folder with data sets at any depth.")
    ],
    captions: Annotated[
        Path | None, typer.Option(help='Captions as JSON lines {"set", "img", "caption"}. Also measure ours with them.')
    ] = None,
    split: Annotated[str, typer.Option(help="Split to measure: test or valid.")] = "test",
    signs: Annotated[
        bool, typer.Option(help="--no-signs: gold mentions without a letter or digit, such as a lone @, do not count.")
    ] = True,
    alone: Annotated[bool, typer.Option("--alone", help="Measure only our checkpoints.")] = False,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", help="A checkpoint of ours. Repeatable. It is measured in torch, and in int8 if it has it."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads of ours; each of the others has one.", min=1)] = 1,
    rounds: Annotated[int, typer.Option(help="Runs of each system. The systems take turns.", min=1)] = 3,
    json_to: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
) -> None:
    """Compare our checkpoints with CoreNLP (483 MB, fetched once) and spaCy's English models (280 MB, fetched once)."""
    this, started = machine(), datetime.now(UTC).isoformat(timespec="seconds")
    splits = data_sets(data, captions, split, signs=signs)
    folders = checkpoints or [CHECKPOINT]
    infos = [describe(folder) for folder in folders]
    if twice := [name for name, count in Counter(info.name for info in infos).items() if count > 1]:
        raise UserError(f"--checkpoint: two are named {twice[0]}, so the table could not tell them apart")
    figures: list[Figures] = []
    with ExitStack() as stack:
        status = stack.enter_context(Console(stderr=True).status(""))
        other_systems = [] if alone else _other_systems(status)
        for system in other_systems:
            stack.enter_context(system.process)
        extractors = [
            Extractor.load(folder, device="cpu", threads=threads, runtime=runtime)
            for folder, info in zip(folders, infos, strict=True)
            for runtime in (RUNTIMES if info.int8 else RUNTIMES[:1])
        ]
        gc.collect()
        gc.freeze()  # as the model's process does; else each checkpoint would slow the others down
        for name, tweets in splits.items():
            status.update(f"{name}: {len(tweets)} posts")
            captioned = any(tweet.caption for tweet in tweets)
            ours = [
                Ours(extractor, threads, captions=flag)
                for extractor in extractors
                for flag in ([False, True] if captioned else [False])
            ]
            figures += compared([*ours, *other_systems], name, tweets, rounds)
    report = Report(started, this, figures, split, signs)
    report.show(Console(width=None if sys.stdout.isatty() else 200), markdown=markdown)
    if json_to is not None:
        report.write(json_to)


if __name__ == "__main__":
    main(command)
