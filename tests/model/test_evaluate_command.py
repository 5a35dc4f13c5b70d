"""`mner evaluate` as a person or a script runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.evaluate import MEASURE, MEASURES, Doubts, out_of_distribution
from model.plots import reliability, risk_coverage
from streams.cli import evaluate as command
from streams.errors import UserError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "test.txt").write_text("I\tO\nlove\tO\nParis\tB-LOC\n\nJustin\tB-PER\nBieber\tI-PER\nsings\tO\n")
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "wnut"
    folder.mkdir()
    (folder / "emerging.test.annotated").write_text("zzyx\tO\n\n@\tO\n\ngrrmpf\tB-creative-work\n")
    return folder


def test_the_scoreboard_its_plots_and_its_json(
    data: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plots = tmp_path / "scores.json", tmp_path / "new" / "plots"
    command.command(data=data, ood=other, plots=plots, json_out=out)
    scores = json.loads(out.read_text())
    assert scores["support"] == 2
    assert {"ece", "brier", "auroc_error", "aupr_error", "aurc", "at_80", "at_90", "possible"} <= scores.keys()
    assert scores["ood"] == "wnut"
    assert scores["ood_auroc"].keys() == MEASURES.keys()
    assert 0 <= scores["ood_auroc"][MEASURE]["epistemic"] <= 1
    for name in ("reliability", "risk_coverage"):
        with Image.open(plots / f"{name}.png") as picture:
            assert picture.width > 600
    told = capsys.readouterr().out
    assert all(word in told for word in ("brier", "aupr", "F1 at coverage", "possible mentions", "told from wnut"))


def test_a_folder_for_plots_that_cannot_be_made_is_told_before_the_work(data: Path) -> None:
    with pytest.raises(UserError, match="--plots /dev/null/x: Not a directory"):
        command.command(data=data, plots=Path("/dev/null/x"))


def test_nothing_predicted_can_be_drawn(tmp_path: Path) -> None:
    reliability([], "nothing", tmp_path / "one.png")
    risk_coverage([], 0.5, "nothing", tmp_path / "two.png")
    assert all((tmp_path / name).stat().st_size for name in ("one.png", "two.png"))


def test_each_measure_of_a_tweet_and_each_uncertainty_stands_alone() -> None:
    """Two words, three labels; the other tweet is noisy in its second word's best label alone, and well known."""
    calm = Doubts(np.full((2, 3), 1.0), np.full((2, 3), 1.0), np.array([0, 2]))
    noisy = calm.aleatoric.copy()
    noisy[1, 2], noisy[0, 0] = 1.5, 0.1
    found = out_of_distribution([calm], [Doubts(noisy, calm.epistemic * 0.5, calm.best)])
    assert {name: one.aleatoric for name, one in found.items()} == {
        "mean": 0.0,
        "max_word": 1.0,
        "mean_of_best": 0.0,
        "max_of_best": 1.0,
    }
    assert {one.epistemic for one in found.values()} == {0.0}
    assert out_of_distribution([calm], [])["mean"].aleatoric is None
