"""`mner evaluate` as a person or a script runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.training import calibrate
from cli.training import evaluate as command
from cli.training.views import with_images
from core.errors import UserError
from model.checkpoint import CheckpointInfo, Temperatures
from model.design import CONTEXT, IMAGE, LABELS, TEXT, Design
from model.extractor import Extractor
from model.predictor import Predictor
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.evaluate import EPISTEMIC_MEASURES, TweetUncertainty, out_of_distribution, tweet_uncertainties
from model.training.plots import reliability, risk_coverage
from streams.settings import CHECKPOINT
from tests.model.toys import bert, examples, save, save_vit


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
    assert (scores["support"], scores["runtime"]) == (2, "torch")
    assert {"ece", "brier", "auroc_error", "aupr_error", "aurc", "at_80", "at_90", "candidates"} <= scores.keys()
    assert scores["ood"] == "wnut"
    assert scores["ood_auroc"].keys() == EPISTEMIC_MEASURES.keys()
    assert 0 <= scores["ood_auroc_density"] <= 1
    assert all(0 <= each["epistemic"] <= 1 for each in scores["ood_auroc"].values())
    assert scores["candidates_at_budgets"].keys() == {"0.02", "0.05", "0.1"}
    assert scores["at_threshold"]["threshold"] == Extractor.load(CHECKPOINT).info.threshold
    command.command(data=data, threshold=1.0, json_out=out)
    assert json.loads(out.read_text())["at_threshold"] == {"threshold": 1.0, "reviewed": 1.0, "precision": None}
    for name in ("reliability", "risk_coverage"):
        with Image.open(plots / f"{name}.png") as image:
            assert image.width > 600
    printed = capsys.readouterr().out
    assert all(
        word in printed
        for word in (
            "brier",
            "aupr",
            "F1 at coverage",
            "candidates",
            "wnut separated",
            "by the density",
            *EPISTEMIC_MEASURES,
        )
    )


def test_user_names_are_words_unless_they_are_measured_as_accounts(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "test.txt").write_text("@\tO\nNASA\tB-ORG\nin\tO\nParis\tB-LOC\n\n@\tO\nBarackObama\tB-PER\n")
    out = tmp_path / "scores.json"
    command.command(data=data, json_out=out)
    words = json.loads(out.read_text())
    assert (words["accounts"], words["support"]) == ("mention", 3)
    command.command(data=data, accounts="account", json_out=out)
    accounts = json.loads(out.read_text())
    assert (accounts["accounts"], accounts["support"], accounts["predicted"]) == ("account", 1, 1)
    assert words["predicted"] > 1
    printed = capsys.readouterr().out
    assert "words, as the corpus labels them" in printed
    assert "accounts, in 2 posts" in printed


def test_captions_must_belong_to_the_posts_and_a_view_that_reads_them_needs_some(data: Path, tmp_path: Path) -> None:
    captions = tmp_path / "captions.jsonl"
    captions.write_text(json.dumps({"set": "toy", "img": "1", "caption": "a city"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"captions .*captions\.jsonl: none belongs to these posts"):
        command.command(data=data, captions=captions)
    with pytest.raises(UserError, match="reads only posts with captions, and none has one"):
        command.command(data=data, views="text+context")
    with pytest.raises(UserError, match=r"views image: the checkpoint minilm-.* has text, text\+context"):
        command.command(data=data, views="image")


def test_a_runtime_that_the_checkpoint_lacks_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_RUNTIME", "int8")
    with pytest.raises(UserError, match="MNER_RUNTIME: the runtime is int8, but the checkpoint has no int8 layers"):
        command.command(data=data)


def test_a_folder_for_plots_that_cannot_be_made_fails_before_the_work(data: Path) -> None:
    with pytest.raises(UserError, match="--plots /dev/null/x: Not a directory"):
        command.command(data=data, plots=Path("/dev/null/x"))


def test_out_of_distribution_scores_need_the_view_text(tmp_path: Path) -> None:
    extractor = untrained(tmp_path, Design(views=(CONTEXT,)))
    with pytest.raises(UserError, match="need the view text"):
        tweet_uncertainties(extractor.predictor, extractor.tokenizer, examples(4))


def test_a_checkpoint_that_reads_images_gets_those_in_the_folder(tmp_path: Path) -> None:
    extractor = untrained(tmp_path, Design(views=(TEXT, IMAGE), image_width=16), vision=save_vit(tmp_path / "vit"))
    (folder := tmp_path / "images").mkdir()
    Image.new("RGB", (20, 20), "red").save(folder / "7.jpg")
    tweets = [Example(name, ("ann",), ("B-PER",)) for name in ("6", "7")]
    assert [each.image is not None for each in with_images(extractor, tweets, folder)] == [False, True]
    with pytest.raises(UserError, match="reads images: give --images"):
        with_images(extractor, tweets, None)


def test_images_for_a_checkpoint_that_reads_none_are_refused(data: Path, tmp_path: Path) -> None:
    (data / "valid.txt").write_text((data / "test.txt").read_text())
    (data / "train.txt").touch()
    with pytest.raises(UserError, match=r"--images: .* reads no images"):
        command.command(data=data, images=tmp_path)
    with pytest.raises(UserError, match=r"--images: .* reads no images"):
        calibrate.command(data=data, images=tmp_path, target_precision=0.5)


def untrained(folder: Path, design: Design, vision: Path | None = None) -> Extractor:
    network, tokenizer = pretrained(str(save(folder / "encoder", bert)), 0, design)
    info = CheckpointInfo(
        name="toy",
        model_version=0,
        threshold=0.5,
        target_precision=0.5,
        temperature=Temperatures.same(1.0),
        labels=LABELS,
        design=design,
        encoder=network.config.to_diff_dict(),
        vision=str(vision) if vision else None,
        tokenizer=tokenizer.config,
    )
    return Extractor(tokenizer, Predictor(network, info, "cpu"))


def test_nothing_predicted_can_be_drawn(tmp_path: Path) -> None:
    reliability([], "nothing", tmp_path / "one.png")
    risk_coverage([], 0.5, "nothing", tmp_path / "two.png")
    assert all((tmp_path / name).stat().st_size for name in ("one.png", "two.png"))


def test_each_measure_reads_one_uncertainty() -> None:
    """Two words, three labels; the other tweet is noisy in its second word's best label alone, and well known."""
    calm = TweetUncertainty(np.full((2, 3), 1.0), np.full((2, 3), 1.0), np.array([0, 2]))
    noisy = calm.aleatoric.copy()
    noisy[1, 2], noisy[0, 0] = 1.5, 0.1
    found = out_of_distribution([calm], [TweetUncertainty(noisy, calm.epistemic * 0.5, calm.best)])
    assert {name: each.aleatoric for name, each in found.items()} == {
        "mean": 0.0,
        "max_word": 1.0,
        "mean_of_best": 0.0,
        "max_of_best": 1.0,
        "beyond_noise": None,
    }
    assert {each.epistemic for each in found.values()} == {0.0}
    assert out_of_distribution([calm], [])["mean"].aleatoric is None


