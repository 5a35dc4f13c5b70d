"""The comparison of a cascade with its checkpoints, on a toy corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import cascade as benchmark
from core.errors import UserError
from model.cascade_file import CascadeInfo, stage_of, write_cascade
from model.checkpoint import describe
from streams.settings import CHECKPOINT
from tests.model import corpora


def test_each_contender_has_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info, file = describe(CHECKPOINT), tmp_path / "twice.json"
    stages = tuple(stage_of(CHECKPOINT, info, limit, file) for limit in (0.3, None))
    fields = info.model_dump(include={"target_precision", "delta", "candidate_threshold", "model_version", "threshold"})
    write_cascade(file, CascadeInfo(name="twice", stages=stages, **fields))
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
