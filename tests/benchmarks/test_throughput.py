"""A small run of the benchmark: both contenders do the same work, and the report can be written and read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from benchmarks.agree import agree
from benchmarks.report import Report, machine, percentile
from benchmarks.run import HANDWRITTEN, OURS, Wrong, filled
from benchmarks.throughput import MODELS, Bench
from core.errors import UserError
from core.events import Extraction, Mention, Tweet
from local.stack import Stack
from streams.settings import Settings
from tests.conftest import Given

COUNT = 200


def on_kafka_alone(settings: Settings) -> Settings:
    """Extract dials neither the index nor the queue."""
    return settings.model_copy(update={"elasticsearch": "http://127.0.0.1:9", "redis": "redis://127.0.0.1:9"})


def test_both_contenders_extract_every_tweet_once_and_find_the_same(
    servers: Stack | Given, settings: Settings, tmp_path: Path
) -> None:
    with Progress(console=Console(quiet=True)) as progress:
        figures = Bench(on_kafka_alone(settings), progress).measure(MODELS["stub"], COUNT, rounds=1, steady_s=1)
    report = Report("2026-11-21T07:00:00+00:00", machine(), figures)
    report.write(tmp_path / "report.json")
    report.show(Console(quiet=True))

    written = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [each["contender"] for each in written["figures"]] == [OURS.name, HANDWRITTEN.name]
    assert all(each["tweets_per_s"][0] > 0 and 0 < each["p50_ms"] <= each["p99_ms"] for each in written["figures"])
    assert len(report.ratios("stub")) == 1


def extraction(**changes: object) -> Extraction:
    mention = {"start": 0, "end": 5, "text": "Paris", "type": "LOC", "probability": 0.9, "aleatoric": 0.1}
    return Extraction(
        tweet=Tweet(id="1", text="Paris again"),
        mentions=(Mention.model_validate(mention | {"epistemic": 0.1} | changes),),
        model="m",
        model_version=1,
        threshold=0.5,
    )


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        pytest.param({}, True, id="the same"),
        pytest.param({"probability": 0.9001}, True, id="another batch's rounding"),
        pytest.param({"probability": 0.8}, False, id="another probability"),
        pytest.param({"type": "ORG"}, False, id="another type"),
        pytest.param({"end": 11, "text": "Paris again"}, False, id="another span"),
    ],
)
def test_contenders_with_different_mentions_fail_the_benchmark(changes: dict[str, object], same: bool) -> None:
    if same:
        agree({"1": extraction()}, {"1": extraction(**changes)})
        return
    with pytest.raises(Wrong, match="Paris"):
        agree({"1": extraction()}, {"1": extraction(**changes)})


@pytest.mark.parametrize(
    ("share", "wanted"), [pytest.param(0.5, 50, id="median"), pytest.param(0.99, 99, id="p99"), (1.0, 100)]
)
def test_percentiles_are_values_that_were_measured(share: float, wanted: int) -> None:
    assert percentile(range(1, 101), share) == wanted


def test_a_contender_that_ends_with_a_fault_fails_the_benchmark(servers: Stack | Given, settings: Settings) -> None:
    settings = on_kafka_alone(settings).model_copy(update={"model_factory": "benchmarks.stub:nothing"})
    with pytest.raises(UserError, match="ended with code"):
        filled(HANDWRITTEN, settings, COUNT, lambda _: None)