def test_little_evidence_is_detected_whatever_the_noise() -> None:
    """Evidence nu is 1 in the one, 1/2 in the other, whose noise is less, so that its epistemic variance is no more."""
    best = np.array([0, 2])
    known = TweetUncertainty(np.full((2, 3), 1.0), np.full((2, 3), 1.0), best)
    unknown = TweetUncertainty(np.full((2, 3), 0.3), np.full((2, 3), 0.6), best)
    found = out_of_distribution([known], [unknown])
    assert (found["mean"].epistemic, found["beyond_noise"].epistemic) == (0.0, 1.0)


def test_posts_whose_source_may_not_train_are_not_measured(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = (data / "test.txt").read_text()
    (data / "test.txt").write_text("# source x\n" + plain)
    with pytest.raises(UserError, match=r"test\.txt: no post is left: 1 of 'unknown' may not train, 1 of 'x' may not"):
        command.command(data=data)
    (data / "test.txt").write_text("# source x\n" + plain.replace("Justin", "# source file\nJustin"))
    command.command(data=data, json_out=tmp_path / "scores.json")
    told = " ".join(capsys.readouterr().out.split())
    assert "1 posts are skipped, by the terms of their sources: 1 of 'x' may not train" in told
    assert "on toy/test, 1 posts" in told
