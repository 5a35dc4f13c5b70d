"""`mner quantise`: a checkpoint with two runtimes, written completely or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest

from cli.training import quantise as command
from core.errors import UserError
from core.events import Tweet
from model.checkpoint import INT8_LAYERS, describe
from model.density import INT8_DENSITY, DensityModel
from model.extractor import Extractor
from streams.settings import CHECKPOINT

PLACES = ("Paris", "London", "Chicago", "Toronto", "Boston", "Texas", "Canada", "Miami")


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped checkpoint with both runtimes."""
    folder = tmp_path_factory.mktemp("data") / "toy2017"
    folder.mkdir()
    for number, split in enumerate(("train", "valid", "test")):
        posts = [f"I\tO\nlove\tO\n{PLACES[n % 8]}\tB-LOC\n{number}{n}\tO\n" for n in range(40)]
        (folder / f"{split}.txt").write_text("\n".join(posts), encoding="utf-8")
    out = folder.parent / "checkpoint"
    command.command(checkpoint=CHECKPOINT, data=folder, output=out, target_precision=0.6)
    return out


def test_the_command_adds_a_runtime_and_changes_nothing_of_torch(quantised: Path) -> None:
    before, after = describe(CHECKPOINT), describe(quantised)
    assert after.int8 is not None
    assert after.int8.target_precision == 0.6
    assert after.model_copy(update={"int8": None}) == before
    assert (quantised / INT8_DENSITY).is_file()
    for name in ("model.safetensors", "density.safetensors"):
        assert (quantised / name).read_bytes() == (CHECKPOINT / name).read_bytes()


def test_a_quantised_checkpoint_gives_the_same_mentions_alone_and_in_a_batch(quantised: Path) -> None:
    extractor = Extractor.load(quantised, device="cpu", threads=1, runtime="int8")
    assert extractor.info.runtime == "int8"
    tweets = [Tweet(id=str(n), text=f"I love {place} " * (1 + n)) for n, place in enumerate(PLACES)]
    contexts = [None, "a city"] * 4
    together = extractor.extract_all(tweets, contexts)
    alone = [extractor.extract_all([tweet], [words])[0] for tweet, words in zip(tweets, contexts, strict=True)]
    assert [repr(each) for each in alone] == [repr(each) for each in together]
    assert any(each.mentions for each in together)


def test_a_post_of_several_windows_has_the_same_mentions_alone_and_in_a_batch(quantised: Path) -> None:
    extractor = Extractor.load(quantised, device="cpu", threads=1, runtime="int8")
    tweets = [Tweet(id=str(n), text=f"I love {place} and the sea. " * 90) for n, place in enumerate(PLACES[:2])]
    assert all(len(extractor.tokenizer.encode(tweet.text, None).parts) > 1 for tweet in tweets)
    together = extractor.extract_all([*tweets, Tweet(id="short", text="I love Paris")])
    alone = [extractor.extract_all([tweet])[0] for tweet in tweets]
    assert [repr(each) for each in alone] == [repr(each) for each in together[:2]]


def test_int8_goes_with_some_of_the_views(quantised: Path) -> None:
    extractor = Extractor.load(quantised, device="cpu", threads=1, runtime="int8", views=["text"])
    (extracted,) = extractor.extract_all([Tweet(id="1", text="I love Paris")], ["a city"])
    assert (extractor.info.runtime, extractor.info.design.views) == ("int8", ("text",))
    assert extracted.typicality is not None
    assert all(mention.views.keys() == {"text"} for mention in extracted.mentions)


@pytest.mark.parametrize("file", [INT8_LAYERS, INT8_DENSITY])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "No such file .*; quantise the checkpoint again", id="missing"),
        pytest.param(b"other", "is not the file that the checkpoint was quantised to", id="changed"),
    ],
)
def test_files_that_are_not_those_of_the_checkpoint_are_refused(
    quantised: Path, tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(quantised, copy)
    (copy / file).unlink()
    if content is not None:
        (copy / file).write_bytes(content)
    with pytest.raises(UserError, match=message):
        Extractor.load(copy, device="cpu", runtime="int8")
    assert Extractor.load(copy, device="cpu", runtime="torch").info.runtime == "torch"


def test_a_target_that_cannot_be_promised_writes_nothing(
    tmp_path: Path, quantised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_quantised", lambda *_: b"")  # the promise is what this test is about
    data, out = quantised.parent / "toy2017", tmp_path / "out"
    with pytest.raises(UserError, match=r"--target-precision 0\.999: cannot be promised"):
        command.command(checkpoint=CHECKPOINT, data=data, output=out, target_precision=0.999)
    assert not out.exists()
    with pytest.raises(UserError, match="exists already"):
        command.command(checkpoint=CHECKPOINT, data=data, output=quantised)
    with pytest.raises(UserError, match="--delta 1: choose a number above 0 and below 1"):
        command.command(checkpoint=CHECKPOINT, data=data, output=out, delta=1)


def test_a_checkpoint_that_promises_nothing_needs_a_target(quantised: Path) -> None:
    info = describe(quantised)
    assert command._aims(info, None, None) == (info.target_precision, info.delta)
    assert command._aims(info, 0.7, 0.2) == (0.7, 0.2)
    without = info.model_copy(update={"target_precision": 0.0, "delta": None})
    assert command._aims(without, 0.7, None) == (0.7, 0.1)
    with pytest.raises(UserError, match=r"promises no precision .*; give --target-precision"):
        command._aims(without, None, None)


def test_a_crash_leaves_no_half_checkpoint_under_the_new_name(tmp_path: Path) -> None:
    def interrupted() -> None:
        with command._new_folder(tmp_path / "new", CHECKPOINT) as folder:
            assert describe(folder) == describe(CHECKPOINT)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_a_crash_in_place_leaves_a_checkpoint_for_torch(
    quantised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(quantised, copy)
    fitted, network = describe(copy).int8, Extractor.load(copy, device="cpu", threads=1).predictor.network
    assert fitted is not None
    assert network.density is not None
    with monkeypatch.context() as broken:
        broken.setattr(DensityModel, "save", Mock(side_effect=OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            command._store(copy, fitted, b"layers", network.density)
    assert describe(copy) == describe(quantised).model_copy(update={"int8": None})
    command._store(copy, fitted.model_copy(update={"density_sha256": None}), b"layers", None)
    assert not (copy / INT8_DENSITY).exists()
    stored = describe(copy).int8
    assert stored is not None
    assert stored.density_sha256 is None


def test_the_stored_configuration_is_json_with_one_part_for_int8(quantised: Path) -> None:
    stored = json.loads((quantised / "config.json").read_text(encoding="utf-8"))
    assert set(stored["int8"]) == {
        "sha256",
        "density_sha256",
        "threshold",
        "target_precision",
        "temperature",
        "candidate_threshold",
        "delta",
    }
