"""The configuration file of `mner train`: what it takes, and what its errors say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cli.training.configuration import read
from cli.training.train import command
from core.errors import UserError
from model.training.config import TrainingConfig
from tests.model.corpora import write
from tests.model.toys import bert, save
from tests.model.training.runs import train

EXAMPLES = Path(__file__).parents[3] / "examples" / "training"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "small.toml"
    file.write_text('[data]\nfolder = "toy2017"\n[losses]\nalignment = 0.1\n', encoding="utf-8")
    return file


@pytest.mark.parametrize("name", ["small", "large"])
def test_the_examples_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNER_DATA", "/data")
    training, text = read(EXAMPLES / f"{name}.toml", [])
    assert training.data.folder == Path("/data")
    assert training.data.captions == Path("/data/captions_blip2.jsonl")
    assert "$MNER_DATA/captions_blip2.jsonl" in text, "the copy names no folder of this machine"


def test_keys_of_the_copy_are_quoted_only_where_toml_asks_for_it(config: Path) -> None:
    overrides = ["losses.alignment_temperatures.twitter2015=4", 'data.unannotated={"ner/wikigold" = ["MISC"]}']
    _, text = read(config, overrides)
    assert "\ntwitter2015 = 4\n" in text
    assert '\n"ner/wikigold" = ["MISC"]\n' in text


def test_defaults_are_those_of_the_classes(config: Path) -> None:
    training, _ = read(config, [])
    assert training.losses.alignment == 0.1
    assert training.optimisation == TrainingConfig.model_fields["optimisation"].default
    assert training.checkpoint_name == "minilm-evidential"


def test_paths_start_at_the_folder_of_the_file_and_those_of_overrides_at_the_current_one(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)
    training, _ = read(config, ["data.captions=captions.jsonl", 'data.teachers=["a", "/b"]'])
    assert training.data.folder == tmp_path / "toy2017"
    assert training.data.captions == here / "captions.jsonl"
    assert training.data.teachers == (here / "a", Path("/b"))


def test_overrides_take_the_place_of_values_and_stand_in_the_copy(config: Path) -> None:
    overrides = ["design.chain=false", "name=mine", "losses.alignment_temperatures.twitter2015=4", "losses.alignment=0"]
    overrides.append('data.unannotated={"ner/wikigold" = ["MISC"]}')
    training, text = read(config, overrides, device="cpu")
    assert (training.design.chain, training.name, training.device) == (False, "mine", "cpu")
    assert training.losses.alignment_temperatures == {"twitter2015": 4.0}
    assert training.data.unannotated == {"ner/wikigold": ("MISC",)}
    copy = config.with_name("copy.toml")
    copy.write_text(text, encoding="utf-8")
    assert read(copy, [])[0] == training


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("design.chian=false", "design.chian: no such key", id="unknown key"),
        pytest.param("design.views=[]", "design.views: use one or more of text", id="no view"),
        pytest.param('design.views=["text","text"]', "design.views: use one or more of text", id="a view twice"),
        pytest.param('design.views=["x"]', "design.views.0 = 'x': Input should be 'text', ", id="unknown view"),
        pytest.param("name=my model", "name = 'my model': String should match", id="name with a blank"),
        pytest.param(
            "optimisation.head_rate=nan", "optimisation.head_rate = nan: Input should be", id="rate is no number"
        ),
        pytest.param("optimisation.epochs=0", "optimisation.epochs = 0: Input should be greater", id="no epoch"),
        pytest.param("device=tpu", "device = 'tpu': Input should be 'auto', 'cpu' or 'cuda'", id="device"),
        pytest.param(
            "losses.alignment_temperatures.toy2017=hot",
            "losses.alignment_temperatures.toy2017 = 'hot': Input should be a valid number",
            id="no number",
        ),
        pytest.param('data.unlabelled=["x"]', "data.unlabelled: texts without labels need", id="no teacher"),
        pytest.param("data.images=x", "data.images, image_encoder and the view image", id="images without a view"),
        pytest.param("design", "--set design: expected key=value", id="no value"),
        pytest.param("data.folder.x=1", "--set data.folder.x=1: folder is not a section", id="no section"),
    ],
)
def test_an_error_names_the_key_the_value_and_the_remedy(config: Path, override: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(config, [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("[design]\n", "data: missing; set it in the file or with --set", id="no data"),
        pytest.param("[data", "not valid TOML", id="no TOML"),
        pytest.param('[data]\nfolder = "$MNER_DATA/x"', "MNER_DATA is not set", id="no data folder"),
        pytest.param(None, "No such file", id="no file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNER_DATA", raising=False)
    file = tmp_path / "broken.toml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read(file, [])


def other_captions(folder: Path) -> Path:
    """Captions of a data set with another name."""
    path = folder / "others.jsonl"
    path.write_text('{"set": "2015", "img": "valid1", "caption": "a city"}', encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param("data.folder", "/nowhere", r"no train\.txt", id="no data"),
        pytest.param("encoder", "/nowhere/x", "the encoder /nowhere/x cannot be loaded", id="no encoder"),
        pytest.param("data.captions", "/nowhere/c.jsonl", "No such file", id="no captions"),
        pytest.param("design.views", ["text+context"], "no validation post has such a view", id="no context"),
        pytest.param(
            "losses.alignment_temperatures.x", 4, "losses.alignment_temperatures.x: no such data set", id="data set"
        ),
    ],
)
def test_a_training_that_cannot_begin_says_why(tmp_path: Path, key: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(tmp_path / "out", write(tmp_path / "toy2017"), {"encoder": save(tmp_path / "e", bert), key: value})


def test_captions_of_another_data_set_and_a_folder_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "toy2017")
    with pytest.raises(UserError, match="none belongs to these posts"):
        train(tmp_path / "out", data, {"data.captions": other_captions(tmp_path)})
    config = tmp_path / "toy.toml"
    config.write_text(f'[data]\nfolder = "{data}"\n', encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written: Not a dir"):
        command(config, out=data / "train.txt" / "x")


def test_the_copy_names_no_local_folder_and_says_where_its_relative_paths_start(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MNER_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    config.write_text(
        f'encoder = "{tmp_path}/encoder"\n[data]\nfolder = "{tmp_path}/sets/a"\nteachers = ["../large", "/b/c"]\n'
    )
    training, text = read(config, ["start=before/ck", f"data.captions={tmp_path}/sets/c.jsonl"])
    assert training.start == tmp_path / "before" / "ck"
    assert str(tmp_path) not in text
    assert "# Relative paths start at the folder of small.toml.\n# Those of start, data.captions start at the" in text
    copy = tomllib.loads(text)
    assert (copy["start"], copy["encoder"]) == ("before/ck", "encoder")
    assert copy["data"] == {
        "folder": "$MNER_DATA/a",
        "teachers": ["../large", "c"],
        "captions": "$MNER_DATA/c.jsonl",
    }
