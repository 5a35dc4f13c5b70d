"""The comparison of a cascade with its checkpoints, on a toy corpus."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import cascade as benchmark
from core.errors import UserError
from model.checkpoint import describe
from model.mentions import Prediction
from model.training.corpus import Example
from streams.settings import CHECKPOINT
from tests.model import corpora
from tests.model.cascades import write_twice


def test_each_contender_has_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "twice.json"
    write_twice(file)
    for name in ("toy2015", "toy2017"):
        corpora.write(tmp_path / "data" / name)
    monkeypatch.setattr(benchmark, "console", Console(width=200))
    benchmark.command(cascade=file, data=tmp_path / "data", captions=tmp_path / "data" / "captions.jsonl")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    rows = [row for row in rows if len(row) == len(benchmark.COLUMNS)]
    names = [(name, has) for has in ("no", "yes") for name in ("toy2015", "toy2017", "together") for _ in range(3)]
    assert [(row[0], row[1]) for row in rows] == names
    for first, last, whole in zip(*[iter(rows)] * 3, strict=True):
        assert first[3] == last[3] == whole[3], "the same checkpoint has the same F1"
        assert (first[5], last[5], last[6]) == ("0.0%", "100.0%", "100%")
    with pytest.raises(UserError, match="--split train: choose valid or test"):
        benchmark.command(cascade=file, data=tmp_path, split="train")


def test_what_happens_only_once_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, passes = [0.0], [0]
    monkeypatch.setattr(time, "process_time", lambda: clock[0])

    def read(posts: Sequence[Example]) -> list[Prediction]:
        passes[0] += 1
        clock[0] += 100.0 if passes[0] == 1 else 1.0
        return [Prediction()] * len(posts)

    assert benchmark._timed(describe(CHECKPOINT), [], read).seconds == 1.0
