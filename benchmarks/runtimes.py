"""Compares the runtimes of a checkpoint on one thread, on validation posts: predictions alone and in a batch, speed,
taken in turns, and scores.

python -m benchmarks.runtimes --checkpoint DIR --data DATA [--captions FILE]
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple, get_args

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.command import main
from core.events import Runtime, Tweet
from model.extractor import Extracted, Extractor
from model.runtime import has_vnni
from model.training import corpus
from model.training.corpus import Example
from model.training.evaluate import predict
from model.training.scores import judge, routed, scoreboard

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

console = Console()


class Score(NamedTuple):
    """The scores of one runtime on one data set."""

    f1: float
    ece: float
    #: Share of the mentions below the runtime's own threshold, and precision of the others.
    reviewed: float
    precision: float | None


def command(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint with both runtimes.")],
    data: Annotated[Path, typer.Option(help="Data set, or a folder of data sets. Their validation splits are read.")],
    captions: Annotated[Path | None, typer.Option(help="Captions, as for `mner evaluate`.")] = None,
    posts: Annotated[int, typer.Option(min=1, help="Number of posts of each round.")] = 400,
    rounds: Annotated[int, typer.Option(min=0, help="Number of rounds. 0 measures the scores alone.")] = 5,
    scores: Annotated[bool, typer.Option(help="Measure the scores too.")] = True,
    alone: Annotated[
        int, typer.Option(min=0, help="Number of posts that are read alone and in a batch. 0 compares none.")
    ] = 200,
) -> None:
    """Compare torch and int8."""
    extractors = {runtime: Extractor.load(checkpoint, device="cpu", threads=1, runtime=runtime) for runtime in RUNTIMES}
    gc.collect()
    gc.freeze()  # as the model's process does
    examples = {
        folder.name: corpus.read(
            corpus.split_file(folder, "valid"), corpus.read_captions(captions, folder.name) if captions else None
        )
        for folder in corpus.folders(data)
    }
    cpuinfo = Path("/proc/cpuinfo")
    console.print(f"VNNI: {'yes' if cpuinfo.is_file() and has_vnni(cpuinfo.read_text(encoding='utf-8')) else 'no'}")
    everything = [each for part in examples.values() for each in part]
    if alone:
        _print_alone(extractors, _spread(everything, alone))
    if rounds:
        _print_speed(extractors, _spread(everything, posts), rounds)
    if scores:
        _print_scores(extractors, examples, captions is not None)


def _spread(examples: Sequence[Example], most: int) -> Sequence[Example]:
    """Returns up to `most` of the examples, at equal distances."""
    return examples[:: max(1, len(examples) // most)][:most]


def _tweets(examples: Sequence[Example]) -> list[Tweet]:
    return [Tweet(id=str(place), text=" ".join(each.words)) for place, each in enumerate(examples)]


def _print_alone(extractors: dict[Runtime, Extractor], examples: Sequence[Example]) -> None:
    tweets, contexts = _tweets(examples), [each.caption for each in examples]
    for runtime, extractor in extractors.items():
        together = extractor.extract_all(tweets, contexts)
        alone = [extractor.extract_all([tweet], [words])[0] for tweet, words in zip(tweets, contexts, strict=True)]
        pairs = list(zip(alone, together, strict=True))
        same = sum(_spans(one) == _spans(other) for one, other in pairs)
        exact = sum(repr(one) == repr(other) for one, other in pairs)
        console.print(
            f"{runtime}: {same} of {len(tweets)} posts have the same mentions alone and in a batch, {exact} of them to "
            f"the last digit; probabilities differ by up to {max(map(_farthest, pairs)):.6f}"
        )


def _spans(extracted: Extracted) -> list[tuple[int, int, str]]:
    return [(each.start, each.end, each.type) for each in extracted.mentions]


def _farthest(pair: tuple[Extracted, Extracted]) -> float:
    """Returns the largest difference between the probabilities of mentions that both have."""
    one, other = ({(each.start, each.end, each.type): each.probability for each in part.mentions} for part in pair)
    return max((abs(one[span] - other[span]) for span in one.keys() & other.keys()), default=0.0)


def _print_speed(extractors: dict[Runtime, Extractor], examples: Sequence[Example], rounds: int) -> None:
    tweets = _tweets(examples)
    seconds: dict[Runtime, list[float]] = {runtime: [] for runtime in extractors}
    for extractor in extractors.values():
        extractor.extract_all(tweets[:64])  # the first call allocates
    for _ in range(rounds):
        for runtime, extractor in extractors.items():
            started = time.process_time()
            extractor.extract_all(tweets)
            seconds[runtime].append(time.process_time() - started)
    ratios = sorted(slow / fast for slow, fast in zip(seconds["torch"], seconds["int8"], strict=True))
    for runtime, each in seconds.items():
        console.print(f"{runtime}: {len(tweets) / median(each):.0f} posts per second of CPU time, median of {rounds}")
    console.print(
        f"int8 is {median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} rounds of "
        f"{len(tweets)} posts, without captions)"
    )


def _print_scores(extractors: dict[Runtime, Extractor], examples: dict[str, list[Example]], captioned: bool) -> None:
    table = Table(title="validation posts", title_justify="left")
    for column in ("data set", "captions", "runtime", "F1", "ECE", "to review", "precision above"):
        table.add_column(column, justify="left" if column in ("data set", "captions", "runtime") else "right")
    for name, own in examples.items():
        for with_captions in (False, True) if captioned else (False,):
            for runtime, extractor in extractors.items():
                score = _score(extractor, own, with_captions)
                table.add_row(
                    name,
                    "yes" if with_captions else "no",
                    runtime,
                    f"{100 * score.f1:.2f}",
                    f"{score.ece:.4f}",
                    f"{score.reviewed:.1%}",
                    "-" if score.precision is None else f"{score.precision:.1%}",
                )
    console.print(table)


def _score(extractor: Extractor, examples: Sequence[Example], captions: bool) -> Score:
    gold = [example.tags for example in examples]
    predictions = predict(extractor.predictor, extractor.tokenizer, examples, captions)
    board, at_threshold = scoreboard(gold, predictions), routed(judge(gold, predictions), extractor.info.threshold)
    return Score(board.f1, board.ece, at_threshold.reviewed, at_threshold.precision)


if __name__ == "__main__":
    main(command)
