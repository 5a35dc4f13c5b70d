"""Is the evidential uncertainty worth more than the usual ones? Checkpoints of several seeds, on published corpora.

    python -m benchmarks.uncertainty --evidential A,B,C --softmax D,E,F --data DIR [--captions FILE] [--ood DIR]

Validation data choose how words make the score of a mention or a tweet; `--split test` is for one reading at the end.
docs/uncertainty.md says what is compared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks import softmax
from benchmarks.command import main
from benchmarks.evidential import evidential_rows, measures
from benchmarks.reading import Data, Read, check_blind
from benchmarks.run import Wrong
from benchmarks.seeds import as_typed, seed_of
from benchmarks.softmax import RULES, TWEET_RULES, Measure
from benchmarks.uncertainty_report import Choice, Report, Result, Row, row, show
from benchmarks.views import views
from cli.output import output_file
from core.errors import UserError
from model.density import DENSITY
from model.design import TEXT
from model.extractor import Extractor
from model.training import corpus
from model.training.scores import Scoreboard, scoreboard

SPLITS = ("valid", "test")


@dataclass(frozen=True)
class Way:
    """A way to be unsure of a plain softmax model."""

    name: str
    measure: Measure
    dropout: bool = False
    scaled: bool = False


WAYS = (
    Way("maximum softmax probability", softmax.probability),
    Way("entropy", softmax.certainty),
    Way(f"MC-dropout, {softmax.PASSES} passes", softmax.probability, dropout=True),
    Way("temperature scaling", softmax.probability, scaled=True),
)


class Baseline:
    """One plain softmax checkpoint's beliefs of one data set."""

    def __init__(self, extractor: Extractor, data: Data, passed: Callable[[], None]) -> None:
        self._temperatures: dict[str, float] = {}
        self._name = extractor.info.name
        self._beliefs = {
            (part, dropout): softmax.dropped_out(extractor, tweets, passed)
            if dropout
            else softmax.beliefs(extractor, tweets)
            for part, tweets in data.parts.items()
            for dropout in (False, True)
        }

    def scores(self, part: str, way: Way, rule: str) -> Scoreboard:
        held = self._beliefs[part, way.dropout]
        predictions = held.predictions(way.measure, RULES[rule], self._temperature(way, rule))
        if not any(one.spans for one in predictions):
            raise Wrong(f"{self._name} finds no mention in {len(predictions)} tweets")
        return scoreboard(held.reading.gold, predictions)

    def ood(self, own: str, other: str, way: Way, rule: str, tweet_rule: str | None) -> float | None:
        if tweet_rule is None:
            return None
        held, strange = (self._beliefs[part, way.dropout] for part in (own, other))
        return softmax.told_apart(held, strange, way.measure, tweet_rule, self._temperature(way, rule))

    def _temperature(self, way: Way, rule: str) -> float:
        if not way.scaled:
            return 1.0
        if rule not in self._temperatures:
            self._temperatures[rule] = softmax.best_temperature(self._beliefs["valid", False], RULES[rule])
        return self._temperatures[rule]


def choose(baselines: Sequence[Baseline], measures: dict[str, dict[str, float]]) -> Choice:
    """On validation data, one rule for all baselines: the strongest on average; none without any. `measures`: how well
    each tells other tweets from the own there, by the evidential variances; empty where there are no others."""
    each = [(one, way) for one in baselines for way in WAYS]
    aurc = {rule: fmean(one.scores("valid", way, rule).aurc for one, way in each) for rule in RULES if each}
    rule = min(aurc, key=aurc.__getitem__, default=None)
    ood = {
        name: fmean(one.ood("valid", "strange_valid", way, rule, name) or 0.0 for one, way in each)
        for name in TWEET_RULES
        if measures and rule is not None
    }
    tweet_rule = max(ood, key=ood.__getitem__, default=None)
    best = {way: max(found, key=found.__getitem__) for way, found in measures.items()}
    return Choice(rule, aurc, tweet_rule, ood, best, measures)


def baseline_rows(baselines: Sequence[Baseline], choice: Choice) -> list[Row]:
    """None without any baseline."""
    if choice.rule is None:
        return []
    return [
        row(
            "softmax",
            way.name,
            "text",
            [one.scores("tweets", way, choice.rule) for one in baselines],
            [one.ood("tweets", "strange", way, choice.rule, choice.tweet_rule) for one in baselines],
            is_probability=way.measure is softmax.probability,
        )
        for way in WAYS
    ]


def measured(
    evidential: Sequence[Extractor],
    plain: Sequence[Extractor],
    data: Data,
    seed: int | None,
    passed: Callable[[], None] = lambda: None,
) -> Result:
    """`seed`: of the shuffled captions, None to leave the views out; `passed()`: after each checkpoint is read and each
    pass of MC-dropout."""
    baselines = [Baseline(one, data, passed) for one in plain]
    held = []
    for one in evidential:
        held.append(Read.of(one, data))
        passed()
    choice = choose(baselines, measures(held))
    rows = [*evidential_rows(held, choice), *baseline_rows(baselines, choice)]
    seen = [] if seed is None else [views(one, data.tweets, seed) for one in held]
    return Result(data.name, len(data.tweets), rows, choice, seen)


