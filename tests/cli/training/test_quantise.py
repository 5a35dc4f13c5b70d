"""`mner quantise`: a checkpoint with two runtimes, written completely or not at all."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.torch import load_file, save_file

from cli.training import quantise as command
from core.errors import UserError
from core.events import Tweet
from model import adapters, int8_scales
from model.checkpoint import CARD, INT8_SCALES, WEIGHTS, describe, write_config
from model.density import INT8_DENSITY, DensityModel
from model.extractor import Extracted, Extractor
from model.int8_graph import write
from model.training.guarantee import Promise
from model.training.publish import with_int8
from streams.settings import CHECKPOINT

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?!\w)")
PROMISE = Promise(0.8, 0.9, 0.1, {}, {}, {})
PLACES = ("Paris", "London", "Chicago", "Toronto", "Boston", "Texas", "Canada", "Miami")


def assert_same(alone: Sequence[Extracted], together: Sequence[Extracted]) -> None:
    """The int8 layers give the same states. The heads, in torch, may round differently: see `check_alone`."""
    assert [digits(each) for each in alone] == [pytest.approx(digits(each), rel=1e-4, abs=1e-5) for each in together]
    assert [NUMBER.sub("#", repr(each)) for each in alone] == [NUMBER.sub("#", repr(each)) for each in together]


def digits(extracted: Extracted) -> list[float]:
    return [float(each) for each in NUMBER.findall(repr(extracted))]


@contextmanager
def graphs() -> Iterator[list[bytes]]:
    """Yields the ONNX models that the runtime gets while the block runs."""
    made: list[bytes] = []

    def recording(*arguments: Any) -> bytes:
        made.append(write(*arguments))
        return made[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(int8_scales, "write", recording)
        yield made


@pytest.fixture(scope="module")
def evaluated() -> list[bytes]:
    """The ONNX models that the command evaluated, see `quantised`."""
    return []


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory, evaluated: list[bytes]) -> Path:
    """The shipped checkpoint with both runtimes."""
    folder = tmp_path_factory.mktemp("data") / "toy2017"
    folder.mkdir()
    for number, split in enumerate(("train", "valid", "test")):
        posts = [f"I\tO\nlove\tO\n{PLACES[n % 8]}\tB-LOC\n{number}{n}\tO\n" for n in range(40)]
        (folder / f"{split}.txt").write_text("\n".join(posts), encoding="utf-8")
    out = folder.parent / "checkpoint"
    with graphs() as made:
        command.command(checkpoint=CHECKPOINT, data=folder, output=out, target_precision=0.6)
    evaluated += made
    return out


def test_the_command_adds_a_runtime_and_changes_nothing_of_torch(quantised: Path) -> None:
    before, after = describe(CHECKPOINT), describe(quantised)
    assert after.int8 is not None
    assert after.int8.target_precision == 0.6
    assert after.model_copy(update={"int8": None}) == before
    assert (quantised / INT8_DENSITY).is_file()
    for name in ("model.safetensors", "density.safetensors"):
        assert (quantised / name).read_bytes() == (CHECKPOINT / name).read_bytes()


def test_a_load_makes_the_layers_that_were_evaluated(quantised: Path, evaluated: list[bytes]) -> None:
    with graphs() as loaded:
        Extractor.load(quantised, device="cpu", threads=2, runtime="int8")
    before, after = (
        {each.name: numpy_helper.to_array(each) for each in onnx.load_from_string(model).graph.initializer}
        for (model,) in (evaluated, loaded)
    )
    assert sum(value.dtype == np.int8 for value in before.values()) == 6 * 4
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert (value.dtype, value.shape) == (after[name].dtype, after[name].shape)
        assert value.tobytes() == after[name].tobytes(), name


def test_the_scales_are_small_and_no_weights_are_stored(quantised: Path) -> None:
    assert (quantised / INT8_SCALES).stat().st_size < 70_000
    new = {path.name for path in quantised.iterdir()} - {path.name for path in CHECKPOINT.iterdir()}
    assert new <= {INT8_SCALES, INT8_DENSITY}


def test_the_model_card_says_what_holds_for_int8(quantised: Path) -> None:
    before, after = ((folder / CARD).read_text(encoding="utf-8") for folder in (CHECKPOINT, quantised))
    info = describe(quantised).int8
    assert info is not None
    head, section, limits = re.split(r"^## Int8\n|^(?=## Limits\n)", after, flags=re.MULTILINE)
    assert f"- review threshold {info.threshold}: mentions at or above it have a precision of at least 0.6" in section
    assert f"- temperature {info.temperature}\n" in section
    assert head + limits == re.sub(r"^## Int8\n.*?(?=^## )", "", before, flags=re.MULTILINE | re.DOTALL)
    assert with_int8(after, info, PROMISE).count("## Int8\n") == 1
    assert with_int8("# A card without sections\n", info, PROMISE).startswith("# A card without sections\n\n## Int8\n")


def test_a_quantised_checkpoint_gives_the_same_mentions_alone_and_in_a_batch(quantised: Path) -> None:
    extractor = Extractor.load(quantised, device="cpu", threads=1, runtime="int8")
    assert extractor.info.runtime == "int8"
    tweets = [Tweet(id=str(n), text=f"I love {place} " * (1 + n)) for n, place in enumerate(PLACES)]
    contexts = [None, "a city"] * 4
    together = extractor.extract_all(tweets, contexts)
    alone = [extractor.extract_all([tweet], [words])[0] for tweet, words in zip(tweets, contexts, strict=True)]
    assert_same(alone, together)
    assert any(each.mentions for each in together)


def test_a_post_of_several_windows_has_the_same_mentions_alone_and_in_a_batch(quantised: Path) -> None:
    extractor = Extractor.load(quantised, device="cpu", threads=1, runtime="int8")
    tweets = [Tweet(id=str(n), text=f"I love {place} and the sea. " * 90) for n, place in enumerate(PLACES[:2])]
    assert all(len(extractor.tokenizer.encode(tweet.text, None).parts) > 1 for tweet in tweets)
    together = extractor.extract_all([*tweets, Tweet(id="short", text="I love Paris")])
    alone = [extractor.extract_all([tweet])[0] for tweet in tweets]
    assert_same(alone, together[:2])


def test_int8_goes_with_some_of_the_views(quantised: Path) -> None:
    extractor = Extractor.load(quantised, device="cpu", threads=1, runtime="int8", views=["text"])
    (extracted,) = extractor.extract_all([Tweet(id="1", text="I love Paris")], ["a city"])
    assert (extractor.info.runtime, extractor.info.design.views) == ("int8", ("text",))
    assert extracted.typicality is not None
    assert all(mention.views.keys() == {"text"} for mention in extracted.mentions)


@pytest.mark.parametrize("file", [INT8_SCALES, INT8_DENSITY])
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


def test_scales_that_do_not_fit_the_weights_are_refused(quantised: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(quantised, copy)
    weights = load_file(copy / WEIGHTS)
    name = next(name for name in weights if name.endswith(adapters.UP))
    save_file(weights | {name: weights[name] * 1.5}, copy / WEIGHTS)
    with pytest.raises(UserError, match="the encoder has other weights than those that were quantised; quantise"):
        Extractor.load(copy, device="cpu", runtime="int8")
    info = describe(copy)
    assert info.int8 is not None
    (copy / INT8_SCALES).write_bytes(b"other")
    int8 = info.int8.model_copy(update={"sha256": hashlib.sha256(b"other").hexdigest()})
    write_config(copy, info.model_copy(update={"int8": int8}))
    with pytest.raises(UserError, match=r"cannot be used: it is broken: .*; quantise the checkpoint again"):
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
            command._store(copy, fitted, b"scales", network.density, PROMISE)
    assert describe(copy) == describe(quantised).model_copy(update={"int8": None})
    command._store(copy, fitted.model_copy(update={"density_sha256": None}), b"scales", None, PROMISE)
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
