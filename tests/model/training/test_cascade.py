"""The calibration of a cascade: limits from the share of posts that go on, and one promise for the whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.training import calibrate as command
from cli.training.cascade import calibrated
from core.errors import UserError
from model.cascade import read_through
from model.cascade_file import read_cascade
from model.checkpoint import CONFIG, describe, write_config
from model.extractor import Extractor
from model.mentions import Prediction, Span
from model.training import corpus
from model.training.calibrate import calibrate
from model.training.cascade import NONE_GOES_ON, CascadeCalibration, calibrate_cascade, choose_limits, shares_read
from streams.settings import CHECKPOINT
from tests.model.cascades import copy_checkpoint

PLACES = ("Paris", "London", "Chicago", "Toronto", "Boston", "Texas", "Canada", "Miami")


def doubting(posts: Sequence[float]) -> list[Prediction]:
    """Reads posts that are hundredths of doubt."""
    return [Prediction((Span(0, 1, "PER", 1 - post / 100, 0.1, 0.2, {}),)) for post in posts]


def half(posts: Sequence[float]) -> list[Prediction]:
    return doubting([post / 2 for post in posts])


@pytest.mark.parametrize(
    ("share", "limits", "shares"),
    [
        pytest.param(0.4, [0.6, 0.42], [0.4, 0.16], id="of the posts that each checkpoint reads"),
        pytest.param(0.005, [NONE_GOES_ON, NONE_GOES_ON], [0.0, 0.0], id="no post may go on"),
    ],
)
def test_at_most_that_share_of_its_posts_leaves_a_checkpoint(
    share: float, limits: list[float], shares: list[float]
) -> None:
    posts = [post + 0.5 for post in range(100)]  # no doubt is on a limit
    found, answers = choose_limits(posts, {"text": [doubting, half, doubting]}, share)
    assert found == limits
    assert shares_read(answers["text"], 3) == shares
    assert answers["text"] == read_through(posts, [doubting, half, doubting], found)


def test_the_share_is_kept_in_each_mode() -> None:
    posts = [post + 0.5 for post in range(100)]
    limits, answers = choose_limits(posts, {"text": [half, half], "captions": [doubting, half]}, 0.3)
    assert shares_read(answers["captions"], 2)[0] <= 0.3
    assert shares_read(answers["text"], 2)[0] < shares_read(answers["captions"], 2)[0]
    assert limits == [0.7]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eighty posts with a place each, of which every second has a caption."""
    folder = tmp_path / "toy2017"
    folder.mkdir()
    lines = [f"IMGID:{n}\nI\tO\nlove\tO\n{PLACES[n % 8]}\tB-LOC\n{n}\tO\ntimes\tO\n" for n in range(80)]
    for split in ("train", "valid"):
        (folder / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    captions = [json.dumps({"set": "2017", "img": str(n), "caption": "a city"}) for n in range(0, 80, 2)]
    (tmp_path / "captions.jsonl").write_text("\n".join(captions), encoding="utf-8")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> str:
    """Two copies of the shipped checkpoint, with names of their own."""
    for name in ("small", "large"):
        copy_checkpoint(tmp_path / name)
    return f"{tmp_path / 'small'},{tmp_path / 'large'}"


def test_the_command_writes_a_cascade(
    folders: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [(tmp_path / name / CONFIG).read_bytes() for name in ("small", "large")]
    file = tmp_path / "mine.json"
    command.command(
        data=data,
        cascade=folders,
        output=file,
        captions=data.parent / "captions.jsonl",
        target_precision=0.6,
        delta=0.2,
        share=0.3,
    )
    assert [(tmp_path / name / CONFIG).read_bytes() for name in ("small", "large")] == before
    cascade, printed = read_cascade(file, "cpu"), " ".join(capsys.readouterr().out.split())
    info = cascade.info
    assert (info.name, info.target_precision, info.delta) == ("mine", 0.6, 0.2)
    assert [stage.folder for stage in info.stages] == ["small", "large"]
    assert info.model_version > max(each.model_version for each in cascade.checkpoints)
    assert f"review threshold {info.threshold:.4f}" in printed
    for mode in ("text", "captions"):
        assert f"validation posts read too, {mode}: " in printed
        assert f"of mentions go to review ({mode})" in printed


def test_the_whole_has_the_thresholds_of_its_merged_answers(data: Path) -> None:
    """A cascade of one checkpoint twice answers as that one, so it has its thresholds and its promise."""
    extractor = Extractor.load(CHECKPOINT, device="cpu", threads=1)
    examples = corpus.read(corpus.split_file(data, "valid"))
    predictor = extractor.predictor
    alone = calibrate(predictor.network, extractor.tokenizer, examples, 0.05, "cpu")
    predictor.info = predictor.info.model_copy(update={"temperature": alone.temperature})
    found = calibrate_cascade([extractor, extractor], examples, 0.3, 0.05)
    assert 0 < found.shares["text"][0] < 0.6
    whole = found.thresholds
    assert (whole.candidate_threshold, whole.start) == pytest.approx((alone.candidate_threshold, alone.start))
    promised, other = whole.promise(0.6), alone.promise(0.6)
    assert promised is not None
    assert other is not None
    assert (promised.threshold, promised.precision) == (other.threshold, other.precision)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"cascade": "a"}, "--cascade a: has 1 checkpoints; name 2 or 3 folders", id="one"),
        pytest.param({"cascade": "a,b,c,d"}, "has 4 checkpoints; name 2 or 3 folders", id="four"),
        pytest.param({"output": None}, "--cascade needs --output", id="no output"),
        pytest.param({"output": Path("a b.json")}, r"--output a b\.json: the file's name names the cascade", id="name"),
        pytest.param({"output": Path("nowhere/a.json")}, "in none that exists; name a file", id="no folder"),
        pytest.param({"output": Path("toy2017")}, "is a folder, or", id="a folder"),
        pytest.param({"cascade": None}, "--output and --share go with --cascade", id="output without a cascade"),
        pytest.param({"checkpoint": CHECKPOINT}, "--cascade does not go with --checkpoint", id="a checkpoint too"),
        pytest.param({"share": 1.0}, "--share 1.0: choose a number above 0 and below 1", id="all posts"),
        pytest.param({"cascade": "nowhere,there"}, "--cascade: no model checkpoint in nowhere", id="not there"),
    ],
)
def test_a_wrong_option_is_named(
    options: dict[str, object], message: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fields: dict[str, object] = {"data": data, "cascade": "a,b", "output": Path("c.json"), "target_precision": 0.6}
    with pytest.raises(UserError, match=message):
        command.command(**fields | options)  # type: ignore[arg-type]
    assert not Path("c.json").exists()


def test_a_target_that_cannot_be_promised_writes_nothing(folders: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0\.999: cannot be promised on .* choose 0\.\d\d or less"):
        command.command(data=data, cascade=folders, output=tmp_path / "mine.json", target_precision=0.999)
    assert not (tmp_path / "mine.json").exists()


def test_checkpoints_of_one_name_are_refused_before_they_are_loaded(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--cascade: name minilm-evidential-3: 2 checkpoints of the cascade have it"):
        command.command(
            data=data, cascade=f"{CHECKPOINT},{CHECKPOINT}", output=tmp_path / "mine.json", target_precision=0.6
        )


def test_a_checkpoint_that_changes_during_the_calibration_is_refused(
    folders: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large"

    def calibrate_and_change(*arguments: Any) -> CascadeCalibration:
        found = calibrated(*arguments)
        write_config(large, describe(large).model_copy(update={"threshold": 0.123}))
        return found

    monkeypatch.setattr(command, "calibrated", calibrate_and_change)
    with pytest.raises(UserError, match=r"^--cascade: the checkpoint .*large has changed .*; calibrate the cascade"):
        command.command(data=data, cascade=folders, output=tmp_path / "mine.json", target_precision=0.6)
    assert not (tmp_path / "mine.json").exists()