def checked(evidential: Sequence[Extractor], plain: Sequence[Extractor]) -> None:
    """Raises `UserError` where a checkpoint is not what it is compared as."""
    if not evidential:
        raise UserError("--evidential: wanted a checkpoint at least")
    if plain and len(evidential) != len(plain):
        raise UserError(f"--evidential {len(evidential)}, --softmax {len(plain)} checkpoints: wanted as many of each")
    for one in [*evidential, *plain]:
        check_blind(one)
    for one in evidential:
        if not one.info.design.evidence:
            raise UserError(f"--evidential: {one.info.name} was trained without evidence")
        if TEXT not in one.info.design.views:
            raise UserError(f"--evidential: {one.info.name} has no view {TEXT}, which is all that the baselines read")
        if one.predictor.network.density is None:
            raise UserError(f"--evidential: {one.info.name} has no {DENSITY}: `mner calibrate --background` makes it")
    for one in plain:
        design = one.info.design
        if design.evidence or design.chain or design.views != ("text",):
            raise UserError(f"--softmax: {one.info.name}: wanted `mner train --views text --no-evidence --no-chain`")
    if any(one.info.encoder != evidential[0].info.encoder for one in [*evidential, *plain]):
        raise UserError("--evidential and --softmax: wanted the same encoder for every checkpoint")


def data_sets(folder: Path, captions: Path | None, split: str, ood: Path | None) -> list[Data]:
    """Raises `UserError`."""
    strange = {part: corpus.read(corpus.split_file(ood, part)) for part in SPLITS} if ood else {}
    found = []
    for one in corpus.folders(folder.resolve()):
        told = corpus.read_captions(captions, one.name) if captions else {}
        valid, tweets = (corpus.read(corpus.split_file(one, part), told) for part in ("valid", split))
        found.append(Data(one.name, valid, tweets, strange.get("valid", []), strange.get(split, [])))
    return found


def _loaded(checkpoints: str) -> dict[str, Extractor]:
    return {folder: Extractor.load(Path(folder)) for folder in checkpoints.split(",") if folder}


def command(
    evidential: Annotated[str, typer.Option(help="checkpoints, comma-separated: one a seed")],
    data: Annotated[Path, typer.Option(help="a data set, or a folder of such")],
    plain: Annotated[
        str,
        typer.Option(
            "--softmax", help="as many, of `mner train --views text --no-evidence --no-chain`; default: no baselines"
        ),
    ] = "",
    captions: Annotated[Path | None, typer.Option(help='JSON lines {"set", "img", "caption"}')] = None,
    split: Annotated[str, typer.Option(help="what is measured, valid or test; valid always chooses")] = "test",
    ood: Annotated[Path | None, typer.Option(help="a data set of another kind, to be told apart")] = None,
    with_views: Annotated[bool, typer.Option("--views", help="also what each view is worth")] = False,
    seed: Annotated[int, typer.Option(help="of the shuffled captions")] = 0,
    json_to: Annotated[Path | None, typer.Option("--json", help="write every figure to this file")] = None,
) -> None:
    """Evidential uncertainty beside that of a plain softmax model on the same encoder."""
    if split not in SPLITS:
        raise UserError(f"--split {split}: wanted one of {', '.join(SPLITS)}")
    sets = data_sets(data, captions, split, ood)
    ours, theirs = _loaded(evidential), _loaded(plain)
    checked(list(ours.values()), list(theirs.values()))
    console = Console(width=None if sys.stdout.isatty() else 220)
    results = []
    with output_file(json_to, "--json") if json_to else nullcontext() as sink:
        with Progress(console=Console(stderr=True)) as bars:
            for one in sets:
                passes = len(ours) + len(one.parts) * len(theirs) * softmax.PASSES
                advance = partial(bars.advance, bars.add_task(f"{one.name}: reading", total=passes))
                shuffles = seed if with_views else None
                results.append(measured(list(ours.values()), list(theirs.values()), one, shuffles, advance))
        evidential_seeds, softmax_seeds = (
            {folder: seed_of(one.info) for folder, one in each.items()} for each in (ours, theirs)
        )
        report = Report(as_typed("benchmarks.uncertainty"), split, evidential_seeds, softmax_seeds, results)
        if sink is not None:
            sink.write(json.dumps(asdict(report), indent=1).encode() + b"\n")
    console.print(report.command, highlight=False, soft_wrap=True)
    console.print(f"seeds: evidential {report.evidential}, softmax {report.softmax}\n", highlight=False, soft_wrap=True)
    for result in results:
        show(result, split, console)


if __name__ == "__main__":
    main(command)
