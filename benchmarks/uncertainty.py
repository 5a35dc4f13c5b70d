"""Compares the evidential uncertainty with the usual ones, over checkpoints of several seeds on published corpora.

    python -m benchmarks.uncertainty --evidential A,B,C --softmax D,E,F --data DIR [--captions FILE] [--ood DIR]

Validation data chooses how the scores of words become the score of a mention or a post. Use `--split test` only once,
at the end. docs/research/uncertainty.md explains what is compared.
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
from benchmarks.seeds import seed_of
from benchmarks.softmax import RULES, TWEET_RULES, Measure
from benchmarks.uncertainty_report import Choice, Report, Result, Row, row, show
from benchmarks.views import views
from cli.output import output_file
from cli.training.typed import typed
from core.errors import UserError
from model.density import DENSITY
from model.design import TEXT
from model.extractor import Extractor
from model.training import corpus
from model.training.scores import Scoreboard, scoreboard

SPLITS = ("valid", "test")
PLAIN = "`--set 'design.views=[\"text\"]' --set design.evidence=false --set design.chain=false`"


@dataclass(frozen=True)
class Way:
    """A way to measure the uncertainty of a plain softmax model."""

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
    """The beliefs of a plain softmax checkpoint on a data set."""

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
        """Returns the scores on a part of the data. Raises `Wrong` if no mention is predicted."""
        beliefs = self._beliefs[part, way.dropout]
        predictions = beliefs.predictions(way.measure, RULES[rule], self._temperature(way, rule))
        if not any(tweet.spans for tweet in predictions):
            raise Wrong(f"{self._name} finds no mention in {len(predictions)} posts")
        return scoreboard(beliefs.reading.gold, predictions)

    def ood(self, reference: str, ood: str, way: Way, rule: str, tweet_rule: str | None) -> float | None:
        """Returns the AUROC of separating the part `ood` from the part `reference`."""
        if tweet_rule is None:
            return None
        beliefs = {part: self._beliefs[part, way.dropout] for part in (reference, ood)}
        return softmax.ood_auroc(
            beliefs[reference], beliefs[ood], way.measure, tweet_rule, self._temperature(way, rule)
        )

    def _temperature(self, way: Way, rule: str) -> float:
        if not way.scaled:
            return 1.0
        if rule not in self._temperatures:
            self._temperatures[rule] = softmax.best_temperature(self._beliefs["valid", False], RULES[rule])
        return self._temperatures[rule]


def choose(baselines: Sequence[Baseline], measures: dict[str, dict[str, float]]) -> Choice:
    """Chooses one rule for all baselines on validation data: the best one on average. It is None without baselines.

    `measures`: the OOD AUROC of each measure of the evidential variances; empty without an OOD data set.
    """
    each = [(baseline, way) for baseline in baselines for way in WAYS]
    aurc = {rule: fmean(baseline.scores("valid", way, rule).aurc for baseline, way in each) for rule in RULES if each}
    rule = min(aurc, key=aurc.__getitem__, default=None)
    ood = {
        name: fmean(baseline.ood("valid", "ood_valid", way, rule, name) or 0.0 for baseline, way in each)
        for name in TWEET_RULES
        if measures and rule is not None
    }
    tweet_rule = max(ood, key=ood.__getitem__, default=None)
    best = {way: max(found, key=found.__getitem__) for way, found in measures.items()}
    return Choice(rule, aurc, tweet_rule, ood, best, measures)


def baseline_rows(baselines: Sequence[Baseline], choice: Choice) -> list[Row]:
    """Returns a row for each way; none without baselines."""
    if choice.rule is None:
        return []
    return [
        row(
            "softmax",
            way.name,
            "text",
            [baseline.scores("tweets", way, choice.rule) for baseline in baselines],
            [baseline.ood("tweets", "ood", way, choice.rule, choice.tweet_rule) for baseline in baselines],
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
    """Measures all checkpoints on a data set.

    `seed` shuffles the captions; None leaves the views out. `passed()` is called after each checkpoint and after
    each pass of MC-dropout.
    """
    baselines = [Baseline(extractor, data, passed) for extractor in plain]
    readings = []
    for extractor in evidential:
        readings.append(Read.of(extractor, data))
        passed()
    choice = choose(baselines, measures(readings))
    rows = [*evidential_rows(readings, choice), *baseline_rows(baselines, choice)]
    by_view = [] if seed is None else [views(each, data.tweets, seed) for each in readings]
    return Result(data.name, len(data.tweets), rows, choice, by_view)


def checked(evidential: Sequence[Extractor], plain: Sequence[Extractor]) -> None:
    """Raises `UserError` if a checkpoint does not fit the option that names it."""
    if not evidential:
        raise UserError("--evidential: give at least one checkpoint")
    if plain and len(evidential) != len(plain):
        raise UserError(
            f"--evidential names {len(evidential)} checkpoints and --softmax {len(plain)}: give the same number of each"
        )
    for extractor in [*evidential, *plain]:
        check_blind(extractor)
    for extractor in evidential:
        if not extractor.info.design.evidence:
            raise UserError(f"--evidential: {extractor.info.name} was trained without evidence")
        if TEXT not in extractor.info.design.views:
            raise UserError(f"--evidential: {extractor.info.name} has no view {TEXT}, which the baselines read")
        if extractor.predictor.network.density is None:
            raise UserError(
                f"--evidential: {extractor.info.name} has no {DENSITY}; make it with `mner calibrate --background`"
            )
    for extractor in plain:
        design = extractor.info.design
        if design.evidence or design.chain or design.views != ("text",):
            raise UserError(f"--softmax: {extractor.info.name} is no plain softmax; train it with {PLAIN}")
    if any(extractor.info.encoder != evidential[0].info.encoder for extractor in [*evidential, *plain]):
        raise UserError("--evidential and --softmax: all checkpoints must have the same encoder")


def data_sets(folder: Path, captions: Path | None, split: str, ood: Path | None) -> list[Data]:
    """Reads the data sets in `folder`. Raises `UserError` when a file is missing or broken."""
    ood_parts = {part: corpus.read(corpus.split_file(ood, part)) for part in SPLITS} if ood else {}
    found = []
    for data_folder in corpus.folders(folder.resolve()):
        texts = corpus.read_captions(captions, data_folder.name) if captions else {}
        valid, tweets = (corpus.read(corpus.split_file(data_folder, part), texts) for part in ("valid", split))
        found.append(Data(data_folder.name, valid, tweets, ood_parts.get("valid", []), ood_parts.get(split, [])))
    return found


def _loaded(checkpoints: str) -> dict[str, Extractor]:
    return {folder: Extractor.load(Path(folder)) for folder in checkpoints.split(",") if folder}


def command(
    evidential: Annotated[str, typer.Option(help="Evidential checkpoints, one per seed, comma-separated.")],
    data: Annotated[Path, typer.Option(help="A data set, or a folder of data sets.")],
    plain: Annotated[
        str,
        typer.Option(
            "--softmax", help=f"Plain softmax checkpoints, one per seed, trained with {PLAIN}. Default: no baselines."
        ),
    ] = "",
    captions: Annotated[Path | None, typer.Option(help='Captions as JSON lines {"set", "img", "caption"}.')] = None,
    split: Annotated[str, typer.Option(help="Measured split: valid or test.")] = "test",
    ood: Annotated[Path | None, typer.Option(help="Out-of-distribution data set.")] = None,
    with_views: Annotated[bool, typer.Option("--views", help="Also measure each view.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the shuffled captions.")] = 0,
    json_to: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
) -> None:
    """Compare evidential uncertainties with those of a plain softmax model on the same encoder."""
    if split not in SPLITS:
        raise UserError(f"--split {split}: choose one of {', '.join(SPLITS)}")
    sets = data_sets(data, captions, split, ood)
    ours, theirs = _loaded(evidential), _loaded(plain)
    checked(list(ours.values()), list(theirs.values()))
    console = Console(width=None if sys.stdout.isatty() else 220)
    results = []
    with output_file(json_to, "--json") if json_to else nullcontext() as sink:
        with Progress(console=Console(stderr=True)) as bars:
            for data_set in sets:
                passes = len(ours) + len(data_set.parts) * len(theirs) * softmax.PASSES
                advance = partial(bars.advance, bars.add_task(f"{data_set.name}: reading", total=passes))
                shuffles = seed if with_views else None
                results.append(measured(list(ours.values()), list(theirs.values()), data_set, shuffles, advance))
        evidential_seeds, softmax_seeds = (
            {folder: seed_of(extractor.info) for folder, extractor in each.items()} for each in (ours, theirs)
        )
        report = Report(typed("python -m benchmarks.uncertainty"), split, evidential_seeds, softmax_seeds, results)
        if sink is not None:
            sink.write(json.dumps(asdict(report), indent=1).encode() + b"\n")
    console.print(report.command, highlight=False, soft_wrap=True)
    console.print(f"seeds: evidential {report.evidential}, softmax {report.softmax}\n", highlight=False, soft_wrap=True)
    for result in results:
        show(result, split, console)


if __name__ == "__main__":
    main(command)
