"""Calibration: thresholds chosen on validation data, written completely or not at all."""

from __future__ import annotations

import json
import re
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from cli.training import calibrate as command
from core.errors import UserError
from model.checkpoint import CONFIG, CheckpointInfo, Int8, Temperatures, describe, write_config
from model.density import DENSITY, DensityModel
from model.design import CONTEXT, IMAGE, TEXT, Design, View
from model.mentions import Prediction, Span
from model.tagger import Tagger
from model.tokens import TweetTokenizer
from model.training import calibrate as calibration
from model.training.calibrate import (
    UNCALIBRATED,
    asked_about,
    best_temperatures,
    calibrate,
    candidate_threshold_of,
    is_tuning,
)
from model.training.config import OptimisationConfig
from model.training.corpus import Example
from model.training.encoder import pretrained
from model.training.reading import read
from model.training.train import Trainer, items
from streams.settings import CHECKPOINT
from tests.model.toys import bert, examples, save

PLACES = ("Paris", "London", "Chicago", "Toronto", "Boston", "Texas", "Canada", "Miami")


def span(start: int, probability: float) -> Span:
    return Span(start, start + 1, "PER", probability, 0.1, 0.2, {})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The shipped one, to be written to."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINT, folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eighty tweets with a place each, of which every second has a caption."""
    folder = tmp_path / "toy2017"
    folder.mkdir()
    lines = [f"IMGID:{n}\nI\tO\nlove\tO\n{PLACES[n % 8]}\tB-LOC\n{n}\tO\ntimes\tO\n" for n in range(80)]
    for split in ("train", "valid"):
        (folder / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    captions = [json.dumps({"set": "2017", "img": str(n), "caption": "a city"}) for n in range(0, 80, 2)]
    (tmp_path / "captions.jsonl").write_text("\n".join(captions), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("budget", "threshold"),
    [
        pytest.param(0.0, 1.0, id="no budget: none is asked about"),
        pytest.param(0.5, 0.4, id="one question for two mentions"),
        pytest.param(0.99, 0.4, id="equal probabilities are asked about together or not at all"),
        pytest.param(1.5, 0.3, id="three for two"),
        pytest.param(9.0, 0.3, id="all there are"),
    ],
)
def test_questions_about_candidates_stay_within_their_budget(budget: float, threshold: float) -> None:
    predictions = [
        Prediction((span(0, 0.9),), (span(1, 0.4), span(2, 0.3))),
        Prediction((span(0, 0.9),), (span(1, 0.3), span(0, 0.3))),  # the last is the mention's own question
    ]
    assert candidate_threshold_of(predictions, budget) == threshold
    assert asked_about(predictions, threshold) <= budget


def test_a_fifth_of_the_tweets_chooses_and_copies_stay_together() -> None:
    examples = [Example(str(n), (f"tweet{n}",), ("O",)) for n in range(1000)]
    assert 150 < sum(map(is_tuning, examples)) < 250
    assert all(
        is_tuning(each) == is_tuning(Example("x", (each.words[0].upper(), "!"), ("O", "O"))) for each in examples
    )


def test_the_command_writes_what_it_promises(checkpoint: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, before = (checkpoint / "model.safetensors").stat().st_mtime_ns, describe(checkpoint)
    fitted = DensityModel.load(checkpoint, before.encoder["hidden_size"])
    assert fitted is not None
    captions = data.parent / "captions.jsonl"
    command.command(data=data, checkpoint=checkpoint, captions=captions, target_precision=0.6, delta=0.2)
    after, printed = describe(checkpoint), " ".join(capsys.readouterr().out.split())
    assert (after.target_precision, after.delta) == (0.6, 0.2)
    assert (after.name, after.model_version) == (before.name, before.model_version)
    assert f"review threshold {after.threshold:.4f}" in printed
    assert "of mentions go to review (text)" in printed
    assert "of mentions go to review (captions)" in printed
    assert all(target in printed for target in ("0.9", "0.95", "0.98"))
    assert re.search(r"LOC │ [56]\d │ \d+\.\d% │ \d+\.\d% │ \d+\.\d%", printed), "64 posts test; the others tune"
    assert "PER │" not in printed, "too few"
    assert (checkpoint / "model.safetensors").stat().st_mtime_ns == weights
    known = DensityModel.load(checkpoint, after.encoder["hidden_size"])
    assert known is not None
    assert len(known.reference) == 80, "all validation tweets, however they are read"
    assert fitted.counts is not None
    assert known.counts is not None
    for each, other in ((known.centre, fitted.centre), (known.whitening, fitted.whitening)):
        assert torch.equal(each, other), "what the model was trained on is no other now"
    assert torch.equal(known.counts, fitted.counts)


def test_a_checkpoint_of_an_earlier_version_keeps_no_old_names(checkpoint: Path, data: Path) -> None:
    info = describe(checkpoint)
    write_config(checkpoint, info.model_copy(update={"provenance": {"familiar words": "beside others", "x": 1}}))
    (checkpoint / DENSITY).rename(checkpoint / "familiarity.safetensors")
    command.command(data=data, checkpoint=checkpoint, target_precision=0.6, delta=0.2)
    assert describe(checkpoint).provenance == {"density": "beside others", "x": 1}
    assert {path.name for path in checkpoint.glob("*.safetensors")} == {"model.safetensors", DENSITY}


def test_the_int8_runtime_keeps_its_own_calibration(
    checkpoint: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    temperature = Temperatures.same(1.7)
    int8 = Int8(
        sha256="0" * 64, threshold=0.81, target_precision=0.9, temperature=temperature, candidate_threshold=0.33
    )
    write_config(checkpoint, describe(checkpoint).model_copy(update={"int8": int8}))
    command.command(data=data, checkpoint=checkpoint, target_precision=0.6, delta=0.2)
    assert describe(checkpoint).int8 == int8
    assert "int8 runtime keeps its own calibration. `mner quantise` makes it anew" in capsys.readouterr().out


def test_a_checkpoint_without_a_density_gets_one(checkpoint: Path, data: Path) -> None:
    (checkpoint / DENSITY).unlink()
    (data / "test.txt").write_text("of\tO\ntheir\tO\ntest\tO\n\n", encoding="utf-8")
    (data / "train.txt").write_text((data / "valid.txt").read_text().replace("times", "days"), encoding="utf-8")
    command.command(data=data, checkpoint=checkpoint, target_precision=0.6, delta=0.2)
    assert DensityModel.load(checkpoint, describe(checkpoint).encoder["hidden_size"]) is not None


def corpus(folder: Path, **splits: str) -> Path:
    """A data set of tweets of these words, without mentions, one a line."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "valid", "test"):
        lines = splits.get(split, f"nothing here in {split}").splitlines()
        tweets = ["".join(f"{word}\tO\n" for word in line.split()) for line in lines]
        (folder / f"{split}.txt").write_text("\n".join([*tweets, ""]), encoding="utf-8")
    return folder


def test_the_density_is_fitted_beside_a_background(
    checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "train.txt").write_text((data / "valid.txt").read_text().replace("times", "days"), encoding="utf-8")
    (data / "test.txt").write_text("of\tO\ntheir\tO\ntest\tO\n\n", encoding="utf-8")
    others = corpus(tmp_path / "others", train="who runs\nof their test\nown dev", valid="own dev")
    asked = Mock(wraps=calibration.fit_density)
    monkeypatch.setattr(calibration, "fit_density", asked)
    size = describe(checkpoint).encoder["hidden_size"]
    before = DensityModel.load(checkpoint, size)
    command.command(data=data, checkpoint=checkpoint, target_precision=0.6, delta=0.2, background=[others])
    after = DensityModel.load(checkpoint, size)
    assert before is not None
    assert after is not None
    assert after.counts is not None
    assert not torch.equal(before.centre, after.centre)
    assert describe(checkpoint).provenance["density"] == f"by `mner calibrate`, beside {tmp_path.name}/others"
    assert [each.words for each in asked.call_args.args[-1]] == [("who", "runs")], "no text of a held-out split"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param("nowhere", r"--background .*nowhere: no such folder", id="not there"),
        pytest.param("own", r"--background: all its training texts also occur in --data", id="nothing new in it"),
    ],
)
def test_a_background_without_new_texts_is_refused(
    spoil: str, message: str, checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    before = (checkpoint / DENSITY).read_bytes()
    (data / "train.txt").write_text("who\tO\nruns\tO\n\n", encoding="utf-8")
    (data / "test.txt").write_text("of\tO\ntheir\tO\ntest\tO\n\n", encoding="utf-8")
    others = tmp_path / spoil if spoil == "nowhere" else corpus(tmp_path / spoil, train="who runs\nof their test")
    with pytest.raises(UserError, match=message):
        command.command(data=data, checkpoint=checkpoint, target_precision=0.6, delta=0.2, background=[others])
    assert (checkpoint / DENSITY).read_bytes() == before


def test_a_target_that_cannot_be_promised_changes_nothing(checkpoint: Path, data: Path) -> None:
    before = (checkpoint / CONFIG).read_bytes()
    with pytest.raises(
        UserError, match=r"0\.999: cannot be promised on .* choose 0\.\d\d or less, which .* is unchanged"
    ):
        command.command(data=data, checkpoint=checkpoint, target_precision=0.999)
    assert (checkpoint / CONFIG).read_bytes() == before


@pytest.mark.parametrize(
    ("views", "captioned", "modes"),
    [
        pytest.param((TEXT, CONTEXT), True, {"text", "captions"}, id="both"),
        pytest.param((TEXT, CONTEXT), False, {"text"}, id="no captions to read"),
        pytest.param((TEXT,), True, {"text"}, id="text alone"),
        pytest.param((CONTEXT,), True, {"captions"}, id="nothing without a caption"),
    ],
)
def test_a_design_is_calibrated_in_all_modes_that_it_reads(
    tmp_path: Path, views: tuple[View, ...], captioned: bool, modes: set[str]
) -> None:
    network, tokenizer, tweets = learned(tmp_path, Design(views=views))
    if not captioned:
        tweets = [replace(each, caption=None) for each in tweets]
    found = calibrate(network, tokenizer, tweets, 0.05, "cpu")
    assert found.readings.keys() == modes
    assert found.highest().target > 0


def test_a_model_that_reads_images_is_calibrated_without_them_too(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    network, tokenizer, tweets = learned(tmp_path, Design(views=(TEXT, IMAGE), image_width=4))
    tweets = [replace(each, image=chance.normal(size=(2, 4))) for each in tweets]
    found = calibrate(network, tokenizer, tweets, 0.05, "cpu")
    assert found.readings.keys() == {"text", "text, no image"}
    assert calibrate(network, tokenizer, tweets, 0.05, "cpu", Temperatures.same(9.9)).temperature.single < 9.9


def test_a_context_without_captions_cannot_be_calibrated_and_all_goes_to_review(tmp_path: Path) -> None:
    network, tokenizer, tweets = learned(tmp_path, Design(views=(CONTEXT,)))
    with pytest.raises(UserError, match="too few mentions are predicted"):
        calibrate(network, tokenizer, [replace(each, caption=None) for each in tweets], 0.05, "cpu")
    assert UNCALIBRATED.promise(0.5) is None
    last = UNCALIBRATED.highest()
    assert (last.threshold, last.target, last.reviewed) == (1.0, 0.0, {})


def learned(folder: Path, design: Design) -> tuple[Tagger, TweetTokenizer, list[Example]]:
    """A toy network trained for a moment, and the tweets."""
    network, tokenizer = pretrained(str(save(folder, bert)), 0, design)
    tweets = examples(80)
    config = OptimisationConfig(epochs=3, encoder_rate=5e-3, head_rate=1e-2, batch_tokens=128)
    trainer = Trainer(network, items(tweets, tokenizer), tokenizer, config, "cpu")
    while not trainer.finished:
        trainer.run_epoch(lambda done, value: None)
    return network.eval(), tokenizer, tweets


def test_joined_views_have_their_own_temperature(tmp_path: Path) -> None:
    """Scores half as large again need a temperature half as high again. A tweet with one view keeps its own."""
    network, tokenizer, tweets = learned(tmp_path, Design(emission="location", chain=False))
    tweets = [each if number % 5 else replace(each, tags=("O",) * len(each.tags)) for number, each in enumerate(tweets)]
    same = read(network, tokenizer, tweets, False, "cpu")
    louder = [
        replace(
            each,
            batch=replace(each.batch, present=torch.ones_like(each.batch.present)),
            together=each.together._replace(gamma=1.5 * each.together.gamma),
        )
        for each in same.outputs
    ]
    found = best_temperatures([same, replace(same, outputs=louder)])
    assert found.joined == pytest.approx(1.5 * found.single, abs=0.16)
    quiet, loud = same.predictions(found), replace(same, outputs=louder).predictions(found)
    assert [span.probability for each in loud for span in each.spans] == pytest.approx(
        [span.probability for each in quiet for span in each.spans], abs=0.05
    )
    assert best_temperatures([same]) == Temperatures.same(found.single)
    before = Temperatures(single=3.3, joined=3.4)
    assert best_temperatures([same], before) == Temperatures(single=found.single, joined=3.4)
    few = replace(same, examples=same.examples[:3], outputs=[])
    assert best_temperatures([few], before) == before


def test_a_checkpoint_with_one_temperature_has_it_for_both(checkpoint: Path) -> None:
    config = json.loads((checkpoint / CONFIG).read_text(encoding="utf-8")) | {"temperature": 1.7}
    (checkpoint / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    assert describe(checkpoint).temperature == Temperatures.same(1.7)
    (checkpoint / CONFIG).write_text(json.dumps(config | {"temperature": 0}), encoding="utf-8")
    with pytest.raises(UserError, match=r"temperature\.single: Input should be greater than 0"):
        describe(checkpoint)


@pytest.mark.parametrize("option", ["target_precision", "delta"])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_must_lie_between_0_and_1(data: Path, option: str, value: float) -> None:
    target, delta = (0.9, value) if option == "delta" else (value, 0.1)
    with pytest.raises(UserError, match="choose a number above 0 and below 1"):
        command.command(data=data, target_precision=target, delta=delta)


def test_data_without_a_mention_cannot_calibrate(checkpoint: Path, data: Path) -> None:
    (data / "valid.txt").write_text("and\tO\nthen\tO\n\nor\tO\n", encoding="utf-8")
    with pytest.raises(UserError, match="too few mentions are predicted"):
        command.command(data=data, checkpoint=checkpoint, target_precision=0.5)


def test_a_configuration_that_cannot_be_written_stays_as_it_was(checkpoint: Path) -> None:
    info, before = describe(checkpoint), (checkpoint / CONFIG).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # as a full disk
    try:
        with pytest.raises(OSError, match="too large"):
            write_config(checkpoint, info.model_copy(update={"threshold": 0.123}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (checkpoint / CONFIG).read_bytes() == before


def test_a_configuration_from_before_promises_says_that_nothing_was_promised() -> None:
    config = json.loads((CHECKPOINT / CONFIG).read_text(encoding="utf-8"))
    config.pop("delta", None)
    assert CheckpointInfo.model_validate(config).delta is None
