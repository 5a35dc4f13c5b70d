"""Tags of the built-in classifier and of any model of `transformers`."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from core.errors import UserError
from model.vision.reader import ChannelReader
from model.vision.tags import (
    MAX_BOXES,
    MAX_TAGS,
    Classifier,
    Detector,
    ImageNet,
    best_tags,
    imagenet_labels,
    tags,
    transformers,
)
from model.vision.values import Tag
from tests.model.vision.sample_images import noise

LABELS = {0: "cat", 1: "do\u202eg", 2: "bird"}


def test_the_class_names_are_those_of_torchvisions_weights_without_its_slow_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision.models import EfficientNet_B0_Weights

    wanted = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    assert imagenet_labels() == wanted


def traffic_light() -> Image.Image:
    image = Image.new("RGB", (400, 400), (135, 180, 235))
    draw = ImageDraw.Draw(image)
    draw.rectangle((190, 300, 210, 400), "#555555")
    draw.rounded_rectangle((150, 60, 250, 320), 12, (30, 30, 30))
    for top, colour in ((70, (255, 40, 30)), (155, (70, 55, 10)), (240, (10, 60, 20))):
        draw.ellipse((162, top, 238, top + 70), colour)
    return image


def envelope() -> Image.Image:
    image = Image.new("RGB", (400, 400), (120, 90, 60))
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 100, 360, 300), (240, 235, 220), "gray", 2)
    draw.line((40, 100, 200, 220, 360, 100), "gray", 3)
    return image


def crossword_puzzle() -> Image.Image:
    image = Image.new("RGB", (400, 400), "white")
    draw, black = ImageDraw.Draw(image), random.Random(0)
    for left in range(5, 395, 30):
        for top in range(5, 395, 30):
            draw.rectangle((left, top, left + 30, top + 30), "black" if black.random() < 0.25 else "white", "black")
    return image


@pytest.mark.parametrize("make", [traffic_light, envelope, crossword_puzzle])
def test_simple_drawings_are_named(make: Callable[[], Image.Image], reader: ChannelReader) -> None:
    """Class names, weights and input fit together.

    With red and blue swapped, or with another scale, the traffic light gets less than half of the probability.
    """
    assert isinstance(reader.tags, ImageNet)
    ((tag, *_),) = reader.tags.read([make()])
    assert tag.label == make.__name__.replace("_", " ")
    assert tag.score > 0.5
    assert tag.box is None


@pytest.mark.parametrize("size", [(1, 1), (1, 640), (640, 1), (7, 300)])
def test_every_size_of_image_can_be_read(size: tuple[int, int], reader: ChannelReader) -> None:
    assert isinstance(reader.tags, ImageNet)
    assert len(reader.tags.read([noise(size)])) == 1


def test_only_the_best_tags_are_returned() -> None:
    names = ["a", "b", "c", "d", "e"]
    assert best_tags(torch.tensor([0.31, 0.02, 0.32, 0.05, 0.10]), names) == (
        Tag(label="c", score=0.32),
        Tag(label="a", score=0.31),
        Tag(label="e", score=0.1),
    )
    assert best_tags(torch.tensor([0.09, 0.0, 0.01, 0.02, 0.099]), names) == ()
    assert len(best_tags(torch.full((5,), 0.9), names)) == MAX_TAGS


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ViT with random weights, but for its head: it always says class 1."""
    library = transformers()
    folder = tmp_path_factory.mktemp("classifier")
    network = library.ViTForImageClassification(library.ViTConfig(**_tiny(), id2label=LABELS))
    with torch.no_grad():
        network.classifier.weight.zero_()
        network.classifier.bias.copy_(torch.tensor([0.0, 3.0, 0.0]))
    network.save_pretrained(folder)
    library.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny YOLOS with random weights, but for its heads: every query says class 2, in the middle of the image."""
    library = transformers()
    folder = tmp_path_factory.mktemp("detector")
    config = library.YolosConfig(**_tiny() | {"image_size": [32, 32]}, id2label=LABELS, num_detection_tokens=20)
    network = library.YolosForObjectDetection(config)
    label, box = network.class_labels_classifier.layers[-1], network.bbox_predictor.layers[-1]
    with torch.no_grad():
        label.weight.zero_()
        label.bias.copy_(torch.tensor([0.0, 0.0, 5.0, 0.0]))
        box.weight.zero_()
        box.bias.zero_()  # centre, width and height: a half each
    network.save_pretrained(folder)
    library.YolosImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def _tiny() -> dict[str, object]:
    return {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 32,
        "patch_size": 16,
    }


def test_a_classifier_by_name_names_the_whole_image(classifier: Path) -> None:
    channel = tags(str(classifier), "cpu")
    assert isinstance(channel, Classifier)
    read = channel.read([noise((50, 80)), noise((640, 2))])
    assert read == [(Tag(label="dog", score=0.9094),)] * 2


def test_a_detector_by_name_gives_boxes_in_fractions(detector: Path) -> None:
    channel = tags(str(detector), "cpu")
    assert isinstance(channel, Detector)
    for found in channel.read([noise((50, 80)), noise((300, 40))]):
        assert found == (Tag(label="bird", score=found[0].score, box=(0.25, 0.25, 0.75, 0.75)),) * MAX_BOXES
        assert found[0].score > 0.9


def test_a_model_that_neither_classifies_nor_detects_is_refused(tmp_path: Path) -> None:
    library = transformers()
    library.ViTModel(library.ViTConfig(**_tiny())).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"the tags model .* is ViTModel: name a model for image classification"):
        tags(str(tmp_path), "cpu")


def test_a_folder_with_half_a_model_is_refused(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((classifier / "config.json").read_bytes())
    with pytest.raises(UserError, match=r"the tags model .*cannot be loaded \(OSError"):
        tags(str(tmp_path), "cpu")
